/** Rows become families: who walks the items, which labels each series gets, and what happens to equal ones. */
import type { Family, SeriesSink } from "../exposition/family.ts";
import type { VmRecord } from "../fleet/types.ts";
import type { FactsOf } from "./hostFacts.ts";
import type { LabelText } from "./labelText.ts";
import type { Sample } from "./numbers.ts";
import type { PlainRow, Row, RowMeta } from "./row.ts";

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
      if (all.length === 0) return;
      const host = facts(vm.host);
      const seen = new SeenTexts();
      let duplicates = 0;
      for (const part of all) {
        const text = label.of(key(part));
        if (seen.add(text)) emit(part, vm.labels, text, host, out);
        else duplicates++;
      }
      if (duplicates > 0) onDuplicates(duplicates);
    },
  };
}

/** Beyond this many a set finds a text faster than looking through a list does. */
const FEW_TEXTS = 8;

/** A set of texts, of which there are nearly always one or two; then it costs next to nothing to make. */
class SeenTexts {
  #first: string | null = null;
  #few: string[] | null = null;
  #many: Set<string> | null = null;

  /** Says whether the text is new. */
  add(text: string): boolean {
    if (this.#first === null) {
      this.#first = text;
      return true;
    }
    if (this.#first === text) return false;
    if (this.#many !== null) return this.#many.size < this.#many.add(text).size;
    this.#few ??= [];
    if (this.#few.includes(text)) return false;
    this.#few.push(text);
    if (this.#few.length > FEW_TEXTS) this.#many = new Set(this.#few);
    return true;
  }
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
