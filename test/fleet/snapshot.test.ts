import { expect, test } from "vitest";
import type { FleetSnapshot } from "../../src/fleet/types.ts";
import { TestFleet } from "./testFleet.ts";

test("a snapshot is ordered by host, path and VM, whatever came first", () => {
  const fleet = new TestFleet();
  fleet.sample(":z", 0, {}, "b").sample("user:b", 0).sample("user:a", 0).sample(":z", 0).sample(":a", 0);
  fleet.snapshot();
  fleet.sample("user:aa", 0).sample("a:x", 0);
  expect(fleet.snapshot().vms.map(({ host, fullName }) => `${host} ${fullName}`)).toEqual(
    ["h :a", "h :z", "h a:x", "h user:a", "h user:aa", "h user:b", "b :z"].sort(),
  );
});

test("a record names its VM and its group", () => {
  const record = new TestFleet().sample("user:sub:web-clone-2", 0, {}, 'h"1').snapshot().vms[0];
  expect(record).toMatchObject({
    host: 'h"1',
    path: "user:sub",
    vm: "web-clone-2",
    fullName: "user:sub:web-clone-2",
    primary: "web",
    cloneId: 2,
  });
});

test("all records of a VM share its identity", () => {
  const fleet = new TestFleet({ deathTimeoutS: 60 }).sample(":web", 0);
  const { identity } = fleet.vm(":web");
  expect(fleet.at(10).sample(":web", 1).vm(":web").identity).toBe(identity);
  expect(fleet.at(11).info({ ":web": {} }).vm(":web").identity).toBe(identity);
});

test("a snapshot taken before is not changed by samples, infos, departures or liveness after it", () => {
  const fleet = new TestFleet({ deathTimeoutS: 100 }).info({ ":web": {}, ":db": {} });
  fleet.sample(":web", 0).sample(":db", 0).at(10).sample(":web", 5).sample(":db", 1);
  const before = fleet.snapshot();
  const dataOf = ({ groups, servedGroups, ...data }: FleetSnapshot) => structuredClone(data);
  const copy = dataOf(before);
  fleet
    .at(20)
    .sample(":web", 1)
    .info({ ":web": { startedMs: 5, numcpus: 3 } })
    .at(50)
    .info({ ":web": { startedMs: 6 } });
  fleet.fleet.setLive("h", false);
  fleet.at(500).snapshot();
  expect(dataOf(before)).toEqual(copy);
  // groups are derived when asked for, even late: from what the snapshot holds
  const groups = before
    .servedGroups()
    .map(({ group, usagePercent, members }) => [group, usagePercent, members[0]?.state]);
  expect(groups).toEqual([
    ["db", 10, "fresh"],
    ["web", 50, "fresh"],
  ]);
});

test("an info that says nothing new leaves the records as they are", () => {
  const fleet = new TestFleet().info({ ":web": {} }).sample(":web", 0);
  const record = fleet.vm(":web");
  expect(fleet.at(1).info({ ":web": {} }).vm(":web")).toBe(record);
});

test("thousands of VMs that come in any order, and go, stand by path, primary and clone id", () => {
  const fleet = new TestFleet({ deathTimeoutS: 60 });
  const names = Array.from({ length: 3_000 }, (_, i) => {
    const at = (i * 1_237) % 3_000;
    const clone = at % 12;
    return `u${at % 7}:web${Math.floor(at / 12)}${clone === 0 ? "" : `-clone-${clone}`}`;
  });
  for (const name of names) fleet.sample(name, 0);
  const heard = names.filter((_, i) => i % 3 > 0);
  fleet.at(30);
  for (const name of heard) fleet.sample(name, 0);
  fleet.at(70).sample("u0:late", 0);
  const { vms } = fleet.snapshot();
  const sorted = [...vms].sort(
    (a, b) => a.path.localeCompare(b.path) || compare(a.primary, b.primary) || a.cloneId - b.cloneId,
  );
  expect(vms.map(({ fullName }) => fullName)).toEqual(sorted.map(({ fullName }) => fullName));
  expect(new Set(vms.map(({ fullName }) => fullName))).toEqual(new Set([...heard, "u0:late"]));
});

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
