import type { RequestHandler, Response } from "express";
import type { StreamLimits, WebDeps } from "./app.ts";
import { ConcurrencyLimit, sendError } from "./responses.ts";

const DEFAULT_LIMITS: StreamLimits = { maxClients: 8, maxBacklogBytes: 8 * 1024 * 1024 };
/** How long a dropped client may take to read what was already on its way, and why it was dropped. */
const LAST_WORDS_MS = 5_000;

/**
 * Serves what the broadcast publishes as newline-delimited JSON until the client goes or the broadcast ends. `?host=`
 * (repeatable) leaves out other hosts' lines. A client that does not keep up is dropped with a last line saying so.
 */
export function streamHandler(deps: WebDeps): RequestHandler {
  const limits = deps.streamLimits ?? DEFAULT_LIMITS;
  const limit = new ConcurrencyLimit(() => limits.maxClients);
  return (request, response) => {
    response.setHeader("Content-Type", "application/x-ndjson; charset=utf-8");
    // Proxies that hold responses back would turn a live stream into bursts.
    response.setHeader("X-Accel-Buffering", "no");
    response.setHeader("Connection", "close");
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    const giveBack = limit.take();
    if (giveBack === null) {
      sendError(response, 503, "unavailable", `${limits.maxClients} clients read the stream already`);
      return;
    }
    response.flushHeaders();
    const client = new StreamClient(deps, response, { hosts: hostsOf(request.query["host"]), limits });
    const unsubscribe = deps.stream.subscribe(client);
    response.once("close", () => {
      unsubscribe();
      client.stop();
      giveBack();
    });
  };
}

function hostsOf(query: unknown): ReadonlySet<string> | null {
  if (query === undefined) return null;
  return new Set([query].flat().map(String));
}

class StreamClient {
  readonly #deps: WebDeps;
  readonly #response: Response;
  /** null is all */
  readonly #hosts: ReadonlySet<string> | null;
  readonly #maxBacklogBytes: number;
  #waiting = "";
  #isOpen = true;

  constructor(
    deps: WebDeps,
    response: Response,
    { hosts, limits }: { hosts: ReadonlySet<string> | null; limits: StreamLimits },
  ) {
    this.#deps = deps;
    this.#response = response;
    this.#hosts = hosts;
    this.#maxBacklogBytes = limits.maxBacklogBytes;
  }

  next(line: string, host: string | undefined): void {
    if (!this.#isOpen) return;
    if (host !== undefined && this.#hosts !== null && !this.#hosts.has(host)) return;
    if (this.#response.writableLength + this.#waiting.length + line.length > this.#maxBacklogBytes) {
      this.#drop();
      return;
    }
    // The lines of one burst are written together: one write each would hold the event loop up.
    if (this.#waiting === "") setImmediate(() => this.#flush());
    this.#waiting += `${line}\n`;
  }

  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#response.end(this.#waiting);
    this.#waiting = "";
  }

  /** Forgets what still waits: the client is gone. */
  stop(): void {
    this.#isOpen = false;
    this.#waiting = "";
  }

  #flush(): void {
    if (this.#waiting === "") return;
    this.#response.write(this.#waiting);
    this.#waiting = "";
  }

  #drop(): void {
    const { clock, log, streamDropped } = this.#deps;
    this.stop();
    const backlogBytes = this.#response.writableLength;
    this.#response.end(`{"event":"dropped","reason":"slow client","backlog_bytes":${backlogBytes}}\n`);
    const stopTimer = clock.after(LAST_WORDS_MS, () => this.#response.destroy());
    this.#response.once("close", stopTimer);
    log.warn({ client: this.#response.req.ip, backlogBytes }, "stream client dropped: it does not keep up");
    streamDropped();
  }
}
