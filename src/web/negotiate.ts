import type { ExpositionFormat } from "../exposition/format.ts";

interface Range {
  /** Lower-cased: `text/plain`, `text/*`, `gzip`. */
  readonly value: string;
  readonly parameters: ReadonlyMap<string, string>;
  /** 0 is "not this one". */
  readonly quality: number;
}

/**
 * The format that a client's Accept header asks for. OpenMetrics is given only to who names it in version 1.0.0, or
 * without a version, and wants it at least as much as text; everyone else gets text, also who accepts neither.
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
