import { describe, expect, test } from "vitest";
import { policyRecordFrom, vmInfoFrom } from "../../src/fleet/vmInfo.ts";
import type { Policy, UnikernelInfo } from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { makeInfo } from "../support/stats.ts";
import { TestFleet } from "./testFleet.ts";

describe("what is kept of unikernel info", () => {
  test("the digest of a solo5 image is hex", () => {
    const digest = Uint8Array.from([0x00, 0xab, 0xff]);
    expect(vmInfoFrom(makeInfo({ digest })).digest).toBe("00abff");
  });

  test("the digest of a bhyve VM is its name, as text", () => {
    const bhyve = (digest: Buffer) => vmInfoFrom(makeInfo({ typ: "bhyve", digest })).digest;
    expect(bhyve(Buffer.from("debian"))).toBe("debian");
    expect(bhyve(Buffer.from([0x61, 0xff]))).toBe("a\uFFFD");
  });

  test("cpuids are ascending as numbers", () => {
    expect(vmInfoFrom(makeInfo({ cpuids: [10, 2n ** 60n, 0, 2] })).cpuids).toBe("0,2,10,1152921504606846976");
    expect(vmInfoFrom(makeInfo({ cpuids: [] })).cpuids).toBe("");
  });

  test("memory is bytes, and keeps every digit", () => {
    expect(vmInfoFrom(makeInfo({ memory: 512 })).memoryLimitBytes).toBe(536_870_912);
    expect(vmInfoFrom(makeInfo({ memory: 2n ** 61n + 1n })).memoryLimitBytes).toBe(2n ** 81n + 2n ** 20n);
  });

  test.each([
    [1, 1],
    [4, 4],
    [0, 1],
    [-2, 1],
    [2n ** 60n, 1],
  ])("%s CPUs are taken as %i", (numcpus, cpus) => {
    expect(vmInfoFrom(makeInfo({ numcpus })).cpus).toBe(cpus);
  });

  test("arguments are not kept", () => {
    const info = vmInfoFrom(makeInfo({ argv: ["--password=hunter2"] }));
    expect(JSON.stringify(info)).not.toContain("hunter2");
    expect(Object.keys(info).sort()).toEqual(
      ["blockDevices", "cpuids", "cpus", "digest", "memoryLimitBytes", "startedMs", "type"].sort(),
    );
  });

  test.each<[string, Partial<UnikernelInfo>]>([
    ["a solo5 unikernel", { cpuids: [2] }],
    ["a bhyve VM", { typ: "bhyve", digest: Buffer.from("debian"), cpuids: [0, 1], numcpus: 2 }],
    ["huge numbers", { memory: 2n ** 61n + 1n, cpuids: [1, 2n ** 60n], numcpus: 2n ** 60n }],
    ["nothing", { cpuids: [], digest: new Uint8Array(), startedMs: null }],
  ])("is the same object as long as info says the same, of %s", (_, of) => {
    const info = makeInfo({ startedMs: 5, ...of });
    const known = vmInfoFrom(info);
    expect(vmInfoFrom({ ...info, digest: Uint8Array.from(info.digest), argv: ["x"] }, known)).toBe(known);
    const changes: Partial<UnikernelInfo>[] = [
      { startedMs: 6 },
      { numcpus: 3 },
      { blockDevices: [{ unikernelDevice: "a", hostDevice: "a", sectorSize: 512, size: 1 }] },
      { memory: 33 },
      { cpuids: [3] },
      { typ: info.typ === "solo5" ? "bhyve" : "solo5" },
      { digest: Uint8Array.from([...info.digest.slice(1), 0x0a]) },
      { digest: Uint8Array.from([...info.digest, 0xff]) },
    ];
    for (const change of changes) {
      const changed = { ...info, ...change };
      expect(vmInfoFrom(changed, known)).toEqual(vmInfoFrom(changed));
      expect(vmInfoFrom(changed, known)).not.toBe(known);
    }
  });
});

