import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { VmInfo, VmRecord } from "../../src/fleet/types.ts";
import {
  FRESH_STATE,
  type GroupState,
  groupKey,
  type Outstanding,
  type RememberedGroup,
} from "../../src/scaler/rules/types.ts";
import { type Bases, groupOfVm, NO_BASES } from "../../src/scaler/sources/fleet.ts";
import { parseState, type Restored, restoreState, statePieces } from "../../src/scaler/state/savedState.ts";
import { parseName } from "../../src/wire/names.ts";
import { hostRecord, record } from "../exporter/records.ts";
import { ours, outstanding } from "./rules.ts";

const WALL_MS = Date.parse("2026-01-01T00:00:00Z");
const NOW_US = 5_000_000_000;
const POLL_MS = 60_000;
const WEB = { host: "h", path: "user", group: "web" };

interface Saved {
  readonly state?: Partial<GroupState>;
  readonly vms?: readonly VmRecord[];
  readonly lastHold?: string;
}

/** The state file after a tick at NOW_US that left this state of the one group, user:web on host h. */
function saved({ state = {}, vms = [], lastHold }: Saved): string {
  const groups = new Map([
    [groupKey(WEB), { key: groupKey(WEB), ...WEB, state: { ...FRESH_STATE, ...state } }],
  ]);
  const readings = new Map(
    vms.map((vm) => {
      const { cpuUs } = vm;
      const { arrivalUs } = vm.sample;
      const reading = { cloneId: vm.cloneId, cpuUs: cpuUs ?? 0, arrivalUs };
      return [groupKey(groupOfVm(vm)), [reading]];
    }),
  );
  return textOf({ groups, bases: { tickUs: NOW_US, readings, missedTicks: new Map() } }, vms, lastHold);
}

interface Memory {
  readonly groups: ReadonlyMap<string, RememberedGroup>;
  readonly bases: Bases;
}

function textOf({ groups, bases }: Memory, vms: readonly VmRecord[], lastHold: string | null = null): string {
  const hosts = [hostRecord("h", { infoAskedUs: NOW_US - 10_000_000 })];
  const snapshot = { nowUs: NOW_US, wallMs: WALL_MS, hosts, vms, unheard: [] };
  const targets = new Map([["h", "/run/h"]]);
  return [...statePieces({ groups, targets, fleet: { bases, snapshot }, lastHold: () => lastHold })].join("");
}

/** What another process makes of it, its monotonic clock 1 s old, so much wall time later. */
function restored(text: string, laterMs = 0): Restored {
  return restoreState(parseState(text), {
    now: { nowUs: 1_000_000, wallMs: WALL_MS + laterMs },
    pollIntervalMs: POLL_MS,
    deathTimeoutMs: 900_000,
    targets: new Map([["h", "/run/h"]]),
  });
}

function stateOf({ groups }: Restored): GroupState | undefined {
  return groups.get(groupKey(WEB))?.state;
}

/** A VM of one incarnation so far. */
function running(
  vm: string,
  change: Partial<VmRecord> & Pick<VmRecord, "firstSeenUs"> & { readonly arrivalUs: number },
): VmRecord {
  return record("h", "user", vm, {
    rateStart: { cpuUs: 0, arrivalUs: change.firstSeenUs },
    ...change,
  });
}

const web = running("web", { cpuUs: 1_234_567, arrivalUs: NOW_US - 3_000_001, firstSeenUs: 1 });

