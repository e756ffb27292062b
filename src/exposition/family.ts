import type { Labels } from "./labels.ts";

/** Integers keep every digit: beyond 2^53 they come as bigint. */
export type Value = number | bigint;

export type MetricType = "counter" | "gauge" | "histogram";

/**
 * Where a family's series go. `more` is what follows labels that are not empty, for what there are few of and comes again and again: `,kind="minor"`. Joining
 * the two would cost as much as writing the whole line.
 */
export interface SeriesSink {
  series(labels: Labels, value: Value, more?: string): void;
  /** A value that is already text, for what neither a number nor a bigint holds exactly (seconds with microseconds). */
  text(labels: Labels, value: string, more?: string): void;
  /** A series whose name is the family's plus `suffix`: `_bucket`, `_sum`, `_count` of a histogram. */
  suffixed(suffix: string, labels: Labels, value: Value): void;
}

/**
 * One metric family over many items. `name` is the name in text format 0.0.4: a counter's ends in `_total`
 * (OpenMetrics drops that from the family's name and keeps it on the series). A family without series is not written.
 */
export interface Family<T = unknown> {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  readonly items: readonly T[];
  emit(item: T, out: SeriesSink): void;
}