describe("a policy", () => {
  const policy: Policy = { cpuids: [], unikernels: 10, memory: 4096, block: 10_240, bridges: [] };

  test("has its limits in base units", () => {
    expect(policyRecordFrom("h", parseName("user:"), policy)).toEqual({
      host: "h",
      path: "user",
      unikernels: 10,
      memoryBytes: 4_294_967_296,
      blockBytes: 10_737_418_240,
    });
  });

  test("of the root has an empty path", () => {
    expect(policyRecordFrom("h", parseName(":"), policy).path).toBe("");
  });

  test("has no limit where it says 2^62-1, and none on block space where it says nothing", () => {
    const max = 2n ** 62n - 1n;
    const unlimited = { ...policy, unikernels: max, memory: max, block: max };
    const none = { unikernels: null, memoryBytes: null, blockBytes: null };
    expect(policyRecordFrom("h", parseName(":"), unlimited)).toMatchObject(none);
    expect(policyRecordFrom("h", parseName(":"), { ...policy, block: null }).blockBytes).toBeNull();
  });

  test("keeps a huge limit that is one", () => {
    const { unikernels } = policyRecordFrom("h", parseName(":"), { ...policy, unikernels: 2n ** 62n - 2n });
    expect(unikernels).toBe(2n ** 62n - 2n);
  });
});

describe("info of thousands of VMs", () => {
  const names = Array.from({ length: 2_000 }, (_, i) => `:vm${i}`);
  const entriesOf = (listed: readonly string[]) =>
    listed.map((name) => ({ name: parseName(name), info: makeInfo({ numcpus: 2 }) }));
  const heard = () => {
    const fleet = new TestFleet();
    for (const name of names) fleet.sample(name, 0);
    return fleet.at(10);
  };

  test("is taken in in steps, between which samples are recorded and snapshots taken", () => {
    const fleet = heard();
    let steps = 0;
    let turns = 0;
    for (const _ of fleet.fleet.infoSteps("h", entriesOf(names.slice(1)), 10e6)) {
      if (steps++ % 250 > 0) continue;
      turns += 1;
      fleet.sample(`:vm${turns}`, 5).sample(`:new${turns}`, 0);
      expect(fleet.snapshot().vms).toHaveLength(names.length + turns);
    }
    expect(turns).toBeGreaterThan(10);
    expect(fleet.vm(":vm1")).toMatchObject({ cpus: 2, usagePercent: 25, listed: true });
    expect(fleet.vm(":vm0")).toMatchObject({ listed: false, missedInfos: 1 });
  });

  test("counts once for each VM that it leaves out, however many come meanwhile", () => {
    const fleet = heard();
    for (const _ of fleet.fleet.infoSteps("h", [], 10e6)) fleet.sample(":a", 0).sample(":z", 0).snapshot();
    const { vms } = fleet.snapshot();
    expect(vms.filter(({ missedInfos }) => missedInfos === 1)).toHaveLength(names.length);
  });

  test("gives way to an answer to a later question, whichever is taken in first", () => {
    const fleet = heard();
    const older = fleet.fleet.infoSteps("h", entriesOf(names), 8e6);
    for (let i = 0; i < 3; i++) older.next();
    fleet.info({}, 9);
    for (const _ of older);
    expect(fleet.vm(":vm5")).toMatchObject({ listed: false, info: null });
  });
});

describe("info is needed at once", () => {
  test("for a VM that the last one does not list, at its first sample only", () => {
    const fleet = new TestFleet().info({ ":web": {} });
    fleet.at(10).sample("web", 1).sample("db", 1);
    expect(fleet.infoNeeded).toEqual(["h"]);
    fleet.at(20).sample("web", 2).sample("db", 2);
    expect(fleet.infoNeeded).toHaveLength(1);
  });

  test("for one that comes back after it was gone", () => {
    const fleet = new TestFleet().info({ ":web": {} }).at(10).sample("web", 1);
    fleet.at(30).info({}).at(60).info({});
    expect(fleet.state(":web")).toBe("gone");
    fleet.at(70).sample("web", 1);
    expect(fleet.infoNeeded).toEqual(["h"]);
  });
});