describe("a state file", () => {
  test("is JSON that a person can read, one group and one VM a line", () => {
    expect(saved({ vms: [web], lastHold: "normal" })).toMatchInlineSnapshot(`
      "{"version":2,"time_ms":1767225600000,"hosts":[{"host":"h","endpoint":"/run/h","info_ms":1767225590000}],"groups":[
      {"host":"h","path":"user","group":"web","high_ticks":0,"low_ticks":0,"last_action_ms":null,"outstanding":null,"failures":{"up":null,"down":null},"tombstones":[],"ours":[],"known_clones":null,"side":null,"row":0,"last_scale_up_ms":null,"last_scale_down_ms":null,"flap_factor":1,"last_hold":"normal"}],"members":[
      {"host":"h","name":"user:web","heard_ms":1767225596999.999,"first_seen_ms":1767220600000.001,"start_seen":false,"cpus":null,"cpuids":"","started_ms":null,"listed":false,"missed_infos":0,"unlisted_polls":0,"base":{"at_ms":1767225596999.999,"cpu_us":1234567},"missed_ticks":0}]}
      "
    `);
  });

  test("of version 1 is read", () => {
    const group = (facts: string) =>
      `{"version":1,"time_ms":${WALL_MS},"groups":[{"host":"h","path":"user","group":"web","high_ticks":2,"low_ticks":0,"last_action_ms":null,"tombstones":[],${facts},"last_hold":"normal"}],"members":[]}`;
    const up = `{"decision":"scale_up","reason":"overloaded","clone":"web-clone-3","clone_id":3,"since_ms":${WALL_MS}}`;
    const down = `{"decision":"scale_down","reason":"underloaded","clone":"web-clone-2","clone_id":2,"since_ms":${WALL_MS}}`;
    const read = (facts: string) => stateOf(restored(group(facts)));
    expect(
      read(`"outstanding":${up},"made_here":[2],"known_clones":[1,2],"out_of_bounds":"above"`),
    ).toMatchObject({
      outstanding: { cloneId: 3, step: 1, clonesThen: [1, 2] },
      ours: ours(2),
      side: "above",
      row: 1,
      highTicks: 2,
      flapFactor: 1,
    });
    expect(
      read(`"outstanding":${down},"made_here":[],"known_clones":null,"out_of_bounds":null`),
    ).toMatchObject({ outstanding: { cloneId: 2, step: 1, clonesThen: [2] }, ours: [], side: null, row: 0 });
    expect(() => parseState(group('"outstanding":null,"made_here":[0]'))).toThrow("groups.0");
  });

  test("of version 1 tells of VMs: one that was gone stays so, and that info was answered is seen from what it gave", () => {
    const member = (name: string, gone: boolean) =>
      `{"host":"h","name":"${name}","heard_ms":${WALL_MS},"first_seen_ms":${WALL_MS},"cpus":2,"started_ms":7,"listed":true,"missed_infos":1,"base":null,"gone":${gone}}`;
    const members = [member("user:web", false), member("user:web-clone-1", true)];
    const after = restored(`{"version":1,"time_ms":${WALL_MS},"groups":[],"members":[${members}]}`);
    expect(after.bases.missedTicks).toEqual(new Map([["h\nuser:web-clone-1", 2]]));
    expect(after.infoAskedUs).toEqual(new Map([["h", 1_000_000]]));
    expect(after.expected.map(({ isAwaited }) => isAwaited)).toEqual([true, false]);
    const pins = { cpus: 2, cpuids: "" };
    expect(after.expected).toMatchObject([
      { before: { pins, startedMs: 7, listed: true, missedInfos: 1, unlistedPolls: 0, cpuUs: null } },
      {},
    ]);
  });

  const ms = fc.integer({ min: 0, max: NOW_US / 1000 });
  const cloneId = fc.integer({ min: 1, max: 999_999_999 });
  const outstanding: fc.Arbitrary<Outstanding> = fc
    .record({
      up: fc.boolean(),
      load: fc.boolean(),
      cloneId,
      sinceMs: ms,
      step: fc.integer({ min: 1 }),
      clonesThen: fc.array(cloneId),
    })
    .map(({ up, load, ...facts }): Outstanding => {
      const asked = { clone: `web-clone-${facts.cloneId}`, ...facts };
      return up
        ? { decision: "scale_up", reason: load ? "overloaded" : "below_min", ...asked }
        : { decision: "scale_down", reason: load ? "underloaded" : "above_max", ...asked };
    });
  const failures = fc.record({ inARow: fc.integer({ min: 1, max: 99 }), sinceMs: ms });
  const groupState: fc.Arbitrary<GroupState> = fc.record({
    highTicks: fc.nat(),
    lowTicks: fc.nat(),
    lastActionMs: fc.option(ms),
    outstanding: fc.option(outstanding),
    tombstones: fc.array(
      fc.record({ cloneId, untilMs: fc.integer({ min: 0, max: NOW_US / 1000 + 900_000 }) }),
    ),
    ours: fc.array(fc.record({ cloneId, goneMs: fc.option(ms) })),
    knownClones: fc.option(fc.array(cloneId)),
    side: fc.constantFrom("above", "below", null),
    row: fc.nat(),
    flapFactor: fc.constantFrom(1, 2, 1024),
    lastScaleUpMs: fc.option(ms),
    lastScaleDownMs: fc.option(ms),
    action: fc.constant(null),
    failures: fc.record({ up: fc.option(failures), down: fc.option(failures) }),
  });
  const groupName = fc.record({
    host: fc.constantFrom("h", "host two"),
    path: fc.constantFrom("", "user", "user:sub"),
    group: fc.stringMatching(/^[a-z0-9.][a-z0-9.-]{0,20}$/),
  });

  test("gives back every state of every group, in the process that wrote it", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(groupName, groupState)), (all) => {
        const groups = new Map(
          all.map(([name, state]) => [groupKey(name), { key: groupKey(name), ...name, state }]),
        );
        const text = textOf({ groups, bases: { ...NO_BASES, tickUs: NOW_US } }, []);
        const after = restoreState(parseState(text), {
          now: { nowUs: NOW_US, wallMs: WALL_MS },
          pollIntervalMs: POLL_MS,
          deathTimeoutMs: 900_000,
          targets: new Map([
            ["h", "/run/h"],
            ["host two", "/run/2"],
          ]),
        });
        expect(after.groups).toEqual(groups);
        expect(after.bases.tickUs).toBe(NOW_US);
      }),
    );
  });

  const usage = fc.record({
    cpuUs: fc.maxSafeNat(),
    agoUs: fc.integer({ min: 0, max: 800_000_000 }),
    ageUs: fc.integer({ min: 0, max: 4_000_000_000 }),
    cpus: fc.option(fc.integer({ min: 1, max: 64 })),
    startedMs: fc.option(fc.integer({ min: 0, max: WALL_MS })),
    missedInfos: fc.integer({ min: 0, max: 1 }),
  });

  test("gives back every VM's reading, age and CPUs, in another process a while later", () => {
    fc.assert(
      fc.property(fc.array(usage, { maxLength: 5 }), fc.integer({ min: 0, max: 100_000 }), (all, laterMs) => {
        const vms = all.map(({ cpuUs, agoUs, ageUs, cpus, startedMs, missedInfos }, i) =>
          running(`vm-${i}`, {
            cpuUs,
            arrivalUs: NOW_US - agoUs,
            firstSeenUs: NOW_US - agoUs - ageUs,
            missedInfos,
            info: cpus === null ? null : infoOf(cpus, startedMs),
          }),
        );
        const { bases, expected } = restored(saved({ vms }), laterMs);
        const shiftUs = 1_000_000 - NOW_US - laterMs * 1000;
        for (const [i, vm] of vms.entries()) {
          const base = bases.readings
            .get(groupKey(groupOfVm(vm)))
            ?.find(({ cloneId }) => cloneId === vm.cloneId);
          const { cpuUs, info } = vm;
          const { arrivalUs } = vm.sample;
          const startedMs = info?.startedMs ?? null;
          expect(base).toMatchObject({ cpuUs, arrivalUs: arrivalUs + shiftUs });
          // as old as it was seen, or as info says if that is more
          const startedUs = startedMs === null ? vm.firstSeenUs : NOW_US + (startedMs - WALL_MS) * 1000;
          const bornUs = Math.min(vm.firstSeenUs, startedUs);
          expect(expected[i]).toEqual({
            host: "h",
            name: parseName(vm.fullName),
            before: {
              heardUs: arrivalUs + shiftUs,
              firstSeenUs: Math.min(arrivalUs, bornUs) + shiftUs,
              startSeen: false,
              startedMs,
              cpuUs,
              pins: info === null ? null : { cpus: info.cpus, cpuids: "0" },
              listed: false,
              missedInfos: vm.missedInfos,
              unlistedPolls: 0,
            },
            isAwaited: arrivalUs > NOW_US - POLL_MS * 1000,
          });
        }
      }),
    );
  });
});

