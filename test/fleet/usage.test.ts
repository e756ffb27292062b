import { describe, expect, test } from "vitest";
import { makeSample } from "../support/stats.ts";
import { TestFleet } from "./testFleet.ts";

const ABSURD = { utimeSec: -1 };

describe("the gauge", () => {
  test("is absent at the first sample, and there from the second on", () => {
    const fleet = new TestFleet().sample(":web", 100);
    expect(fleet.gauge(":web")).toBeNull();
    fleet.at(10).sample(":web", 109.7);
    expect(fleet.gauge(":web")).toBe(97);
  });

  test("is the rate over the last stats interval, not over the VM's incarnation", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 10).at(20).sample(":web", 12);
    expect(fleet.gauge(":web")).toBe(20);
  });

  test("is 0 for a VM that did nothing", () => {
    expect(new TestFleet().sample(":web", 5).at(10).sample(":web", 5).gauge(":web")).toBe(0);
  });

  test("is clamped to 100 where samples arrive unevenly", () => {
    expect(new TestFleet().sample(":web", 0).at(9.9).sample(":web", 10).gauge(":web")).toBe(100);
  });

  test("is exact to the microsecond", () => {
    const fleet = new TestFleet().sample(":web", 1_000_000.000_001).at(10).sample(":web", 1_000_000.000_002);
    expect(fleet.gauge(":web")).toBe(100 / 10e6);
  });

  test("spans the pause when samples were missing", () => {
    expect(new TestFleet().sample(":web", 0).at(100).sample(":web", 25).gauge(":web")).toBe(25);
  });

  test("is absent while CPU time is no usable number, and needs two usable samples again", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 5, ABSURD);
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: null, cpuUs: null, restarts: 0 });
    fleet.at(20).sample(":web", 7);
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: null, cpuUs: 7e6, restarts: 1 });
    expect(fleet.at(30).sample(":web", 8).gauge(":web")).toBe(10);
  });

  test("of a VM whose first CPU time was unusable starts with the incarnation after it", () => {
    const fleet = new TestFleet().sample(":web", 0, ABSURD);
    expect(fleet.vm(":web")).toMatchObject({ rateStart: null });
    fleet.at(10).sample(":web", 5);
    expect(fleet.vm(":web")).toMatchObject({
      rateStart: { cpuUs: 5e6, arrivalUs: 10e6 },
    });
  });

  test("keeps its value and divides by nothing when two samples arrive in the same microsecond", () => {
    const fleet = new TestFleet().sample(":web", 0).sample(":web", 1);
    expect(fleet.gauge(":web")).toBeNull();
    fleet.at(10).sample(":web", 6).sample(":web", 7);
    expect(fleet.gauge(":web")).toBe(60);
  });

  test("takes an arrival before the last one as simultaneous with it", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 4);
    const { stats } = new TestFleet().sample(":web", 5).vm(":web").sample;
    fleet.fleet.record(makeSample({ stats, arrivalUs: 3e6 }));
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: 50, sample: { arrivalUs: 10e6 }, cpuUs: 5e6 });
  });

  test("does not depend on the wall clock: set back, only what is shown changes", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10);
    fleet.clock.setWall(Date.parse("2001-01-01T00:00:00Z"));
    fleet.sample(":web", 5).info({ ":web": {} });
    expect(fleet.vm(":web")).toMatchObject({
      usagePercent: 50,
      sample: { arrivalUs: 10e6, arrivalWallMs: Date.parse("2001-01-01T00:00:00Z") },
    });
    expect(fleet.state(":web")).toBe("fresh");
    expect(fleet.snapshot()).toMatchObject({ nowUs: 10e6, wallMs: Date.parse("2001-01-01T00:00:00Z") });
  });

  test("ignores a sample without a VM's label", () => {
    const fleet = new TestFleet();
    fleet.sample("user:", 0);
    expect(fleet.snapshot().vms).toEqual([]);
  });
});

