/** Rows become families: who walks the items, which labels each series gets, and what happens to equal ones. */
import type { Family, SeriesSink } from "../exposition/family.ts";
import type { VmRecord } from "../fleet/types.ts";
import type { LabelText } from "./labelText.ts";
import type { Sample } from "./numbers.ts";
import type { HostFacts, PlainRow, Row, RowMeta } from "./row.ts";

/** Tells what the configuration says of a record's host. */
export type FactsOf = (host: string) => HostFacts;

/** `more` are labels that follow the item's own; see SeriesSink. */
type Emit<T, H> = (item: T, labels: string, more: string, host: H, out: SeriesSink) => void;

/** A family over VMs: every series of a row carries the VM's labels first. */
export function vmFamily(row: Row<VmRecord>, vms: readonly VmRecord[], facts: FactsOf): Family<VmRecord> {
  if ("emit" in row) return { ...head(row), items: vms, emit: row.emit };
  const emit = emitPlain(row);
  return {
    ...head(row),
    items: vms,
    emit: (vm, out) => emit(vm, vm.labels, "", facts(vm.host), out),
  };
}

/** What a VM has several of, and the label that tells them apart. */
export interface Repeated<P> {
  readonly parts: (vm: VmRecord) => readonly P[];
  readonly key: (part: P) => string;
  readonly label: LabelText;
  /** called with the number of series left out because an equal label set came before them */
  readonly onDuplicates: (series: number) => void;
}

/** A family over the devices (or counters) of VMs. Of equal label sets within one VM the first wins. */
export function repeatedFamily<P>(
  row: PlainRow<P>,
  vms: readonly VmRecord[],
  facts: FactsOf,
  { parts, key, label, onDuplicates }: Repeated<P>,
): Family<VmRecord> {
  const emit = emitPlain(row);
  return {
    ...head(row),
    items: vms,
    emit: (vm, out) => {
      const all = parts(vm);
      const [first] = all;
      if (first === undefined) return;
      const host = facts(vm.host);
      emit(first, vm.labels, label.of(key(first)), host, out);
      if (all.length === 1) return;
      const seen = new Set<string>([label.of(key(first))]);
      let duplicates = 0;
      for (let i = 1; i < all.length; i++) {
        const part = all[i] as P; // i is within the array
        const text = label.of(key(part));
        if (seen.has(text)) duplicates++;
        else {
          seen.add(text);
          emit(part, vm.labels, text, host, out);
        }
      }
      if (duplicates > 0) onDuplicates(duplicates);
    },
  };
}

/** A family over anything that carries its labels and whose rows need no host facts. */
export function plainFamily<T extends { readonly labels: string }>(
  row: Row<T, null>,
  items: readonly T[],
): Family<T> {
  if ("emit" in row) return { ...head(row), items, emit: row.emit };
  const emit = emitPlain(row);
  return { ...head(row), items, emit: (item, out) => emit(item, item.labels, "", null, out) };
}

function head({ name, type, help }: RowMeta): Pick<Family, "name" | "type" | "help"> {
  return { name, type, help };
}

function emitPlain<T, H>(row: PlainRow<T, H>): Emit<T, H> {
  if ("value" in row) {
    const { value } = row;
    return (item, labels, more, host, out) => write(out, labels, more, value(item, host));
  }
  // the label's text is put together here once and not for every series
  const values = Object.entries(row.values).map(([name, value]) => ({
    label: `,${row.by}="${name}"`,
    value,
  }));
  return (item, labels, more, host, out) => {
    for (const { label, value } of values) write(out, labels, more + label, value(item, host));
  };
}

function write(out: SeriesSink, labels: string, more: string, sample: Sample): void {
  if (sample === null) return;
  if (typeof sample === "string") out.text(labels, sample, more);
  else out.series(labels, sample, more);
}
