import { describe, expect, test } from "vitest";
import type { ExpectedVm } from "../../src/fleet/types.ts";
import { TestFleet } from "./testFleet.ts";

const HOST = "h";
const START_S = 1000;

/** A fleet of a program that started at 1000 s, with web last heard 10 s before. */
function restarted(known: Partial<ExpectedVm> & { heardS?: number; infoS?: number } = {}): TestFleet {
  const fleet = new TestFleet().at(START_S);
  const { heardS = START_S - 10, infoS, ...before } = known;
  if (infoS !== undefined) fleet.fleet.expectInfo(HOST, infoS * 1e6);
  return fleet.expect("user:web-clone-2", { heardUs: heardS * 1e6, firstSeenUs: 100e6, ...before });
}

function unheard(fleet: TestFleet): [name: string, state: string][] {
  return fleet.snapshot().unheard.map(({ fullName, state }) => [fullName, state]);
}

describe("a VM that was alive when the program last ran", () => {
  test("is missing until it is heard, a member of its group without a sample", () => {
    const fleet = restarted();
    const snapshot = fleet.snapshot();
    expect(snapshot.unheard).toEqual([
      {
        host: HOST,
        path: "user",
        vm: "web-clone-2",
        fullName: "user:web-clone-2",
        primary: "web",
        cloneId: 2,
        heardUs: 990e6,
        firstSeenUs: 100e6,
        startSeen: false,
        startedMs: null,
        cpuUs: null,
        pins: null,
        listed: false,
        missedInfos: 0,
        unlistedPolls: 0,
        state: "missing",
        sample: null,
        usagePercent: null,
      },
    ]);
    expect([snapshot.vms, snapshot.served]).toEqual([[], []]);
    expect(fleet.group("web")).toMatchObject({ orphaned: true, clones: 1, usagePercent: null });
    expect(fleet.fleet.sizes).toEqual({ vms: 0, departed: 0, unheard: 1 });
  });

  test("is a VM like any other once heard, first seen when it was", () => {
    const fleet = restarted()
      .at(START_S + 5)
      .sample("user:web-clone-2", 1);
    expect(unheard(fleet)).toEqual([]);
    expect(fleet.vm("user:web-clone-2")).toMatchObject({ firstSeenUs: 100e6, isResumed: true, restarts: 0 });
  });

  test("keeps the number of CPUs that info once gave, for the next run of the program as well", () => {
    const fleet = restarted({ pins: { cpus: 4, cpuids: "0" } }).sample("user:web-clone-2", 1);
    expect(fleet.vm("user:web-clone-2")).toMatchObject({ info: null, cpus: 4, pinsBefore: { cpus: 4 } });
  });

  test("is not expected when it has been heard already", () => {
    const fleet = new TestFleet().at(START_S).sample("user:web", 1);
    fleet.expect("user:web");
    expect(unheard(fleet)).toEqual([]);
  });

  test("is gone after death_timeout of silence", () => {
    const fleet = restarted({ heardS: START_S - 10 });
    expect(unheard(fleet.at(START_S + 889))).toHaveLength(1);
    expect(unheard(fleet.at(START_S + 890))).toEqual([]);
    // swept at some time later
    expect(unheard(fleet.at(START_S + 1200))).toEqual([]);
    expect(fleet.fleet.sizes.unheard).toBe(0);
  });

  test("is silent beyond death_timeout while unikernel info lists it", () => {
    const fleet = restarted()
      .at(START_S + 880)
      .info({ "user:web-clone-2": {} })
      .at(START_S + 900);
    expect(unheard(fleet)).toEqual([["user:web-clone-2", "silent"]]);
    expect(unheard(fleet.at(START_S + 880 + 900))).toEqual([]);
  });

  test("is silent as it was before, until unikernel info says otherwise", () => {
    const fleet = restarted({ heardS: START_S - 1000, listed: true, infoS: START_S - 20 });
    expect(unheard(fleet)).toEqual([["user:web-clone-2", "silent"]]);
    expect(unheard(fleet.at(START_S + 1).info({}))).toEqual([]);
    const unanswered = restarted({ heardS: START_S - 1000, listed: true, infoS: START_S - 20 });
    expect(unheard(unanswered.at(START_S + 880))).toEqual([]);
  });

  test("is gone when the infos that left it out before and after make two", () => {
    const fleet = restarted({ missedInfos: 1 })
      .at(START_S + 1)
      .info({});
    expect(unheard(fleet)).toEqual([]);
  });

  test("is gone when two unikernel infos in a row do not list it", () => {
    const fleet = restarted()
      .at(START_S + 1)
      .info({});
    expect(unheard(fleet)).toHaveLength(1);
    expect(
      unheard(
        fleet
          .at(START_S + 31)
          .info({ "user:web-clone-2": {} })
          .at(START_S + 61)
          .info({}),
      ),
    ).toHaveLength(1);
    expect(unheard(fleet.at(START_S + 91).info({}))).toEqual([]);
  });

  test("heard again after it was gone, it is new", () => {
    const fleet = restarted()
      .at(START_S + 900)
      .sample("user:web-clone-2", 1);
    expect(fleet.vm("user:web-clone-2").firstSeenUs).toBe((START_S + 900) * 1e6);
  });

  test("goes with its host", () => {
    const fleet = restarted();
    fleet.fleet.removeHost(HOST);
    expect(unheard(fleet)).toEqual([]);
  });
});

