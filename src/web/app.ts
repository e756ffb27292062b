import express from "express";
import type { TargetSnapshot } from "../client/target.ts";
import type { Clock } from "../clock.ts";
import { type CollectorName, type Config, routePrefixOf, type WebConfig } from "../config/sections.ts";
import type { SelfMetrics } from "../exporter/selfMetrics.ts";
import type { Family } from "../exposition/family.ts";
import type { FleetSnapshot } from "../fleet/types.ts";
import type { Logger } from "../log.ts";
import type { Scaler } from "../scaler/scaler.ts";
import type { Broadcast } from "../trace/broadcast.ts";
import type { TraceMessage } from "../trace/lines.ts";
import type { BuildInfo } from "../version.ts";
import type { Access } from "./access.ts";
import { apiRouter } from "./api.ts";
import { gate } from "./gate.ts";
import { groupPage } from "./groupPage.ts";
import { groupsQuery } from "./groups.ts";
import { CONTENT_SECURITY_POLICY, type Html, html, notFoundPage, rootFrom } from "./html.ts";
import { acceptsGzip, metricsHandler } from "./metrics.ts";
import { landingPage } from "./page.ts";
import { deliver, send, sendError, sendText } from "./responses.ts";
import { Deadline, RELOAD, ROUTE_LABELS, withoutPrefix } from "./routes.ts";

/** When the configuration was last read, and why it was refused then. */
export interface LastReload {
  readonly timeMs: number;
  readonly problems: readonly string[];
}

/** What the web side serves. What may change is asked for with each request. */
export interface WebDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly build: Pick<BuildInfo, "version" | "revision">;
  readonly metrics: Pick<SelfMetrics, "finished" | "streamDropped" | "responsesCut" | "authFailed">;
  readonly scaler: Pick<Scaler, "actions" | "decisions" | "evaluations" | "explain" | "history" | "summary">;
  /** JSON lines, each published under its host's name, or under none where it concerns all. */
  readonly stream: Broadcast<TraceMessage>;
  /** What may wait for one client of the stream before it is dropped, and how many there may be. */
  readonly streamLimits?: { readonly maxClients: number; readonly maxBacklogBytes: number };
  /** The web configuration in force: TLS, users, headers, a limit. */
  readonly access: Pick<Access, "current">;
  /** The configuration in force. */
  readonly config: () => Config;
  readonly lastReload: () => LastReload;
  readonly isReady: () => boolean;
  readonly targets: () => readonly TargetSnapshot[];
  readonly snapshot: () => FleetSnapshot;
  /** The families of one scrape. A failure is answered with 500, counted and logged. */
  readonly collect: (
    isAsked?: (collector: CollectorName) => boolean,
  ) => Iterable<Family> | Promise<Iterable<Family>>;
  /** Reads the configuration again; `lastReload` tells what came of it. */
  readonly reload: () => Promise<void>;
}

const PAGE_TYPE = "text/html; charset=utf-8";

export function createApp(deps: WebDeps): express.Express {
  const metrics = metricsHandler(deps);
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.enable("case sensitive routing");
  app.enable("strict routing");
  app.set("query parser", "simple");
  for (const route of ROUTE_LABELS) deps.metrics.responsesCut(route, 0);
  // Within, all is as without a prefix; a reload of the configuration may change it.
  app.use((request, response, next) => {
    const prefix = routePrefixOf(deps.config().web);
    const below = withoutPrefix(request.url, prefix);
    response.locals["isOutside"] = below === null;
    request.url = below ?? request.url;
    response.locals["deadline"] = new Deadline(deps, request, response);
    response.set(COMMON_HEADERS);
    next();
  });
  app.use(gate(deps));
  app.use((request, response, next) =>
    request.path === RELOAD && response.locals["isOutside"] !== true
      ? reload(deps, request, response)
      : readOnly(request, response, next),
  );
  app.use((request, response, next) => {
    if (response.locals["isOutside"] !== true) return next();
    const prefix = routePrefixOf(deps.config().web);
    const query = request.url.slice(request.path.length);
    if (request.path === "/") redirect(response, `.${prefix}/${query}`);
    else if (request.path === prefix)
      redirect(response, `./${prefix.slice(prefix.lastIndexOf("/") + 1)}/${query}`);
    else notFound(request, response, deps.config().web);
  });
  // a reload of the configuration may change it
  app.use((request, response, next) =>
    request.path === deps.config().web.telemetryPath ? metrics(request, response, next) : next(),
  );
  app.get("/-/healthy", (_request, response) => sendText(response, 200, "albatross-exporter is healthy."));
  app.get("/-/ready", (_request, response) => {
    if (deps.isReady()) sendText(response, 200, "albatross-exporter is ready.");
    else sendText(response, 503, "albatross-exporter is not ready yet.");
  });
  app.use("/api/v1", apiRouter(deps));
  app.get("/", (request, response) =>
    sendPage(request, response, landingPage(deps, groupsQuery(request.query))),
  );
  // A host's name may hold slashes, which proxies may have decoded; a group's does not.
  app.get(/^\/groups\/(.+)\/([^/]+)$/, async (request, response) => {
    const { 0: host = "", 1: name = "" } = request.params as Record<number, string>;
    const found = groupPage(deps, host, name);
    if (found !== null) return sendPage(request, response, found);
    sendNotFound(response, "../../", html`No group <code>${name}</code> on <code>${host}</code> is known.`);
  });
  app.use((request, response) => notFound(request, response, deps.config().web));
  const onError: express.ErrorRequestHandler = (error, { path }, response, _next) => {
    deps.log.error({ err: error, path }, "request failed");
    if (response.headersSent) response.destroy();
    else if (isApi(path)) sendError(response, 500, "internal", "this request failed; the log says why");
    else sendText(response, 500, "This request failed; the log says why.");
  };
  return app.use(onError);
}

