import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { cpuTimeUs } from "../../src/fleet/counters.ts";
import { formatName } from "../../src/wire/names.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { readTrace } from "../support/trace.ts";
import { Disk, Process, type Seen } from "./process.ts";

const TRACES = new URL("../fixtures/wire/traces/", import.meta.url);
const samples = readTrace(new URL("real-web.ndjson", TRACES));
const startMs = samples[0]?.wallMs ?? 0;
const lengthMs = (samples.at(-1)?.wallMs ?? 0) - startMs;
const INTERVAL_US = 2e6;

const configFile = readFileSync(new URL("real-web.config.yaml", TRACES), "utf8");
const read = loadConfig("real-web.config.yaml", configFile);
if (!read.ok) throw new Error("the trace's configuration is wrong");
const config = read.config.scaler;
const POLL_MS = config.pollIntervalMs;

/** When the program is away, in ms after the first sample, and how it ended. */
interface Away {
  readonly fromMs: number;
  readonly toMs: number;
  readonly how: "kill" | "terminate";
}

/** What is decided on the trace by a program that is away for a while. */
async function replay(away?: Away): Promise<Seen[]> {
  const machine = new FakeClock(startMs);
  const disk = new Disk();
  const seen: Seen[] = [];
  let running: Process | null = new Process({ machine, disk, config });
  const end = () => {
    if (running !== null) seen.push(...running.seen);
    running = null;
  };
  let next: "end" | "start" | null = away === undefined ? null : "end";
  for (const { wallMs, host, name, stats } of samples) {
    const atMs = wallMs - startMs;
    if (next === "end" && away !== undefined && atMs > away.fromMs) {
      await machine.advanceAndSettle(away.fromMs - sinceStart(machine));
      running?.[away.how]();
      end();
      next = "start";
    }
    if (next === "start" && away !== undefined && atMs > away.toMs) {
      await machine.advanceAndSettle(away.toMs - sinceStart(machine));
      running = new Process({ machine, disk, config, upUs: 123_456_789 });
      next = null;
    }
    await machine.advanceAndSettle(atMs - sinceStart(machine));
    running?.record({ host, name, stats, intervalUs: INTERVAL_US });
  }
  end();
  return seen;
}

function sinceStart(machine: FakeClock): number {
  return machine.wallMs() - startMs;
}

/** The first and last samples of all incarnations, in ms after the first sample of all. */
const incarnations = (() => {
  const open = new Map<string, { fromMs: number; toMs: number; cpuUs: number }>();
  const all: { fromMs: number; toMs: number }[] = [];
  for (const { wallMs, name, stats } of samples) {
    const atMs = wallMs - startMs;
    const cpuUs = cpuTimeUs(stats.rusage) ?? 0;
    const incarnation = open.get(formatName(name));
    if (incarnation !== undefined && cpuUs >= incarnation.cpuUs) {
      incarnation.toMs = atMs;
      incarnation.cpuUs = cpuUs;
    } else {
      const begun = { fromMs: atMs, toMs: atMs, cpuUs };
      open.set(formatName(name), begun);
      all.push(begun);
    }
  }
  return all;
})();

/**
 * Every restart of 1.5 s that begins `afterTickMs` after a tick, but for those that lost news of incarnations that began or ended:
 * a program that is away hears nothing, and a killed one has lost all since the tick, too.
 */
function restarts(how: Away["how"], afterTickMs: number): Away[] {
  const all: Away[] = [];
  for (let tickMs = POLL_MS; tickMs + POLL_MS < lengthMs; tickMs += POLL_MS) {
    const fromMs = tickMs + afterTickMs;
    const toMs = fromMs + 1_500;
    const lostFromMs = how === "kill" ? tickMs : fromMs;
    const isLost = incarnations.some(
      (incarnation) =>
        (incarnation.fromMs > lostFromMs && incarnation.fromMs <= toMs) ||
        (incarnation.toMs > tickMs && incarnation.toMs <= toMs),
    );
    if (!isLost) all.push({ fromMs, toMs, how });
  }
  return all;
}

const uninterrupted = await replay();

function decisions(seen: readonly Seen[]): string[] {
  return seen.map(({ group, decision }) => `${group} ${decision}`);
}

describe.each(["kill", "terminate"] as const)("a restart of 1.5 s (%s)", (how) => {
  test.each([100, 1_500, 4_000])("%i ms after any tick changes no decision", async (afterTickMs) => {
    const all = restarts(how, afterTickMs);
    expect(all.length).toBeGreaterThan(30);
    for (const away of all) {
      const seen = await replay(away);
      expect([away, seen]).toEqual([away, uninterrupted]);
    }
  });

  test("shortly before any tick puts it off at most, and changes no decision", async () => {
    for (const away of restarts(how, 8_000)) {
      const seen = await replay(away);
      expect([away, decisions(seen)]).toEqual([away, decisions(uninterrupted)]);
      const lateMs = seen.map(({ time }, i) => Date.parse(time) - Date.parse(uninterrupted[i]?.time ?? ""));
      expect(Math.max(...lateMs)).toBeLessThan(POLL_MS / 2);
      expect(lateMs.filter((ms) => ms !== 0).length).toBeLessThanOrEqual(4);
    }
  });
});

test("a restart that takes longer than a poll interval causes no scale decision", async () => {
  const scaled = uninterrupted.filter(({ decision }) => decision.startsWith("scale"));
  expect(scaled.map(({ decision }) => decision.split(" step")[0])).toEqual([
    "scale_up overloaded web-clone-1",
    "scale_down underloaded web-clone-1",
  ]);
  for (const awayMs of [11_000, 25_000, 60_000, 150_000]) {
    for (let fromMs = 1_000; fromMs < lengthMs; fromMs += 29_000) {
      const seen = await replay({ fromMs, toMs: fromMs + awayMs, how: "kill" });
      const kinds = seen
        .filter(({ decision }) => decision.startsWith("scale"))
        .map(({ decision }) => decision);
      expect([fromMs, kinds.length <= 2, new Set(kinds).size === kinds.length]).toEqual([fromMs, true, true]);
    }
  }
});
