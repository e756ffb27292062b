import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Change, type Decider, type Load, Meter, ownRules, Player } from "../../src/backtest/player.ts";
import { groupKey, type Observation } from "../../src/scaler/rules/types.ts";
import { scalerConfig } from "../support/scalerConfig.ts";

const NAME = { host: "h", path: "user", group: "web" };
const KEY = groupKey(NAME);
const MINUTE = 60_000;

/** Decides what it is told to, by tick from 1 on, and remembers what it saw. */
class Script implements Decider {
  readonly pollIntervalMs: number;
  readonly #warmupPeriodMs: number;
  readonly #changes: Readonly<Record<number, Partial<Change>>>;
  readonly seen: Observation[] = [];
  #ticks = 0;

  constructor(changes: Readonly<Record<number, Partial<Change>>>, { pollMs = MINUTE, warmupMs = 0 } = {}) {
    this.#changes = changes;
    this.pollIntervalMs = pollMs;
    this.#warmupPeriodMs = warmupMs;
  }

  settingsOf() {
    return { scaleUpThresholdPercent: 90, warmupPeriodMs: this.#warmupPeriodMs };
  }

  decide(observations: readonly Observation[]): Change[] {
    this.seen.push(...observations);
    this.#ticks += 1;
    const change = this.#changes[this.#ticks];
    return change === undefined ? [] : [{ key: KEY, add: [], remove: [], ...change }];
  }
}

function load(demand: number, keys: Partial<Load> = {}): Load {
  return { ...NAME, demand, cpus: 1, cloneIds: [], ...keys };
}

function player(decider: Decider, startDelayMs = 20_000): Player {
  return new Player({ decider, startMs: 0, startDelayMs });
}

function meterOf(played: Player): Meter {
  return new Map(played.meters()).get(KEY) ?? new Meter();
}

const usages = ({ members }: Observation) => members.map(({ usagePercent }) => usagePercent);
const states = ({ members }: Observation) => members.map(({ state }) => state);

describe("a tick sees", () => {
  test("the mean demand since the tick before, shared evenly", () => {
    const script = new Script({});
    const played = player(script);
    played.play(20_000, [load(1.2, { cloneIds: [2] })]);
    played.play(60_000, [load(0.6, { cloneIds: [2] })]);
    expect(script.seen.map(usages)).toEqual([[expect.closeTo(40), expect.closeTo(40)]]);
    expect(script.seen[0]?.members.map(({ vm }) => vm)).toEqual(["web", "web-clone-2"]);
  });

  test("100 % at most, of all CPUs of a member", () => {
    const script = new Script({});
    const played = player(script);
    played.play(MINUTE, [load(5, { cpus: 4 })]);
    played.play(2 * MINUTE, [load(2, { cpus: 4 })]);
    expect(script.seen.map(usages)).toEqual([[100], [50]]);
  });

  test("a clone from the next tick on, warming until it has borne load for warmup_period", () => {
    const script = new Script({ 1: { add: [1] } }, { warmupMs: 110_000 });
    const played = player(script);
    played.play(4 * MINUTE, [load(0.5)]);
    expect(script.seen.map(states)).toEqual([
      ["fresh"],
      ["fresh", "warming"],
      ["fresh", "warming"],
      ["fresh", "fresh"],
    ]);
    // it bears load all the same
    expect(script.seen.map((seen) => usages(seen)[0])).toEqual([50, 25, 25, 25]);
  });

  test("no usage while nothing is known, and then only what is known", () => {
    const script = new Script({});
    const played = player(script);
    played.play(MINUTE, [load(0.5)]);
    played.play(2 * MINUTE + 30_000, []);
    played.play(3 * MINUTE, [load(0.8)]);
    expect(script.seen.map(usages)).toEqual([[50], [null], [80]]);
    expect(script.seen.map(states)).toEqual([["fresh"], ["missing"], ["fresh"]]);
  });
});

describe("what is counted:", () => {
  test("saturation until the clone bears load, clone-hours from its decision on", () => {
    const played = player(new Script({ 1: { add: [1] } }));
    played.play(2 * MINUTE, [load(1)]);
    expect(meterOf(played)).toMatchObject({ saturatedMs: 80_000, overloadMs: 80_000, cloneMs: MINUTE });
  });

  test("overload is above the threshold, not at it", () => {
    const played = player(new Script({}));
    played.play(1000, [load(0.9)]);
    played.play(3000, [load(0.91)]);
    expect(meterOf(played)).toMatchObject({ saturatedMs: 0, overloadMs: 2000 });
  });

  test("nothing while no load is known", () => {
    const played = player(new Script({}));
    played.play(1000, [load(1, { cloneIds: [1] })]);
    played.play(1_000_000, []);
    expect(meterOf(played)).toMatchObject({ saturatedMs: 0, cloneMs: 1000, mostClones: 1 });
  });

  test.each([
    { minutes: [1, 31], reversals: 1 },
    { minutes: [1, 32], reversals: 0 },
    { minutes: [1, 10, 20, 31], reversals: 3 },
  ])("of actions at minutes $minutes, up and down in turn, $reversals reverse within half an hour", (row) => {
    const changes = row.minutes.map((minute, i) => [minute, i % 2 === 0 ? { add: [1] } : { remove: [1] }]);
    const played = player(new Script(Object.fromEntries(changes)));
    played.play(40 * MINUTE, [load(0.5)]);
    expect(meterOf(played)).toMatchObject({ actions: row.minutes.length, reversals: row.reversals });
  });

  test("a clone that comes and one that goes at the same time are no action", () => {
    const played = player(new Script({ 1: { add: [2], remove: [1] } }));
    played.play(2 * MINUTE, [load(0.5, { cloneIds: [1] })]);
    expect(meterOf(played)).toMatchObject({ actions: 0, mostClones: 1 });
  });
});

test("a group begins with the clones that there are at its first tick", () => {
  const script = new Script({});
  const played = player(script);
  played.play(30_000, [load(0.5, { cloneIds: [1] })]);
  played.play(MINUTE, [load(0.5, { cloneIds: [1, 7] })]);
  played.play(3 * MINUTE, [load(0.5, { cloneIds: [] })]);
  const ids = script.seen.map(({ members }) => members.map(({ cloneId }) => cloneId));
  expect(ids).toEqual([
    [0, 1, 7],
    [0, 1, 7],
    [0, 1, 7],
  ]);
});

test("years without data take no time, and ticks stay on their grid", () => {
  const script = new Script({});
  const played = player(script);
  played.play(MINUTE, [load(0.5)]);
  const later = 10 * 365 * 24 * 60 * MINUTE;
  played.play(later + 1, []);
  played.play(later + MINUTE - 1, [load(0.7)]);
  expect(script.seen.length).toBeLessThan(5);
  played.play(later + MINUTE, [load(0.7)]);
  expect(usages(script.seen.at(-1) as Observation)).toEqual([expect.closeTo(70)]);
});

describe("our own rules", () => {
  const config = (keys = {}) => scalerConfig({ cooldownPeriodMs: 0, adoptClones: false, ...keys });

  test("get their clones, and give up those that were there before", () => {
    const played = player(ownRules(config({ scaleUpTriggerTicks: 1, scaleDownTriggerTicks: 1 })));
    for (let minute = 1; minute <= 30; minute++) {
      played.play(minute * MINUTE, [load(minute <= 5 ? 1.5 : 0.1, { cloneIds: [3] })]);
    }
    expect(meterOf(played).steps.map(([, clones]) => clones)).toEqual([-1]);
  });

  test("of a paused group, or one without a policy, do nothing", () => {
    for (const decider of [ownRules(config({ paused: true })), ownRules(config({ match: "other:*" }))]) {
      const played = player(decider);
      played.play(60 * MINUTE, [load(1)]);
      expect(meterOf(played)).toMatchObject({ actions: 0, saturatedMs: 60 * MINUTE });
    }
  });

  test("take from a host at one tick no more clones than it gives", () => {
    const groups = ["a", "b", "c"].map((group) => ({ ...load(1), group }));
    const played = player(ownRules({ ...config({ scaleUpTriggerTicks: 1 }), maxScaleUpsPerTick: 2 }));
    played.play(MINUTE, groups);
    expect([...played.meters()].map(([, { actions }]) => actions)).toEqual([1, 1, 0]);
  });
});

test("whatever the load: bounds hold, and all time of it is counted once", () => {
  const loads = fc.array(
    fc.record({
      ms: fc.integer({ min: 1, max: 5 * MINUTE }),
      demand: fc.double({ min: 0, max: 6, noNaN: true }),
    }),
    { minLength: 1, maxLength: 60 },
  );
  fc.assert(
    fc.property(
      loads,
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 120_000 }),
      (steps, clones, delayMs) => {
        const cloneIds = Array.from({ length: clones }, (_, i) => i + 1);
        const config = scalerConfig({
          cooldownPeriodMs: MINUTE,
          scaleUpTriggerTicks: 1,
          scaleDownTriggerTicks: 1,
        });
        const played = player(ownRules(config), delayMs);
        let nowMs = 0;
        for (const { ms, demand } of steps) {
          nowMs += ms;
          played.play(nowMs, [load(demand, { cloneIds })]);
        }
        const { saturatedMs, cloneMs, mostClones, actions, reversals, steps: taken } = meterOf(played);
        expect(mostClones).toBeLessThanOrEqual(3);
        expect(cloneMs).toBeLessThanOrEqual(3 * nowMs);
        expect(saturatedMs).toBeLessThanOrEqual(nowMs);
        expect(reversals).toBeLessThanOrEqual(actions);
        const counts = taken.map((_, i) => taken.slice(0, i + 1).reduce((sum, [, by]) => sum + by, clones));
        for (const count of counts) expect(count >= 0 && count <= 3).toBe(true);
      },
    ),
  );
});
