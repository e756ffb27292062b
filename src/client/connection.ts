import type { Clock } from "../clock.ts";
import { messageOf } from "../systemError.ts";
import { WireError } from "../wire/errors.ts";
import { FrameReader } from "../wire/framing.ts";
import type { Command, InfoCommand } from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";
import type { Daemon, Endpoint, Line, Put } from "./endpoint.ts";

declare const request: unique symbol;
/** Only the three functions below make one, and a connection puts nothing else to a daemon. */
export type Request = Put & { readonly [request]: true };

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
  return { name, command } as Request;
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

/** One connection to a daemon: puts one request to it, hands over what comes back. */
export class Connection {
  /** resolves when the socket is closed, whoever closed it */
  readonly closed: Promise<void>;
  readonly #reader: FrameReader;
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  /** the daemon has accepted it, be it closed meanwhile */
  opened = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#reader = new FrameReader(options.maxFrameBytes);
    this.closed = this.#run();
  }

  close(): void {
    this.#closing.abort();
  }

  /** The handlers hear nothing more. */
  get #over(): boolean {
    return this.#closing.signal.aborted;
  }

  async #run(): Promise<void> {
    const { endpoint, daemon, request, handlers } = this.#options;
    const { signal } = this.#closing;
    let line: Line;
    try {
      line = await endpoint.dial(daemon, request, signal);
    } catch (error) {
      this.#end({ type: "unreachable", code: codeOf(error) });
      return;
    }
    const { socket } = line;
    let errorCode: string | null = null;
    signal.addEventListener("abort", () => socket.destroy());
    if (this.#over) socket.destroy();
    socket.on("data", (chunk: Buffer) => this.#data(chunk));
    socket.on("end", () => socket.destroy());
    socket.on("error", (error) => {
      errorCode = codeOf(error);
    });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    this.opened = true;
    line.finish().catch(() => undefined); // the socket's own events say so
    handlers.opened?.();
    await closed;
    this.#end({ type: "closed", code: errorCode, midFrame: this.#reader.pendingBytes > 0 });
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
      this.#end({ type: "damaged", error });
    }
  }

  #end(end: ConnectionEnd): void {
    if (this.#over) return;
    this.close();
    this.#options.handlers.ended(end);
  }
}

/** The system's code of an error, or what else it says. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : messageOf(error);
}
