import type { ExpositionFormat } from "./format.ts";

const REPLACEMENT_CHARACTER = "\uFFFD";
const NEEDS_ESCAPING = /[\\"\n\p{Surrogate}]/u;
/** Half of a surrogate pair: it has no UTF-8. Everything else, a NUL too, is taken by Prometheus as it is. */
const UNWRITABLE = /\p{Surrogate}/gu;

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

/**
 * Labels that are escaped already, without braces: `a="b",c="d"`, or empty. As their UTF-8 bytes they are written three
 * times as fast; for items with many series that is worth keeping them.
 */
export type Labels = string | Uint8Array;

/** The text of a HELP line. OpenMetrics escapes quotes there too, text 0.0.4 does not. */
export function escapeHelp(help: string, format: ExpositionFormat): string {
  const escaped = help
    .replace(UNWRITABLE, REPLACEMENT_CHARACTER)
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n");
  return format === "openmetrics" ? escaped.replaceAll('"', '\\"') : escaped;
}
