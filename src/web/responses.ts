import { pipeline } from "node:stream/promises";
import { constants, createGzip } from "node:zlib";
import type { Response } from "express";
import type { Deadline } from "./routes.ts";

const GZIP = { level: constants.Z_BEST_SPEED, chunkSize: 64 * 1024 };

/** Bounds how many requests of one kind are served at once. */
export class ConcurrencyLimit {
  #running = 0;

  /**
   * Whether the request is to be answered, counted until it is. It is answered already where it is HEAD,
   * with the headers so far, or one above `limit` (0 is none), by `refuse`.
   */
  begin(response: Response, limit: number, refuse: () => void): boolean {
    if (response.req.method === "HEAD") response.end();
    else if (limit > 0 && this.#running >= limit) refuse();
    else {
      this.#running++;
      response.once("close", () => this.#running--);
      return true;
    }
    return false;
  }
}

/** Answers with one line of plain text, whatever was planned before. */
export function sendText(response: Response, status: number, line: string): void {
  response.removeHeader("Content-Encoding");
  send(response, status, "text/plain; charset=utf-8", `${line}\n`);
}

/** Answers as Prometheus' API does when all is well. */
export function sendData(response: Response, data: unknown): void {
  send(response, 200, JSON_TYPE, toJson({ status: "success", data }));
}

/** Answers as Prometheus' API does when it cannot. */
export function sendError(
  response: Response,
  status: number,
  errorType: "bad_data" | "not_found" | "unavailable" | "internal",
  error: string,
): void {
  send(response, status, JSON_TYPE, toJson({ status: "error", errorType, error }));
}

export function send(response: Response, status: number, contentType: string, body: string): void {
  response.status(status).setHeader("Content-Type", contentType);
  response.end(body);
}

export const JSON_TYPE = "application/json; charset=utf-8";

/** JSON in which a bigint is decimal text: as a number it would lose digits where it is read. */
export function toJson(value: unknown): string {
  return (
    JSON.stringify(value, (_key, field) => (typeof field === "bigint" ? field.toString() : field)) ?? "null"
  );
}

/** The client took it all, was cut (see Deadline), or went away. */
type Delivered = "ok" | "timeout" | "aborted";

/**
 * Sends a response that is made in pieces, as fast as its client takes them. `signal` tells the maker of
 * the pieces that it ended early. Throws what making a piece throws: before anything is sent where it is
 * the first (`response.headersSent` is false then), else with the connection cut.
 */
export async function deliver(
  response: Response,
  makePieces: (signal: AbortSignal) => AsyncGenerator<Buffer, void, void>,
  { gzip = false } = {},
): Promise<Delivered> {
  const deadline: Deadline = response.locals["deadline"];
  const { closed } = deadline;
  let isWhole = true;
  const outcome = (): Delivered => (isWhole ? "ok" : deadline.isOver ? "timeout" : "aborted");
  const ended = new Promise<null>((resolve) => {
    closed.addEventListener("abort", () => {
      // later the pieces end early and it seems finished
      isWhole = response.writableFinished;
      resolve(null);
    });
  });
  const pieces = makePieces(closed);
  // making the first may take for ever: nobody waits for it once the client is gone
  const first = await Promise.race([pieces.next(), ended]);
  if (first === null || closed.aborted) {
    void pieces.return();
    return outcome();
  }
  const failures: unknown[] = [];
  const guarded = async function* () {
    try {
      if (!first.done) yield first.value;
      yield* pieces;
    } catch (error) {
      failures.push(error);
      throw error;
    } finally {
      await pieces.return();
    }
  };
  if (gzip) response.setHeader("Content-Encoding", "gzip");
  try {
    if (gzip) await pipeline(guarded, createGzip(GZIP), response);
    else await pipeline(guarded, response);
  } catch {
    // the client is gone, or what the pieces threw
    isWhole = false;
  }
  if (failures.length > 0 && !deadline.isOver) throw failures[0];
  return outcome();
}