function infoOf(cpus: number, startedMs: number | null): VmInfo {
  return { type: "solo5", digest: "", cpuids: "0", memoryLimitBytes: 0, cpus, blockDevices: 0, startedMs };
}

describe("counters, bounds and readings", () => {
  const state: Partial<GroupState> = { highTicks: 2, lowTicks: 3, knownClones: [1], side: "above", row: 1 };

  test.each([0, 59_999, 119_999])("count in a file of %i ms", (ageMs) => {
    const after = restored(saved({ state, vms: [web], lastHold: "normal" }), ageMs);
    expect(stateOf(after)).toMatchObject(state);
    expect(after.bases.tickUs).toBe(1_000_000 - ageMs * 1000);
    expect(after.bases.readings.get(groupKey(WEB))?.[0]?.cpuUs).toBe(1_234_567);
    expect(after.lastHolds.get(groupKey(WEB))).toBe("normal");
  });

  test.each([120_000, 3_600_000])("do not count in a file of %i ms, two poll intervals or older", (ageMs) => {
    const after = restored(saved({ state, vms: [web] }), ageMs);
    expect(stateOf(after)).toMatchObject({
      highTicks: 0,
      lowTicks: 0,
      knownClones: null,
      side: null,
      row: 0,
    });
    expect(after.bases.tickUs).toBeNull();
    expect(after.bases.readings.get(groupKey(WEB))?.[0]).toBeUndefined();
    // but the VM is known to have been there
    expect(after.expected).toHaveLength(1);
  });
});

