import { describe, expect, test } from "vitest";
import type { ExpectedVm } from "../../src/fleet/types.ts";
import { parseName } from "../../src/wire/names.ts";
import { TestFleet } from "./testFleet.ts";

const HOST = "h";
const START_S = 1000;

/** A fleet of a program that started at 1000 s, with web last heard 10 s before. */
function restarted(known: Partial<ExpectedVm> & { heardS?: number; infoS?: number } = {}): TestFleet {
  const fleet = new TestFleet().at(START_S);
  const { heardS = START_S - 10, infoS, ...before } = known;
  if (infoS !== undefined) fleet.fleet.expectInfo(HOST, infoS * 1e6);
  fleet.fleet.expect(HOST, parseName("user:web-clone-2"), {
    ...ALIVE,
    heardUs: heardS * 1e6,
    firstSeenUs: 100e6,
    ...before,
  });
  return fleet;
}

const ALIVE: ExpectedVm = {
  heardUs: 0,
  firstSeenUs: 0,
  startSeen: false,
  startedMs: null,
  cpuUs: null,
  pins: null,
  listed: false,
  missedInfos: 0,
  unlistedPolls: 0,
};

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
        ...ALIVE,
        heardUs: 990e6,
        firstSeenUs: 100e6,
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
    fleet.fleet.expect(HOST, parseName("user:web"), ALIVE);
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
