import { Counter, Gauge, Registry } from "prom-client";
import type { Config } from "../src/config/sections.ts";
import { collectFamilies } from "../src/exporter/collect.ts";
import type { Family, Labels, SeriesSink } from "../src/exposition/family.ts";
import { renderExposition } from "../src/exposition/writer.ts";
import type { Fleet } from "../src/fleet/fleet.ts";
import { type Probed, probeRounds, sumUp } from "./probe.ts";
import { filledFleet, HOST } from "./scrapeFleet.ts";
import type { BenchRow } from "./types.ts";

const BESIDE_PROM_CLIENT = [100, 1_000, 10_000];
const ALONE = 100_000;
/** The size that the bounds are for. */
const MEASURED = 10_000;

const CONFIG: Pick<Config, "targets" | "exporter"> = {
  targets: [
    {
      name: HOST,
      socketDir: "/var/run/albatross/util",
      subscribe: [":"],
      statsIntervalMs: "auto",
      os: "freebsd",
      pageSizeBytes: 4096,
      allowUncheckedPath: false,
      tls: null,
      enforcesPolicy: false,
      allowRoot: false,
      displacedRetryMs: 300_000,
      maxFrameBytes: { stat: 2 ** 20, vmmd: 2 ** 26 },
    },
  ],
  exporter: {
    collectors: {
      cpu: true,
      memory: true,
      process: true,
      network: true,
      vmm: true,
      info: true,
      policy: true,
    },
    include: [],
    exclude: [],
    maxVms: 0,
    staleAfter: { intervals: 3.5 },
    unfilledFields: false,
  },
};

/**
 * A scrape from the fleet to the last byte, and the same with prom-client's own registry: every value set, then rendered
 * and encoded.
 */
export async function scrapeRows(): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const count of BESIDE_PROM_CLIENT) {
    const fleet = filledFleet(count);
    const before = await probeRounds(() => scrape(fleet));
    const theirs = await promClientRounds(scrapeFamilies(fleet));
    // again afterwards: a machine that was busy during one half of the rounds says nothing about the ratio
    const ours = [...before, ...(await probeRounds(() => scrape(fleet)))];
    rows.push(...ourRows(count, ours), ...comparison(count, ours, theirs));
  }
  const fleet = filledFleet(ALONE);
  rows.push(...ourRows(ALONE, await probeRounds(() => scrape(fleet), { rounds: 3 })));
  return rows;
}

function scrapeFamilies(fleet: Fleet): Family[] {
  const snapshot = fleet.snapshot({ staleAfterUs: (_host, intervalUs) => 3.5 * intervalUs });
  const counts = { vmsDropped: () => undefined, duplicateSeries: () => undefined };
  return collectFamilies({ snapshot, targets: [], config: CONFIG, counts });
}

async function scrape(fleet: Fleet): Promise<number> {
  const tally = { series: 0, bytes: 0 };
  for await (const _ of renderExposition(scrapeFamilies(fleet), "text", { tally }));
  return tally.series;
}

interface PromClientRounds {
  /** setting every value from the fleet, rendering, encoding: what a scrape costs an exporter made with it */
  readonly filled: readonly Probed<number>[];
  /** rendering and encoding what was set before */
  readonly rendered: readonly Probed<number>[];
}

/** Its registry renders to a string; the response then encodes it. */
async function promClientRounds(families: readonly Family[]): Promise<PromClientRounds> {
  const registry = new Registry();
  const instruments = families.flatMap((family) => instrumentFor(family, registry));
  const render = async () => Buffer.from(await registry.metrics()).length;
  const fillAndRender = () => {
    for (const { fill } of instruments) fill();
    return render();
  };
  const filled = await probeRounds(fillAndRender, { warmUp: 1, rounds: 3 });
  return { filled, rendered: await probeRounds(render, { warmUp: 0, rounds: 3 }) };
}

const LABEL = /([a-z_]+)="([^"]*)"/g;

/** An instrument of prom-client for the series of a family. Its labels are made beforehand, which is in its favour. */
function instrumentFor(family: Family, registry: Registry): { fill: () => void }[] {
  const series: { labels: Record<string, string>; value: number }[] = [];
  const add = (labels: Labels, value: unknown, more = "") => {
    const text = typeof labels === "string" ? labels : Buffer.from(labels).toString();
    const pairs = Array.from(`${text}${more}`.matchAll(LABEL), ([, name = "", value = ""]) => [name, value]);
    series.push({ labels: Object.fromEntries(pairs), value: Number(value) });
  };
  const sink: SeriesSink = { series: add, suffixed: (_, labels, value) => add(labels, value) };
  for (const [index, item] of family.items.entries()) family.emit(item, sink, index);
  const [first] = series;
  if (first === undefined) return [];
  const { name, help, type } = family;
  const about = { name, help, labelNames: Object.keys(first.labels), registers: [registry] };
  if (type !== "counter") {
    const gauge = new Gauge(about);
    return [{ fill: () => series.forEach(({ labels, value }) => void gauge.set(labels, value)) }];
  }
  const counter = new Counter(about);
  const fill = () => {
    counter.reset();
    for (const { labels, value } of series) counter.inc(labels, value);
  };
  return [{ fill }];
}

function ourRows(count: number, rounds: readonly Probed<number>[]): BenchRow[] {
  const name = `scrape of ${count.toLocaleString("en")} VMs`;
  const series = rounds[0]?.result ?? 0;
  const { durationMs, longestBlockMs: blockMs, memoryAboveIdleMb: memoryMb } = sumUp(rounds);
  return [
    { name, figure: durationMs, unit: "ms", bound: "", ok: true },
    { name: `${name}: series`, figure: series, unit: "", bound: "", ok: true },
    { name: `${name}: a series`, figure: (durationMs * 1e6) / series, unit: "ns", bound: "", ok: true },
    { name: `${name}: event loop blocked`, figure: blockMs, unit: "ms", bound: "< 25", ok: blockMs < 25 },
    { name: `${name}: memory above idle`, figure: memoryMb, unit: "MB", bound: "< 150", ok: memoryMb < 150 },
  ];
}

function comparison(count: number, ours: readonly Probed<number>[], theirs: PromClientRounds): BenchRow[] {
  const name = `scrape of ${count.toLocaleString("en")} VMs`;
  const bounded = count === MEASURED;
  const filledMs = calmestMs(theirs.filled);
  const renderedMs = calmestMs(theirs.rendered);
  const oursMs = calmestMs(ours);
  const ratio = filledMs / oursMs;
  return [
    {
      name: `${name}: prom-client, filled from the fleet`,
      figure: filledMs,
      unit: "ms",
      bound: "",
      ok: true,
    },
    {
      name: `${name}: faster than prom-client`,
      figure: ratio,
      unit: "x",
      bound: bounded ? ">= 8" : "",
      ok: !bounded || ratio >= 8,
    },
    { name: `${name}: prom-client, filled already`, figure: renderedMs, unit: "ms", bound: "", ok: true },
    {
      name: `${name}: faster than prom-client's rendering alone`,
      figure: renderedMs / oursMs,
      unit: "x",
      bound: "",
      ok: true,
    },
  ];
}

/** What the work itself takes: a busy machine only ever adds. */
function calmestMs(rounds: readonly Probed<unknown>[]): number {
  return Math.min(...rounds.map((round) => round.durationMs));
}