describe("the number of CPUs known from before", () => {
  test("is not proved wrong by more than one CPU's usage", () => {
    const fleet = restarted({ pins: { cpus: 4, cpuids: "0" } }).sample("user:web-clone-2", 0);
    fleet.at(START_S + 10).sample("user:web-clone-2", 50);
    expect(fleet.gauge("user:web-clone-2")).toBe(100);
    expect(fleet.warnings).toEqual([]);
  });

  test("holds until unikernel info says otherwise", () => {
    const fleet = restarted({ pins: { cpus: 4, cpuids: "0" } })
      .at(START_S + 5)
      .sample("user:web-clone-2", 1)
      .at(START_S + 15)
      .sample("user:web-clone-2", 21);
    expect(fleet.gauge("user:web-clone-2")).toBe(50);
    fleet.info({ "user:web-clone-2": { numcpus: 2 } });
    expect(fleet.gauge("user:web-clone-2")).toBe(100);
  });

  test("shows that the host's albatrossd has answered: a new VM waits to be listed", () => {
    const fleet = restarted({ infoS: START_S - 20 })
      .at(START_S + 5)
      .sample("user:new", 1)
      .at(START_S + 15)
      .sample("user:new", 2);
    expect(fleet.state("user:new")).toBe("warming");
    expect(restarted().at(START_S).sample("user:new", 1).vm("user:new").cpus).toBe(1);
  });
});

describe("a VM that restarted while the program was away", () => {
  const known: Partial<ExpectedVm> = { cpuUs: 500e6, startedMs: 1_000, pins: { cpus: 1, cpuids: "0" } };
  const web = "user:web-clone-2";
  const now = START_S * 1e6;
  const resumed = { isResumed: true, firstSeenUs: 100e6, restarts: 0 };
  const anew = { isResumed: false, firstSeenUs: now, restarts: 1, startSeen: false };

  test("shows by a counter below the one that was saved", () => {
    expect(restarted(known).sample(web, 499).vm(web)).toMatchObject({ ...anew, startedMs: null });
    expect(restarted(known).sample(web, 501).vm(web)).toMatchObject({ ...resumed, startedMs: 1_000 });
  });

  test("shows by another start in an info before its first sample", () => {
    const told = (startedMs: number) =>
      restarted(known)
        .info({ [web]: { startedMs } })
        .sample(web, 501)
        .vm(web);
    expect(told(2_000)).toMatchObject({ ...anew, startedMs: 2_000 });
    expect(told(1_000)).toMatchObject({ ...resumed, startedMs: 1_000 });
  });

  test("shows by another start in an info after it, and is as old as that then", () => {
    const fleet = restarted(known)
      .sample(web, 501)
      .at(START_S + 5);
    fleet.info({ [web]: { startedMs: 2_000 } });
    expect(fleet.vm(web)).toMatchObject({ isResumed: false, restarts: 1, rateStart: null });
    fleet.at(START_S + 10).sample(web, 502);
    expect(fleet.vm(web)).toMatchObject({ ...anew, firstSeenUs: now + 10e6, startedMs: 2_000 });
  });

  test("counts once, whichever of the two comes first", () => {
    const fleet = restarted(known)
      .sample(web, 1)
      .at(START_S + 5);
    fleet.info({ [web]: { startedMs: 2_000 } });
    expect(fleet.vm(web)).toMatchObject({ restarts: 1, firstSeenUs: now, startedMs: 2_000 });
  });

  test("did not, where info denies a small decrease", () => {
    const fleet = restarted(known).sample(web, 499.5);
    expect(fleet.vm(web)).toMatchObject({ restarts: 0, firstSeenUs: 100e6 });
    fleet.at(START_S + 5).info({ [web]: { startedMs: 1_000 } });
    expect(fleet.vm(web)).toMatchObject({ restarts: 0, firstSeenUs: 100e6 });
    expect(fleet.implausibleSteps()).toEqual({ usage: 0, decrease: 1 });
  });
});

