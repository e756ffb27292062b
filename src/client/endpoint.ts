import { readFileSync, type Stats, statSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { userInfo } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { TargetConfig } from "../config/target.ts";

/** albatross-stats or albatrossd, by the name of its socket. */
export type Daemon = "stat" | "vmmd";

/** How the daemons of one host are reached. */
export interface Endpoint {
  /** Begins to connect to a daemon; the socket says how that ends. */
  dial(daemon: Daemon): Socket;
  /** Why a daemon could not be reached, and what to do about it. `code` is the system's: ENOENT. */
  describe(daemon: Daemon, code: string): string;
}

export interface ProcessUser {
  readonly name: string;
  readonly uid: number;
  readonly gids: readonly number[];
}

/** Some directories give people hundreds of groups. */
const GROUPS_TOLD = 16;

/** A directory of unix sockets: `stat.sock` and `vmmd.sock`. */
export class SocketDirectory implements Endpoint {
  readonly #config: Pick<TargetConfig, "socketDir" | "os">;
  readonly #user: () => ProcessUser;

  constructor(config: Pick<TargetConfig, "socketDir" | "os">, user = userOfProcess) {
    this.#config = config;
    this.#user = user;
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
      case "EPERM":
        return `${path} may not be opened: ${this.#whyRefused(resolve(path))}`;
      default:
        return `${path}: ${code}`;
    }
  }

  #path(daemon: Daemon): string {
    return join(this.#config.socketDir, `${daemon}.sock`);
  }

  /** The first place on the way to the socket whose mode keeps this process out, and what lets it in. */
  #whyRefused(socket: string): string {
    const user = this.#user();
    for (const place of [...directoriesAbove(socket), socket]) {
      // To connect takes the right to search each directory, and to write to the socket.
      const [need, letter] = place === socket ? [0o2, "w"] : [0o1, "x"];
      const found = tryStat(place);
      if (found === null) break;
      const { uid, gid, mode } = found;
      const isOwner = uid === user.uid;
      const isMember = user.gids.includes(gid);
      const rights = isOwner ? mode >> 6 : isMember ? mode >> 3 : mode;
      if (user.uid === 0 || (rights & need) !== 0) continue;

      const groupName = namesIn("group");
      const group = groupName(gid);
      const owner = `${namesIn("passwd")(uid)}:${group}`;
      const groups = user.gids.slice(0, GROUPS_TOLD).map(groupName);
      if (user.gids.length > GROUPS_TOLD) groups.push("...");
      const fault = `${place} (${owner}, mode ${octal(mode)}) keeps out ${user.name} with the groups ${groups.join(", ")}`;
      if (isOwner) return `${fault}, its owner: chmod u+${letter} ${place}`;
      const isGroupLetIn = (mode & (need << 3)) !== 0;
      const open = isGroupLetIn ? [] : [`chmod g+${letter} ${place}`];
      const join =
        this.#config.os === "freebsd"
          ? `pw groupmod ${group} -m ${user.name}`
          : `usermod -aG ${group} ${user.name}`;
      const enter = isMember ? [] : [`${join}, then restart the exporter`];
      return `${fault}: ${[...open, ...enter].join(" and ")}`;
    }
    return `owners and modes on the way let ${user.name} in, so an ACL, SELinux, AppArmor or a container does not`;
  }
}

export function isDaemonAbsent(code: string): boolean {
  return code === "ENOENT" || code === "ECONNREFUSED";
}

/** From the root down: `/`, `/run`, `/run/albatross` for `/run/albatross/stat.sock`. */
function directoriesAbove(path: string): readonly string[] {
  const above = dirname(path);
  return above === path ? [] : [...directoriesAbove(above), above];
}

function tryStat(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

/** By id the first name that the system's file has for a user or a group, or else the number. */
function namesIn(file: "passwd" | "group"): (id: number) => string {
  let lines: readonly string[] = [];
  try {
    lines = readFileSync(`/etc/${file}`, "utf8").split("\n");
  } catch {
    // Numbers have to do.
  }
  const entries = lines.map((line) => line.split(":"));
  return (id) => entries.find((entry) => entry[2] === String(id))?.[0] || String(id);
}

function userOfProcess(): ProcessUser {
  const uid = process.geteuid?.() ?? -1;
  const gids = [...new Set([process.getegid?.() ?? -1, ...(process.getgroups?.() ?? [])])];
  try {
    return { name: userInfo().username, uid, gids };
  } catch {
    // A container may run under a user id without an entry in its password file.
    return { name: String(uid), uid, gids };
  }
}
