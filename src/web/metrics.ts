import type { RequestHandler } from "express";
import { COLLECTORS, type CollectorName, type ExporterConfig } from "../config/sections.ts";
import type { ScrapeResult } from "../exporter/selfMetrics.ts";
import { CONTENT_TYPES, type ExpositionFormat } from "../exposition/family.ts";
import { type RenderTally, renderExposition } from "../exposition/writer.ts";
import { messageOf } from "../systemError.ts";
import type { WebDeps } from "./app.ts";
import { ConcurrencyLimit, deliver, sendText } from "./responses.ts";
import { quoted } from "./routes.ts";

export function metricsHandler(deps: WebDeps): RequestHandler {
  const { clock } = deps;
  const limit = new ConcurrencyLimit();
  return async (request, response) => {
    const format = negotiateFormat(request.get("Accept"));
    response.setHeader("Content-Type", CONTENT_TYPES[format]);
    response.setHeader("Vary", "Accept, Accept-Encoding");
    const { web, exporter } = deps.config();
    const { maxRequests } = web;
    const asked = askedCollectors(request.query, exporter.collectors);
    if (typeof asked === "string") return sendText(response, 400, asked);
    const startUs = clock.nowUs();
    const tally: RenderTally = { series: 0, bytes: 0 };
    const finished = (outcome: ScrapeResult["outcome"]) =>
      deps.metrics.finished({ outcome, durationSeconds: (clock.nowUs() - startUs) / 1e6, ...tally });
    const refuse = () => {
      sendText(response, 503, `Limit of concurrent requests reached (${maxRequests}), try again later.`);
      finished("rejected");
    };
    if (!limit.begin(response, maxRequests, refuse)) return;
    const pieces = async function* (signal: AbortSignal) {
      yield* renderExposition(await deps.collect(asked), format, { signal, tally, clock });
    };
    try {
      finished(await deliver(response, pieces, { gzip: acceptsGzip(request.get("Accept-Encoding")) }));
    } catch (error) {
      deps.log.error({ err: error, client: request.ip }, "scrape failed");
      if (!response.headersSent)
        sendText(response, 500, `The metrics could not be collected: ${messageOf(error)}`);
      finished("error");
    }
  };
}

/**
 * What `collect[]` (only these) or `exclude[]` (all but these) of a scrape ask for, as node_exporter has them;
 * what is wrong with it as text. Any other parameter means nothing.
 */
function askedCollectors(
  query: Readonly<Record<string, unknown>>,
  isOn: ExporterConfig["collectors"],
): ((collector: CollectorName) => boolean) | string {
  const only = [query["collect[]"] ?? []].flat().map(String);
  const without = [query["exclude[]"] ?? []].flat().map(String);
  if (only.length > 0 && without.length > 0)
    return "collect[] and exclude[] exclude each other: allowed is one of them.";
  for (const name of [...only, ...without]) {
    const known = COLLECTORS.find((one) => one === name);
    if (known === undefined) return `unknown collector ${quoted(name)}; allowed: ${COLLECTORS.join(", ")}`;
    if (!isOn[known] && only.length > 0)
      return `the collector ${known} is off; exporter.collectors or --collector.${known} has it on`;
  }
  return (name) => (only.length === 0 || only.includes(name)) && !without.includes(name);
}

/**
 * The format that a client's Accept header asks for: OpenMetrics for clients that name it, in version
 * 1.0.0 or without one, and want it at least as much as text; text for all others.
 */
export function negotiateFormat(accept: string | undefined): ExpositionFormat {
  const ranges = parseRanges(accept ?? "");
  const wanted = (is: (range: Range) => boolean) =>
    Math.max(...ranges.filter(is).map(({ quality }) => quality));
  const openMetrics = wanted(isOpenMetrics);
  // what names text most closely counts
  const texts = ["text/plain", "text/*", "*/*"].map((name) => wanted(({ value }) => value === name));
  const text = texts.find((quality) => quality >= 0) ?? 0;
  return openMetrics > 0 && openMetrics >= text ? "openmetrics" : "text";
}

/** Whether a client's Accept-Encoding header prefers gzip to no compression. */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  const ranges = parseRanges(acceptEncoding ?? "");
  const quality = (coding: string) => ranges.find(({ value }) => value === coding)?.quality;
  const gzip = quality("gzip") ?? quality("x-gzip") ?? quality("*") ?? 0;
  return gzip > 0 && gzip >= (quality("identity") ?? 0);
}

type Range = ReturnType<typeof parseRanges>[number];

function isOpenMetrics({ value, version }: Range): boolean {
  return value === "application/openmetrics-text" && (version === undefined || version === "1.0.0");
}

/** Reads a header such as `text/plain;version=0.0.4;q=0.5`, without what makes no sense. */
function parseRanges(header: string) {
  const ranges = header.toLowerCase().replace(/[\s"]/g, "").split(",");
  return ranges.flatMap((range) => {
    const [value = "", ...parameters] = range.split(";");
    const named = new Map(parameters.map((parameter) => parameter.split("=", 2) as [string, string]));
    const quality = Number(named.get("q") ?? 1);
    if (value === "" || !(quality >= 0 && quality <= 1)) return [];
    return [{ value, version: named.get("version"), quality }];
  });
}
