/** One metric is one row of a table. The rows drive the exposition, docs/metrics.md and the lint of names. */
import type { Family, Labels, MetricType, SeriesSink, Value } from "./family.ts";

/** What a metric row yields; null for "not known, so no series". */
export type Sample = Value | null;

export interface LabelDoc {
  readonly name: string;
  readonly holds: string;
}

export interface RowHead {
  readonly name: string;
  /** where the name does not tell */
  readonly type?: "histogram";
  readonly help: string;
  readonly source: string;
  /** where the last word of the name does not tell */
  readonly unit?: string;
}

export type InstrumentRow = RowHead & { readonly labels?: readonly LabelDoc[] };

/** One series per item, or one per item and value of the label `by`. `C` is what a value may ask beside the item. */
export type PlainTableRow<T, C = null> = RowHead &
  (
    | { readonly value: (item: T, context: C) => Sample }
    | { readonly by: string; readonly values: Readonly<Record<string, (item: T, context: C) => Sample>> }
  );

export type TableRow<T, C = null> =
  | PlainTableRow<T, C>
  | (RowHead & { readonly labels: readonly LabelDoc[]; readonly emit: (item: T, out: SeriesSink) => void });

/** The labels that a row adds to its table's. */
export function ownLabels(row: InstrumentRow | TableRow<never, never>): readonly LabelDoc[] {
  if ("by" in row) return [{ name: row.by, holds: Object.keys(row.values).join(", ") }];
  return "labels" in row ? (row.labels ?? []) : [];
}

/** What a family over the items of a table asks of them. */
export interface ItemFacts<T, C> {
  /** the labels that every series of the item begins with; `index` is the item's in the table */
  readonly labelsOf: (item: T, index: number) => Labels;
  readonly contextOf: (item: T) => C;
}

export function tableFamily<T, C>(
  row: TableRow<T, C>,
  items: readonly T[],
  { labelsOf, contextOf }: ItemFacts<T, C>,
): Family<T> {
  if ("emit" in row) return { ...familyHead(row), items, emit: row.emit };
  const plain = plainEmitter(row);
  const emit: Family<T>["emit"] = (item, out, index) =>
    plain(item, labelsOf(item, index), "", contextOf(item), out);
  return { ...familyHead(row), items, emit };
}

/** Of items that carry their labels and whose rows ask for nothing else. */
export const LABELLED: ItemFacts<{ readonly labels: string }, null> = {
  labelsOf: ({ labels }) => labels,
  contextOf: () => null,
};

/** Counters, and only they, have names that end in `_total`, as OpenMetrics wants it. */
export function typeOf({ name, type }: Pick<RowHead, "name" | "type">): MetricType {
  return type ?? (name.endsWith("_total") ? "counter" : "gauge");
}

/** What a row's figures count: `bytes` of `..._bytes_total`, 1 of `..._info`. */
export function unitOf({ name, unit }: Pick<RowHead, "name" | "unit">): string {
  const last =
    name
      .replace(/_total$/, "")
      .split("_")
      .at(-1) ?? "";
  return unit ?? (last === "info" ? "1" : last);
}

export function familyHead(row: RowHead): Pick<Family, "name" | "type" | "help"> {
  return { name: row.name, type: typeOf(row), help: row.help };
}

/** What writes an item's series of a plain row; `more` are labels that follow the item's own, see SeriesSink. */
export function plainEmitter<T, C>(
  row: PlainTableRow<T, C>,
): (item: T, labels: Labels, more: string, context: C, out: SeriesSink) => void {
  if ("value" in row) {
    const { value } = row;
    return (item, labels, more, context, out) => writeSample(out, labels, more, value(item, context));
  }
  const values = Object.entries(row.values).map(([name, value]) => ({
    label: `,${row.by}="${name}"`,
    value,
  }));
  return (item, labels, more, context, out) => {
    for (const { label, value } of values) writeSample(out, labels, more + label, value(item, context));
  };
}

function writeSample(out: SeriesSink, labels: Labels, more: string, sample: Sample): void {
  if (sample !== null) out.series(labels, sample, more);
}
