import type { RequestHandler } from "express";
import { MAX_RECENT, type RecentQuery } from "../scaler/report/log.ts";
import type { WebDeps } from "./deps.ts";
import { sendData, sendError } from "./responses.ts";

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
