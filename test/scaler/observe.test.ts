import { describe, expect, test } from "vitest";
import type { CpuPoint, ExpectedVm } from "../../src/fleet/types.ts";
import { FRESH_STATE, type GroupState, groupKey, type Observation } from "../../src/scaler/rules/types.ts";
import { type Bases, NO_BASES, type ObserveInput, observeFleet } from "../../src/scaler/sources/fleet.ts";
import { TestFleet } from "../fleet/testFleet.ts";
import { outstanding, policy } from "./rules.ts";

/** Observations of the fleet as it is now, tick after tick; members in words: `web 50`, `web-clone-1 missing`. */
class Observer {
  bases: Bases = NO_BASES;
  state: Partial<GroupState> = {};
  /** of the last tick */
  observations: readonly Observation[] = [];
  readonly #fleet: TestFleet;
  readonly #warmupPeriodMs: number;

  constructor(fleet: TestFleet, { warmupS = 0 } = {}) {
    this.#fleet = fleet;
    this.#warmupPeriodMs = warmupS * 1000;
  }

  tick(): string[] {
    const input: ObserveInput = {
      snapshot: this.#fleet.snapshot(),
      bases: this.bases,
      firstSampleUs: 0,
      groupOf: (name) => ({
        key: groupKey(name),
        ...name,
        policy: policy({ warmupPeriodMs: this.#warmupPeriodMs }),
        state: { ...FRESH_STATE, ...this.state },
      }),
    };
    const { observations, gone, bases } = observeFleet(input);
    this.#fleet.fleet.letGo(gone, input.snapshot.nowUs);
    this.bases = bases;
    this.observations = observations;
    return observations.flatMap(({ members }) =>
      members.map(
        (m) => `${m.vm} ${m.usagePercent === null ? m.state : Math.round(m.usagePercent * 10) / 10}`,
      ),
    );
  }
}

describe("the window of a rate", () => {
  test("begins at the first sample before the first tick, at the newest sample of the previous tick after", () => {
    const fleet = new TestFleet().sample(":web", 100).at(60).sample(":web", 130);
    const observer = new Observer(fleet);
    expect(observer.tick()).toEqual(["web 50"]);
    fleet.at(90).sample(":web", 130).at(120).sample(":web", 190);
    expect(observer.tick()).toEqual(["web 100"]);
  });

  test("never reaches from one VM to another that has its name after a silence within one tick", () => {
    const fleet = new TestFleet({ deathTimeoutS: 10 }).sample(":web", 0).at(10).sample(":web", 5);
    const observer = new Observer(fleet);
    observer.tick();
    // silent for more than twice death_timeout, so that nothing is remembered of the first
    fleet.at(31).sample(":web", 50).at(40).sample(":web", 54.5).at(49).sample(":web", 59);
    fleet.at(58).sample(":web", 63.5);
    expect(observer.tick()).toEqual(["web 50"]);
  });

  test("never reaches from a host that was forgotten to another that takes its name", () => {
    const fleet = new TestFleet().sample(":web", 0).at(60).sample(":web", 6);
    const observer = new Observer(fleet);
    expect(observer.tick()).toEqual(["web 10"]);
    fleet.fleet.removeHost("h");
    fleet.at(80).sample(":web", 40).at(120).sample(":web", 60);
    expect(observer.tick()).toEqual(["web 50"]);
  });

  test("never reaches across a step that cannot be", () => {
    const fleet = new TestFleet().sample(":web", 0).at(60).sample(":web", 6);
    const observer = new Observer(fleet);
    observer.tick();
    fleet
      .at(70)
      .sample(":web", 1e9)
      .at(120)
      .sample(":web", 1e9 + 25);
    expect(observer.tick()).toEqual(["web 50"]);
    fleet.at(180).sample(":web", 2e9);
    expect(observer.tick()).toEqual(["web warming"]);
  });

  test("takes in a sample that arrives at the tick's very time, once", () => {
    const fleet = new TestFleet().sample(":web", 0).at(60).sample(":web", 30);
    const observer = new Observer(fleet);
    observer.tick();
    fleet.at(120);
    expect(observer.tick()).toEqual(["web missing"]);
  });

  test.each([
    { lastS: 30, seen: "web 50" },
    { lastS: 29.999, seen: "web warming" },
  ])(
    "shorter than half the time since the previous tick gives no rate: $lastS s of 60",
    ({ lastS, seen }) => {
      const fleet = new TestFleet()
        .sample(":web", 0)
        .at(lastS)
        .sample(":web", lastS / 2);
      expect(new Observer(fleet.at(60)).tick()).toEqual([seen]);
    },
  );

  test("of one sample only gives none", () => {
    const fleet = new TestFleet().at(60).sample(":web", 10);
    expect(new Observer(fleet).tick()).toEqual(["web warming"]);
  });

  test("reaches back over ticks at which nothing was heard", () => {
    const fleet = new TestFleet().sample(":web", 0).at(60).sample(":web", 60);
    const observer = new Observer(fleet);
    observer.tick();
    fleet.at(120);
    observer.tick();
    fleet.at(180).sample(":web", 90);
    expect(observer.tick()).toEqual(["web 25"]);
  });

  test("is divided by the VM's CPUs", () => {
    const fleet = new TestFleet().info({ ":web": { numcpus: 4 } });
    fleet.sample(":web", 0).at(60).sample(":web", 120);
    expect(new Observer(fleet).tick()).toEqual(["web 50"]);
  });

  test("gives 100 at most", () => {
    const fleet = new TestFleet().sample(":web", 0).at(60).sample(":web", 90);
    expect(new Observer(fleet).tick()).toEqual(["web 100"]);
  });

  test("gives none while info is expected to say how many CPUs there are", () => {
    const fleet = new TestFleet()
      .info({})
      .sample(":web", 0)
      .at(50)
      .sample(":web", 20)
      .at(60)
      .sample(":web", 25);
    const observer = new Observer(fleet);
    expect(observer.tick()).toEqual(["web warming"]);
    fleet
      .info({ ":web": { numcpus: 2 } })
      .at(120)
      .sample(":web", 85);
    expect(observer.tick()).toEqual(["web 50"]);
  });
});

describe("a VM that is young", () => {
  test.each([
    { warmupS: 60, seen: "web 50" },
    { warmupS: 61, seen: "web warming" },
    { warmupS: 0, seen: "web 50" },
  ])("seen for 60 s, warmup_period $warmupS s: $seen", ({ warmupS, seen }) => {
    const fleet = new TestFleet().sample(":web", 0).at(60).sample(":web", 30);
    expect(new Observer(fleet, { warmupS }).tick()).toEqual([seen]);
  });

  test("is as old as info says, not as long as it was seen", () => {
    const fleet = new TestFleet();
    const startedMs = fleet.clock.wallMs() - 600_000;
    fleet.info({ ":web": { startedMs } }).sample(":web", 0).at(60).sample(":web", 30);
    expect(new Observer(fleet, { warmupS: 120 }).tick()).toEqual(["web 50"]);
  });

  test.each([
    { startedS: 3600, seen: "web warming", name: "an hour ahead of it" },
    { startedS: -10, seen: "web warming", name: "right" },
    { startedS: -3590, seen: "web 50", name: "some minutes behind it, or the VM was not heard at once" },
    { startedS: -3 * 3600, seen: "web warming", name: "hours behind it" },
    { startedS: -50 * 365 * 86_400, seen: "web warming", name: "at the beginning of time" },
  ])("is as old as it was seen to be when its host's clock was $name", ({ startedS, seen }) => {
    const fleet = new TestFleet().sample(":db", 0).at(10).sample(":db", 0).at(20);
    const startedMs = fleet.clock.wallMs() + startedS * 1000;
    fleet.info({ ":web": { startedMs } }).sample(":web", 0).at(60).sample(":web", 20);
    const observer = new Observer(fleet, { warmupS: 120 });
    expect(observer.tick().at(-1)).toBe(seen);
    fleet.at(140).sample(":web", 60);
    expect(observer.tick().at(-1)).toBe("web 50");
  });

  test("is young again after a restart, without info and with it", () => {
    for (const startedS of [null, 0, 7200]) {
      const fleet = new TestFleet().sample(":web", 0).at(600).sample(":web", 300).at(610);
      if (startedS !== null) fleet.info({ ":web": { startedMs: fleet.clock.wallMs() + startedS * 1000 } });
      fleet.sample(":web", 1).at(660).sample(":web", 26);
      const observer = new Observer(fleet, { warmupS: 120 });
      expect(observer.tick()).toEqual(["web warming"]);
      fleet.at(730).sample(":web", 61);
      expect(observer.tick()).toEqual(["web 50"]);
    }
  });

  test("is not held up by a host's clock that is ahead when there is no warm-up", () => {
    const fleet = new TestFleet();
    const startedMs = fleet.clock.wallMs() + 600_000;
    fleet.info({ ":web": { startedMs } }).sample(":web", 0).at(60).sample(":web", 30);
    expect(new Observer(fleet).tick()).toEqual(["web 50"]);
  });
});

describe("a reading from the state file", () => {
  const saved = (): Bases => {
    // Read 30 s before this process's first sample, after 100 s of CPU time.
    const point: CpuPoint = { cpuUs: 100e6, arrivalUs: -30e6 };
    const readings = new Map([[groupKey({ host: "h", path: "", group: "web" }), [{ cloneId: 0, ...point }]]]);
    return { ...NO_BASES, tickUs: -30e6, readings };
  };

  test("is where the first window begins", () => {
    const fleet = expecting(":web").sample(":web", 110).at(30).sample(":web", 130);
    const observer = new Observer(fleet);
    observer.bases = saved();
    expect(observer.tick()).toEqual(["web 50"]);
  });

  test("is not, of a VM that the fleet did not expect: another one has the name now", () => {
    const fleet = new TestFleet().sample(":web", 110).at(30).sample(":web", 140);
    const observer = new Observer(fleet);
    observer.bases = saved();
    expect(observer.tick()).toEqual(["web 100"]);
  });

  test("is not, when nothing can have used so much CPU since then", () => {
    const fleet = expecting(":web")
      .sample(":web", 1e9)
      .at(30)
      .sample(":web", 1e9 + 15);
    const observer = new Observer(fleet);
    observer.bases = saved();
    expect(observer.tick()).toEqual(["web 50"]);
  });

  test("is not, when a step since cannot be", () => {
    const fleet = expecting(":web").sample(":web", 110).at(10).sample(":web", 1e9);
    fleet.at(40).sample(":web", 1e9 + 15);
    const observer = new Observer(fleet);
    observer.bases = saved();
    expect(observer.tick()).toEqual(["web warming"]);
  });

  test("is not, when the counter is below it: the VM restarted meanwhile", () => {
    const fleet = expecting(":web").sample(":web", 10).at(30).sample(":web", 40);
    const observer = new Observer(fleet);
    observer.bases = saved();
    expect(observer.tick()).toEqual(["web 100"]);
  });

  test("is not, when the VM was seen to restart since", () => {
    const fleet = expecting(":web").sample(":web", 110).at(1).sample(":web", 0).at(31).sample(":web", 30);
    const observer = new Observer(fleet);
    observer.bases = { ...saved(), tickUs: -20e6 };
    expect(observer.tick()).toEqual(["web 100"]);
  });

  test("is not, when info says that the VM started at another time than then", () => {
    const fleet = expecting(":web", { startedMs: 1_000 }).info({ ":web": { startedMs: 2_000 } });
    fleet.sample(":web", 110).at(30).sample(":web", 140);
    const observer = new Observer(fleet);
    observer.bases = saved();
    expect(observer.tick()).toEqual(["web 100"]);
  });

  test("is not, when info says so only after the first sample", () => {
    const fleet = expecting(":web", { startedMs: 1_000 }).sample(":web", 110).at(5);
    fleet
      .info({ ":web": { startedMs: 2_000 } })
      .at(10)
      .sample(":web", 115)
      .at(40)
      .sample(":web", 145);
    const observer = new Observer(fleet);
    observer.bases = { ...saved(), tickUs: -10e6 };
    expect(observer.tick()).toEqual(["web 100"]);
  });
});

/** A fleet that knows from the state file that this VM was alive. */
function expecting(vm: string, before: Partial<ExpectedVm> = {}): TestFleet {
  return new TestFleet().expect(vm, { heardUs: -1e6, firstSeenUs: -900e6, ...before });
}

describe("clones that were decided to go", () => {
  /** web and web-clone-1, and what a tick every minute sees of them when this one sends, with what is remembered of them. */
  const group = () => {
    const fleet = new TestFleet().sample(":web", 0).sample(":web-clone-1", 0).at(60);
    fleet.sample(":web", 30).sample(":web-clone-1", 30);
    const observer = new Observer(fleet);
    observer.tick();
    let atS = 60;
    const minute = (vms: readonly string[], state: Partial<GroupState>) => {
      atS += 60;
      observer.state = state;
      fleet.at(atS);
      for (const vm of vms) fleet.sample(vm, atS / 2);
      return observer.tick();
    };
    return { fleet, observer, minute };
  };
  const removing: Partial<GroupState> = { outstanding: outstanding("scale_down underloaded", 1) };
  const buried: Partial<GroupState> = { tombstones: [{ cloneId: 1, untilMs: 1e9 }] };
  const both = ["web 50", "web-clone-1 missing"];

  test.each([
    { name: "the one that is asked to", state: removing, gone: true },
    { name: "one with a tombstone", state: buried, gone: true },
    {
      name: "not one whose tombstone is over",
      state: { tombstones: [{ cloneId: 1, untilMs: 120_000 }] },
      gone: false,
    },
    {
      name: "not one that is asked to come",
      state: { outstanding: outstanding("scale_up overloaded", 1) },
      gone: false,
    },
    { name: "not another", state: { outstanding: outstanding("scale_down underloaded", 2) }, gone: false },
  ])("are gone when they miss two ticks: $name", ({ state, gone }) => {
    const { minute } = group();
    expect(minute([":web"], state)).toEqual(both);
    expect(minute([":web"], state)).toEqual(gone ? ["web 50"] : both);
  });

  test("are not, when the primary was not heard at one of them either", () => {
    const { minute } = group();
    minute([":web"], removing);
    expect(minute([], removing)).toEqual(["web missing", "web-clone-1 missing"]);
    expect(minute([":web"], removing)).toEqual(["web 50"]);
  });

  test("are not, when they were heard in between", () => {
    const { minute } = group();
    minute([":web"], removing);
    minute([":web", ":web-clone-1"], removing);
    expect(minute([":web"], removing)).toEqual(both);
  });

  test("are not for ticks that they missed before it was decided", () => {
    const { minute } = group();
    minute([":web"], {});
    minute([":web"], {});
    expect(minute([":web"], removing)).toEqual(both);
    expect(minute([":web"], {})).toEqual(both);
    expect(minute([":web"], removing)).toEqual(both);
    expect(minute([":web"], removing)).toEqual(["web 50"]);
  });

  test("stay gone when nothing says so any more, until they are heard", () => {
    const { minute } = group();
    minute([":web"], buried);
    minute([":web"], buried);
    expect(minute([":web"], {})).toEqual(["web 50"]);
    expect(minute([":web", ":web-clone-1"], {})).toEqual(["web 50", "web-clone-1 warming"]);
    expect(minute([":web", ":web-clone-1"], {})).toEqual(["web 50", "web-clone-1 50"]);
    expect(minute([":web"], {})).toEqual(both);
  });

  test("are there again when info lists another one of the name, before it is heard", () => {
    const { fleet, minute } = group();
    minute([":web"], buried);
    expect(minute([":web"], buried)).toEqual(["web 50"]);
    fleet.info({ ":web-clone-1": {} });
    for (const _ of [1, 2, 3]) expect(minute([":web"], buried)).toEqual(["web 50", "web-clone-1 warming"]);
  });

  test("are not in a group without a primary: nobody tells whether the host was heard", () => {
    const fleet = new TestFleet().sample(":web-clone-1", 0).at(60).sample(":web-clone-1", 30);
    const observer = new Observer(fleet);
    expect(observer.tick()).toEqual(["web-clone-1 50"]);
    observer.state = buried;
    for (const s of [120, 180, 240]) {
      fleet.at(s);
      expect(observer.tick()).toEqual(["web-clone-1 missing"]);
    }
  });

  test("keep their id while info lists them", () => {
    const fleet = new TestFleet().info({ ":web": {}, ":web-clone-7": {} });
    fleet.sample(":web", 0).sample(":web-clone-7", 0).at(60).sample(":web", 30).sample(":web-clone-7", 30);
    const observer = new Observer(fleet);
    observer.tick();
    observer.state = { tombstones: [{ cloneId: 7, untilMs: 1e9 }] };
    fleet.at(120).sample(":web", 60);
    observer.tick();
    expect(fleet.at(180).sample(":web", 90) && observer.tick()).toEqual(["web 50"]);
    expect(observer.observations).toMatchObject([{ highestListedId: 7 }]);
    fleet.at(210).info({ ":web": {} }).at(240).sample(":web", 120);
    observer.tick();
    expect(observer.observations).toMatchObject([{ highestListedId: 0 }]);
  });
});

describe("a VM that info lists and that has sent nothing", () => {
  test("is a member: warming for death_timeout after it was first listed, then silent", () => {
    const listed = { ":web": {}, ":web-clone-2": {} };
    const fleet = new TestFleet().sample(":web", 0).at(10).info(listed).at(60).sample(":web", 30);
    const observer = new Observer(fleet);
    expect(observer.tick()).toEqual(["web 50", "web-clone-2 warming"]);
    fleet.at(900).info(listed).sample(":web", 450).at(909.999);
    expect(observer.tick()).toEqual(["web 50", "web-clone-2 warming"]);
    fleet.at(910);
    expect(observer.tick()[1]).toBe("web-clone-2 silent");
    expect(observer.observations).toMatchObject([{ highestListedId: 2 }]);
    fleet.at(920).info({ ":web": {} });
    expect(observer.tick()).toEqual(["web missing"]);
    expect(observer.observations).toMatchObject([{ highestListedId: 0 }]);
  });

  test("is not gone for ticks that it misses while it is warming", () => {
    const fleet = new TestFleet().info({ ":web": {}, ":web-clone-2": {} }).sample(":web", 0);
    const observer = new Observer(fleet);
    observer.state = { tombstones: [{ cloneId: 2, untilMs: 1e9 }] };
    for (const s of [60, 120, 180]) {
      fleet.at(s).sample(":web", s / 2);
      expect(observer.tick()).toEqual(["web 50", "web-clone-2 warming"]);
    }
  });

  test("as the primary makes no orphans, nor does it tell that its host was heard", () => {
    const fleet = new TestFleet().info({ ":web": {} }).sample(":web-clone-1", 0).at(60);
    fleet.sample(":web-clone-1", 30);
    const observer = new Observer(fleet);
    expect(observer.tick()).toEqual(["web-clone-1 warming", "web warming"]);
    expect(fleet.group("web").orphaned).toBe(false);
    observer.state = { tombstones: [{ cloneId: 1, untilMs: 1e9 }] };
    for (const s of [120, 180, 240]) {
      fleet.at(s);
      expect(observer.tick()).toEqual(["web-clone-1 missing", "web warming"]);
    }
  });

  test("may be the only one of its group", () => {
    const fleet = new TestFleet().sample(":db", 0).sample(":zoo", 0).info({ ":db": {}, ":web-clone-3": {} });
    const observer = new Observer(fleet);
    observer.tick();
    expect(observer.observations.map(({ group, highestListedId }) => [group, highestListedId])).toEqual([
      ["db", 0],
      ["web", 3],
      ["zoo", 0],
    ]);
  });
});

describe("cores", () => {
  /** A minute in which VMs use so many percent of one CPU each, pinned to these cores. */
  const minute = (
    vms: Readonly<Record<string, { cpuids: number[]; numcpus?: number; percent: number | null }>>,
  ) => {
    const fleet = new TestFleet().info(vms);
    for (const vm of Object.keys(vms)) fleet.sample(vm, 0);
    fleet.at(60);
    for (const [vm, { percent }] of Object.entries(vms))
      if (percent !== null) fleet.sample(vm, (60 * percent) / 100);
    const observer = new Observer(fleet);
    observer.tick();
    return observer.observations.map(({ members, leastUsedCpu }) => ({
      starved: members.filter((member) => member.starved).map(({ vm }) => vm),
      leastUsedCpu,
    }));
  };

  test("are used up by several VMs together, of whatever groups: all of them are starved", () => {
    expect(
      minute({
        ":db": { cpuids: [0], percent: 60 },
        ":web": { cpuids: [0], percent: 35 },
        ":web-clone-1": { cpuids: [1], percent: 30 },
      }),
    ).toEqual([
      { starved: ["db"], leastUsedCpu: { cpu: 1, usagePercent: 30 } },
      { starved: ["web"], leastUsedCpu: { cpu: 1, usagePercent: 30 } },
    ]);
  });

  test("are used up by young ones, too", () => {
    const pins = { ":web": { cpuids: [0] }, ":web-clone-1": { cpuids: [0] } };
    const fleet = new TestFleet().info(pins).sample(":web", 0).at(60).sample(":web", 50);
    const observer = new Observer(fleet, { warmupS: 100 });
    observer.tick();
    fleet.sample(":web-clone-1", 0).at(120).sample(":web", 80).sample(":web-clone-1", 30);
    expect(observer.tick()).toEqual(["web 50", "web-clone-1 warming"]);
    expect(observer.observations[0]?.leastUsedCpu).toEqual({ cpu: 0, usagePercent: 100 });
    expect(observer.observations[0]?.members[0]?.starved).toBe(true);
  });

  test("below 95 % have something left", () => {
    expect(minute({ ":web": { cpuids: [0], percent: 94.9 } })[0]?.starved).toEqual([]);
    expect(minute({ ":web": { cpuids: [0], percent: 95 } })[0]?.starved).toEqual(["web"]);
    const shares = { ":a": 16.4, ":b": 47.8, ":c": 30.8 };
    const three = Object.entries(shares).map(([vm, percent]) => [vm, { cpuids: [0], percent }]);
    expect(minute(Object.fromEntries(three)).map(({ starved }) => starved)).toEqual([["a"], ["b"], ["c"]]);
  });

  test("have each an equal part of a VM that is pinned to several: all of them have to be used up", () => {
    const wide = { cpuids: [0, 1], numcpus: 2, percent: 150 };
    expect(minute({ ":db": { cpuids: [1], percent: 20 }, ":web": wide })).toEqual([
      { starved: ["db"], leastUsedCpu: { cpu: 0, usagePercent: 75 } },
      { starved: [], leastUsedCpu: { cpu: 0, usagePercent: 75 } },
    ]);
    const all = minute({
      ":a": { cpuids: [0], percent: 20 },
      ":db": { cpuids: [1], percent: 20 },
      ":web": wide,
    });
    expect(all.map(({ starved }) => starved)).toEqual([["a"], ["db"], ["web"]]);
  });

  test("of a host are told by the lowest number where several have the least on them", () => {
    expect(
      minute({ ":a": { cpuids: [3], percent: 20 }, ":b": { cpuids: [1], percent: 20 } })[0],
    ).toMatchObject({
      leastUsedCpu: { cpu: 1, usagePercent: 20 },
    });
  });

  test("of which nothing is known starve nobody, and are not the least used", () => {
    expect(minute({ ":a": { cpuids: [0], percent: null }, ":b": { cpuids: [], percent: 100 } })).toEqual([
      { starved: [], leastUsedCpu: null },
      { starved: [], leastUsedCpu: null },
    ]);
  });

  test("are of one host: another's have the same numbers", () => {
    const fleet = new TestFleet().info({ ":web": { cpuids: [0] } });
    fleet.sample(":web", 0).sample(":web", 0, {}, "other").at(60);
    fleet.sample(":web", 60).sample(":web", 60, {}, "other");
    const observer = new Observer(fleet);
    observer.tick();
    expect(observer.observations.map(({ leastUsedCpu }) => leastUsedCpu?.usagePercent ?? null)).toEqual([
      100,
      null,
    ]);
  });
});
