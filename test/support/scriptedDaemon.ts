import { createServer, type Server, type Socket } from "node:net";
import { encodeFrame, FrameReader } from "../../src/wire/framing.ts";
import { decodeMessage, encodeMessage, type Message } from "../../src/wire/messages.ts";
import { eventually } from "./eventually.ts";

/** One client of a scripted daemon. */
export class Peer {
  /** What the client sent. */
  readonly requests: Message[] = [];
  /** The same as bytes. */
  bytes: Buffer = Buffer.alloc(0);
  closed = false;
  readonly socket: Socket;
  readonly #reader = new FrameReader(1024 * 1024);

  constructor(socket: Socket, onRequest: (peer: Peer, message: Message) => void) {
    this.socket = socket;
    socket.on("data", (chunk) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.#reader.push(chunk, (frame) => {
        const message = decodeMessage(frame);
        this.requests.push(message);
        onRequest(this, message);
      });
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.closed = true;
    });
  }

  /** Sends messages in one write. */
  send(...messages: Message[]): void {
    this.raw(Buffer.concat(messages.map((message) => encodeFrame(encodeMessage(message)))));
  }

  raw(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Closes in good order, after what was sent. */
  close(): void {
    this.socket.end();
  }
}

/** A daemon's socket with behaviour from a test: it does nothing by itself. */
export class ScriptedDaemon {
  readonly path: string;
  /** All clients so far, closed ones included. */
  readonly peers: Peer[] = [];
  /** What to do with each request. */
  onRequest: (peer: Peer, message: Message) => void;
  #server: Server | null = null;

  constructor(path: string, onRequest: (peer: Peer, message: Message) => void = () => undefined) {
    this.path = path;
    this.onRequest = onRequest;
  }

  async start(): Promise<void> {
    const server = createServer((socket) => {
      this.peers.push(new Peer(socket, (peer, message) => this.onRequest(peer, message)));
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.path, resolve);
    });
  }

  /** Closes the socket, and every connection. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    for (const { socket } of this.peers) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }

  get openPeers(): Peer[] {
    return this.peers.filter((peer) => !peer.closed);
  }

  /** All requests so far, in order of connection. */
  get requests(): Message[] {
    return this.peers.flatMap((peer) => peer.requests);
  }

  /** The n-th client, 1 for the first, once it has sent its request. */
  async peer(n: number): Promise<Peer> {
    await eventually(`request ${n} on ${this.path}`, () => (this.peers[n - 1]?.requests.length ?? 0) > 0);
    const peer = this.peers[n - 1];
    if (peer === undefined) throw new Error("unreachable: it was just there");
    return peer;
  }
}
