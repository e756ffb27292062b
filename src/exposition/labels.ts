import type { ExpositionFormat } from "./format.ts";

const REPLACEMENT_CHARACTER = "\uFFFD";
const NEEDS_ESCAPING = /[\\"\n\0\p{Surrogate}]/u;
// Half a surrogate pair has no UTF-8; Prometheus' text parser takes a NUL for the end of input and refuses the scrape.
const UNWRITABLE = /[\0\p{Surrogate}]/gu;

/** A label value as it stands between the quotes: valid UTF-8 when encoded, whatever came in. Same in both formats. */
export function escapeLabelValue(value: string): string {
  if (!NEEDS_ESCAPING.test(value)) return value;
  return value
    .replace(UNWRITABLE, REPLACEMENT_CHARACTER)
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("\n", "\\n");
}

/** `{ host: "h", path: "" }` as `host="h",path=""`: escaped, without braces, in the order of the keys. */
export function labelPairs(labels: Readonly<Record<string, string | number>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escapeLabelValue(String(value))}"`)
    .join(",");
}

/** The text of a HELP line. OpenMetrics escapes quotes there too, text 0.0.4 does not. */
export function escapeHelp(help: string, format: ExpositionFormat): string {
  const escaped = help
    .replace(UNWRITABLE, REPLACEMENT_CHARACTER)
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n");
  return format === "openmetrics" ? escaped.replaceAll('"', '\\"') : escaped;
}