describe("a VM that info lists and that has not been heard", () => {
  const listed = { "user:web": {}, "user:web-clone-2": {} };

  test("counts in its group, without a usage, and is not served", () => {
    const fleet = new TestFleet().sample("user:web", 0).at(10).sample("user:web", 5).info(listed);
    const group = fleet.group("web");
    expect(group).toMatchObject({ clones: 1, orphaned: false, usagePercent: 50 });
    expect(group.members.map(({ record, role, state }) => [record.vm, role, state])).toEqual([
      ["web", "primary", "fresh"],
      ["web-clone-2", "clone", "warming"],
    ]);
    expect(fleet.served()).toEqual(["user:web"]);
    expect(fleet.fleet.sizes).toEqual({ vms: 1, departed: 0, unheard: 0 });
  });

  test("is silent death_timeout after it was first listed, whatever it was listed as since", () => {
    const fleet = new TestFleet().at(5).info(listed).at(800);
    fleet.info({ "user:web": {}, "user:web-clone-2": { startedMs: 7, numcpus: 2 } });
    expect(unheard(fleet.at(904.999)).map(([, state]) => state)).toEqual(["warming", "warming"]);
    expect(unheard(fleet.at(905)).map(([, state]) => state)).toEqual(["silent", "silent"]);
  });

  test("is gone when an info leaves it out, or when vmmd has not answered for death_timeout", () => {
    const fleet = new TestFleet().info(listed).at(30).info({ "user:web": {} });
    expect(unheard(fleet)).toEqual([["user:web", "warming"]]);
    expect(unheard(fleet.at(929))).toEqual([["user:web", "silent"]]);
    expect(unheard(fleet.at(930))).toEqual([]);
  });

  test("is a VM like any other once heard: it has just begun, and has the CPUs that info gave", () => {
    const fleet = new TestFleet()
      .info({ "user:web": { numcpus: 4 } })
      .at(20)
      .sample("user:web", 3);
    expect(unheard(fleet)).toEqual([]);
    expect(fleet.vm("user:web")).toMatchObject({ firstSeenUs: 20e6, cpus: 4, restarts: 0, isResumed: false });
  });

  test.each([0, 1])("is so again after it was gone, snapshots taken meanwhile or not: %i", (snapshots) => {
    const fleet = new TestFleet().sample("user:web", 0).sample("user:db", 0).at(899).sample("user:db", 0);
    fleet.at(1000);
    for (let i = 0; i < snapshots; i++) fleet.snapshot();
    fleet.info({ "user:web": {} });
    expect(fleet.state("user:web")).toBe("gone");
    expect(unheard(fleet)).toEqual([["user:web", "warming"]]);
  });

  test("of an earlier run is known until info says otherwise", () => {
    const fleet = restarted({ heardUs: null, firstSeenUs: 200e6, listed: true, infoS: START_S - 20 });
    expect(unheard(fleet)).toEqual([["user:web-clone-2", "warming"]]);
    fleet.at(1099).info({ "user:web-clone-2": {} });
    expect(unheard(fleet.at(1099.9))).toEqual([["user:web-clone-2", "warming"]]);
    expect(unheard(fleet.at(1100))).toEqual([["user:web-clone-2", "silent"]]);
    expect(unheard(fleet.info({}))).toEqual([]);
  });
});
