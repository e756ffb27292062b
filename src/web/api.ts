import { type RequestHandler, Router } from "express";
import type { Turns } from "../exposition/turns.ts";
import { targetsJson } from "./apiJson.ts";
import { decisionsHandler } from "./decisions.ts";
import { Delivery } from "./delivery.ts";
import type { WebDeps } from "./deps.ts";
import { jsonPieces } from "./jsonPieces.ts";
import { JSON_TYPE, sendData, sendError } from "./responses.ts";
import { Slots } from "./slots.ts";
import { streamHandler } from "./stream.ts";

/** The routes below /api/v1. */
export function apiRouter(deps: WebDeps, turns: Turns): Router {
  const slots = new Slots(() => deps.settings().maxRequests);
  const list = (items: () => Iterable<unknown>) => listHandler(deps, { items, slots, turns });
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
  { items, slots, turns }: { items: () => Iterable<unknown>; slots: Slots; turns: Turns },
): RequestHandler {
  const { clock } = deps;
  return async (request, response) => {
    if (request.method === "HEAD") {
      response.setHeader("Content-Type", JSON_TYPE);
      response.end();
      return;
    }
    const giveBack = slots.take();
    if (giveBack === null) {
      sendError(response, 503, "unavailable", "too many requests at once, try again later");
      return;
    }
    try {
      const delivery = new Delivery(response, { clock, timeoutMs: deps.settings().writeTimeoutMs });
      response.setHeader("Content-Type", JSON_TYPE);
      await delivery.send(jsonPieces(items(), { turns, signal: delivery.signal, clock }));
    } finally {
      giveBack();
    }
  };
}
