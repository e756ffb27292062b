import fc from "fast-check";
import { expect, test } from "vitest";
import type { ScalerConfig } from "../../src/config/scaler.ts";
import { scalerConfig } from "../support/scalerConfig.ts";
import { World } from "../support/world.ts";
import { Disk, Process, type Seen } from "./process.ts";

const INTERVAL_MS = 5_000;
const POLL_MS = 30_000;
const INFO_MS = 15_000;
const TICKS = 12;
/** Between two ticks: restarts are over, lives begin early enough to be heard before the tick, others end. */
const RESTARTS_END_BY_MS = 18_000;
const LIVES_BEGIN_AT_MS = 20_000;
const LIVES_END_AT_MS = 26_000;
const END_MS = TICKS * POLL_MS + LIVES_END_AT_MS;

/** One VM: alive from one interval between ticks to another, with a load in each. */
interface Vm {
  readonly name: string;
  readonly phaseMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly cpus: number;
  readonly loads: readonly number[];
}

interface Course {
  readonly vms: readonly Vm[];
  readonly withInfo: boolean;
  readonly config: ScalerConfig;
}

interface Away {
  readonly fromMs: number;
  readonly toMs: number;
  readonly how: "kill" | "terminate";
}

const vmNames = [
  "a/user:web",
  "a/user:web-clone-1",
  "a/user:web-clone-2",
  "a/:db",
  "b/user:web",
  "b/user:web-clone-1",
];

const incarnation = fc.oneof(
  { weight: 3, arbitrary: fc.constant([-1, TICKS + 1]) },
  {
    weight: 1,
    arbitrary: fc
      .uniqueArray(fc.integer({ min: -1, max: TICKS }), { minLength: 2, maxLength: 2 })
      .map((ends) => ends.sort((a, b) => a - b)),
  },
);

const vms: fc.Arbitrary<readonly Vm[]> = fc
  .tuple(
    ...vmNames.map((name, index) =>
      fc.record({
        name: fc.constant(name),
        // different for all, so that no two things happen at once
        phaseMs: fc.integer({ min: 0, max: 600 }).map((ms) => 101 + 7 * ms + index),
        incarnation,
        cpus: fc.constantFrom(1, 1, 4),
        loads: fc.array(fc.constantFrom(3, 30, 41, 60, 97), { minLength: TICKS + 2, maxLength: TICKS + 2 }),
      }),
    ),
  )
  .map((all) =>
    all.map(({ incarnation: [from = 0, to = 0], ...vm }) => ({
      ...vm,
      fromMs: from * POLL_MS + LIVES_BEGIN_AT_MS,
      toMs: to * POLL_MS + LIVES_END_AT_MS,
    })),
  );

function configWith(deathTimeoutMs: fc.Arbitrary<number>): fc.Arbitrary<ScalerConfig> {
  return fc
    .record({
      scaleUpTriggerTicks: fc.integer({ min: 1, max: 3 }),
      scaleDownTriggerTicks: fc.integer({ min: 1, max: 3 }),
      scaleUpCooldownPeriodMs: fc.constantFrom(30_000, 60_000, 120_000),
      scaleDownCooldownPeriodMs: fc.constantFrom(30_000, 60_000, 120_000),
      scaleUpMaxStep: fc.integer({ min: 1, max: 3 }),
      flapDampingMax: fc.constantFrom(1, 4),
      warmupPeriodMs: fc.constantFrom(0, 40_000),
      minClones: fc.integer({ min: 0, max: 1 }),
      maxClones: fc.integer({ min: 1, max: 3 }),
      adoptClones: fc.boolean(),
      paused: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
      deathTimeoutMs,
    })
    .map((keys) =>
      scalerConfig(
        { scaleUpThresholdPercent: 80, ...keys },
        { pollIntervalMs: POLL_MS, maxScaleUpsPerTick: 2 },
      ),
    );
}

const world: fc.Arbitrary<Course> = fc.record({
  vms,
  withInfo: fc.boolean(),
  config: configWith(fc.constantFrom(45_000, 90_000, 900_000)),
});

/** What is decided in a world by a program that is away now and then. */
async function live({ vms, withInfo, config }: Course, aways: readonly Away[] = []): Promise<Seen[]> {
  const world = new World({
    samples: { everyMs: INTERVAL_MS, firstMs: 0 },
    info: withInfo ? { everyMs: INFO_MS, firstMs: 77 } : null,
  });
  const machine = world.clock;
  const disk = new Disk();
  const seen: Seen[] = [];
  let running: Process | null = new Process({ machine, disk, config });
  world.feed({
    record: (sample) => running?.record(sample),
    recordInfo: (host, entries) => running?.recordInfo(host, entries),
  });
  const at = (atMs: number, happen: () => void) => (atMs <= 0 ? happen() : machine.after(atMs, happen));

  for (const { name, phaseMs, fromMs, toMs, cpus, loads } of vms) {
    const load = (poll: number) => loads[poll] ?? 0;
    at(fromMs, () =>
      world.start(name, load(Math.max(0, Math.floor(fromMs / POLL_MS))), { cpus, delayMs: phaseMs }),
    );
    for (let poll = 1; poll <= TICKS; poll++) {
      const changeMs = poll * POLL_MS;
      if (changeMs > fromMs && changeMs < toMs) at(changeMs, () => world.load(name, load(poll)));
    }
    if (toMs < END_MS) at(toMs, () => world.stop(name));
  }
  for (const { fromMs, toMs, how } of aways) {
    at(fromMs, () => {
      running?.[how]();
      seen.push(...(running?.seen ?? []));
      running = null;
    });
    if (toMs < END_MS) {
      at(toMs, () => {
        running = new Process({ machine, disk, config, upUs: 555_555_000 });
      });
    }
  }
  await world.passAndSettle(END_MS / 1000);
  seen.push(...(running?.seen ?? []));
  return seen;
}

