import type { CpuPoint, VmRecord } from "../fleet/types.ts";

/** A VM's newest counter reading at a tick. `incarnation` is null when it was read back from the state file. */
export interface Base extends CpuPoint {
  readonly incarnation: number | null;
  /** it was taken for gone at that tick (see `isGone`) */
  readonly gone: boolean;
  /** of a reading from the state file: when that process of the VM had started, where info said so */
  readonly startedMs?: number | null;
}

/** Readings by the VMs' exposition labels. */
export interface Readings {
  get(labels: string): Base | undefined;
}

/** How many VMs that are not there any more may stand between two that are, before the index is asked. */
const MAX_SKIPPED = 8;

/**
 * The readings of one tick. They are asked for at the next one, in the same order but for the VMs that came and went: so
 * they stand in columns with a cursor, where filling a map and asking it would take half of the tick.
 */
export class TickReadings implements Readings {
  readonly #tickUs: number;
  readonly #labels: string[] = [];
  readonly #cpuUs: Float64Array;
  readonly #arrivalUs: Float64Array;
  readonly #incarnation: Float64Array;
  readonly #gone: Uint8Array;
  /** those that were read back from the state file and have not been replaced yet */
  readonly #restored = new Map<string, Base>();
  /** where the VM after the last one that was asked for is expected */
  #cursor = 0;
  /** made when something is asked for that is not where it is expected */
  #index: Map<string, number> | null = null;

  /** Of the tick at this monotonic time, for `vms` VMs at most. */
  constructor(tickUs: number, vms: number) {
    this.#tickUs = tickUs;
    this.#cpuUs = new Float64Array(vms);
    this.#arrivalUs = new Float64Array(vms);
    this.#incarnation = new Float64Array(vms);
    this.#gone = new Uint8Array(vms);
  }

  /** The reading of one more VM. To be called while the tick is observed, not after. */
  add(labels: string, cpuUs: number, arrivalUs: number, incarnation: number, gone: boolean): void {
    const at = this.#labels.length;
    this.#labels.push(labels);
    this.#cpuUs[at] = cpuUs;
    this.#arrivalUs[at] = arrivalUs;
    this.#incarnation[at] = incarnation;
    this.#gone[at] = gone ? 1 : 0;
  }

  /** Keeps a reading that an earlier tick had, as there is no newer one. */
  keep(labels: string, base: Base, gone: boolean): void {
    const { cpuUs, arrivalUs, incarnation } = base;
    if (incarnation === null) this.#restored.set(labels, base.gone === gone ? base : { ...base, gone });
    else this.add(labels, cpuUs, arrivalUs, incarnation, gone);
  }

  /** The reading of a VM that the fleet knows now. */
  of(record: VmRecord): Base | undefined {
    const { labels } = record;
    // who came since then has none, and would only be looked for in vain
    if (this.#labels[this.#cursor] !== labels && record.firstSeenUs > this.#tickUs) return undefined;
    return this.get(labels);
  }

  get(labels: string): Base | undefined {
    const at = this.#find(labels);
    if (at === undefined) return this.#restored.get(labels);
    this.#cursor = at + 1;
    return {
      cpuUs: this.#cpuUs[at] ?? 0,
      arrivalUs: this.#arrivalUs[at] ?? 0,
      incarnation: this.#incarnation[at] ?? 0,
      gone: this.#gone[at] === 1,
    };
  }

  #find(labels: string): number | undefined {
    const { length } = this.#labels;
    if (this.#cursor >= length) this.#cursor = 0;
    const end = Math.min(this.#cursor + MAX_SKIPPED, length);
    for (let at = this.#cursor; at < end; at++) if (this.#labels[at] === labels) return at;
    this.#index ??= new Map(this.#labels.map((known, at) => [known, at]));
    return this.#index.get(labels);
  }
}
