import type { IncomingMessage, ServerResponse } from "node:http";
import type { RequestHandler } from "express";
import type { Cancel, Clock } from "../clock.ts";
import { routePrefixOf } from "../config/sections.ts";
import type { SelfMetrics } from "../exporter/selfMetrics.ts";
import type { Logger } from "../log.ts";
import type { WebDeps } from "./app.ts";
import { sendError } from "./responses.ts";

/** What is served beside metrics and front page, and the query parameters that each knows. */
export const ROUTES: readonly {
  readonly path: string;
  readonly what: string;
  readonly knows: readonly string[];
}[] = [
  { path: "/api/v1/targets", knows: [], what: "the hosts and their subscriptions" },
  { path: "/api/v1/vms", knows: [], what: "every unikernel and VM as it is known now" },
  {
    path: "/api/v1/groups",
    knows: [],
    what: "primaries and their clones, and why the scaler does what it does",
  },
  {
    path: "/api/v1/decisions",
    knows: ["limit", "group", "host", "decision", "reason"],
    what: "what the scaler decided, newest first",
  },
  { path: "/api/v1/actions", knows: ["limit"], what: "what the scaler did, newest first" },
  { path: "/api/v1/stream", knows: ["host"], what: "samples as they arrive, one JSON object a line" },
  { path: "/api/v1/status/config", knows: [], what: "the configuration in force" },
  { path: "/api/v1/status/buildinfo", knows: [], what: "version and build" },
  { path: "/-/healthy", knows: [], what: "answers while the process runs" },
  { path: "/-/ready", knows: [], what: "answers once the configuration is loaded" },
];

const METRICS = "/metrics";
const GROUPS = "/groups";
const OTHER = "other";

export const RELOAD = "/-/reload";

/** Values of the label `route`: `/metrics` wherever they are, `/groups` for a group's page, `other` where there is nothing. */
export const ROUTE_LABELS: readonly string[] = [
  "/",
  METRICS,
  GROUPS,
  ...ROUTES.map(({ path }) => path),
  RELOAD,
  OTHER,
];

/** What a request below the route prefix is for, as if there were none; null where it is not below it. */
export function withoutPrefix(url: string, prefix: string): string | null {
  if (prefix === "") return url;
  const path = url.replace(/^https?:\/\/[^/?]*/i, "");
  return path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : null;
}

/** Prometheus says with this header how long it will wait, in seconds. */
const SCRAPE_TIMEOUT_HEADER = "x-prometheus-scrape-timeout-seconds";

export interface CutDeps {
  readonly log: Logger;
  readonly metrics: Pick<SelfMetrics, "responsesCut">;
  readonly config: WebDeps["config"];
}

/**
 * What ends the connection of this request, whose client does not take what it asks for; counted by route
 * and logged with the reason. To be made before Express shortens the request's URL for its routers.
 */
export function cutter({ log, metrics, config }: CutDeps, request: IncomingMessage): (why: string) => void {
  const [path = ""] = (request.url ?? "").split("?");
  const { web } = config();
  // on a connection of its own the prefix is still there
  const routes = [path, withoutPrefix(path, routePrefixOf(web)) ?? path].map((known) => {
    if (known.startsWith(`${GROUPS}/`)) return GROUPS;
    return known === web.telemetryPath ? METRICS : known;
  });
  const route = routes.find((known) => ROUTE_LABELS.includes(known)) ?? OTHER;
  return (why) => {
    metrics.responsesCut(route, 1);
    log.warn({ client: request.socket.remoteAddress, route }, `response cut: ${why}`);
    request.socket.destroy();
  };
}

/**
 * The time that a client has to take its response before it is cut: `web.write_timeout`, or what
 * Prometheus says that it waits if that is shorter.
 */
export class Deadline {
  readonly #cut: (why: string) => void;
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #closed = new AbortController();
  /** Aborted when the response is closed. */
  readonly closed = this.#closed.signal;
  #cancel: Cancel = () => undefined;
  isOver = false;

  constructor(deps: CutDeps & { readonly clock: Clock }, request: IncomingMessage, response: ServerResponse) {
    const { writeTimeoutMs } = deps.config().web;
    const allowedMs = Number(request.headers[SCRAPE_TIMEOUT_HEADER]) * 1000;
    this.#limitMs = allowedMs > 0 ? Math.min(allowedMs, writeTimeoutMs) : writeTimeoutMs;
    this.#clock = deps.clock;
    this.#cut = cutter(deps, request);
    response.once("close", () => {
      this.#cancel();
      this.#closed.abort();
    });
    this.start();
  }

  /** From now on the client has this long, whatever was said before. */
  start(ms = this.#limitMs): void {
    this.#cancel();
    this.#cancel = this.#clock.after(ms, () => {
      this.isOver = true;
      this.#cut("not taken in time");
    });
  }

  stop(): void {
    this.#cancel();
  }
}

/** Refuses an unknown parameter of a route below `/api`: a mistyped filter would filter nothing. */
export const knownParameters: RequestHandler = ({ baseUrl, path, query }, response, next) => {
  const route = ROUTES.find((one) => one.path === baseUrl + path);
  const unknown = Object.keys(query).find((name) => route?.knows.includes(name) === false);
  if (route === undefined || unknown === undefined) return next();
  const known = route.knows.length === 0 ? "none is known here" : `known here: ${route.knows.join(", ")}`;
  sendError(response, 400, "bad_data", `unknown query parameter ${quoted(unknown)}: ${known}`);
};

/** What a client sent, for an error that is read by people. */
export function quoted(value: unknown): string {
  return JSON.stringify(value).slice(0, 100);
}
