import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Scenario, ScenarioEvent } from "../../src/simulator/model.ts";
import { World } from "../../src/simulator/world.ts";
import { parseName } from "../../src/wire/names.ts";
import { scenarioOf } from "../support/simulated.ts";
import { vm } from "./support.ts";

const START = Date.parse("2026-01-01T00:00:00Z");
const S = 1_000_000;

interface Watched {
  readonly world: World;
  readonly events: string[];
  readonly effects: unknown[];
}

function worldOf(scenario: Partial<Scenario>): Watched {
  const events: string[] = [];
  const effects: unknown[] = [];
  const world = new World(scenarioOf(scenario), START, {
    event: (text) => events.push(text),
    albatrossdRestarted: () => effects.push("albatrossd restarted"),
    misbehave: (fault, forMs) => effects.push({ fault, forMs }),
  });
  return { world, events, effects };
}

/** CPU time used since the last look, as percent of each VM's CPUs over `us`. */
function loads(
  world: World,
  us: number,
  before: ReadonlyMap<string, number> = new Map(),
): Record<string, number> {
  return Object.fromEntries(
    [...world.vms].map((one) => [
      one.fullName,
      Math.round((100 * (one.usage.cpuUs - (before.get(one.fullName) ?? 0))) / us / one.spec.cpus),
    ]),
  );
}

function cpuTimes(world: World): Map<string, number> {
  return new Map([...world.vms].map((one) => [one.fullName, one.usage.cpuUs]));
}

/** How busy each VM is over the next stretch of time. */
function loadsFor(world: World, us: number): Record<string, number> {
  const before = cpuTimes(world);
  world.advanceTo(world.nowUs + us);
  return loads(world, us, before);
}

function names(world: World): string[] {
  return [...world.vms].map((one) => one.fullName);
}

const at = (seconds: number, action: ScenarioEvent["action"]): ScenarioEvent => ({
  atMs: seconds * 1000,
  action,
});
const web = parseName("user:web");

describe("CPU time", () => {
  test("is the load, times the CPUs, times the time", () => {
    const { world } = worldOf({
      vms: [vm("user:web", { percent: 12.5 }), vm("user:db", { percent: 50, cpus: 4 })],
    });
    world.advanceTo(80 * S);
    expect([...world.vms].map((one) => one.usage)).toEqual([
      { aliveUs: 80 * S, cpuUs: 10 * S },
      { aliveUs: 80 * S, cpuUs: 160 * S },
    ]);
  });

  test("never exceeds the CPUs nor falls, whatever the load says", () => {
    const { world } = worldOf({
      vms: [vm("user:web", { percent: 900, cpus: 2 }), vm("user:db", { percent: -20 })],
    });
    world.advanceTo(10 * S);
    expect(loads(world, 10 * S)).toEqual({ "user:web": 100, "user:db": 0 });
  });

  test("follows a curve through an interval that is longer than it", () => {
    const load = { type: "sine", mean: 40, amplitude: 40, periodMs: 8_000, phaseMs: 0 } as const;
    const { world } = worldOf({ vms: [vm("user:web", { load })] });
    expect(loadsFor(world, 8 * S)).toEqual({ "user:web": 40 });
  });

  test("loses no microsecond however finely time is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 2_500_000 }), { maxLength: 50 }), (cuts) => {
        const { world } = worldOf({ vms: [vm("user:web", { percent: 33.333 })] });
        let us = 0;
        for (const cut of cuts) {
          us += cut;
          world.advanceTo(us);
        }
        expect(world.find(web)?.usage.cpuUs).toBe(Math.floor((us * 33_333) / 100_000));
      }),
    );
  });
});

