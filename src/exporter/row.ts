/**
 * One metric is one row. The rows drive the exposition, docs/metrics.md and the lint of names; adding a metric is
 * adding a row.
 */
import type { CollectorName, TargetOs } from "../config/types.ts";
import type { MetricType, SeriesSink } from "../exposition/family.ts";
import type { Sample } from "./numbers.ts";

/** What the wire leaves out and the configuration of the target says. */
export interface HostFacts {
  readonly os: TargetOs;
  readonly pageSizeBytes: number;
}

/** Always exported, whatever `exporter.collectors` says. */
export type RowCollector = CollectorName | null;

/** A label that a row adds to those of its table, and what it holds. */
export interface LabelDoc {
  readonly name: string;
  readonly holds: string;
}

/** One series per item. `H` is what the value may ask about the item's host: null where it never does. */
export interface SingleValue<T, H = HostFacts> {
  readonly value: (item: T, host: H) => Sample;
}

/** One series per item and value of the label `by`. */
export interface ValueBy<T, H = HostFacts> {
  readonly by: string;
  readonly values: Readonly<Record<string, (item: T, host: H) => Sample>>;
}

/** Series whose labels are only known from the item. */
export interface CustomSeries<T> {
  readonly labels: readonly LabelDoc[];
  readonly emit: (item: T, out: SeriesSink) => void;
}

export interface RowMeta {
  /** the whole name, as text format 0.0.4 writes it */
  readonly name: string;
  readonly type: MetricType;
  /** names the original field, in backquotes */
  readonly help: string;
  readonly collector: RowCollector;
  /** path of the field in the decoded message, or where else the figure comes from */
  readonly source: string;
  /** measurement and field of albatross-influx that carry the same figure */
  readonly influx: string | null;
  readonly unit: string;
  /** operating systems that leave the field at zero or fill it with something else */
  readonly unfilledOn?: readonly TargetOs[];
}

export type Row<T, H = HostFacts> = RowMeta & (SingleValue<T, H> | ValueBy<T, H> | CustomSeries<T>);

/** A row whose series are all made the same way, so that a walker may repeat it per device. */
export type PlainRow<T, H = HostFacts> = RowMeta & (SingleValue<T, H> | ValueBy<T, H>);

/** The labels that a row adds to its table's. */
export function ownLabels(row: Row<never, never>): readonly LabelDoc[] {
  if ("by" in row) return [{ name: row.by, holds: Object.keys(row.values).join(", ") }];
  return "emit" in row ? row.labels : [];
}
