import { type RequestHandler, Router } from "express";
import type { Clock } from "../clock.ts";
import { yieldToEventLoop } from "../exposition/writer.ts";
import { MAX_RECENT, type RecentQuery } from "../scaler/report/log.ts";
import { targetsJson } from "./apiJson.ts";
import type { WebDeps } from "./app.ts";
import { ConcurrencyLimit, Delivery, JSON_TYPE, sendData, sendError, toJson } from "./responses.ts";
import { streamHandler } from "./stream.ts";

/** The routes below /api/v1. */
export function apiRouter(deps: WebDeps): Router {
  const limit = new ConcurrencyLimit(() => deps.settings().maxRequests);
  const list = (items: () => Iterable<unknown>) => listHandler(deps, { items, limit });
  return Router({ caseSensitive: true, strict: true })
    .get("/targets", (_request, response) => sendData(response, targetsJson(deps.targets())))
    .get("/vms", list(deps.vms))
    .get("/groups", list(deps.groups))
    .get("/decisions", decisionsHandler(deps))
    .get("/stream", streamHandler(deps))
    .get("/status/config", (_request, response) => sendData(response, { yaml: deps.configText() }))
    .get("/status/buildinfo", (_request, response) =>
      sendData(response, { ...deps.build, nodeVersion: process.version }),
    );
}

/** Answers with a list that may be long, made as fast as the client takes it. */
function listHandler(
  deps: WebDeps,
  { items, limit }: { items: () => Iterable<unknown>; limit: ConcurrencyLimit },
): RequestHandler {
  const { clock } = deps;
  return async (request, response) => {
    if (request.method === "HEAD") {
      response.setHeader("Content-Type", JSON_TYPE);
      response.end();
      return;
    }
    const giveBack = limit.take();
    if (giveBack === null) {
      sendError(response, 503, "unavailable", "too many requests at once, try again later");
      return;
    }
    try {
      const delivery = new Delivery(response, { clock, timeoutMs: deps.settings().writeTimeoutMs });
      response.setHeader("Content-Type", JSON_TYPE);
      await delivery.send(jsonPieces(items(), { signal: delivery.signal, clock }));
    } finally {
      giveBack();
    }
  };
}

const DEFAULT_LIMIT = 100;

/** Answers with the scaler's last decisions, newest first: `?limit=`, `?group=` (`web` or `user:web`), `?host=`. */
export function decisionsHandler(deps: Pick<WebDeps, "decisions">): RequestHandler {
  return (request, response) => {
    const query = readQuery(request.query);
    if (typeof query === "string") sendError(response, 400, "bad_data", query);
    else sendData(response, deps.decisions(query));
  };
}

/** The query, or what is wrong with it. */
function readQuery(parameters: Readonly<Record<string, unknown>>): RecentQuery | string {
  const { limit = String(DEFAULT_LIMIT), group, host } = parameters;
  const count = typeof limit === "string" && /^\d{1,9}$/.test(limit) ? Number(limit) : 0;
  if (count < 1 || count > MAX_RECENT) {
    return `limit ${quoted(limit)}: a whole number from 1 to ${MAX_RECENT} is allowed`;
  }
  if (group !== undefined && (typeof group !== "string" || group === "")) {
    return `group ${quoted(group)}: one name is allowed, such as web or user:web`;
  }
  if (host !== undefined && (typeof host !== "string" || host === "")) {
    return `host ${quoted(host)}: the name of one target is allowed`;
  }
  return {
    limit: count,
    ...(group === undefined ? {} : { group: group.toLowerCase() }),
    ...(host === undefined ? {} : { host }),
  };
}

function quoted(value: unknown): string {
  return JSON.stringify(value).slice(0, 100);
}

const PIECE_CHARACTERS = 64 * 1024;
const SLICE_US = 5_000;
/** Items between two looks at the clock. */
const ITEMS_PER_LOOK = 64;

/**
 * A successful API answer whose data is a long list, in pieces that are made as they are pulled, each a turn of the
 * event loop: a list of 100,000 VMs holds nobody up. Ends early when `signal` is aborted.
 */
export async function* jsonPieces(
  items: Iterable<unknown>,
  {
    signal,
    clock,
    yieldTurn = yieldToEventLoop,
  }: { signal: AbortSignal; clock: Clock; yieldTurn?: () => Promise<void> },
): AsyncGenerator<Buffer, void, void> {
  let text = '{"status":"success","data":[';
  let separator = "";
  let untilLook = ITEMS_PER_LOOK;
  await yieldTurn();
  let sliceEndUs = clock.nowUs() + SLICE_US;
  for (const item of items) {
    text += separator + toJson(item);
    separator = ",";
    untilLook--;
    if (text.length < PIECE_CHARACTERS) {
      if (untilLook > 0) continue;
      untilLook = ITEMS_PER_LOOK;
      if (clock.nowUs() < sliceEndUs) continue;
    }
    yield Buffer.from(text);
    text = "";
    if (signal.aborted) return;
    await yieldTurn();
    sliceEndUs = clock.nowUs() + SLICE_US;
  }
  yield Buffer.from(`${text}]}`);
}
