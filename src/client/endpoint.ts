import { once } from "node:events";
import { readFileSync, type Stats, statSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { userInfo } from "node:os";
import { dirname, join, resolve } from "node:path";
import { finished } from "node:stream";
import type { TargetOs } from "../config/target.ts";
import { encodeFrame, LENGTH_PREFIX_BYTES } from "../wire/framing.ts";
import { type Command, encodeCreate, encodeMessage } from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";

/** albatross-stats or albatrossd, by the name of its socket. */
export type Daemon = "stat" | "vmmd";

/** What a daemon is asked or told. The image of a create is sent apart: it has `imageBytes`, `command.config` none. */
export interface Put {
  readonly name: Name;
  readonly command: Command;
  readonly imageBytes?: number;
}

/** An open connection to a daemon that knows nothing yet of what is put to it. */
export interface Line {
  readonly socket: Socket;
  /** Before an image. Resolves, as the other two, when the system has taken the bytes. */
  begin(): Promise<void>;
  image(block: Uint8Array): Promise<void>;
  /** Completes what is put: from here on the daemon may act on it. */
  finish(): Promise<void>;
  /** What comes back: each chunk is good until the next is asked for. */
  chunks(): AsyncIterator<Buffer>;
}

/** `path`: by certificates for another path only; `read_only`: made beforehand. */
export interface NotActing {
  readonly reason: "path" | "read_only";
  readonly text: string;
}

/** How the daemons of one host are reached. */
export interface Endpoint {
  /** Connects to a daemon to put something to it, until `signal`. Rejects with an error that has a `code`. */
  dial(daemon: Daemon, put: Put, signal: AbortSignal): Promise<Line>;
  /** Whether a question about it can be asked. */
  reaches(name: Name): boolean;
  /** Why unikernels of a path cannot be created and destroyed; null where they can, as far as is known. */
  whyNotActing(path: readonly string[]): NotActing | null;
  /**
   * Why a daemon could not be reached, and what to do about it. `code` is the system's (ENOENT) or that of TLS; null where
   * the connection was closed in good order before anything came.
   */
  describe(daemon: Daemon, code: string | null): string;
  /** What a daemon's failure means. */
  explain(daemon: Daemon, message: string): string;
  /** By way of albatross-tls-endpoint, which closes in good order for many reasons. */
  readonly isRemote: boolean;
}

/** What albatross-tls-endpoint says for a daemon that is down. */
export const SERVICE_DOWN = "couldn't reach service";
/** What it says when a daemon has closed: a subscription, or in the middle of a question. */
export const DAEMON_ENDED = "exception while reading from fd";
/** What it says when a certificate's policy cannot be put in force, and why. */
export const POLICY_REFUSED = /^expected success when adding policy, got: (.*)/s;

/** Whether by this code of an error TLS, or who uses it, does not accept a certificate. */
export function isCertificateRefused(code: string): boolean {
  return (
    /^(ERR_SSL_[\w/]*ALERT_\w*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)|TLS_)/.test(code) ||
    VERIFY_ERRORS.test(code)
  );
}

/** Node's names for what OpenSSL finds wrong with a server's certificate. */
const VERIFY_ERRORS =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_|PATH_LENGTH_|ERROR_IN_CERT_|UNSPECIFIED)/;

export interface ProcessUser {
  readonly name: string;
  readonly uid: number;
  readonly gids: readonly number[];
}

/** Some directories give people hundreds of groups. */
const GROUPS_TOLD = 16;
/** What a socket reads at a time. */
const CHUNK_BYTES = 64 * 1024;

/** A directory of unix sockets: `stat.sock` and `vmmd.sock`. */
export class SocketDirectory implements Endpoint {
  readonly #config: { readonly socketDir: string; readonly os: TargetOs };
  readonly #user: () => ProcessUser;

