import type { Request, RequestHandler, Response } from "express";
import { CONTENT_TYPES, type ExpositionFormat } from "../exposition/family.ts";
import { type RenderTally, renderExposition } from "../exposition/writer.ts";
import type { ScrapeOutcome, WebDeps } from "./app.ts";
import { ConcurrencyLimit, type Delivered, Delivery, sendText } from "./responses.ts";

/** Prometheus says with this header how long it will wait, in seconds. */
const SCRAPE_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds";

/** Answers scrapes: negotiated format and compression, rendered as fast as the client takes it. */
export function metricsHandler(deps: WebDeps): RequestHandler {
  const limit = new ConcurrencyLimit(() => deps.settings().maxRequests);
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
    const giveBack = limit.take();
    if (giveBack === null) {
      const { maxRequests } = deps.settings();
      sendText(response, 503, `Limit of concurrent requests reached (${maxRequests}), try again later.`);
      finished("rejected");
      return;
    }
    try {
      const gzip = acceptsGzip(request.get("Accept-Encoding"));
      const outcome = await scrape(deps, { request, response, format, gzip, tally });
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
  readonly tally: RenderTally;
}

async function scrape(deps: WebDeps, { request, response, format, gzip, tally }: Scrape): Promise<Delivered> {
  const { clock } = deps;
  const delivery = new Delivery(response, {
    clock,
    timeoutMs: timeoutMs(request, deps.settings().writeTimeoutMs),
  });
  const families = await delivery.unlessEnded(deps.collect());
  if (families === null) return delivery.ended;
  if (gzip) response.setHeader("Content-Encoding", "gzip");
  const { signal } = delivery;
  return delivery.send(renderExposition(families, format, { signal, tally, clock }), { gzip });
}

/** The write timeout, or what the client allows if that is shorter. */
function timeoutMs(request: Request, writeTimeoutMs: number): number {
  const allowedMs = Number(request.get(SCRAPE_TIMEOUT_HEADER)) * 1000;
  return allowedMs > 0 ? Math.min(allowedMs, writeTimeoutMs) : writeTimeoutMs;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface Range {
  /** Lower-cased: `text/plain`, `text/*`, `gzip`. */
  readonly value: string;
  readonly parameters: ReadonlyMap<string, string>;
  /** 0 is "not this one". */
  readonly quality: number;
}

/**
 * The format that a client's Accept header asks for. OpenMetrics goes only to clients that name it, in version 1.0.0 or
 * without a version, and want it at least as much as text; all others get text, also those that accept neither.
 */
export function negotiateFormat(accept: string | undefined): ExpositionFormat {
  const ranges = parseRanges(accept ?? "");
  const openMetrics = Math.max(0, ...ranges.filter(isOpenMetrics).map(({ quality }) => quality));
  return openMetrics > 0 && openMetrics >= textQuality(ranges) ? "openmetrics" : "text";
}

/** Whether a client's Accept-Encoding header prefers gzip to no compression. */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  const ranges = parseRanges(acceptEncoding ?? "");
  const quality = (coding: string) => ranges.find(({ value }) => value === coding)?.quality;
  const gzip = quality("gzip") ?? quality("x-gzip") ?? quality("*") ?? 0;
  return gzip > 0 && gzip >= (quality("identity") ?? 0);
}

function isOpenMetrics({ value, parameters }: Range): boolean {
  const version = parameters.get("version");
  return value === "application/openmetrics-text" && (version === undefined || version === "1.0.0");
}

/** How much text is wanted: what names it most closely counts. A client that asks for text 1.0.0 reads 0.0.4. */
function textQuality(ranges: readonly Range[]): number {
  for (const value of ["text/plain", "text/*", "*/*"]) {
    const matching = ranges.filter((range) => range.value === value);
    if (matching.length > 0) return Math.max(...matching.map(({ quality }) => quality));
  }
  return 0;
}

/** Reads a header such as `text/plain;version=0.0.4;q=0.5, *` + `/*;q=0.1`. What makes no sense is left out. */
function parseRanges(header: string): Range[] {
  return header
    .split(",")
    .map((text) => text.split(";").map((part) => part.trim().toLowerCase()))
    .flatMap(([value = "", ...rest]) => {
      const parameters = new Map(rest.map((part) => splitParameter(part)));
      const quality = Number(parameters.get("q") ?? "1");
      return value === "" || !(quality >= 0 && quality <= 1) ? [] : [{ value, parameters, quality }];
    });
}

function splitParameter(part: string): [name: string, value: string] {
  const at = part.indexOf("=");
  if (at < 0) return [part, ""];
  return [
    part.slice(0, at).trim(),
    part
      .slice(at + 1)
      .trim()
      .replace(/^"(.*)"$/, "$1"),
  ];
}
