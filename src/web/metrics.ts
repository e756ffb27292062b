import type { Request, RequestHandler, Response } from "express";
import { CONTENT_TYPES } from "../exposition/format.ts";
import type { Turns } from "../exposition/turns.ts";
import { type RenderTally, renderExposition } from "../exposition/writer.ts";
import { type Delivered, Delivery } from "./delivery.ts";
import type { ScrapeOutcome, WebDeps } from "./deps.ts";
import { acceptsGzip, negotiateFormat } from "./negotiate.ts";
import { sendText } from "./responses.ts";
import { Slots } from "./slots.ts";

/** Prometheus says with this header how long it will wait, in seconds. */
const SCRAPE_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds";

/** Answers scrapes: negotiated format and compression, rendered as fast as the client takes it. */
export function metricsHandler(deps: WebDeps, turns: Turns): RequestHandler {
  const slots = new Slots(() => deps.settings().maxRequests);
  return async (request, response) => {
    const format = negotiateFormat(request.get("Accept"));
    response.setHeader("Content-Type", CONTENT_TYPES[format]);
    response.setHeader("Vary", "Accept, Accept-Encoding");
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    const startUs = deps.clock.nowUs();
    const tally: RenderTally = { series: 0, bytes: 0 };
    const finished = (outcome: ScrapeOutcome) => {
      deps.scrapes.finished({ outcome, durationSeconds: (deps.clock.nowUs() - startUs) / 1e6, ...tally });
    };
    const giveBack = slots.take();
    if (giveBack === null) {
      const { maxRequests } = deps.settings();
      sendText(response, 503, `Limit of concurrent requests reached (${maxRequests}), try again later.`);
      finished("rejected");
      return;
    }
    try {
      const gzip = acceptsGzip(request.get("Accept-Encoding"));
      const outcome = await scrape(deps, { request, response, format, gzip, turns, tally });
      if (outcome === "timeout")
        deps.log.warn({ client: request.ip, ...tally }, "scrape cut: not taken in time");
      finished(outcome);
    } catch (error) {
      deps.log.error({ err: error, client: request.ip }, "scrape failed");
      if (!response.headersSent)
        sendText(response, 500, `The metrics could not be collected: ${messageOf(error)}`);
      finished("error");
    } finally {
      giveBack();
    }
  };
}

interface Scrape {
  readonly request: Request;
  readonly response: Response;
  readonly format: "text" | "openmetrics";
  readonly gzip: boolean;
  readonly turns: Turns;
  readonly tally: RenderTally;
}

async function scrape(
  deps: WebDeps,
  { request, response, format, gzip, turns, tally }: Scrape,
): Promise<Delivered> {
  const { clock } = deps;
  const delivery = new Delivery(response, {
    clock,
    timeoutMs: timeoutMs(request, deps.settings().writeTimeoutMs),
  });
  const families = await delivery.unlessEnded(deps.collect());
  if (families === null) return delivery.ended;
  if (gzip) response.setHeader("Content-Encoding", "gzip");
  const { signal } = delivery;
  return delivery.send(renderExposition(families, format, { turns, signal, tally, clock }), { gzip });
}

/** The write timeout, or what the client allows if that is shorter. */
function timeoutMs(request: Request, writeTimeoutMs: number): number {
  const allowedMs = Number(request.get(SCRAPE_TIMEOUT_HEADER)) * 1000;
  return allowedMs > 0 ? Math.min(allowedMs, writeTimeoutMs) : writeTimeoutMs;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