const COMMON_HEADERS = {
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-store",
  "Referrer-Policy": "no-referrer",
  "Content-Security-Policy": CONTENT_SECURITY_POLICY,
};

/** As Prometheus answers there. */
async function reload(deps: WebDeps, { method }: express.Request, response: express.Response): Promise<void> {
  // a body that comes with it is not read
  response.setHeader("Connection", "close");
  if (method !== "POST" && method !== "PUT") {
    response.setHeader("Allow", "POST, PUT");
    return sendText(response, 405, `${method} is not allowed here: POST reads the configuration again.`);
  }
  if (!deps.config().web.enableLifecycle)
    return sendText(response, 403, "Lifecycle API is not enabled: --web.enable-lifecycle enables it.");
  await deps.reload();
  const { problems } = deps.lastReload();
  if (problems.length === 0) return sendText(response, 200, "The configuration was read again.");
  sendText(response, 500, `failed to reload config: ${problems.join("\n")}`);
}

const readOnly: express.RequestHandler = (request, response, next) => {
  if (request.method === "GET" || request.method === "HEAD") return next();
  // a body that comes with it is not read
  response.setHeader("Connection", "close").setHeader("Allow", "GET, HEAD");
  const text = `${request.method} is not allowed here: everything can only be read (GET, HEAD).`;
  if (isApi(request.path)) sendError(response, 405, "bad_data", text);
  else sendText(response, 405, text);
};

async function sendPage(request: express.Request, response: express.Response, { text }: Html): Promise<void> {
  response.set({ "Content-Type": PAGE_TYPE, Vary: "Accept-Encoding" });
  const gzip = acceptsGzip(request.get("Accept-Encoding"));
  if (request.method === "HEAD") response.end();
  else
    await deliver(
      response,
      async function* () {
        yield Buffer.from(text);
      },
      { gzip },
    );
}

/** A relative one, which is right behind any proxy. */
function redirect(response: express.Response, location: string): void {
  response.setHeader("Location", location);
  sendText(response, 302, `It is at ${location}.`);
}

function notFound(request: express.Request, response: express.Response, web: WebConfig): void {
  const { path } = request;
  const prefix = routePrefixOf(web);
  const base = web.externalUrl ?? prefix;
  const words = `There is nothing at ${path}. The metrics are at ${base}${web.telemetryPath}, links to all else at ${base}/.`;
  const root = rootFrom(path) + (response.locals["isOutside"] === true ? `${prefix.slice(1)}/` : "");
  if (isApi(path)) sendError(response, 404, "not_found", `there is no ${path}`);
  else if (request.accepts(["text/plain", "text/html"]) === "text/html")
    sendNotFound(response, root, html`<code>${path}</code> is not a page of this exporter.`);
  else sendText(response, 404, words);
}

function sendNotFound(response: express.Response, root: string, why: Html): void {
  send(response, 404, PAGE_TYPE, notFoundPage(root, why).text);
}

function isApi(path: string): boolean {
  return path === "/api" || path.startsWith("/api/");
}
