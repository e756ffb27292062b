import type { VmIdentity } from "./types.ts";
import type { Vm } from "./vm.ts";

const FIRST_CAPACITY = 256;
/** How many new VMs wait at most before they are put in order: that takes a millisecond or two. */
const MERGE_AT = 1024;

/** Where a VM stands in the columns. */
interface Place {
  at: number;
  readonly group: { readonly key: string; readonly id: number; members: number };
}

export interface VmColumns {
  readonly vms: readonly Vm[];
  readonly heardUs: Float64Array;
  /** 1 where the VM has a gauge, else 0 */
  readonly hasGauge: Uint8Array;
  /** the same number for all members of a group */
  readonly group: Int32Array;
}

/** A host's VMs by name and in order. A pass over columns of 100,000 takes a few ms, over their records tens. */
export class VmIndex {
  readonly #places = new Map<string, Place>();
  readonly #groups = new Map<string, Place["group"]>();
  #lastGroup = 0;
  /** by index: first those in order, then those that came since */
  #vms: Vm[] = [];
  #placeAt: Place[] = [];
  #heardUs = new Float64Array(FIRST_CAPACITY);
  #hasGauge = new Uint8Array(FIRST_CAPACITY);
  #group = new Int32Array(FIRST_CAPACITY);
  #sorted = 0;

  get size(): number {
    return this.#vms.length;
  }

  find(fullName: string): Vm | undefined {
    return this.at(this.indexOf(fullName));
  }

  /** Good until the next VM comes or goes; -1 for none of this name. */
  indexOf(fullName: string): number {
    return this.#places.get(fullName)?.at ?? -1;
  }

  at(index: number): Vm | undefined {
    return index < 0 ? undefined : this.#vms[index];
  }

  /** Takes in a newer record of the VM at `index`, or a VM that is not here yet (-1). */
  put(vm: Vm, index: number): void {
    const at = index >= 0 ? index : this.#add(vm);
    this.#vms[at] = vm;
    this.#heardUs[at] = vm.sample.arrivalUs;
    this.#hasGauge[at] = vm.usagePercent === null ? 0 : 1;
    if (this.#vms.length - this.#sorted >= MERGE_AT) this.#merge();
  }

  /** Drops the VMs with these full names. */
  remove(fullNames: ReadonlySet<string>): void {
    if (fullNames.size === 0) return;
    for (const fullName of fullNames) {
      const group = this.#places.get(fullName)?.group;
      this.#places.delete(fullName);
      if (group !== undefined && --group.members === 0) this.#groups.delete(group.key);
    }
    this.#merge();
    this.#arrange(upTo(this.size).filter((at) => !fullNames.has(this.#vms[at]?.fullName ?? "")));
  }

  columns(): VmColumns {
    this.#merge();
    return { vms: this.#vms, heardUs: this.#heardUs, hasGauge: this.#hasGauge, group: this.#group };
  }

  #add(vm: Vm): number {
    const at = this.#vms.length;
    if (at === this.#heardUs.length) this.#arrange(upTo(at), 2 * at);
    const key = `${vm.path}:${vm.primary}`;
    const group = this.#groups.get(key) ?? { key, id: ++this.#lastGroup, members: 0 };
    group.members++;
    this.#groups.set(key, group);
    this.#group[at] = group.id;
    const place = { at, group };
    this.#placeAt.push(place);
    this.#places.set(vm.fullName, place);
    return at;
  }

  /** Puts those that came last in order: comparing looks at names all over the memory, so only theirs are. */
  #merge(): void {
    if (this.#sorted === this.#vms.length) return;
    const added = upTo(this.size).subarray(this.#sorted);
    added.sort((a, b) => compare(this.#vms[a], this.#vms[b]));
    const order = new Int32Array(this.#vms.length);
    let from = 0;
    for (const [i, index] of added.entries()) {
      const to = this.#firstAfter(this.#vms[index], from);
      for (; from < to; from++) order[from + i] = from;
      order[to + i] = index;
    }
    for (; from < this.#sorted; from++) order[from + added.length] = from;
    this.#arrange(order);
    this.#sorted = order.length;
  }

  /** Index of the first VM in order, from `from` on, that comes after this one. */
  #firstAfter(vm: Vm | undefined, from: number): number {
    let low = from;
    let high = this.#sorted;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compare(this.#vms[middle], vm) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #arrange(order: Int32Array, capacity = this.#heardUs.length): void {
    const { length } = order;
    const vms = new Array<Vm>(length);
    const placeAt = new Array<Place>(length);
    const heardUs = new Float64Array(capacity);
    const hasGauge = new Uint8Array(capacity);
    const group = new Int32Array(capacity);
    for (let i = 0; i < length; i++) {
      const from = order[i] ?? 0;
      const place = this.#placeAt[from];
      const vm = this.#vms[from];
      if (place === undefined || vm === undefined) throw new Error("an index without a VM");
      // most stand where they stood, and writing would touch them all over the memory
      if (from !== i) place.at = i;
      placeAt[i] = place;
      vms[i] = vm;
      heardUs[i] = this.#heardUs[from] ?? 0;
      hasGauge[i] = this.#hasGauge[from] ?? 0;
      group[i] = this.#group[from] ?? 0;
    }
    this.#vms = vms;
    this.#placeAt = placeAt;
    this.#heardUs = heardUs;
    this.#hasGauge = hasGauge;
    this.#group = group;
    this.#sorted = Math.min(this.#sorted, length);
  }
}

/** 0, 1, ... count - 1 */
function upTo(count: number): Int32Array {
  const indices = new Int32Array(count);
  for (let i = 0; i < count; i++) indices[i] = i;
  return indices;
}

function compare(a: VmIdentity | undefined, b: VmIdentity | undefined): number {
  if (a === undefined || b === undefined) throw new Error("an index without a VM");
  return compareText(a.path, b.path) || compareText(a.primary, b.primary) || a.cloneId - b.cloneId;
}

export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
