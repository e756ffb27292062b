/**
 * Six loads for a closed loop, and the rules of others to hold ours against: each day is played by the program's own
 * player (src/backtest/player.ts), with a primary and at most three clones that bear load 20 s after they were asked for.
 */
import { readFileSync } from "node:fs";
import { type Change, type Decider, type Meter, Player } from "../src/backtest/player.ts";
import { loadConfig } from "../src/config/load.ts";
import type { ScalerConfig } from "../src/config/scaler.ts";
import type { Observation } from "../src/scaler/rules/types.ts";
import { unitAt } from "../src/simulator/random.ts";

const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
const STEP_S = 10;
const SEED = 1;
const START_DELAY_MS = 20_000;
/** The primary not counted. */
const MOST_CLONES = 3;

/** CPUs at a second of the day; `g` is noise around 0, mostly between -1 and 1. */
export const LOADS: Readonly<Record<string, (t: number, g: number) => number>> = {
  diurnal: (t, g) => 1.4 + 1.2 * Math.sin((2 * Math.PI * t) / DAY_S - 1.5) + 0.05 * g,
  "flash crowd": (t, g) => {
    const at = t % (6 * HOUR_S);
    return (at >= 2 * HOUR_S && at < 2 * HOUR_S + 2400 ? 3.4 : 0.5) + 0.04 * g;
  },
  "short bursts": (t, g) => (t % 1200 < 90 ? 1.8 : 0.35) + 0.04 * g,
  "at the edge": (_, g) => 0.91 + 0.05 * g,
  ramp: (t, g) => {
    const hours = (t % (8 * HOUR_S)) / HOUR_S;
    const share = hours < 2 ? hours / 2 : Math.max(0, (4 - hours) / 2);
    return 0.3 + 3.2 * share + 0.04 * g;
  },
  sawtooth: (t, g) => 0.6 + (1.6 * (t % 3000)) / 3000 + 0.05 * g,
};

/** A day of a load under what decides. */
export function playDay(load: string, decider: Decider): Meter {
  const demandAt = LOADS[load];
  if (demandAt === undefined) throw new Error(`no load ${load}`);
  const player = new Player({ decider, startMs: 0, startDelayMs: START_DELAY_MS });
  const group = { host: "local", path: "user", group: "web", cpus: 1, cloneIds: [] };
  for (let t = 0; t < DAY_S; t += STEP_S) {
    const demand = Math.max(0, demandAt(t, noiseAt(t / STEP_S)));
    player.play((t + STEP_S) * 1000, [{ ...group, demand }]);
  }
  for (const [, meter] of player.meters()) return meter;
  throw new Error("nothing was played");
}

/** Nearly normal: the sum of four uniform numbers, around 0. */
function noiseAt(step: number): number {
  const uniform = [0, 1, 2, 3].map((part) => unitAt(SEED, 4 * step + part));
  return (uniform.reduce((sum, number) => sum + number, 0) - 2) * 1.7;
}

/** Neither rule knows warming members or a threshold that minutes above it are counted by. */
const WITHOUT_POLICY = { scaleUpThresholdPercent: 90, warmupPeriodMs: 0 };

const HPA_TARGET_PERCENT = 70;
const HPA_TOLERANCE = 0.1;
const HPA_STABILIZATION_US = 5 * 60_000_000;

/** Kubernetes' Horizontal Pod Autoscaler, of one group, with its default behaviour. */
export function hpa(): Decider {
  let recommended: { readonly atUs: number; readonly members: number }[] = [];
  return {
    pollIntervalMs: 15_000,
    settingsOf: () => WITHOUT_POLICY,
    decide([group], nowUs) {
      if (group === undefined) return [];
      const members = group.members.length;
      const { sum, count } = measured(group);
      const ratio = sum / count / HPA_TARGET_PERCENT;
      const wanted = Math.abs(ratio - 1) <= HPA_TOLERANCE ? members : Math.ceil(sum / HPA_TARGET_PERCENT);
      const bounded = Math.min(1 + MOST_CLONES, Math.max(1, wanted));
      recommended = recommended.filter(({ atUs }) => atUs > nowUs - HPA_STABILIZATION_US);
      recommended.push({ atUs: nowUs, members: bounded });
      const highest = Math.max(...recommended.map((one) => one.members));
      const fastest = Math.max(members + 4, 2 * members);
      if (bounded > members) return [resized(group, Math.min(bounded, fastest))];
      return highest < members ? [resized(group, highest)] : [];
    },
  };
}

const NOMAD_SAMPLES = 6;
const NOMAD_COOLDOWN_US = 5 * 60_000_000;

/** Nomad Autoscaler's threshold strategy, of one group: two checks over the last minute, one member more or less. */
export function nomadThreshold(): Decider {
  let samples: number[] = [];
  let quietUntilUs = 0;
  return {
    pollIntervalMs: 10_000,
    settingsOf: () => WITHOUT_POLICY,
    decide([group], nowUs) {
      if (group === undefined) return [];
      const { sum, count } = measured(group);
      samples = [...samples, sum / count].slice(-NOMAD_SAMPLES);
      if (nowUs < quietUntilUs) return [];
      const isMost = (is: (percent: number) => boolean) => samples.filter(is).length >= NOMAD_SAMPLES - 1;
      const members = group.members.length;
      const step = isMost((percent) => percent > 90) ? 1 : isMost((percent) => percent < 40) ? -1 : 0;
      const wanted = Math.min(1 + MOST_CLONES, Math.max(1, members + step));
      if (wanted === members) return [];
      quietUntilUs = nowUs + NOMAD_COOLDOWN_US;
      return [resized(group, wanted)];
    },
  };
}

function measured({ members }: Observation): { readonly sum: number; readonly count: number } {
  const percents = members.flatMap(({ usagePercent }) => usagePercent ?? []);
  return { sum: percents.reduce((sum, percent) => sum + percent, 0), count: percents.length };
}

function resized({ key, members }: Observation, wanted: number): Change {
  const ids = members.map(({ cloneId }) => cloneId);
  const more = Array.from({ length: Math.max(0, wanted - ids.length) }, (_, i) => Math.max(...ids) + 1 + i);
  return { key, add: more, remove: ids.slice(wanted) };
}

/** The program's defaults, for every group. */
export function ourDefaults(): ScalerConfig {
  return scalerOf(`scaler: { policies: [{ match: "*" }] }`);
}

const CONFIG = new URL("../config.yaml", import.meta.url);
const QUICK = /^ *# A quick profile.*\n(?: *#\n)?(?<lines>(?: *# {3}.*\n)+)/m;

/** For loads that jump, as config.yaml shows it. */
export function quickProfile(): ScalerConfig {
  const lines = QUICK.exec(readFileSync(CONFIG, "utf8"))?.groups?.["lines"];
  if (lines === undefined) throw new Error("config.yaml shows no quick profile");
  return scalerOf(`scaler:\n${lines.replace(/^ *# {3}/gm, "  ")}  policies: [{ match: "*" }]`);
}

function scalerOf(text: string): ScalerConfig {
  const loaded = loadConfig("bench", text);
  if (!loaded.ok) throw new Error(loaded.problems.map(({ text }) => text).join("; "));
  return loaded.config.scaler;
}
