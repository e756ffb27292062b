/**
 * One metric is one row of a table. The rows drive the exposition, docs/metrics.md and the lint of names; adding a metric
 * is adding a row. What the items of a table are is its own affair.
 */
import type { Family, Labels, MetricType, SeriesSink, Value } from "./family.ts";

/** What a metric row yields: a value, exact decimal text, or null for "not known, so no series". */
export type Sample = Value | string | null;

/** A label that a row adds to those of its table, and what it holds. */
export interface LabelDoc {
  readonly name: string;
  readonly holds: string;
}

/** One series per item. `C` is what the value may ask beside the item: null where it never does. */
export interface SingleValue<T, C = null> {
  readonly value: (item: T, context: C) => Sample;
}

/** One series per item and value of the label `by`. */
export interface ValueBy<T, C = null> {
  readonly by: string;
  readonly values: Readonly<Record<string, (item: T, context: C) => Sample>>;
}

/** Series whose labels are only known from the item. */
export interface CustomSeries<T> {
  readonly labels: readonly LabelDoc[];
  readonly emit: (item: T, out: SeriesSink) => void;
}

export interface RowHead {
  /** the whole name, as text format 0.0.4 writes it */
  readonly name: string;
  /** where the name does not tell */
  readonly type?: "histogram";
  /** a sentence */
  readonly help: string;
  /** where the figure comes from */
  readonly source: string;
  readonly unit: string;
}

/** A row whose series are all made the same way. */
export type PlainTableRow<T, C = null> = RowHead & (SingleValue<T, C> | ValueBy<T, C>);

export type TableRow<T, C = null> = RowHead & (SingleValue<T, C> | ValueBy<T, C> | CustomSeries<T>);

/** The labels that a row adds to its table's. */
export function ownLabels(row: RowHead | TableRow<never, never>): readonly LabelDoc[] {
  if ("by" in row) return [{ name: row.by, holds: Object.keys(row.values).join(", ") }];
  return "emit" in row ? row.labels : [];
}

/** What a family over the items of a table asks of them. */
export interface ItemFacts<T, C> {
  /** the labels that every series of the item begins with; `index` is the item's in the table */
  readonly labelsOf: (item: T, index: number) => Labels;
  readonly contextOf: (item: T) => C;
}

/** A row as a family over `items`. */
export function tableFamily<T, C>(
  row: TableRow<T, C>,
  items: readonly T[],
  { labelsOf, contextOf }: ItemFacts<T, C>,
): Family<T> {
  if ("emit" in row) return { ...familyHead(row), items, emit: row.emit };
  const emit = plainEmitter(row);
  return {
    ...familyHead(row),
    items,
    emit: (item, out, index) => emit(item, labelsOf(item, index), "", contextOf(item), out),
  };
}

/** Of items that carry their labels and whose rows ask for nothing else. */
export const LABELLED: ItemFacts<{ readonly labels: string }, null> = {
  labelsOf: ({ labels }) => labels,
  contextOf: () => null,
};

/** Counters, and only they, have names that end in `_total`: so OpenMetrics wants it. */
export function typeOf({ name, type }: Pick<RowHead, "name" | "type">): MetricType {
  return type ?? (name.endsWith("_total") ? "counter" : "gauge");
}

export function familyHead(row: RowHead): Pick<Family, "name" | "type" | "help"> {
  return { name: row.name, type: typeOf(row), help: row.help };
}

/** Writes an item's series; `more` are labels that follow the item's own, see SeriesSink. */
export type Emit<T, C> = (item: T, labels: Labels, more: string, context: C, out: SeriesSink) => void;

/** How the series of a plain row are written. */
export function plainEmitter<T, C>(row: PlainTableRow<T, C>): Emit<T, C> {
  if ("value" in row) {
    const { value } = row;
    return (item, labels, more, context, out) => writeSample(out, labels, more, value(item, context));
  }
  // the label's text is put together here once and not for every series
  const values = Object.entries(row.values).map(([name, value]) => ({
    label: `,${row.by}="${name}"`,
    value,
  }));
  return (item, labels, more, context, out) => {
    for (const { label, value } of values) writeSample(out, labels, more + label, value(item, context));
  };
}

function writeSample(out: SeriesSink, labels: Labels, more: string, sample: Sample): void {
  if (sample === null) return;
  if (typeof sample === "string") out.text(labels, sample, more);
  else out.series(labels, sample, more);
}
