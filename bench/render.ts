import { Gauge, Registry } from "prom-client";
import { type Family, labelPairs } from "../src/exposition/family.ts";
import { renderExposition } from "../src/exposition/writer.ts";
import { lehmer, type Probed, probeRounds, sumUp } from "./probe.ts";
import type { BenchRow } from "./types.ts";

const HOST = "host-1";
const FAMILIES = 45;
const BESIDE_PROM_CLIENT = [100, 1_000, 10_000];
const ALONE = 100_000;
/** The size that the bounds are for. */
const MEASURED = 10_000;

interface BenchVm {
  readonly host: string;
  readonly path: string;
  readonly vm: string;
  readonly labels: string;
  /** One of each kind, as VMs have them: small and large whole numbers, zeros, a percentage, seconds with microseconds. */
  readonly values: readonly number[];
}

/** Rendering and encoding synthetic families, prom-client's own registry with the same series beside it. */
export async function renderRows(): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const count of BESIDE_PROM_CLIENT) {
    const vms = benchVms(count);
    const ours = await probeRounds(() => renderAll(benchFamilies(vms)));
    const theirs = await promClientRounds(vms);
    rows.push(...ourRows(count, ours), ...comparison(count, ours, theirs));
  }
  rows.push(
    ...ourRows(ALONE, await probeRounds(() => renderAll(benchFamilies(benchVms(ALONE))), { rounds: 3 })),
  );
  return rows;
}

async function renderAll(families: readonly Family[]): Promise<number> {
  const tally = { series: 0, bytes: 0 };
  for await (const _ of renderExposition(families, "text", { tally })) {
    // taking the buffer is all a consumer does here
  }
  return tally.series;
}

/** Its registry renders to a string; the response then encodes it. */
async function promClientRounds(vms: readonly BenchVm[]): Promise<Probed<number>[]> {
  const registry = new Registry();
  for (let family = 0; family < FAMILIES; family++) {
    const gauge = new Gauge({
      name: familyName(family),
      help: "A synthetic family.",
      labelNames: ["host", "path", "vm"],
      registers: [registry],
    });
    for (const { host, path, vm, values } of vms) gauge.set({ host, path, vm }, familyValue(values, family));
  }
  return probeRounds(async () => Buffer.from(await registry.metrics()).length, { warmUp: 1, rounds: 3 });
}

function ourRows(count: number, rounds: readonly Probed<number>[]): BenchRow[] {
  const name = `rendering ${count.toLocaleString("en")} VMs x ${FAMILIES} families`;
  const { durationMs, longestBlockMs: blockMs, memoryAboveIdleMb: memoryMb } = sumUp(rounds);
  return [
    { name, figure: durationMs, unit: "ms", bound: "", ok: true },
    {
      name: `${name}: a series`,
      figure: (durationMs * 1e6) / (count * FAMILIES),
      unit: "ns",
      bound: "",
      ok: true,
    },
    { name: `${name}: event loop blocked`, figure: blockMs, unit: "ms", bound: "< 25", ok: blockMs < 25 },
    { name: `${name}: memory above idle`, figure: memoryMb, unit: "MB", bound: "< 150", ok: memoryMb < 150 },
  ];
}

function comparison(
  count: number,
  ours: readonly Probed<number>[],
  theirs: readonly Probed<number>[],
): BenchRow[] {
  const theirMs = sumUp(theirs).durationMs;
  const ratio = theirMs / sumUp(ours).durationMs;
  const name = `rendering ${count.toLocaleString("en")} VMs x ${FAMILIES} families`;
  const bounded = count === MEASURED;
  return [
    { name: `${name}: prom-client`, figure: theirMs, unit: "ms", bound: "", ok: true },
    {
      name: `${name}: faster than prom-client`,
      figure: ratio,
      unit: "x",
      bound: bounded ? ">= 6" : "",
      ok: !bounded || ratio >= 6,
    },
  ];
}

function benchFamilies(vms: readonly BenchVm[]): Family[] {
  return Array.from({ length: FAMILIES }, (_, index): Family<BenchVm> => {
    return {
      name: familyName(index),
      type: "gauge",
      help: "A synthetic family.",
      items: vms,
      emit: (vm, out) => out.series(vm.labels, familyValue(vm.values, index)),
    };
  });
}

function familyName(index: number): string {
  return `albatross_vm_synthetic_family_${index}_bytes`;
}

function familyValue(values: readonly number[], family: number): number {
  return values[family % values.length] ?? 0;
}

function benchVms(count: number): BenchVm[] {
  const random = lehmer(1);
  return Array.from({ length: count }, (_, index) => {
    const path = `user${index % 50}`;
    const vm = `web-clone-${index}`;
    const values = [
      Math.floor(random() * 1e4),
      Math.floor(random() * 2 ** 45),
      0,
      Math.floor(random() * 2 ** 32),
      random() * 100,
      Math.floor(random() * 1e7),
      Math.floor(random() * 1e6),
      Math.floor(random() * 1e12) / 1e6,
    ];
    return { host: HOST, path, vm, labels: labelPairs({ host: HOST, path, vm }), values };
  });
}
