import type { Pins } from "./types.ts";

/** From 95 % on a CPU has nothing left to give to the VMs that are pinned to it; floats lose a little in adding up. */
const SATURATED_PERCENT = 95 - 1e-9;

export interface Core {
  readonly cpu: number;
  /** null while none of its VMs has a usage */
  readonly usagePercent: number | null;
}

type MutableCore = { -readonly [K in keyof Core]: Core[K] };

/** The CPUs of one host that unikernel info pins VMs to. The VMs are taken in one by one; then it tells. */
export class HostCores {
  readonly #cores = new Map<number, MutableCore>();
  /** by `cpuids` as text: many VMs have the same ones */
  readonly #pinned = new Map<string, readonly MutableCore[]>();

  /** Spreads a VM's usage (null: not known) over its cpuids; returns its cores, whose figures go on changing. */
  take({ cpuids, cpus }: Pins, usagePercent: number | null): readonly Core[] {
    const cores = this.#coresOf(cpuids);
    if (usagePercent === null) return cores;
    const share = (usagePercent * cpus) / cores.length;
    for (const core of cores) core.usagePercent = (core.usagePercent ?? 0) + share;
    return cores;
  }

  /** Those of which something is known, by cpuid. */
  measured(): { readonly cpu: number; readonly usagePercent: number }[] {
    return [...this.#cores.values()]
      .flatMap(({ cpu, usagePercent }) => (usagePercent === null ? [] : [{ cpu, usagePercent }]))
      .sort((a, b) => a.cpu - b.cpu);
  }

  /** The one of those of which least is used; null where nothing is known. */
  leastUsed(): { readonly cpu: number; readonly usagePercent: number } | null {
    const [least = null] = this.measured().sort((a, b) => a.usagePercent - b.usagePercent);
    return least;
  }

  #coresOf(cpuids: string): readonly MutableCore[] {
    const known = this.#pinned.get(cpuids);
    if (known !== undefined) return known;
    const cores = (cpuids === "" ? [] : cpuids.split(",")).map((text) => {
      const cpu = Number(text);
      const core: MutableCore = this.#cores.get(cpu) ?? { cpu, usagePercent: null };
      this.#cores.set(cpu, core);
      return core;
    });
    this.#pinned.set(cpuids, cores);
    return cores;
  }
}

/** Whether a VM's usage says only what it got: each of its cores is used up. */
export function isStarved(cores: readonly Core[]): boolean {
  return cores.length > 0 && cores.every(({ usagePercent }) => (usagePercent ?? 0) >= SATURATED_PERCENT);
}
