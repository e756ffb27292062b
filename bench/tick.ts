import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Sample } from "../src/client/receiver.ts";
import type { Clock } from "../src/clock.ts";
import type { ScalerConfig } from "../src/config/scaler.ts";
import { defaultPolicySettings } from "../src/config/scaler.ts";
import { Fleet } from "../src/fleet/fleet.ts";
import { createLogger } from "../src/log.ts";
import { Scaler, type ScalerFiles } from "../src/scaler/scaler.ts";
import { FleetSource } from "../src/scaler/sources/fleet.ts";
import type { Rusage } from "../src/wire/messages.ts";
import type { Name } from "../src/wire/names.ts";
import type { BenchRow } from "./types.ts";

const HOST = "host-1";
const INTERVAL_US = 10_000_000;
const POLL_US = 60_000_000;
const GROUPS = 10_000;
/** A primary and two clones, as under the default of three at most. */
const VMS_PER_GROUP = 3;
const TICKS = 24;
const WARM_UP = 8;
/** for each 10,000 groups */
const BOUND_MS = 150;

/** What one tick of the scaler costs: the fleet's snapshot, groups, evaluations, metrics, what is told and remembered. */
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

function row(name: string, figure: number, unit: string, below?: number): BenchRow {
  const bound = below === undefined ? "" : `< ${below}`;
  return { name, figure, unit, bound, ok: below === undefined || figure < below };
}

interface Ticked {
  /** of a calm tick: a busy machine that takes the processor away only ever adds */
  readonly tickMs: number;
  readonly firstTickMs: number;
  readonly stateBytes: number;
  readonly longestPieceMs: number;
}

const collectYoung = youngCollector();

function youngCollector(): () => void {
  setFlagsFromString("--expose-gc");
  const collect: (options: { readonly type: "minor" }) => void = runInNewContext("gc");
  return () => collect({ type: "minor" });
}

async function ticks(groups: number): Promise<Ticked> {
  const clock = steppedClock();
  const fleet = new Fleet({ clock, deathTimeoutMs: CONFIG.defaults.deathTimeoutMs });
  let saving: (() => Iterable<string>) | null = null;
  const files: ScalerFiles = {
    state: () => ({
      path: "",
      load: () => null,
      save: (pieces) => {
        saving = pieces;
      },
      flush: () => Promise.resolve(),
    }),
    decisions: () => ({
      append: () => undefined,
      setLimits: () => undefined,
      flush: () => Promise.resolve(),
    }),
  };
  const log = createLogger({ level: "error", format: "json" }, { write: () => undefined });
  const observed = new FleetSource(fleet);
  const scaler = new Scaler({
    clock,
    log,
    config: CONFIG,
    fleet: observed,
    sources: [observed],
    isTarget: () => true,
    files,
  });
  scaler.start();
  const random = lehmer(11);
  // every VM has a load of its own, so that few groups get another decision at each tick, as in real use
  const vms = Array.from({ length: groups * VMS_PER_GROUP }, (_, i) => ({
    name: vmName(i),
    load: random(),
    cpuUs: 0,
  }));

  const ticksMs: number[] = [];
  for (let tick = 0; tick < WARM_UP + TICKS; tick++) {
    clock.step(POLL_US / 2);
    for (const vm of vms) {
      vm.cpuUs += Math.floor((vm.load + random() / 100) * 0.99 * POLL_US);
      const sample = sampleNow(clock, vm.name, vm.cpuUs);
      fleet.record(sample);
      scaler.sampleArrived(sample);
    }
    clock.step(POLL_US / 2);
    // In real use the samples come in over a minute and are no news to the collector when the tick comes.
    collectYoung();
    const start = performance.now();
    clock.fire();
    // until the sources have answered and all groups are evaluated
    await new Promise((resolve) => setImmediate(resolve));
    ticksMs.push(performance.now() - start);
  }
  // the timer fires once before the first tick is due
  const firstTickMs = ticksMs[1] ?? Number.NaN;
  return { tickMs: calm(ticksMs.slice(WARM_UP)), firstTickMs, ...stateCosts(saving) };
}

/** The lower quartile. */
function calm(ticksMs: readonly number[]): number {
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

function sampleNow(clock: Clock, name: Name, cpuUs: number): Sample {
  const rusage = { ...RUSAGE, utimeSec: Math.floor(cpuUs / 1e6), utimeUsec: cpuUs % 1e6 };
  const stats = { rusage, kinfoMem: null, vmm: null, ifdata: [] };
  const arrival = { arrivalUs: clock.nowUs(), arrivalWallMs: clock.wallMs() };
  return { host: HOST, name, stats, ...arrival, intervalUs: INTERVAL_US };
}

/** `user3:web7` and its clones `web7-clone-1` and `-2`. */
function vmName(index: number): Name {
  const group = Math.floor(index / VMS_PER_GROUP);
  const clone = index % VMS_PER_GROUP;
  return { path: [`user${group % 50}`], label: clone === 0 ? `web${group}` : `web${group}-clone-${clone}` };
}

const SETTINGS = { ...defaultPolicySettings, warmupPeriodMs: 0 };

const CONFIG: ScalerConfig = {
  pollIntervalMs: POLL_US / 1000,
  mode: "dry_run",
  maxScaleUpsPerTick: 1,
  stateFile: "state.json",
  decisionLog: "decisions.ndjson",
  decisionLogMaxBytes: 1e6,
  decisionLogFiles: 2,
  defaults: { ...SETTINGS, deathTimeoutMs: 900_000 },
  policies: [
    { match: "user7:*", host: null, ...SETTINGS, maxClones: 5 },
    { match: "*", host: null, ...SETTINGS },
  ],
};

const RUSAGE: Rusage = {
  utimeSec: 0,
  utimeUsec: 0,
  stimeSec: 0,
  stimeUsec: 0,
  maxrss: 1411,
  ixrss: 0,
  idrss: 0,
  isrss: 0,
  minflt: 100,
  majflt: 1,
  nswap: 0,
  inblock: 0,
  outblock: 0,
  msgsnd: 0,
  msgrcv: 0,
  nsignals: 0,
  nvcsw: 100,
  nivcsw: 18,
};

/** A clock that moves when told to, with one timer that fires when it is due and asked to. */
function steppedClock(): Clock & { step(us: number): void; fire(): void } {
  let nowUs = 0;
  let timer: { readonly atUs: number; readonly callback: () => void } | null = null;
  return {
    nowUs: () => nowUs,
    wallMs: () => Date.parse("2026-01-01T00:00:00Z") + Math.floor(nowUs / 1000),
    after(delayMs, callback) {
      timer = { atUs: nowUs + delayMs * 1000, callback };
      return () => {
        timer = null;
      };
    },
    step(us) {
      nowUs += us;
    },
    fire() {
      if (timer === null || timer.atUs > nowUs) return;
      const { callback } = timer;
      timer = null;
      callback();
    },
  };
}

/** The same numbers in every run. */
function lehmer(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  console.table(
    (await tickRows()).map(({ name, figure, ...rest }) => ({ name, figure: figure.toFixed(3), ...rest })),
  );
}
