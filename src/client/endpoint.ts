import { createConnection, type Socket } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import type { TargetConfig } from "../config/target.ts";

/** A daemon of a host, by the name of its socket: albatross-stats or albatrossd. */
export type Daemon = "stat" | "vmmd";

/** Where the daemons of one host are, and how they are reached. */
export interface Endpoint {
  /** Begins to connect to a daemon; the socket says how that ends. */
  dial(daemon: Daemon): Socket;
  /** What it means that a daemon could not be reached, and what to do about it. `code` is the system's: ENOENT. */
  describe(daemon: Daemon, code: string): string;
}

/** A directory of unix sockets, one of each daemon: `stat.sock` and `vmmd.sock`. */
export class SocketDirectory implements Endpoint {
  readonly #config: Pick<TargetConfig, "socketDir" | "os">;
  readonly #userName: () => string;

  /** `userName` is that of the user the program runs as, the system's by default. */
  constructor(config: Pick<TargetConfig, "socketDir" | "os">, userName = currentUserName) {
    this.#config = config;
    this.#userName = userName;
  }

  dial(daemon: Daemon): Socket {
    return createConnection(this.#path(daemon));
  }

  describe(daemon: Daemon, code: string): string {
    const path = this.#path(daemon);
    switch (code) {
      case "ENOENT":
        return `${path} does not exist (yet): is the daemon running, is socket_dir right?`;
      case "ECONNREFUSED":
        return `nobody listens on ${path}: is the daemon running?`;
      case "EACCES":
      case "EPERM": {
        const user = this.#userName();
        const remedy =
          this.#config.os === "freebsd"
            ? `pw groupmod albatross -m ${user}`
            : `usermod -aG albatross ${user}`;
        return `${path} may not be opened: not in group albatross: ${remedy}, then restart the exporter`;
      }
      default:
        return `${path}: ${code}`;
    }
  }

  #path(daemon: Daemon): string {
    return join(this.#config.socketDir, `${daemon}.sock`);
  }
}

/** Whether the error says that no daemon is there at all. */
export function isDaemonAbsent(code: string): boolean {
  return code === "ENOENT" || code === "ECONNREFUSED";
}

/** The name of the user this process runs as; the number of one that the system knows no name for. */
function currentUserName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run under a user id without an entry in its password file.
    return String(process.geteuid?.() ?? "USER");
  }
}
