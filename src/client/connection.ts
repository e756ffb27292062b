import type { Socket } from "node:net";
import type { Clock } from "../clock.ts";
import { WireError } from "../wire/errors.ts";
import { encodeFrame, FrameReader } from "../wire/framing.ts";
import { type Command, encodeMessage, type InfoCommand } from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";
import type { Daemon, Endpoint } from "./endpoint.ts";

declare const request: unique symbol;
/** Framed. Only the three functions below make one, and a connection sends nothing else. */
export type Request = Buffer & { readonly [request]: true };

export function subscribeRequest(subscription: Name): Request {
  return asking(subscription, { class: "stats", command: "subscribe" });
}

export function infoRequest(name: Name, command: InfoCommand): Request {
  return asking(name, { class: "unikernel", command });
}

export function policyRequest(path: Name): Request {
  return asking(path, { class: "policy", command: "info" });
}

function asking(name: Name, command: Command): Request {
  // One command per connection: any sequence number will do.
  const header = { version: 5, sequence: 1, name } as const;
  return encodeFrame(encodeMessage({ header, payload: { type: "command", command } })) as Request;
}

/** When a chunk was read; all messages of one chunk share it. */
export interface Arrival {
  /** monotonic µs */
  readonly us: number;
  /** ms since the epoch */
  readonly wallMs: number;
}

/** How a connection ended that we did not close ourselves. `code` is the system's. */
export type ConnectionEnd =
  | { readonly type: "unreachable"; readonly code: string }
  /** By the peer, in good order without a `code`. */
  | { readonly type: "closed"; readonly code: string | null; readonly midFrame: boolean }
  | { readonly type: "damaged"; readonly error: WireError };

export interface ConnectionHandlers {
  opened?(): void;
  /** of each chunk, before its frames */
  received?(bytes: number): void;
  /** `frame` may be a view of a buffer that is used again. */
  frame(frame: Uint8Array, arrival: Arrival): void;
  /** At most once, as the last; not after `close()`. */
  ended(end: ConnectionEnd): void;
}

export interface ConnectionOptions {
  readonly endpoint: Endpoint;
  readonly daemon: Daemon;
  readonly request: Request;
  readonly maxFrameBytes: number;
  readonly clock: Clock;
  readonly handlers: ConnectionHandlers;
}

/** One connection to a daemon: sends one request, hands over what comes back. */
export class Connection {
  /** resolves when the socket is closed, whoever closed it */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #reader: FrameReader;
  readonly #options: ConnectionOptions;
  /** the daemon has accepted it, be it closed meanwhile */
  opened = false;
  /** the handlers hear nothing more */
  #over = false;
  #errorCode: string | null = null;

  constructor(options: ConnectionOptions) {
    const { endpoint, daemon, request, maxFrameBytes, handlers } = options;
    this.#options = options;
    this.#reader = new FrameReader(maxFrameBytes);
    const socket = endpoint.dial(daemon);
    this.#socket = socket;
    socket.on("connect", () => {
      this.opened = true;
      socket.write(request);
      if (!this.#over) handlers.opened?.();
    });
    socket.on("data", (chunk: Buffer) => this.#data(chunk));
    socket.on("end", () => socket.destroy());
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#errorCode = error.code ?? error.message;
    });
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        const [code, midFrame] = [this.#errorCode, this.#reader.pendingBytes > 0];
        if (this.opened) this.#end({ type: "closed", code, midFrame });
        else this.#end({ type: "unreachable", code: code ?? "closed" });
        resolve();
      });
    });
  }

  close(): void {
    this.#over = true;
    this.#socket.destroy();
  }

  #data(chunk: Buffer): void {
    if (this.#over) return;
    const { clock, handlers } = this.#options;
    const arrival = { us: clock.nowUs(), wallMs: clock.wallMs() };
    handlers.received?.(chunk.length);
    try {
      this.#reader.push(chunk, (frame) => {
        if (!this.#over) handlers.frame(frame, arrival);
      });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#socket.destroy();
      this.#end({ type: "damaged", error });
    }
  }

  #end(end: ConnectionEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.handlers.ended(end);
  }
}
