/** `text` is the Prometheus text format 0.0.4, `openmetrics` is OpenMetrics 1.0.0. */
export type ExpositionFormat = "text" | "openmetrics";

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

const REPLACEMENT_CHARACTER = "\uFFFD";
/** Whole pairs, too, are looked at closer. */
const MAY_NEED_ESCAPING = /[\\"\n\ud800-\udfff]/;
/** Half of a surrogate pair: it has no UTF-8. Everything else, a NUL too, is taken by Prometheus as it is. */
const UNWRITABLE = /\p{Surrogate}/gu;

/** A label value as it stands between the quotes in both formats: valid UTF-8 when encoded, whatever came in. */
export function escapeLabelValue(value: string): string {
  if (!MAY_NEED_ESCAPING.test(value)) return value;
  return value
    .replace(UNWRITABLE, REPLACEMENT_CHARACTER)
    .replaceAll("\\", "\\\\")
    .replaceAll('"', '\\"')
    .replaceAll("\n", "\\n");
}

/** `{ host: "h", path: "" }` as `host="h",path=""`: escaped, without braces, in the order of the keys. */
export function labelPairs(labels: Readonly<Record<string, string | number>>): string {
  let text = "";
  for (const [name, value] of Object.entries(labels)) {
    text += `${text === "" ? "" : ","}${name}="${escapeLabelValue(String(value))}"`;
  }
  return text;
}

/** Escaped, without braces: `a="b",c="d"`, or empty. As UTF-8 bytes they are written three times as fast. */
export type Labels = string | Uint8Array;

/** The text of a HELP line. Only OpenMetrics escapes quotes there. */
export function escapeHelp(help: string, format: ExpositionFormat): string {
  const escaped = help
    .replace(UNWRITABLE, REPLACEMENT_CHARACTER)
    .replaceAll("\\", "\\\\")
    .replaceAll("\n", "\\n");
  return format === "openmetrics" ? escaped.replaceAll('"', '\\"') : escaped;
}

/** Integers beyond 2^53 as bigint; text for what neither type holds exactly, such as seconds with microseconds. */
export type Value = number | bigint | string;

export type MetricType = "counter" | "gauge" | "histogram";

/** `more` follows labels that are not empty: `,kind="minor"`. Joining the two would cost as much as the whole line. */
export interface SeriesSink {
  series(labels: Labels, value: Value, more?: string): void;
  /** A series whose name is the family's plus `suffix`: `_bucket`, `_sum`, `_count` of a histogram. */
  suffixed(suffix: string, labels: Labels, value: Value): void;
}

/** One metric family over many items. One without series is not written. */
export interface Family<T = unknown> {
  /** as in text format 0.0.4: a counter's ends in `_total` */
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  readonly items: readonly T[];
  /** Writes the series of the item at `index` of `items`. */
  emit(item: T, out: SeriesSink, index: number): void;
}
