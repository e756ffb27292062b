/** Rows become families: who walks the items, which labels each series gets, and what happens to equal ones. */
import { escapeLabelValue, type Family } from "../exposition/family.ts";
import { familyHead, plainEmitter } from "../exposition/row.ts";
import type { VmRecord } from "../fleet/types.ts";
import type { FactsOf, PlainRow, Row } from "./row.ts";

/** A family over VMs: every series of a row carries the VM's labels first. */
export function vmFamily(row: Row<VmRecord>, vms: readonly VmRecord[], facts: FactsOf): Family<VmRecord> {
  if ("emit" in row) return { ...familyHead(row), items: vms, emit: row.emit };
  const emit = plainEmitter(row);
  return {
    ...familyHead(row),
    items: vms,
    emit: (vm, out) => emit(vm, vm.labelBytes, "", facts(vm.host), out),
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
  const emit = plainEmitter(row);
  return {
    ...familyHead(row),
    items: vms,
    emit: (vm, out) => {
      const all = parts(vm);
      const [first] = all;
      if (first === undefined) return;
      const host = facts(vm.host);
      if (all.length === 1) {
        emit(first, vm.labelBytes, label.of(key(first)), host, out);
        return;
      }
      const seen = new SeenTexts();
      let duplicates = 0;
      for (const part of all) {
        const text = label.of(key(part));
        if (seen.add(text)) emit(part, vm.labelBytes, text, host, out);
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

/** Far more device names and counter names than hosts have; what a hostile peer invents beyond it is forgotten. */
const MAX_CACHED = 10_000;

/**
 * Pre-escaped `,name="value"` for text from the wire. Devices and counters have few names that come again with every
 * sample, so each is made once.
 */
export class LabelText {
  readonly #open: string;
  readonly #made = new Map<string, string>();
  #lastValue: string | null = null;
  #last = "";

  constructor(labelName: string) {
    this.#open = `,${labelName}="`;
  }

  /** The label to append to a VM's labels. */
  of(value: string): string {
    if (value !== this.#lastValue) {
      this.#last = this.#made.get(value) ?? this.#make(value);
      this.#lastValue = value;
    }
    return this.#last;
  }

  #make(value: string): string {
    const text = `${this.#open}${escapeLabelValue(value)}"`;
    if (this.#made.size >= MAX_CACHED) this.#made.clear();
    this.#made.set(value, text);
    return text;
  }

  /** How many texts are kept. */
  get size(): number {
    return this.#made.size;
  }
}
