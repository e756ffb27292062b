/** Rows about VMs become families: which VMs a row holds for, which labels each series gets, and what of equal ones. */
import type { TargetConfig } from "../config/target.ts";
import { escapeLabelValue, type Family, labelPairs } from "../exposition/family.ts";
import { familyHead, type ItemFacts, plainEmitter, tableFamily } from "../exposition/row.ts";
import type { VmIdentity, VmRecord } from "../fleet/types.ts";
import { factsFrom, type HostFacts, type PlainRow, type Row, type RowMeta, UNKNOWN_HOST } from "./row.ts";

export interface VmFamilyOptions {
  readonly targets: readonly TargetConfig[];
  /** is the row switched on by `exporter.collectors`? */
  readonly wants: (row: RowMeta) => boolean;
  /** export fields that the operating system of the VM's host does not fill, too */
  readonly unfilledFields: boolean;
  /** called with the number of series left out because an equal label set came before them */
  readonly onDuplicates: (series: number) => void;
}

/** What a VM has several of, and the label that tells them apart. */
export interface Repeated<P> {
  readonly parts: (vm: VmRecord) => readonly P[];
  /** `,device="service"` */
  readonly label: (part: P) => string;
}

/** Makes the families over `vms`, of rows about a VM and of rows about each of what it has several of. */
export class VmFamilies {
  readonly #vms: readonly VmRecord[];
  readonly #options: VmFamilyOptions;
  readonly #facts: ItemFacts<VmRecord, HostFacts>;
  readonly #systems: ReadonlySet<string>;

  constructor(vms: readonly VmRecord[], options: VmFamilyOptions) {
    const factsOf = factsFrom(options.targets);
    // by index: a look into an array is cheaper than one into the map, and there are fifty for each VM
    const labels: Uint8Array[] = [];
    this.#vms = vms;
    this.#options = options;
    this.#facts = {
      labelsOf: ({ identity }, index) => (labels[index] ??= vmLabels(identity)),
      contextOf: ({ host }) => factsOf(host),
    };
    this.#systems = new Set([UNKNOWN_HOST.os, ...options.targets.map(({ os }) => os)]);
  }

  /** One series (or one per value of a label) for each VM. */
  of(rows: readonly Row<VmRecord>[]): Family<VmRecord>[] {
    return this.#wanted(rows).map((row) => this.#filled(row, tableFamily(row, this.#vms, this.#facts)));
  }

  /** The same for each device (or counter) of each VM. Of equal label sets within one VM the first wins. */
  ofRepeated<P>(rows: readonly PlainRow<P>[], { parts, label }: Repeated<P>): Family<VmRecord>[] {
    const { labelsOf, contextOf } = this.#facts;
    return this.#wanted(rows).map((row) => {
      const emit = plainEmitter(row);
      const family: Family<VmRecord> = {
        ...familyHead(row),
        items: this.#vms,
        emit: (vm, out, index) => {
          const all = parts(vm);
          if (all.length === 0) return;
          const host = contextOf(vm);
          const labels = labelsOf(vm, index);
          const seen = new SeenTexts();
          for (const part of all) {
            const text = label(part);
            if (all.length === 1 || seen.add(text)) emit(part, labels, text, host, out);
            else this.#options.onDuplicates(1);
          }
        },
      };
      return this.#filled(row, family);
    });
  }

  /** The rows that are switched on and that the operating system of some host fills. */
  #wanted<R extends RowMeta>(rows: readonly R[]): R[] {
    const { wants, unfilledFields } = this.#options;
    const isFilled = ({ unfilledOn = [] }: R) =>
      [...this.#systems].some((os) => !unfilledOn.some((system) => system === os));
    return rows.filter((row) => wants(row) && (unfilledFields || isFilled(row)));
  }

  /** The family without the VMs of hosts whose operating system leaves the field unfilled. */
  #filled({ unfilledOn }: RowMeta, family: Family<VmRecord>): Family<VmRecord> {
    if (this.#options.unfilledFields || unfilledOn === undefined) return family;
    return {
      ...family,
      emit: (vm, out, index) => {
        if (!unfilledOn.includes(this.#facts.contextOf(vm).os)) family.emit(vm, out, index);
      },
    };
  }
}

const madeLabels = new WeakMap<VmIdentity, Buffer>();

/** `host="h",path="user",vm="web"` as bytes, made once per VM: fifty series of every exposition begin with them. */
export function vmLabels(identity: VmIdentity): Buffer {
  const made = madeLabels.get(identity);
  if (made !== undefined) return made;
  const { host, path, vm } = identity;
  const labels = Buffer.from(labelPairs({ host, path, vm }));
  madeLabels.set(identity, labels);
  return labels;
}

/** Far more device names and counter names than hosts have; what a hostile peer invents beyond it is forgotten. */
const MAX_CACHED = 10_000;

/**
 * Makes `,name="value"`, escaped, of text from the wire. Devices and counters have few names that come again with every
 * sample, so each is made once.
 */
export function labelMaker(name: string): (value: string) => string {
  const made = new Map<string, string>();
  return (value) => {
    const known = made.get(value);
    if (known !== undefined) return known;
    const text = `,${name}="${escapeLabelValue(value)}"`;
    if (made.size >= MAX_CACHED) made.clear();
    made.set(value, text);
    return text;
  };
}

/** Beyond this many a set finds a text faster than looking through a list does. */
const FEW_TEXTS = 8;

/** A set of texts, of which there are nearly always one or two; then it costs next to nothing to make. */
class SeenTexts {
  readonly #few: string[] = [];
  #many: Set<string> | null = null;

  /** Says whether the text is new. */
  add(text: string): boolean {
    if (this.#many !== null) return this.#many.size < this.#many.add(text).size;
    if (this.#few.includes(text)) return false;
    if (this.#few.push(text) > FEW_TEXTS) this.#many = new Set(this.#few);
    return true;
  }
}
