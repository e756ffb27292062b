import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type DemandStep, HostDemand } from "../../src/backtest/demand.ts";
import type { TraceEvent } from "../../src/trace/reader.ts";
import { infoOfKnown } from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { statsOfUsage } from "../../src/wire/stats.ts";
import { scalerConfig } from "../support/scalerConfig.ts";

const INTERVAL_MS = 10_000;

function sample(timeMs: number, vm: string, cpuUs: number): TraceEvent {
  const [utimeSec, utimeUsec] = [Math.floor(cpuUs / 1e6), cpuUs % 1e6];
  const stats = statsOfUsage({ utimeSec, utimeUsec, stimeSec: 0, stimeUsec: 0, minflt: 0, nvcsw: 0 });
  return { kind: "sample", timeMs, host: "h", name: parseName(vm), stats };
}

function info(timeMs: number, vm: string, cpus: number): TraceEvent {
  const entry = { name: parseName(vm), info: infoOfKnown({ numcpus: cpus, startedMs: -3_600_000 }) };
  return { kind: "info", timeMs, host: "h", entries: [entry], more: false };
}

function stepsOf(events: readonly TraceEvent[]): DemandStep[] {
  const steps: DemandStep[] = [];
  const demand = new HostDemand({
    config: scalerConfig(),
    policyOf: () => null,
    onStep: (step) => steps.push(step),
    onWithoutLoad: () => expect.unreachable(),
  });
  for (const event of events) demand.take(event);
  demand.end();
  return steps;
}

/** Rounds of samples 10 s apart; each VM's use in the interval before the round, in CPUs, null where it is not heard. */
function rounds(uses: readonly Readonly<Record<string, number | null>>[]): TraceEvent[] {
  const used = new Map<string, number>();
  return uses.flatMap((round, i) =>
    Object.entries(round).flatMap(([vm, cpus], place) => {
      const cpuUs = (used.get(vm) ?? 0) + Math.round((cpus ?? 0) * INTERVAL_MS * 1000);
      used.set(vm, cpuUs);
      return cpus === null ? [] : [sample(i * INTERVAL_MS + place, vm, cpuUs)];
    }),
  );
}

const demands = (steps: readonly DemandStep[]) => steps.map(({ loads }) => loads.map(({ demand }) => demand));

describe("a group's demand", () => {
  test("is the sum of its members' use over each round, unknown before the second", () => {
    const steps = stepsOf(
      rounds([
        { web: 0, "web-clone-2": 0 },
        { web: 0.5, "web-clone-2": 0.25 },
      ]),
    );
    expect(steps.map(({ untilMs }) => untilMs)).toEqual([1, 10_001]);
    expect(steps.map(({ loads }) => loads)).toEqual([
      [],
      [{ host: "h", path: "", group: "web", demand: 0.75, capacity: 2, cpus: 1, cloneIds: [2] }],
    ]);
  });

  test.each([
    { percent: 98, demand: 0.98 },
    { percent: 99, demand: 1 },
    { percent: 100, demand: 1 },
  ])("of a member at $percent % is $demand CPUs: at 100 % it is at least that", ({ percent, demand }) => {
    const [, known] = demands(stepsOf(rounds([{ web: 0 }, { web: percent / 100 }])));
    expect(known).toEqual([demand]);
  });

  test("is not full while one of its members is not", () => {
    const steps = stepsOf(
      rounds([
        { web: 0, "web-clone-1": 0 },
        { web: 0.995, "web-clone-1": 0.5 },
      ]),
    );
    expect(demands(steps)[1]).toEqual([1.495]);
  });

  test("is in CPUs: of those that info gives a member", () => {
    const steps = stepsOf([info(0, ":web", 4), ...rounds([{ web: 0 }, { web: 3 }])]);
    expect(steps[1]?.loads[0]).toMatchObject({ demand: 3, capacity: 4, cpus: 4 });
  });

  test("is unknown while the primary is not heard, or has just restarted", () => {
    const events = rounds([
      { web: 0, "web-clone-1": 0 },
      { web: 0.5, "web-clone-1": 0.5 },
      { web: null, "web-clone-1": 0.5 },
    ]);
    const restarted = sample(30_000, "web", 100_000);
    const clone = sample(30_001, "web-clone-1", 15_000_000);
    expect(demands(stepsOf([...events, restarted, clone]))).toEqual([[], [1], [], []]);
  });

  test("ends for a clone that is gone with the last round that has it", () => {
    const steps = stepsOf(
      rounds([{ web: 0, "web-clone-1": 0 }, { web: 0.5, "web-clone-1": 0.5 }, { web: 0.6 }]),
    );
    expect(demands(steps)).toEqual([[], [1], [0.6]]);
  });

  test("of samples that were held up is that of all the time until they came", () => {
    const late = [10, 20, 30].map((s) => sample(30_000 + s, "web", s * 500_000));
    const steps = stepsOf([sample(0, "web", 0), ...late, sample(40_000, "web", 20_000_000)]);
    expect(demands(steps)).toEqual([[], [expect.closeTo(0.5, 2)], [expect.closeTo(0.5, 2)]]);
  });
});

test("no CPU time of a recording is lost, and none is counted twice", () => {
  const use = fc.double({ min: 0, max: 0.98, noNaN: true });
  const recording = fc.array(fc.record({ web: use, "web-clone-1": use, "web-clone-2": use }), {
    minLength: 2,
    maxLength: 40,
  });
  fc.assert(
    fc.property(recording, (uses) => {
      let atMs = 2;
      let sum = 0;
      for (const { untilMs, loads } of stepsOf(rounds(uses))) {
        for (const { demand } of loads) sum += demand * (untilMs - atMs);
        atMs = untilMs;
      }
      const used = uses.slice(1).flatMap((round) => Object.values(round));
      expect(sum / INTERVAL_MS).toBeCloseTo(
        used.reduce((all, cpus) => all + cpus, 0),
        3,
      );
    }),
  );
});