  constructor(config: { readonly socketDir: string; readonly os: TargetOs }, user = userOfProcess) {
    this.#config = config;
    this.#user = user;
  }

  async dial(daemon: Daemon, put: Put, signal: AbortSignal): Promise<Line> {
    const into = put.command.command === "get" ? new ReusedBuffer() : null;
    const socket = createConnection({ path: this.#path(daemon), ...into?.options });
    socket.on("error", () => undefined); // whoever uses it is told, too
    try {
      await once(socket, "connect", { signal });
      return new FramedLine(socket, put, into);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  readonly isRemote = false;

  reaches(): boolean {
    return true;
  }

  whyNotActing(): null {
    return null;
  }

  explain(daemon: Daemon, message: string): string {
    const said = excerpt(message);
    return daemon === "stat" ? `the daemon refused the subscription: ${said}` : `albatrossd says: ${said}`;
  }

  describe(daemon: Daemon, code: string | null): string {
    const path = this.#path(daemon);
    switch (code) {
      case null:
        return daemon === "stat"
          ? "the daemon closed the connection without acknowledging the subscription"
          : "albatrossd closes the connection without a reply";
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

/** A socket gives each chunk 64 KiB of its own, of which an image's worth waits to be collected. */
class ReusedBuffer {
  #chunk: Buffer | null = null;
  #arrived = () => {};
  readonly options = {
    onread: {
      buffer: Buffer.allocUnsafeSlow(CHUNK_BYTES),
      callback: (bytes: number, buffer: Uint8Array) => {
        this.#chunk = Buffer.from(buffer.buffer, 0, bytes);
        this.#arrived();
        // nothing more is read until that one is used up
        return false;
      },
    },
  };

  async *chunks(socket: Socket): AsyncGenerator<Buffer, void> {
    const ends: (Error | null | undefined)[] = [];
    finished(socket, { writable: false }, (error) => {
      ends.push(error);
      this.#arrived();
    });
    for (;;) {
      // nothing of it outlives its chunk: a peer may send a byte at a time
      const arrived = new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
      if (this.#chunk === null && ends.length === 0) await arrived;
      if (this.#chunk === null) break;
      yield this.#chunk;
      this.#chunk = null;
      socket.resume();
    }
    if (ends[0]) throw ends[0];
  }
}

/** A command goes to a socket as one frame. */
class FramedLine implements Line {
  readonly socket: Socket;
  readonly #before: Buffer;
  readonly #after: Buffer;
  readonly #into: ReusedBuffer | null;

  constructor(socket: Socket, { name, command, imageBytes }: Put, into: ReusedBuffer | null) {
    this.socket = socket;
    this.#into = into;
    // One command per connection: any sequence number will do.
    const header = { version: 5, sequence: 1, name } as const;
    if (command.command === "create" && imageBytes !== undefined) {
      const { before, after } = encodeCreate(header, command.config, imageBytes);
      const prefix = Buffer.alloc(LENGTH_PREFIX_BYTES);
      prefix.writeInt32BE(before.length + imageBytes + after.length);
      [this.#before, this.#after] = [Buffer.concat([prefix, before]), after];
    } else {
      const frame = encodeFrame(encodeMessage({ header, payload: { type: "command", command } }));
      [this.#before, this.#after] = [Buffer.alloc(0), frame];
    }
  }

  begin(): Promise<void> {
    return write(this.socket, this.#before);
  }

  image(block: Uint8Array): Promise<void> {
    return write(this.socket, block);
  }

  finish(): Promise<void> {
    return write(this.socket, this.#after);
  }

  chunks(): AsyncIterator<Buffer> {
    return this.#into?.chunks(this.socket) ?? this.socket[Symbol.asyncIterator]();
  }
}

/** Resolves when the system has taken the bytes. */
export function write(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

/** A daemon's words, short enough for a log line. */
export function excerpt(message: string): string {
  return message.length <= 300 ? message : `${message.slice(0, 300)}...`;
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