describe("cooldowns, decisions and tombstones", () => {
  const nowMs = NOW_US / 1000;
  const up: Outstanding = {
    decision: "scale_up",
    reason: "overloaded",
    clone: "web-clone-1",
    cloneId: 1,
    step: 1,
    clonesThen: [],
    sinceMs: nowMs - 30_000,
  };
  const state: Partial<GroupState> = {
    lastActionMs: nowMs - 30_000,
    outstanding: up,
    tombstones: [{ cloneId: 3, untilMs: nowMs + 600_000 }],
    ours: ours(2),
  };
  const text = saved({ state });

  test.each([0, 100_000, 86_400_000])("go on for as long as they would have, %i ms later", (laterMs) => {
    expect(stateOf(restored(text, laterMs))).toMatchObject({
      lastActionMs: 1_000 - 30_000 - laterMs,
      outstanding: { ...up, sinceMs: 1_000 - 30_000 - laterMs },
      tombstones: [{ cloneId: 3, untilMs: 1_000 + 600_000 - laterMs }],
      ours: ours(2),
    });
  });

  test.each([-3_600_000, -86_400_000 * 365])(
    "of a clock that was set back by %i ms begin now at the latest: none lasts longer than its period",
    (laterMs) => {
      const after = restored(text, laterMs);
      expect(stateOf(after)).toMatchObject({
        lastActionMs: 1_000,
        outstanding: { sinceMs: 1_000 },
        tombstones: [{ cloneId: 3, untilMs: 1_000 + 900_000 }],
      });
      expect(after.bases.tickUs).toBeNull();
    },
  );
});

describe("what is kept of a host", () => {
  const state = { highTicks: 1 };
  const at = (hosts: Readonly<Record<string, string>>, name = "h") =>
    saved({ state, vms: [web] })
      .replaceAll('"host":"h","path"', `"host":"${name}","path"`)
      .replaceAll('"host":"h","name"', `"host":"${name}","name"`)
      .replace(
        /"hosts":[^\]]*\],/,
        `"hosts":${JSON.stringify(Object.entries(hosts).map(([host, endpoint]) => ({ host, endpoint })))},`,
      );

  test.each([
    { name: "its target is where it was", text: at({ h: "/run/h" }), targets: { h: "/run/h" }, kept: "h" },
    { name: "its target is elsewhere", text: at({ h: "/run/old" }), targets: { h: "/run/h" }, kept: null },
    { name: "it is no target any more", text: at({ h: "/run/h" }), targets: { i: "/run/h" }, kept: null },
    { name: "the file does not say where", text: at({}), targets: { h: "/run/h" }, kept: "h" },
    { name: "local, now named", text: at({ local: "/a" }, "local"), targets: { m: "/a" }, kept: "m" },
    { name: "local, elsewhere", text: at({ local: "/a" }, "local"), targets: { m: "/b" }, kept: null },
    { name: "local, of an earlier program", text: at({}, "local"), targets: { m: "/b" }, kept: "m" },
    {
      name: "local, one of two now",
      text: at({ local: "/a" }, "local"),
      targets: { m: "/a", n: "/b" },
      kept: null,
    },
    {
      name: "local, still called so",
      text: at({ local: "/a" }, "local"),
      targets: { local: "/a" },
      kept: "local",
    },
  ])("$name: $kept", ({ text, targets, kept }) => {
    const after = restoreState(parseState(text), {
      now: { nowUs: 1_000_000, wallMs: WALL_MS },
      pollIntervalMs: POLL_MS,
      deathTimeoutMs: 900_000,
      targets: new Map(Object.entries(targets)),
    });
    const hosts = kept === null ? [] : [kept];
    expect([...after.groups.values()].map(({ host }) => host)).toEqual(hosts);
    expect(after.expected.map(({ host }) => host)).toEqual(hosts);
    expect(after.bases.readings.size).toBe(hosts.length);
  });
});

