import type { RequestHandler, Response } from "express";
import type { Cancel } from "../clock.ts";
import type { WebDeps } from "./app.ts";
import { ConcurrencyLimit, sendError } from "./responses.ts";

const DEFAULT_LIMITS = { maxClients: 8, maxBacklogBytes: 8 * 1024 * 1024 };
/** How long a dropped client may take to read what was already on its way, and why it was dropped. */
const LAST_WORDS_MS = 5_000;

/**
 * Serves what the broadcast publishes as newline-delimited JSON until the client goes or the broadcast ends. `?host=`
 * (repeatable) leaves out other hosts' lines. A client that does not keep up is dropped with a last line saying so.
 */
export function streamHandler(deps: WebDeps): RequestHandler {
  const { maxClients, maxBacklogBytes } = deps.streamLimits ?? DEFAULT_LIMITS;
  const limit = new ConcurrencyLimit();
  return (request, response) => {
    response.setHeader("Content-Type", "application/x-ndjson; charset=utf-8");
    // Proxies that hold responses back would turn a live stream into bursts.
    response.setHeader("X-Accel-Buffering", "no");
    response.setHeader("Connection", "close");
    const end = limit.begin(response, maxClients, () =>
      sendError(response, 503, "unavailable", `${maxClients} clients read the stream already`),
    );
    if (end === null) return;
    response.flushHeaders();
    const { host } = request.query;
    const hosts = host === undefined ? null : new Set([host].flat().map(String));
    const unsubscribe = subscribe(deps, response, { hosts, maxBacklogBytes });
    response.once("close", () => {
      unsubscribe();
      end();
    });
  };
}

/** Writes what is published of these hosts (null is all) to the response, until the returned function is called. */
function subscribe(
  { stream, clock, log, metrics }: WebDeps,
  response: Response,
  { hosts, maxBacklogBytes }: { hosts: ReadonlySet<string> | null; maxBacklogBytes: number },
): Cancel {
  let waiting = "";
  let isOpen = true;
  const close = () => {
    isOpen = false;
    waiting = "";
  };
  const flush = () => {
    if (waiting !== "") response.write(waiting);
    waiting = "";
  };
  const drop = () => {
    close();
    const backlogBytes = response.writableLength;
    response.end(`{"event":"dropped","reason":"slow client","backlog_bytes":${backlogBytes}}\n`);
    const stopTimer = clock.after(LAST_WORDS_MS, () => response.destroy());
    response.once("close", stopTimer);
    log.warn({ client: response.req.ip, backlogBytes }, "stream client dropped: it does not keep up");
    metrics.streamDropped();
  };
  const unsubscribe = stream.subscribe({
    next(line, host) {
      if (!isOpen || (host !== undefined && hosts?.has(host) === false)) return;
      if (response.writableLength + waiting.length + line.length > maxBacklogBytes) {
        drop();
        return;
      }
      // The lines of one burst are written together: one write each would hold the event loop up.
      if (waiting === "") setImmediate(flush);
      waiting += `${line}\n`;
    },
    end() {
      if (isOpen) response.end(waiting);
      close();
    },
  });
  return () => {
    close();
    unsubscribe();
  };
}
