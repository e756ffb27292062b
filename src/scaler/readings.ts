import type { CpuPoint, VmRecord } from "../fleet/types.ts";

/** A VM's newest counter reading at a tick. `life` is null when it was read back from the state file. */
export interface Base extends CpuPoint {
  readonly life: number | null;
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
 * they stand in columns with a cursor, where a map of 40,000 VMs would take most of a tick to fill and to ask.
 */
export class TickReadings implements Readings {
  readonly #tickUs: number;
  readonly #labels: string[] = [];
  readonly #cpuUs: Float64Array;
  readonly #arrivalUs: Float64Array;
  readonly #life: Float64Array;
  readonly #gone: Uint8Array;
  /** where the VM after the last one that was asked for is expected */
  #cursor = 0;
  /** made when something is asked for out of order */
  #index: Map<string, number> | null = null;

  /** For no more than `capacity` readings at the tick of this monotonic time. */
  constructor(tickUs: number, capacity: number) {
    this.#tickUs = tickUs;
    this.#cpuUs = new Float64Array(capacity);
    this.#arrivalUs = new Float64Array(capacity);
    this.#life = new Float64Array(capacity);
    this.#gone = new Uint8Array(capacity);
  }

  /** To be called while the tick is observed, not after. */
  add(labels: string, { cpuUs, arrivalUs, life }: CpuPoint & Pick<Base, "life">, gone: boolean): void {
    const at = this.#labels.length;
    this.#labels.push(labels);
    this.#cpuUs[at] = cpuUs;
    this.#arrivalUs[at] = arrivalUs;
    this.#life[at] = life ?? Number.NaN;
    this.#gone[at] = gone ? 1 : 0;
  }

  /** The reading of a VM as the fleet knows it now. */
  of({ labels, firstSeenUs }: VmRecord): Base | undefined {
    // who came since then has none, and would only be looked for in vain
    return firstSeenUs > this.#tickUs ? undefined : this.get(labels);
  }

  get(labels: string): Base | undefined {
    const at = this.#find(labels);
    if (at === undefined) return undefined;
    this.#cursor = at + 1;
    const life = this.#life[at] ?? Number.NaN;
    return {
      cpuUs: this.#cpuUs[at] ?? 0,
      arrivalUs: this.#arrivalUs[at] ?? 0,
      life: Number.isNaN(life) ? null : life,
      gone: this.#gone[at] === 1,
    };
  }

  #find(labels: string): number | undefined {
    const end = Math.min(this.#cursor + MAX_SKIPPED, this.#labels.length);
    for (let at = this.#cursor; at < end; at++) if (this.#labels[at] === labels) return at;
    this.#index ??= new Map(this.#labels.map((known, at) => [known, at]));
    return this.#index.get(labels);
  }
}
