import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Response } from "express";
import { Turns } from "../exposition/turns.ts";
import { apiRouter } from "./api.ts";
import type { WebDeps } from "./deps.ts";
import type { Html } from "./html.ts";
import { landingPage } from "./landingPage.ts";
import { metricsHandler } from "./metrics.ts";
import { CONTENT_SECURITY_POLICY, notFoundPage } from "./pages.ts";
import { sendError, sendText } from "./responses.ts";

const METHODS = ["GET", "HEAD"];

/** The web side of the program: metrics, health, API and pages. Decides by `deps` alone, keeps no state but counts. */
export function createApp(deps: WebDeps): Express {
  const turns = new Turns();
  const metrics = metricsHandler(deps, turns);
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.enable("case sensitive routing");
  app.enable("strict routing");
  app.set("query parser", "simple");
  app.use(commonHeaders, readOnly);
  // Compared with each request, because a reload of the configuration may change it.
  app.use((request, response, next) =>
    request.path === deps.settings().telemetryPath ? metrics(request, response, next) : next(),
  );
  app.get("/-/healthy", (_request, response) => sendText(response, 200, "albatross-exporter is healthy."));
  app.get("/-/ready", (_request, response) => {
    if (deps.ready()) sendText(response, 200, "albatross-exporter is ready.");
    else sendText(response, 503, "albatross-exporter is not ready yet.");
  });
  app.use("/api/v1", apiRouter(deps, turns));
  app.get("/", (_request, response) => sendPage(response, 200, landingPage(deps)));
  app.use(notFound(deps));
  app.use(failure(deps));
  return app;
}

const commonHeaders: RequestHandler = (_request, response, next) => {
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("Cache-Control", "no-store");
  response.setHeader("Referrer-Policy", "no-referrer");
  response.setHeader("Content-Security-Policy", CONTENT_SECURITY_POLICY);
  next();
};

const readOnly: RequestHandler = (request, response, next) => {
  if (METHODS.includes(request.method)) {
    next();
    return;
  }
  response.setHeader("Allow", METHODS.join(", "));
  // Whatever body comes with it is not worth reading.
  response.setHeader("Connection", "close");
  const text = `${request.method} is not allowed here: everything can only be read (${METHODS.join(", ")}).`;
  if (isApi(request.path)) sendError(response, 405, "bad_data", text);
  else sendText(response, 405, text);
};

/** Wrong paths are answered in the terms of whoever asks: JSON below /api, a page for browsers, a line for others. */
function notFound(deps: WebDeps): RequestHandler {
  return (request, response) => {
    const { path } = request;
    if (isApi(path)) {
      sendError(response, 404, "not_found", `there is no ${path}`);
    } else if (request.accepts(["text/plain", "text/html"]) === "text/html") {
      sendPage(response, 404, notFoundPage(path));
    } else {
      const { telemetryPath } = deps.settings();
      sendText(
        response,
        404,
        `There is nothing at ${path}. The metrics are at ${telemetryPath}, links to all else at /.`,
      );
    }
  };
}

function failure(deps: WebDeps): ErrorRequestHandler {
  return (error, request, response, _next) => {
    deps.log.error({ err: error, path: request.path }, "request failed");
    if (response.headersSent) response.destroy();
    else if (isApi(request.path))
      sendError(response, 500, "internal", "this request failed; the log says why");
    else sendText(response, 500, "This request failed; the log says why.");
  };
}

function isApi(path: string): boolean {
  return path === "/api" || path.startsWith("/api/");
}

function sendPage(response: Response, status: number, content: Html): void {
  response.status(status);
  response.setHeader("Content-Type", "text/html; charset=utf-8");
  response.end(content.text);
}
