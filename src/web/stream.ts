import type { RequestHandler, Response } from "express";
import { type Cancel, yieldToEventLoop } from "../clock.ts";
import type { WebDeps } from "./app.ts";
import { ConcurrencyLimit, sendError } from "./responses.ts";
import { type Deadline, quoted } from "./routes.ts";

const DEFAULT_LIMITS = { maxClients: 8, maxBacklogBytes: 8 * 1024 * 1024 };
/** How long a dropped client may take to read why. */
const LAST_WORDS_MS = 5_000;
/** What is made of a long list in one turn. */
const TURN_CHARACTERS = 64 * 1024;

/**
 * Serves what the broadcast publishes as newline-delimited JSON. `?host=` (repeatable) leaves out other
 * hosts' lines. A client that does not keep up is dropped with a last line saying so, one that takes
 * nothing for as long as a response may take is cut.
 */
export function streamHandler(deps: WebDeps): RequestHandler {
  const { maxClients, maxBacklogBytes } = deps.streamLimits ?? DEFAULT_LIMITS;
  const limit = new ConcurrencyLimit();
  return (request, response) => {
    const { host } = request.query;
    if (host === "" || (Array.isArray(host) && host.includes(""))) {
      sendError(response, 400, "bad_data", `host ${quoted(host)}: names of targets are allowed`);
      return;
    }
    response.setHeader("Content-Type", "application/x-ndjson; charset=utf-8");
    // a proxy is not to hold it back
    response.setHeader("X-Accel-Buffering", "no");
    response.setHeader("Connection", "close");
    const refuse = () =>
      sendError(response, 503, "unavailable", `${maxClients} clients read the stream already`);
    if (!limit.begin(response, maxClients, refuse)) return;
    response.flushHeaders();
    const hosts = host === undefined ? null : new Set([host].flat().map(String));
    response.once("close", subscribe(deps, response, { hosts, maxBacklogBytes }));
  };
}

/** Writes what is published of these hosts (null is all), until the returned function is called. */
function subscribe(
  { stream, log, metrics }: WebDeps,
  response: Response,
  { hosts, maxBacklogBytes }: { hosts: ReadonlySet<string> | null; maxBacklogBytes: number },
): Cancel {
  const deadline: Deadline = response.locals["deadline"];
  deadline.stop();
  let waiting = "";
  let untaken = 0;
  let isOpen = true;
  /** the newest list of each host that is still to be told */
  const lists = new Map<string | undefined, () => Iterable<string>>();
  let isTelling = false;
  let goOn = () => {};
  response.on("drain", () => goOn());
  const close = () => {
    isOpen = false;
    waiting = "";
    goOn();
  };
  const flush = () => {
    if (waiting === "") return;
    if (untaken++ === 0) deadline.start();
    response.write(waiting, () => {
      untaken--;
      if (!isOpen) return;
      if (untaken > 0) deadline.start();
      else deadline.stop();
    });
    waiting = "";
  };
  const drop = () => {
    close();
    const backlogBytes = response.writableLength;
    response.end(`{"event":"dropped","reason":"slow client","backlog_bytes":${backlogBytes}}\n`);
    deadline.start(LAST_WORDS_MS);
    log.warn({ client: response.req.ip, backlogBytes }, "stream client dropped: it does not keep up");
    metrics.streamDropped();
  };
  const add = (line: string) => {
    if (response.writableLength + waiting.length + line.length > maxBacklogBytes) return drop();
    // one write for each line of a burst would hold the event loop up
    if (waiting === "") setImmediate(flush);
    waiting += `${line}\n`;
  };
  /** Lists go in turns, no faster than the client takes them, other lines in between. */
  const tellLists = async () => {
    isTelling = true;
    let made = 0;
    for (const [host, lines] of lists) {
      lists.delete(host);
      for (const line of lines()) {
        add(line);
        made += line.length;
        if (made >= TURN_CHARACTERS) {
          made = 0;
          await yieldToEventLoop();
          if (isOpen && response.writableNeedDrain) {
            await new Promise<void>((resolve) => {
              goOn = resolve;
            });
          }
        }
        if (!isOpen) return;
      }
    }
    isTelling = false;
  };
  const unsubscribe = stream.subscribe({
    next(message, host) {
      if (!isOpen || (host !== undefined && hosts?.has(host) === false)) return;
      if (typeof message === "string") return add(message);
      lists.set(host, message);
      if (!isTelling) void tellLists();
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