describe("a group that shares its load", () => {
  const sharing = [
    vm("user:web", { percent: 150, shareLoadWithClones: true }),
    vm("user:db", { percent: 30 }),
  ];

  test("divides it among the living, and nobody does more than all", () => {
    const { world } = worldOf({ vms: sharing });
    const seen = [loadsFor(world, S)];
    for (let clones = 0; clones < 3; clones++) {
      world.clone(web);
      seen.push(loadsFor(world, S));
    }
    world.remove(parseName("user:web-clone-2"));
    seen.push(loadsFor(world, S));
    expect(seen).toEqual([
      { "user:web": 100, "user:db": 30 },
      { "user:web": 75, "user:web-clone-1": 75, "user:db": 30 },
      { "user:web": 50, "user:web-clone-1": 50, "user:web-clone-2": 50, "user:db": 30 },
      {
        "user:web": 38,
        "user:web-clone-1": 38,
        "user:web-clone-2": 38,
        "user:web-clone-3": 38,
        "user:db": 30,
      },
      { "user:web": 50, "user:web-clone-1": 50, "user:web-clone-3": 50, "user:db": 30 },
    ]);
  });

  test("counts clones that the scenario has made itself", () => {
    const { world } = worldOf({ vms: [...sharing, vm("user:web-clone-4", { percent: 5 })] });
    expect(loadsFor(world, S)).toEqual({ "user:web": 75, "user:web-clone-4": 75, "user:db": 30 });
    expect(world.clone(web)).toEqual(parseName("user:web-clone-5"));
  });

  test("leaves it to the clones when the primary is gone", () => {
    const { world } = worldOf({ vms: sharing });
    world.clone(web);
    world.remove(web);
    expect(loadsFor(world, S)).toEqual({ "user:web-clone-1": 100, "user:db": 30 });
  });
});

describe("a life", () => {
  test("ends with a restart: counters at zero and another start, at the very time", () => {
    const { world } = worldOf({
      vms: [vm("user:web", { percent: 50 }), vm("user:db", { percent: 50 })],
      events: [at(7, { type: "restart", name: web })],
    });
    world.advanceTo(10 * S);
    expect([...world.vms].map((one) => [one.usage.aliveUs, one.usage.cpuUs, one.startedMs - START])).toEqual([
      [3 * S, 1.5 * S, 7_000],
      [10 * S, 5 * S, 0],
    ]);
  });

  test("ended by a crash begins again after the down time, or never, as the VM has it", () => {
    const { world, events } = worldOf({
      vms: [
        vm("ops:cron", { crashesAtMs: [3_000], downForMs: 2_000 }),
        vm("ops:once", { crashesAtMs: [3_000], onCrash: "quit" }),
      ],
    });
    world.advanceTo(4 * S);
    expect(names(world)).toEqual([]);
    world.advanceTo(9 * S);
    expect(names(world)).toEqual(["ops:cron"]);
    expect(world.find(parseName("ops:cron"))?.usage.aliveUs).toBe(4 * S);
    expect(events).toEqual(["ops:cron crashes and is started again", "ops:once crashes", "ops:cron is back"]);
  });

  test("has the times that the VM's entry gives it", () => {
    const { world } = worldOf({
      vms: [vm("a:x", { startAtMs: 2_000, stopAtMs: 5_000, restartsAtMs: [4_000] })],
    });
    const alive: (number | undefined)[] = [];
    for (let second = 1; second <= 6; second++) {
      world.advanceTo(second * S);
      alive.push(world.find(parseName("a:x"))?.usage.aliveUs);
    }
    expect(alive).toEqual([undefined, 0, S, 0, undefined, undefined]);
  });

  test("ends for every VM when albatrossd restarts", () => {
    const { world, effects } = worldOf({
      vms: [vm("user:web", { percent: 50 }), vm("user:db", { percent: 50 })],
      events: [at(4, { type: "restart_albatrossd" })],
    });
    world.advanceTo(6 * S);
    expect([...world.vms].map((one) => one.usage.aliveUs)).toEqual([2 * S, 2 * S]);
    expect(effects).toEqual(["albatrossd restarted"]);
  });

  test("cannot be begun under a name that is taken", () => {
    const { world } = worldOf({ vms: [vm("user:web")] });
    expect(() => world.add(vm("user:web"))).toThrow("a VM named user:web is running");
  });
});

