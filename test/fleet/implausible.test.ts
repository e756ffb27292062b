import { describe, expect, test } from "vitest";
import { TestFleet } from "./testFleet.ts";

const info = (numcpus: number, startedMs = 1) => ({ ":web": { numcpus, startedMs } });

/** A sample a second: what the gauge shows after each. */
function gauges(fleet: TestFleet, cpuS: readonly number[]): (number | null)[] {
  fleet.intervalUs = 1e6;
  return cpuS.map((used, second) => {
    const gauge = fleet.at(second).sample(":web", used).gauge(":web");
    return gauge === null ? null : Math.round(gauge);
  });
}

describe("more CPU than a VM has", () => {
  const years = [10, 10.1, 10.2, 1.73e9, 10.4, 10.5, 10.6];

  test("is no measurement: neither the jump nor the way back shows, whatever info says", () => {
    const shown = [null, 10, 10, null, null, 10, 10];
    expect(gauges(new TestFleet(), years)).toEqual(shown);
    expect(gauges(new TestFleet().info(info(1)), years)).toEqual(shown);
    const wide = gauges(new TestFleet().info(info(4)), years);
    expect(wide.map((gauge) => gauge !== null)).toEqual(shown.map((gauge) => gauge !== null));
  });

  test("is counted, and said once per host", () => {
    const fleet = new TestFleet();
    gauges(fleet, [...years, 2e9, 2.1e9]);
    expect(fleet.implausibleSteps()).toEqual({ usage: 3, decrease: 0 });
    expect(fleet.warnings).toEqual([{ host: "h", vm: ":web", kind: "usage" }]);
  });

  test("is also what follows one sample of zeros", () => {
    const fleet = new TestFleet({ hostCpus: 2 });
    expect(gauges(fleet, [10, 10.1, 0, 10.3, 10.4])).toEqual([null, 10, null, null, 10]);
    expect(fleet.implausibleSteps()).toEqual({ usage: 1, decrease: 0 });
  });

  test.each([
    { name: "200 % of the CPUs that info gives can be uneven arrival", numcpus: 2, cpuS: 4, gauge: 100 },
    { name: "more than 200 % of them cannot", numcpus: 2, cpuS: 4.001, gauge: null },
    { name: "without info all of the host's CPUs can be used", numcpus: null, cpuS: 8, gauge: 100 },
    { name: "but not more", numcpus: null, cpuS: 8.001, gauge: null },
  ])("$name", ({ numcpus, cpuS, gauge }) => {
    const fleet = new TestFleet({ hostCpus: 8 });
    if (numcpus !== null) fleet.info(info(numcpus));
    expect(gauges(fleet, [0, cpuS])).toEqual([null, gauge]);
  });

  test("is judged over a whole burst, not over the samples in it", () => {
    const fleet = new TestFleet({ hostCpus: 1 }).sample(":web", 0).at(30).sample(":web", 10);
    fleet.at(30.01).sample(":web", 20).at(30.02).sample(":web", 30);
    expect(fleet.gauge(":web")).toBeCloseTo(99.9, 1);
    expect(fleet.implausibleSteps()).toEqual({ usage: 0, decrease: 0 });
  });

  test("does not make a VM younger, nor is it a restart", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 1e9);
    expect(fleet.vm(":web")).toMatchObject({ firstSeenUs: 0, restarts: 0, startSeen: false });
    expect(fleet.vm(":web").rateStart).toEqual({ cpuUs: 1e15, arrivalUs: 10e6 });
  });
});

describe("a decrease of a VM that info knows", () => {
  test("of a second and more is a restart at once", () => {
    const fleet = new TestFleet().info(info(1)).sample(":web", 10).at(10).sample(":web", 9);
    expect(fleet.vm(":web").restarts).toBe(1);
  });

  test("from more than the VM can have used is for info to tell, however large", () => {
    const fleet = new TestFleet().info(info(1)).sample(":web", 10).at(10).sample(":web", 1e9);
    fleet.at(20).sample(":web", 12).at(25).info(info(1));
    expect(fleet.vm(":web")).toMatchObject({ restarts: 0, firstSeenUs: 0 });
    expect(fleet.implausibleSteps()).toEqual({ usage: 1, decrease: 1 });
  });

  /** Steps back by 50 ms at 20 s. */
  const steppedBack = () =>
    new TestFleet().info(info(1)).sample(":web", 10).at(10).sample(":web", 11).at(20).sample(":web", 10.95);

  test("is no restart before info has been asked after it", () => {
    const fleet = steppedBack();
    expect(fleet.vm(":web")).toMatchObject({ restarts: 0, usagePercent: null, firstSeenUs: 0 });
    fleet.at(21).info(info(1), 19);
    expect(fleet.vm(":web")).toMatchObject({ restarts: 0, firstSeenUs: 0 });
    expect(fleet.implausibleSteps()).toEqual({ usage: 0, decrease: 0 });
  });

  test("is none where `started` is as it was: it cannot be, and the VM is as old as before", () => {
    const fleet = steppedBack().at(25).info(info(1));
    expect(fleet.vm(":web")).toMatchObject({ restarts: 0, firstSeenUs: 0, startSeen: false });
    expect(fleet.implausibleSteps()).toEqual({ usage: 0, decrease: 1 });
    expect(fleet.warnings).toEqual([{ host: "h", vm: ":web", kind: "decrease" }]);
    expect(fleet.at(30).sample(":web", 11.95).gauge(":web")).toBe(10);
  });

  test("is one where `started` has changed: the VM is as old as the last decrease, which rates begin at", () => {
    const fleet = steppedBack().at(25).info(info(1, 2));
    expect(fleet.vm(":web")).toMatchObject({ restarts: 1, firstSeenUs: 20e6, startSeen: true });
    expect(fleet.vm(":web").rateStart).toEqual({ cpuUs: 10.95e6, arrivalUs: 20e6 });
    expect(fleet.at(30).sample(":web", 11.95).gauge(":web")).toBe(10);
    expect(fleet.implausibleSteps()).toEqual({ usage: 0, decrease: 0 });
  });

  test("is one when info is silent for three polls after it, and none more when info then tells of it", () => {
    const fleet = steppedBack();
    for (let s = 30; s < 110; s += 10) fleet.at(s).sample(":web", s);
    expect(fleet.vm(":web").restarts).toBe(0);
    expect(fleet.at(110).sample(":web", 110).vm(":web")).toMatchObject({ restarts: 1, firstSeenUs: 20e6 });
    expect(fleet.at(120).info(info(1, 2)).vm(":web").restarts).toBe(1);
  });

  test("is as many as there were, if it comes several times before info is asked", () => {
    expect(steppedBack().at(30).sample(":web", 10.9).at(35).info(info(1, 2)).vm(":web").restarts).toBe(2);
    const denied = steppedBack().at(30).sample(":web", 10.9).at(35).info(info(1));
    expect(denied.vm(":web")).toMatchObject({ restarts: 0, firstSeenUs: 0 });
    expect(denied.implausibleSteps()).toEqual({ usage: 0, decrease: 2 });
  });
});
