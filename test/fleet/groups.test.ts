import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { splitCloneName } from "../../src/fleet/groups.ts";
import { TestFleet } from "./testFleet.ts";

describe("the name rule", () => {
  const long = "a".repeat(55);
  const rows: [string, string, number, string][] = [
    ["web", "web", 0, "a plain name is a primary"],
    ["web-clone-1", "web", 1, "PRIMARY-clone-N is a clone"],
    ["web-clone-999999999", "web", 999_999_999, "N may have nine digits"],
    ["web-clone-1000000000", "web-clone-1000000000", 0, "N may not have ten digits"],
    ["web-clone-0", "web-clone-0", 0, "N may not be 0"],
    ["web-clone-01", "web-clone-01", 0, "N may not have a leading zero"],
    ["web-clone-", "web-clone-", 0, "N may not be missing"],
    ["web-clone-1x", "web-clone-1x", 0, "N is the end of the name"],
    ["web-clone-x", "web-clone-x", 0, "N is a number"],
    ["webclone-1", "webclone-1", 0, "the dash before clone is needed"],
    ["clone-1", "clone-1", 0, "a name that is only a suffix is a primary"],
    ["-clone-1", "-clone-1", 0, "an empty primary is no label"],
    ["web-clone-1-clone-2", "web-clone-1-clone-2", 0, "a clone has no clones"],
    ["web-clone-01-clone-2", "web-clone-01", 2, "a primary that only resembles a clone has clones"],
    ["web-clone-1-clone-2-clone-3", "web-clone-1-clone-2-clone-3", 0, "nor has a clone's clone"],
    ["clone-1-clone-2", "clone-1", 2, "clone-1 is a primary and may have clones"],
    ["web-clone-clone-2", "web-clone", 2, "web-clone is a primary and may have clones"],
    ["9.a-b-clone-7", "9.a-b", 7, "digits, dots and dashes may stand in a primary"],
    ["-web-clone-1", "-web-clone-1", 0, "a primary does not start with a dash"],
    [`${long}-clone-1`, long, 1, "a label of 63 characters may be a clone"],
  ];
  test.each(rows)("%s is in group %s with id %i: %s", (label, primary, cloneId) => {
    expect(splitCloneName(label)).toEqual({ primary, cloneId });
  });

  test("a primary that the rule names is never itself a clone", () => {
    const part = fc.constantFrom("web", "-clone-", "clone", "1", "2", "0", "-", ".", "a");
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 8 }), (parts) => {
        const { primary } = splitCloneName(parts.join(""));
        expect(splitCloneName(primary)).toEqual({ primary, cloneId: 0 });
      }),
    );
  });
});

describe("groups", () => {
  test("hold a primary and its clones by id, whatever the order of names or samples", () => {
    const fleet = new TestFleet();
    for (const vm of ["user:web-clone-10", "user:web-clone-2", "user:web"]) fleet.sample(vm, 0);
    const group = fleet.group("web");
    expect(group.members.map(({ record, role, cloneId }) => [record.vm, role, cloneId])).toEqual([
      ["web", "primary", 0],
      ["web-clone-2", "clone", 2],
      ["web-clone-10", "clone", 10],
    ]);
    expect(group).toMatchObject({ host: "h", path: "user", group: "web", orphaned: false, clones: 2 });
  });

  test("are one per host, path and primary", () => {
    const fleet = new TestFleet();
    fleet.sample("user:web", 0).sample("user:sub:web", 0).sample(":web", 0).sample("user:web-clone-1", 0);
    fleet.sample("user:web", 0, {}, "other");
    const keys = fleet.snapshot().groups();
    expect(keys.map(({ host, path, group, members }) => [host, path, group, members.length])).toEqual([
      ["h", "", "web", 1],
      ["h", "user", "web", 2],
      ["h", "user:sub", "web", 1],
      ["other", "user", "web", 1],
    ]);
  });

  test("average the gauges of their fresh members only", () => {
    const fleet = new TestFleet();
    fleet.sample(":web", 0).sample(":web-clone-1", 0).sample(":web-clone-3", 0);
    fleet.at(10).sample(":web", 8).sample(":web-clone-1", 4).sample(":web-clone-3", 1);
    expect(fleet.group("web").usagePercent).toBeCloseTo((80 + 40 + 10) / 3, 10);
    fleet.at(36).sample(":web", 8).sample(":web-clone-1", 4).sample(":web-clone-2", 0);
    fleet.at(46).sample(":web", 18).sample(":web-clone-1", 4);
    const group = fleet.group("web");
    expect(group.members.map(({ state }) => state)).toEqual(["fresh", "fresh", "warming", "missing"]);
    expect(group.clones).toBe(3);
    expect(group.usagePercent).toBe(50);
  });

  test("have no average while no member is fresh", () => {
    expect(new TestFleet().sample(":web", 0).group("web").usagePercent).toBeNull();
  });

  test("are orphaned when the primary is not alive", () => {
    const fleet = new TestFleet({ deathTimeoutS: 60 }).sample(":web", 0).sample(":web-clone-4", 0);
    expect(fleet.group("web").orphaned).toBe(false);
    fleet.at(50).sample(":web-clone-4", 1).at(60);
    expect(fleet.group("web")).toMatchObject({ orphaned: true, clones: 1, group: "web" });
  });

  test("are not orphaned while the primary is only missing or silent", () => {
    const fleet = new TestFleet({ deathTimeoutS: 60 }).sample(":web", 0).sample(":web-clone-4", 0);
    fleet.at(50).sample(":web-clone-4", 1).info({ ":web": {}, ":web-clone-4": {} });
    fleet.at(61);
    expect(fleet.group("web")).toMatchObject({ orphaned: false, clones: 1 });
    expect(fleet.state(":web")).toBe("silent");
  });

  test("leave nothing behind when their last member is gone", () => {
    const fleet = new TestFleet({ deathTimeoutS: 60 }).sample(":web-clone-1", 0).at(60);
    expect(fleet.snapshot().groups()).toEqual([]);
  });

  test("contain every VM exactly once", () => {
    const label = fc.constantFrom(
      "a",
      "b",
      "a-clone-1",
      "a-clone-2",
      "b-clone-1",
      "a-clone-1-clone-2",
      "c-clone-9",
    );
    const path = fc.constantFrom("", "u", "u:v");
    const names = fc.uniqueArray(fc.tuple(path, label).map(([p, l]) => `${p}:${l}`));
    fc.assert(
      fc.property(names, (vms) => {
        const fleet = new TestFleet();
        for (const vm of vms) fleet.sample(vm, 0);
        const groups = fleet.snapshot().groups();
        const members = groups.flatMap((group) => group.members.map(({ record }) => record.fullName));
        expect(members.sort()).toEqual(vms.sort());
        for (const group of groups) {
          expect(group.clones).toBe(group.members.filter(({ role }) => role === "clone").length);
          expect(group.orphaned).toBe(!group.members.some(({ role }) => role === "primary"));
        }
      }),
    );
  });
});
