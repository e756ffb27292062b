import { Fleet } from "../src/fleet/fleet.ts";
import { createLogger } from "../src/log.ts";
import { ImageCache } from "../src/scaler/actions/images.ts";
import { Scaler, type ScalerFiles } from "../src/scaler/scaler.ts";
import { FleetSource } from "../src/scaler/sources/fleet.ts";
import { policy, scalerConfig } from "../test/support/scalerConfig.ts";
import { crowd, World } from "../test/support/world.ts";
import { collectYoung, lehmer } from "./probe.ts";
import { type BenchRow, row } from "./types.ts";

const POLL_S = 60;
const GROUPS = 10_000;
/** A primary and two clones, as under the default of three at most. */
const VMS_PER_GROUP = 3;
const TICKS = 24;
const WARM_UP = 8;
/** for each 10,000 groups */
const BOUND_MS = 150;

/** What one tick of the scaler costs: the fleet's snapshot, groups, evaluations, metrics. */
export async function tickRows(): Promise<BenchRow[]> {
  const all = await ticks(GROUPS);
  const small = await ticks(GROUPS / 10);
  return [
    row(`one scaler tick, ${GROUPS.toLocaleString("en")} groups, 30,000 VMs`, all.tickMs, "ms", BOUND_MS),
    row("the first of them, nothing compiled yet", all.firstTickMs, "ms", BOUND_MS),
    row("the same, 1,000 groups", small.tickMs, "ms", BOUND_MS / 10),
    row("making the state file's longest piece", all.longestPieceMs, "ms"),
    row("the state file of 10,000 groups", all.stateBytes / 1e6, "MB"),
  ];
}

interface Ticked {
  /** of a calm tick: a busy machine that takes the processor away only ever adds */
  readonly tickMs: number;
  readonly firstTickMs: number;
  readonly stateBytes: number;
  readonly longestPieceMs: number;
}

async function ticks(groups: number): Promise<Ticked> {
  const world = new World({ samples: null });
  const { clock } = world;
  const fleet = new Fleet({ clock, deathTimeoutMs: CONFIG.defaults.deathTimeoutMs });
  let saving: (() => Iterable<string>) | null = null;
  const files: ScalerFiles = {
    state: () => ({
      path: "",
      load: () => null,
      save: async (pieces) => {
        saving = pieces;
        return true;
      },
      flush: () => Promise.resolve(),
    }),
    decisions: () => ({
      append: () => undefined,
      flush: () => Promise.resolve(),
    }),
    record: () => ({
      path: "",
      load: () => null,
      save: () => Promise.resolve(true),
      flush: () => Promise.resolve(),
    }),
    images: () => new ImageCache("", log),
  };
  const log = createLogger({ level: "error", format: "json" }, { write: () => undefined });
  const observed = new FleetSource(fleet);
  const scaler = new Scaler({
    clock,
    log,
    config: CONFIG,
    fleet: observed,
    sources: [observed],
    targets: () => new Map(),
    reach: () => null,
    postHook: async () => null,
    files,
  });
  scaler.start();
  world.feed({
    record: (sample) => {
      fleet.record(sample);
      scaler.sampleArrived(sample);
    },
  });
  const random = lehmer(11);
  // every VM has a load of its own, so that few groups get another decision at each tick, as in real use
  const vms = crowd(groups * VMS_PER_GROUP, VMS_PER_GROUP).map((name) => ({ name, percent: 99 * random() }));
  for (const { name, percent } of vms) world.start(name, percent);
  world.sample();

  const ticksMs: number[] = [];
  for (let tick = 0; tick < WARM_UP + TICKS; tick++) {
    world.pass(POLL_S / 2);
    world.sample();
    for (const { name, percent } of vms) world.load(name, percent + random());
    world.pass(POLL_S / 2 - 0.001);
    // In real use the samples come in over a minute and are no news to the collector when the tick comes.
    collectYoung();
    const { lastTickMs } = scaler.summary();
    const start = performance.now();
    saving = null;
    world.pass(0.001);
    while (scaler.summary().lastTickMs === lastTickMs) await new Promise((resolve) => setImmediate(resolve));
    ticksMs.push(performance.now() - start);
    // what there is to tell is told in turns
    while (saving === null) await new Promise((resolve) => setImmediate(resolve));
  }
  const firstTickMs = ticksMs[0] ?? Number.NaN;
  return { tickMs: calm(ticksMs.slice(WARM_UP)), firstTickMs, ...stateCosts(saving) };
}

/** The lower quartile. */
export function calm(ticksMs: readonly number[]): number {
  const sorted = [...ticksMs].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 4)] ?? Number.NaN;
}

function stateCosts(saving: (() => Iterable<string>) | null): Pick<Ticked, "stateBytes" | "longestPieceMs"> {
  let stateBytes = 0;
  let longestPieceMs = 0;
  if (saving === null) throw new Error("no state was saved");
  let start = performance.now();
  for (const piece of saving()) {
    longestPieceMs = Math.max(longestPieceMs, performance.now() - start);
    stateBytes += piece.length;
    start = performance.now();
  }
  return { stateBytes, longestPieceMs };
}

const CONFIG = scalerConfig(
  {},
  {
    policies: [
      { match: "user7:*", host: null, ...policy({ warmupPeriodMs: 0, maxClones: 5 }) },
      { match: "*", host: null, ...policy({ warmupPeriodMs: 0 }) },
    ],
  },
);