describe("a burst", () => {
  test("is measured from the newest sample before it to the last of it", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 1);
    fleet.at(50).sample(":web", 2).at(50.001).sample(":web", 3).at(50.002).sample(":web", 21);
    expect(fleet.gauge(":web")).toBeCloseTo((100 * 20) / 40.002, 10);
  });

  test("has samples less than half an interval apart: half an interval is none", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 10);
    expect(fleet.at(15).sample(":web", 11).gauge(":web")).toBe(20);
    expect(fleet.at(19.999).sample(":web", 12).gauge(":web")).toBeCloseTo(200 / 9.999, 10);
  });

  test("is a chain: each sample is less than half an interval after the one before", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 0);
    fleet.at(14).sample(":web", 1).at(18).sample(":web", 2).at(22).sample(":web", 11);
    expect(fleet.gauge(":web")).toBe(50);
  });

  test("ends with a sample half an interval later, whose base is the last of the burst", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 0).at(10.1).sample(":web", 1);
    expect(fleet.at(20.1).sample(":web", 2).gauge(":web")).toBe(10);
  });

  test("that begins with a VM's first sample gives no rate before it is over", () => {
    const fleet = new TestFleet().sample(":web", 0).at(0.1).sample(":web", 0.1).at(0.2).sample(":web", 0.2);
    expect(fleet.gauge(":web")).toBeNull();
    expect(fleet.at(10.2).sample(":web", 1.2).gauge(":web")).toBe(10);
  });

  test("with a restart in it gives no rate until a sample after it", () => {
    const fleet = new TestFleet().sample(":web", 50).at(40).sample(":web", 80);
    fleet.at(40.1).sample(":web", 1).at(40.2).sample(":web", 2);
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: null, restarts: 1 });
    expect(fleet.vm(":web").rateStart).toEqual({ cpuUs: 1e6, arrivalUs: 40.1e6 });
    expect(fleet.at(50.2).sample(":web", 7).gauge(":web")).toBe(50);
  });

  test("counts every restart in it", () => {
    const fleet = new TestFleet()
      .sample(":web", 50)
      .at(40)
      .sample(":web", 3)
      .sample(":web", 2)
      .sample(":web", 4);
    expect(fleet.vm(":web").restarts).toBe(2);
  });

  test("longer than two intervals is a faster daemon: the gauge moves on", () => {
    const fleet = new TestFleet().sample(":web", 0);
    const gauges = new Map<number, number | null>();
    for (let s = 2; s <= 60; s += 2)
      gauges.set(
        s,
        fleet
          .at(s)
          .sample(":web", s < 40 ? 0 : s - 40)
          .gauge(":web"),
      );
    expect(gauges.get(18)).toBeNull();
    expect(gauges.get(20)).toBe(0);
    // the burst was cut at 20, 40 and 60: the base is the sample at 20, then the one at 40
    expect(gauges.get(58)).toBeCloseTo((100 * 18) / 38, 10);
    expect(gauges.get(60)).toBe(100);
  });
});