/** A restart between two ticks, after which every VM is heard again before the second. */
const quickRestart = fc.record({
  tick: fc.integer({ min: 1, max: TICKS - 1 }),
  offsets: fc
    .uniqueArray(fc.integer({ min: 5_000, max: RESTARTS_END_BY_MS }), { minLength: 2, maxLength: 2 })
    .map((both) => both.sort((a, b) => a - b)),
  how: fc.constantFrom("kill", "terminate"),
});

test("a restart of less than a poll interval, between two ticks, changes no decision", async () => {
  const restarts = fc.uniqueArray(quickRestart, { minLength: 1, maxLength: 3, selector: ({ tick }) => tick });
  await fc.assert(
    fc.asyncProperty(world, restarts, async (world, restarts) => {
      const aways = restarts.map(({ tick, offsets: [from = 0, to = 0], how }): Away => {
        return {
          fromMs: tick * POLL_MS + from,
          toMs: tick * POLL_MS + to,
          how: how === "kill" ? "kill" : "terminate",
        };
      });
      // A VM that has just ended is waited for, and infos that left it out while the program was away are lost.
      const isLost = world.vms.some(({ toMs }) =>
        aways.some((away) => toMs < away.toMs && toMs > away.fromMs - 2 * POLL_MS),
      );
      fc.pre(!isLost);
      expect(await live(world, aways)).toEqual(await live(world));
    }),
    { numRuns: 100 },
  );
});

/**
 * Loads that never change, on VMs that neither come nor go, and no silence that makes one new: everything is decided
 * once, if at all.
 */
const steadyWorld: fc.Arbitrary<Course> = fc
  .record({
    world,
    config: configWith(fc.constant(900_000)),
    loads: fc.array(fc.constantFrom(3, 30, 60, 97), { minLength: 6, maxLength: 6 }),
  })
  .map(({ world, config, loads }) => ({
    ...world,
    config,
    vms: world.vms.map((vm, i) => ({
      ...vm,
      fromMs: 0,
      toMs: Number.POSITIVE_INFINITY,
      loads: vm.loads.map(() => loads[i] ?? 0),
    })),
  }));

function scaleDecisions(seen: readonly Seen[]): string[] {
  return seen
    .filter(({ decision }) => decision.startsWith("scale"))
    .map(({ group, decision }) => `${group} ${decision.replace(/ step=.*/, "")}`);
}

const anyRestart = fc.record({
  fromMs: fc.integer({ min: 1_000, max: (TICKS - 1) * POLL_MS }),
  awayMs: fc.integer({ min: 10, max: 5 * POLL_MS }),
  how: fc.constantFrom("kill", "terminate"),
});

test("no restart, of whatever length, makes a decision be taken a second time", async () => {
  await fc.assert(
    fc.asyncProperty(
      steadyWorld,
      fc.array(anyRestart, { minLength: 1, maxLength: 3 }),
      async (world, restarts) => {
        const aways: Away[] = [];
        for (const { fromMs, awayMs, how } of restarts.sort((a, b) => a.fromMs - b.fromMs)) {
          const from = Math.max(fromMs, (aways.at(-1)?.toMs ?? 0) + 1_000);
          aways.push({ fromMs: from, toMs: from + awayMs, how: how === "kill" ? "kill" : "terminate" });
        }
        const taken = scaleDecisions(await live(world, aways));
        expect(new Set(taken).size).toBe(taken.length);
      },
    ),
    { numRuns: 100 },
  );
});

test("after a restart of two poll intervals or more, counting begins at nothing", async () => {
  await fc.assert(
    fc.asyncProperty(
      world,
      anyRestart,
      fc.integer({ min: 0, max: 4 * POLL_MS }),
      async (world, { fromMs, how }, moreMs) => {
        const toMs = fromMs + 2 * POLL_MS + moreMs;
        const before = await live(world, [
          { fromMs, toMs: Number.POSITIVE_INFINITY, how: how === "kill" ? "kill" : "terminate" },
        ]);
        const all = await live(world, [{ fromMs, toMs, how: how === "kill" ? "kill" : "terminate" }]);
        const after = all.slice(before.length);
        const [policy] = world.config.policies;
        if (policy === undefined) throw new Error("one policy");
        const least = Math.min(2, policy.scaleUpTriggerTicks, policy.scaleDownTriggerTicks);
        const times = [...new Set(after.map(({ time }) => time))];
        const early = times.slice(0, least - 1);
        expect(
          after.filter(({ time, decision }) => decision.startsWith("scale") && early.includes(time)),
        ).toEqual([]);
      },
    ),
    { numRuns: 60 },
  );
});
