import { chmod, lstat, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Who may use a daemon's socket: its owner and the group albatross. */
export const SOCKET_MODE = 0o660;
/** sizeof(sockaddr_un.sun_path) on Linux, less the closing zero; FreeBSD's is shorter still. */
const LONGEST_SOCKET_PATH = 107;

/** A daemon's socket: a path in the file system, a listener there and the connections it has. */
export class UnixServer {
  readonly #path: string;
  readonly #onConnection: (socket: Socket) => void;
  readonly #connections = new Set<Socket>();
  #server: Server | null = null;

  constructor(path: string, onConnection: (socket: Socket) => void) {
    this.#path = path;
    this.#onConnection = onConnection;
  }

  get listening(): boolean {
    return this.#server !== null;
  }

  /** How many connections are open: a test's way to see that nothing leaked. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /**
   * Listens with mode 0660. A socket that a dead process left behind is removed first. Throws when something listens
   * there already, or when the path is no socket or too long to be one.
   */
  async listen(): Promise<void> {
    if (this.#server !== null) return;
    if (Buffer.byteLength(this.#path) > LONGEST_SOCKET_PATH) {
      throw new Error(`${this.#path}: a socket's path has at most ${LONGEST_SOCKET_PATH} bytes`);
    }
    await removeStaleSocket(this.#path);
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(this.#path, resolve);
      });
      await chmod(this.#path, SOCKET_MODE);
    } catch (error) {
      this.#server = null;
      server.close();
      throw error;
    }
  }

  /** Closes every connection and removes the socket. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#connections) socket.destroy();
    if (server === null) return;
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async setMode(mode: number): Promise<void> {
    if (this.#server !== null) await chmod(this.#path, mode);
  }

  #accept(socket: Socket): void {
    this.#connections.add(socket);
    // A client that goes away without a word is an everyday matter; `close` follows and is all that counts.
    socket.on("error", () => undefined);
    socket.on("close", () => this.#connections.delete(socket));
    this.#onConnection(socket);
  }
}

async function removeStaleSocket(path: string): Promise<void> {
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (stat === null) return;
  if (!stat.isSocket()) throw new Error(`${path} exists and is not a socket`);
  if (await isListenedTo(path)) throw new Error(`${path}: somebody is listening there already`);
  await unlink(path);
}

function isListenedTo(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else reject(error);
    });
  });
}