describe("the timeline", () => {
  const timed: Partial<Scenario> = {
    repeatEveryMs: 20_000,
    vms: [
      vm("user:web", { percent: 120, shareLoadWithClones: true }),
      vm("user:db", { percent: 10, startAtMs: 5_000 }),
    ],
    events: [
      at(12, { type: "clone", name: web }),
      at(3, { type: "clone", name: web }),
      at(8, { type: "load", name: parseName("user:db"), load: { type: "constant", percent: 70 } }),
      at(10, { type: "crash", name: parseName("user:web-clone-1") }),
      at(15, { type: "destroy", name: parseName("user:web-clone-1") }),
    ],
  };

  test("runs in the order of its times, each at its own, however rarely anybody looks", () => {
    const often = worldOf(timed);
    const rarely = worldOf(timed);
    for (let ms = 0; ms <= 19_000; ms += 250) often.world.advanceTo(ms * 1000);
    rarely.world.advanceTo(19 * S);
    expect(rarely.events).toEqual([
      "user:web-clone-1 is created",
      "user:db starts",
      "user:db has another load",
      "user:web-clone-1 crashes and is started again",
      "user:web-clone-2 is created",
      "user:web-clone-1 is destroyed",
    ]);
    expect(often.events).toEqual(rarely.events);
    expect(names(often.world)).toEqual(["user:web", "user:db", "user:web-clone-2"]);
  });

  test("starts again after its repeat, with what it did undone and the survivors living on", () => {
    const { world, events } = worldOf(timed);
    world.advanceTo(20 * S);
    expect(names(world)).toEqual(["user:web"]);
    expect(world.find(web)?.usage.aliveUs).toBe(20 * S);
    expect(events.slice(-3)).toEqual([
      "the timeline starts again",
      "user:db is destroyed",
      "user:web-clone-2 is destroyed",
    ]);
    world.advanceTo(26 * S);
    expect(loadsFor(world, S)).toEqual({ "user:web": 60, "user:web-clone-1": 60, "user:db": 10 });
  });

  test("hands faults on to the daemons, with their time", () => {
    const fault = { type: "stall", slot: null } as const;
    const { world, effects } = worldOf({ events: [at(1, { type: "misbehave", fault, forMs: 500 })] });
    world.advanceTo(2 * S);
    expect(effects).toEqual([{ fault, forMs: 500 }]);
  });

  test("leaves out what it has for a VM that is not there, and says so", () => {
    const { world, events } = worldOf({ events: [at(1, { type: "crash", name: web })] });
    world.advanceTo(2 * S);
    expect(events).toEqual(["user:web is not running: its event is left out"]);
  });

  test("plays the same for the same seed, in every figure, and differently for another", () => {
    const noisy = (seed: number) => {
      const load = { type: "noise", mean: 50, amplitude: 40, everyMs: 700 } as const;
      return worldOf({ ...timed, seed, vms: [vm("user:web", { load }), vm("user:db", { load })] }).world;
    };
    const figures = (world: World) =>
      JSON.stringify([...world.vms].map((one) => [one.fullName, one.stats(), one.startedMs]));
    fc.assert(
      fc.property(
        fc.nat(),
        fc.array(fc.integer({ min: 1, max: 5_000_000 }), { minLength: 1, maxLength: 30 }),
        (seed, cuts) => {
          const [one, two, other] = [noisy(seed), noisy(seed), noisy(seed + 1)];
          let us = 0;
          for (const cut of cuts) {
            us += cut;
            for (const world of [one, two, other]) world.advanceTo(us);
            two.applyEventsUntil(us); // asking changes nothing
          }
          expect(figures(two)).toBe(figures(one));
          if (us > 100_000) expect(figures(other)).not.toBe(figures(one));
        },
      ),
    );
  });
});
