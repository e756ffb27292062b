import type { ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { constants, createGzip } from "node:zlib";
import type { Response } from "express";
import type { Clock } from "../clock.ts";

/** The kinds of error that the API names, as Prometheus' API does. */
export type ApiErrorType = "bad_data" | "not_found" | "unavailable" | "internal";

/** Answers with one line of plain text, whatever was planned before. */
export function sendText(response: Response, status: number, line: string): void {
  response.removeHeader("Content-Encoding");
  response.status(status);
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`${line}\n`);
}

/** Answers as Prometheus' API does when all is well. */
export function sendData(response: Response, data: unknown): void {
  sendJson(response, 200, { status: "success", data });
}

/** Answers as Prometheus' API does when it cannot. */
export function sendError(response: Response, status: number, errorType: ApiErrorType, error: string): void {
  sendJson(response, status, { status: "error", errorType, error });
}

function sendJson(response: Response, status: number, body: unknown): void {
  response.status(status);
  response.setHeader("Content-Type", JSON_TYPE);
  response.end(toJson(body));
}

export const JSON_TYPE = "application/json; charset=utf-8";

/** JSON in which a bigint is decimal text: a JSON number of that size would lose digits where it is read. */
export function toJson(value: unknown): string {
  return (
    JSON.stringify(value, (_key, field) => (typeof field === "bigint" ? field.toString() : field)) ?? "null"
  );
}

/** Bounds how many requests of one kind are served at once. */
export class ConcurrencyLimit {
  readonly #limit: () => number;
  #taken = 0;

  /** A `limit` of 0 is none; it is asked for with each request. */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Lets one more request in and returns what ends it (once; again does nothing), or null when there are enough. */
  take(): (() => void) | null {
    const limit = this.#limit();
    if (limit > 0 && this.#taken >= limit) return null;
    this.#taken++;
    let isHeld = true;
    return () => {
      if (isHeld) this.#taken--;
      isHeld = false;
    };
  }
}

const GZIP = { level: constants.Z_BEST_SPEED, chunkSize: 64 * 1024 };

/** How far the client got: `ok` all of it is handed to its connection; `timeout` cut by us; `aborted` it went away. */
export type Delivered = "ok" | "timeout" | "aborted";

/**
 * One response that is made in pieces as fast as its client takes them. It ends early, its connection cut, when it is
 * not taken within `timeoutMs` of now, and when the client goes away; whoever makes the pieces watches `signal`.
 */
export class Delivery {
  readonly signal: AbortSignal;
  readonly #response: ServerResponse;
  readonly #stopTimer: () => void;
  #ended: Exclude<Delivered, "ok"> | null = null;

  constructor(response: ServerResponse, { clock, timeoutMs }: { clock: Clock; timeoutMs: number }) {
    const stop = new AbortController();
    const end = (how: Exclude<Delivered, "ok">) => {
      this.#ended ??= how;
      this.#stopTimer();
      stop.abort();
    };
    this.signal = stop.signal;
    this.#response = response;
    this.#stopTimer = clock.after(timeoutMs, () => {
      end("timeout");
      this.cut();
    });
    response.once("close", () => {
      if (response.writableFinished) this.#stopTimer();
      else end("aborted");
    });
  }

  /** How it ended early; `ok` while it has not. */
  get ended(): Delivered {
    return this.#ended ?? "ok";
  }

  /** `work`, or null when the delivery ended before it was done. */
  async unlessEnded<T>(work: T | Promise<T>): Promise<T | null> {
    const { signal } = this;
    if (signal.aborted) return null;
    let onAbort = () => {};
    const aborted = new Promise<null>((resolve) => {
      onAbort = () => resolve(null);
      signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      return await Promise.race([work, aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Sends the pieces and says how that ended. Throws what making a piece throws: before anything is sent where it is
   * the first (`response.headersSent` is false then), else with the connection cut.
   */
  async send(pieces: AsyncIterable<Buffer>, { gzip = false }: { gzip?: boolean } = {}): Promise<Delivered> {
    const iterator = pieces[Symbol.asyncIterator]();
    const first = await iterator.next();
    if (this.#ended !== null) {
      await iterator.return?.();
      return this.#ended;
    }
    const guarded = guardedPieces(first, iterator);
    try {
      if (gzip) await pipeline(guarded.pieces, createGzip(GZIP), this.#response);
      else await pipeline(guarded.pieces, this.#response);
    } catch {
      // What the connection complains about is that the client is gone; what the pieces threw is told apart below.
      if (guarded.failure() === null) this.#ended ??= "aborted";
    }
    this.#stopTimer();
    const failure = guarded.failure();
    // A failure closes the connection too, on some versions of Node before this is reached: not the client's doing.
    if (failure !== null && this.ended !== "timeout") throw failure.error;
    return this.#ended ?? "ok";
  }

  /** Ends the connection, so that a response that is not whole cannot be taken for one. */
  cut(): void {
    this.#response.destroy();
  }
}

/** The first piece and then the others; remembers what making them threw. */
function guardedPieces(first: IteratorResult<Buffer>, rest: AsyncIterator<Buffer>) {
  let failure: { readonly error: unknown } | null = null;
  async function* pieces(): AsyncGenerator<Buffer, void, void> {
    try {
      for (let piece = first; !piece.done; piece = await rest.next()) yield piece.value;
    } catch (error) {
      failure = { error };
      throw error;
    } finally {
      await rest.return?.();
    }
  }
  return { pieces: pieces(), failure: () => failure };
}