describe("VMs", () => {
  test("keep their CPUs over any number of restarts while info is out of reach", () => {
    const unasked = running("web", {
      arrivalUs: NOW_US,
      firstSeenUs: 1,
      cpus: 4,
      pinsBefore: { cpus: 4, cpuids: "0" },
    });
    expect(restored(saved({ vms: [unasked] })).expected).toMatchObject([
      { before: { pins: { cpus: 4, cpuids: "0" } } },
    ]);
  });

  test.each(["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])("may have been started in %s", (started) => {
    const info = infoOf(2, Date.parse(started));
    const text = saved({ vms: [running("web", { arrivalUs: NOW_US, firstSeenUs: 1, info })] });
    expect(parseState(text).members).toMatchObject([{ startedMs: Date.parse(started) }]);
  });

  test("of hosts that are no targets any more are not expected", () => {
    const other = record("elsewhere", "user", "web", { cpuUs: 1, arrivalUs: NOW_US });
    expect(restored(saved({ vms: [web, other] })).expected.map(({ host }) => host)).toEqual(["h"]);
  });
});

describe("a file from the future", () => {
  const nowMs = NOW_US / 1000;
  const text = saved({
    state: {
      highTicks: 2,
      lowTicks: 1,
      knownClones: [1],
      lastActionMs: nowMs - 3 * 3_600_000,
      side: "above",
      row: 1,
    },
    vms: [web],
  });

  test.each([-1, -3_600_000])("by %i ms counts nothing in a row, and cooldowns begin now", (laterMs) => {
    const after = restored(text, laterMs);
    expect(stateOf(after)).toMatchObject({
      highTicks: 0,
      lowTicks: 0,
      knownClones: null,
      side: null,
      row: 0,
      lastActionMs: 1_000,
    });
    expect([after.bases.tickUs, after.bases.readings.size]).toEqual([null, 0]);
    expect(after.expected).toMatchObject([{ before: { heardUs: 1_000_000, firstSeenUs: 1_000_000 } }]);
  });
});

describe("every wall time of a file", () => {
  const text = saved({
    state: {
      highTicks: 2,
      lastActionMs: NOW_US / 1000 - 30_000,
      outstanding: outstanding("scale_up overloaded", 1, { sinceMs: NOW_US / 1000 - 30_000 }),
      tombstones: [{ cloneId: 3, untilMs: NOW_US / 1000 + 600_000 }],
    },
    vms: [running("web", { arrivalUs: NOW_US - 1, firstSeenUs: 1, info: infoOf(2, WALL_MS - 60_000) })],
  });
  const times = [...text.matchAll(/"(\w+_ms)":(\d[\d.]*)/g)].map(([whole, key]) => ({ whole, key }));

  test("is tried here", () => {
    const keys = [
      "time_ms",
      "info_ms",
      "last_action_ms",
      "since_ms",
      "until_ms",
      "heard_ms",
      "first_seen_ms",
    ];
    expect(times.map(({ key }) => key)).toEqual([...keys, "started_ms", "at_ms"]);
  });

  test.each(
    times.flatMap((time) =>
      ["1", "-1e12", "1767225600001", "1798761600000", "8.64e15", "-4e12"].map((value) => ({
        ...time,
        value,
      })),
    ),
  )("is at most now when it is read back: $key $value", ({ whole, key, value }) => {
    const { groups, bases, expected, infoAskedUs } = restored(text.replace(whole, `"${key}":${value}`));
    const state = groups.get(groupKey(WEB))?.state;
    for (const ms of [state?.lastActionMs, state?.outstanding?.sinceMs])
      expect(ms).toBeLessThanOrEqual(1_000);
    expect(state?.tombstones[0]?.untilMs).toBeLessThanOrEqual(1_000 + 900_000);
    const usual = bases.readings.get(groupKey(WEB))?.[0]?.arrivalUs ?? 0;
    const [{ before } = { before: null }] = expected;
    for (const us of [
      bases.tickUs ?? 0,
      usual,
      before?.heardUs,
      before?.firstSeenUs,
      infoAskedUs.get("h") ?? 0,
    ]) {
      expect(us).toBeLessThanOrEqual(1_000_000);
      expect(Number.isSafeInteger(us)).toBe(true);
    }
    if (key === "time_ms") expect([state?.highTicks, bases.tickUs]).toEqual([0, null]);
  });

  test.each(
    times.flatMap((time) => ["1e300", "-8.64e15", '"1"', "true"].map((value) => ({ ...time, value }))),
  )("is no time at all: $key $value", ({ whole, key, value }) => {
    expect(() => parseState(text.replace(whole, `"${key}":${value}`))).toThrow(key);
  });
});
