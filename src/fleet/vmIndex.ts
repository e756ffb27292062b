import { GroupedOrder, type OrderedIds } from "./groupedOrder.ts";
import type { VmRecord } from "./types.ts";
import type { VmState } from "./vmState.ts";

const FIRST_CAPACITY = 256;

/**
 * A host's VMs, found by name or in order. Each has a small number as its id, good until it is removed. The few facts
 * that every snapshot asks of every VM also stand in arrays by id: a pass over 100,000 records all over the memory would
 * take tens of milliseconds, one over these takes a few.
 */
export class VmIndex {
  readonly #ids = new Map<string, number>();
  readonly #free: number[] = [];
  readonly #states: (VmState | undefined)[] = [];
  readonly #order = new GroupedOrder(
    (a, b) => compareRecords(this.#records[a], this.#records[b]),
    (a, b) => isSameGroup(this.#records[a], this.#records[b]),
  );
  #records: (VmRecord | undefined)[] = [];
  #arrivalUs = new Float64Array(FIRST_CAPACITY);
  #intervalUs = new Float64Array(FIRST_CAPACITY);
  #hasGauge = new Uint8Array(FIRST_CAPACITY);

  get size(): number {
    return this.#ids.size;
  }

  /** The id of the VM with this full name, if it is here. */
  find(fullName: string): number | undefined {
    return this.#ids.get(fullName);
  }

  get(id: number): VmState | undefined {
    return this.#states[id];
  }

  /** Takes in a VM that is not here yet. */
  add(state: VmState): void {
    const id = this.#free.pop() ?? this.#states.length;
    if (id >= this.#arrivalUs.length) this.#grow();
    this.#ids.set(state.record.fullName, id);
    this.replace(id, state);
    this.#order.add(id);
  }

  /** Puts a newer state of the same VM in the place of the one that is there. */
  replace(id: number, state: VmState): void {
    const { record } = state;
    this.#states[id] = state;
    this.#records[id] = record;
    this.#arrivalUs[id] = record.arrivalUs;
    this.#intervalUs[id] = record.intervalUs;
    this.#hasGauge[id] = record.usagePercent === null ? 0 : 1;
  }

  /** Drops these VMs. */
  remove(states: readonly VmState[]): void {
    if (states.length === 0) return;
    const removed = new Set<number>();
    for (const { record } of states) {
      const id = this.#ids.get(record.fullName);
      if (id === undefined) continue;
      removed.add(id);
      this.#ids.delete(record.fullName);
    }
    this.#order.retain((id) => !removed.has(id));
    for (const id of removed) {
      this.#states[id] = undefined;
      this.#records[id] = undefined;
      this.#free.push(id);
    }
  }

  /** Every VM's id and state, in no particular order. */
  *entries(): Generator<[number, VmState]> {
    for (const id of this.#ids.values()) {
      const state = this.#states[id];
      if (state !== undefined) yield [id, state];
    }
  }

  /** The VMs heard `silenceUs` ago or longer. */
  silentFor(silenceUs: number, nowUs: number): VmState[] {
    const silent: VmState[] = [];
    for (const [id, state] of this.#states.entries()) {
      if (state !== undefined && nowUs - (this.#arrivalUs[id] ?? 0) >= silenceUs) silent.push(state);
    }
    return silent;
  }

  /** The VMs by path, group and clone id, and by id what a pass over them needs. Good until the next change. */
  columns(): VmColumns {
    return {
      order: this.#order.read(),
      records: this.#records,
      arrivalUs: this.#arrivalUs,
      intervalUs: this.#intervalUs,
      hasGauge: this.#hasGauge,
    };
  }

  #grow(): void {
    const capacity = this.#arrivalUs.length * 2;
    this.#arrivalUs = copyInto(new Float64Array(capacity), this.#arrivalUs);
    this.#intervalUs = copyInto(new Float64Array(capacity), this.#intervalUs);
    this.#hasGauge = copyInto(new Uint8Array(capacity), this.#hasGauge);
  }
}

export interface VmColumns {
  readonly order: OrderedIds;
  readonly records: readonly (VmRecord | undefined)[];
  readonly arrivalUs: Float64Array;
  readonly intervalUs: Float64Array;
  /** 1 where the VM has a gauge, else 0 */
  readonly hasGauge: Uint8Array;
}

function copyInto<T extends { set(source: T): void }>(target: T, source: T): T {
  target.set(source);
  return target;
}

function compareRecords(a: VmRecord | undefined, b: VmRecord | undefined): number {
  if (a === undefined || b === undefined) throw new Error("an id in the order has no record");
  return compareText(a.path, b.path) || compareText(a.primary, b.primary) || a.cloneId - b.cloneId;
}

function isSameGroup(a: VmRecord | undefined, b: VmRecord | undefined): boolean {
  return a?.primary === b?.primary && a?.path === b?.path;
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