describe("the number of CPUs", () => {
  test("that info gave divides the rate", () => {
    const fleet = new TestFleet()
      .info({ ":web": { numcpus: 4 } })
      .sample(":web", 0)
      .at(10)
      .sample(":web", 20);
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: 50, cpus: 4 });
  });

  test("is 1 on a host whose vmmd has never answered", () => {
    const fleet = new TestFleet().sample(":web", 0);
    expect(fleet.vm(":web").cpus).toBe(1);
  });

  test("that changes is applied to the gauge at once", () => {
    const fleet = new TestFleet()
      .info({ ":web": { numcpus: 1 } })
      .sample(":web", 0)
      .at(10)
      .sample(":web", 8);
    expect(fleet.info({ ":web": { numcpus: 2 } }).gauge(":web")).toBe(40);
    expect(fleet.at(20).sample(":web", 16).gauge(":web")).toBe(40);
  });

  test("stays the last one given when info leaves the VM out", () => {
    const fleet = new TestFleet().info({ ":web": { numcpus: 2 } }).sample(":web", 0);
    fleet.at(5).info({}).at(10).sample(":web", 10);
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: 50, listed: false, cpus: 2 });
  });

  test("of a VM that info has not listed yet is unknown: the VM is warming for two polls, then it is 1", () => {
    const fleet = new TestFleet().info({}).at(5).sample(":web", 0).at(15).sample(":web", 5);
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: null, cpus: null });
    expect(fleet.state(":web")).toBe("warming");
    fleet.at(25).sample(":web", 10).at(30).info({}).sample(":web", 12.5);
    expect(fleet.gauge(":web")).toBeNull();
    fleet.at(50).sample(":web", 20).at(60).sample(":web", 25).info({});
    expect(fleet.vm(":web")).toMatchObject({ usagePercent: 50, cpus: 1 });
  });

  test("of a VM that info lists at last makes its gauge appear at once", () => {
    const fleet = new TestFleet().info({}).at(5).sample(":web", 0).at(15).sample(":web", 5);
    expect(
      fleet
        .at(16)
        .info({ ":web": { numcpus: 2 } })
        .gauge(":web"),
    ).toBe(25);
  });

  test("is not waited for in an info that was asked for before the VM appeared", () => {
    const fleet = new TestFleet().info({}).at(5).sample(":web", 0).at(6).info({}, 4).at(15).sample(":web", 5);
    fleet.at(36).info({});
    expect(fleet.gauge(":web")).toBeNull();
    expect(fleet.sample(":web", 15.5).at(66).info({}).gauge(":web")).toBe(50);
  });

  test("is 1 after the time of three polls where vmmd has stopped answering", () => {
    const fleet = new TestFleet().info({});
    fleet.at(10).sample(":web", 0).at(90).sample(":web", 8);
    expect(fleet.gauge(":web")).toBeNull();
    expect(fleet.at(100).sample(":web", 9).gauge(":web")).toBe(10);
  });

  test("of a clone that info never listed is its primary's, once it is not waited for any more", () => {
    const fleet = new TestFleet().info({ ":web": { numcpus: 2 } });
    fleet.at(10).sample(":web", 0).sample(":web-clone-1", 0);
    fleet.at(90).sample(":web", 80).sample(":web-clone-1", 80);
    expect(fleet.gauge(":web-clone-1")).toBeNull();
    fleet.at(100).sample(":web", 90).sample(":web-clone-1", 90).sample(":db-clone-1", 0);
    expect([fleet.gauge(":web"), fleet.gauge(":web-clone-1")]).toEqual([50, 50]);
    expect(fleet.at(190).sample(":db-clone-1", 9).vm(":db-clone-1").cpus).toBe(1);
  });

  test("assumed as 1 is proved wrong above 110 %: one warning for the host", () => {
    const fleet = new TestFleet().sample(":a", 0).sample(":b", 0);
    fleet.at(10).sample(":a", 11).sample(":b", 10.9);
    expect(fleet.warnings).toEqual([]);
    fleet.at(20).sample(":a", 26).sample(":b", 30).at(30).sample(":a", 60);
    expect(fleet.warnings).toEqual([{ host: "h", vm: ":a", kind: "assumed_cpu", percent: 150 }]);
    fleet.sample(":c", 0, {}, "other").at(40).sample(":c", 20, {}, "other");
    expect(fleet.warnings.map(({ host }) => host)).toEqual(["h", "other"]);
  });

  test("given by info is not doubted", () => {
    const fleet = new TestFleet().info({ ":web": {} }).sample(":web", 0).at(10).sample(":web", 20);
    expect(fleet.gauge(":web")).toBe(100);
    expect(fleet.warnings).toEqual([]);
  });
});
