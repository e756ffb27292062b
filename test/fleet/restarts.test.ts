import { describe, expect, test } from "vitest";
import { makeSample } from "../support/stats.ts";
import { TestFleet } from "./testFleet.ts";

const started = (startedMs: number | null) => ({ ":web": { startedMs } });

/** A VM known to info as started at 1, sampled at 0 s and 10 s: it has used 10 s of CPU time. */
function running(): TestFleet {
  return new TestFleet().info(started(1)).sample(":web", 0).at(10).sample(":web", 10);
}

describe("a restart", () => {
  test("is not counted at the first sample", () => {
    expect(new TestFleet().sample(":web", 5).vm(":web")).toMatchObject({ restarts: 0 });
  });

  test("shows as a decrease: counted, a new incarnation with a new base, no gauge until its second sample", () => {
    const fleet = new TestFleet().sample(":web", 5).at(10).sample(":web", 10).at(20).sample(":web", 2);
    expect(fleet.vm(":web")).toMatchObject({
      restarts: 1,
      usagePercent: null,
      rateStart: { cpuUs: 2e6, arrivalUs: 20e6 },
      firstSeenUs: 20e6,
    });
    expect(fleet.state(":web")).toBe("warming");
    expect(fleet.at(30).sample(":web", 4).vm(":web")).toMatchObject({
      restarts: 1,
      usagePercent: 20,
      rateStart: { cpuUs: 2e6, arrivalUs: 20e6 },
    });
  });

  test.each([
    ["minor faults", { minflt: 9, nvcsw: 10 }],
    ["voluntary context switches", { minflt: 10, nvcsw: 9 }],
  ])("shows as a decrease of %s alone", (_, fields) => {
    const fleet = new TestFleet()
      .sample(":web", 5, { minflt: 10, nvcsw: 10 })
      .at(10)
      .sample(":web", 6, fields);
    expect(fleet.vm(":web")).toMatchObject({ restarts: 1, usagePercent: null });
  });

  test("shows as a changed `started`, where the counters have overtaken their old values", () => {
    const fleet = running().at(15).info(started(2));
    expect(fleet.vm(":web")).toMatchObject({
      restarts: 1,
      usagePercent: null,
      rateStart: null,
    });
    expect(fleet.state(":web")).toBe("warming");
    fleet.at(20).sample(":web", 11);
    expect(fleet.vm(":web")).toMatchObject({ restarts: 1, usagePercent: null });
    expect(fleet.vm(":web").rateStart).toEqual({ cpuUs: 11e6, arrivalUs: 20e6 });
    expect(fleet.at(30).sample(":web", 12).gauge(":web")).toBe(10);
  });

  test("is counted once when the decrease comes first and then the changed `started`", () => {
    const fleet = running().at(20).sample(":web", 1).at(30).sample(":web", 2).info(started(2));
    expect(fleet.vm(":web")).toMatchObject({ restarts: 1, usagePercent: 10 });
  });

  test("is counted once when the changed `started` comes first and then the decrease", () => {
    const fleet = running().at(15).info(started(2)).at(20).sample(":web", 1);
    expect(fleet.vm(":web")).toMatchObject({ restarts: 1, usagePercent: null });
    expect(fleet.at(30).sample(":web", 3).gauge(":web")).toBe(20);
  });

  test("is counted once when the info was asked for before the decrease arrived and answered after it", () => {
    const fleet = running().at(20).sample(":web", 1).at(21).info(started(2), 19);
    expect(fleet.vm(":web")).toMatchObject({ restarts: 1 });
  });

  test("is counted once when an info asked for before the decrease does not know of it yet, and the next does", () => {
    const fleet = running().at(20).sample(":web", 1).at(21).info(started(1), 19).at(51).info(started(2));
    expect(fleet.vm(":web").restarts).toBe(1);
  });

  test("is counted once when a sample from before it arrives after the info", () => {
    const fleet = running().at(20).info(started(2)).at(20.1).sample(":web", 20).at(30).sample(":web", 1);
    expect(fleet.vm(":web")).toMatchObject({ restarts: 1, usagePercent: null });
    expect(fleet.vm(":web").rateStart).toEqual({ cpuUs: 1e6, arrivalUs: 30e6 });
  });

  test("is counted once when a queue of samples from before it arrives long after the info", () => {
    const fleet = running().at(40).info(started(2)).at(70).info(started(2));
    fleet.at(95).sample(":web", 20).sample(":web", 30).sample(":web", 1).sample(":web", 2);
    expect(fleet.vm(":web").restarts).toBe(1);
  });

  test("is counted for each changed `started`, and the decreases in the queue are the same restarts", () => {
    const fleet = running().at(40).info(started(2)).at(70).info(started(3));
    fleet.at(95).sample(":web", 20).sample(":web", 3).sample(":web", 5).sample(":web", 1).sample(":web", 2);
    expect(fleet.vm(":web").restarts).toBe(2);
    fleet.at(105).sample(":web", 1);
    expect(fleet.vm(":web").restarts).toBe(3);
  });

  test("is counted again when a decrease follows a `started` that no decrease confirmed in time", () => {
    const fleet = running().at(15).info(started(2)).at(20).sample(":web", 11).at(30).sample(":web", 12);
    expect(fleet.at(40).sample(":web", 1).vm(":web")).toMatchObject({ restarts: 2 });
    expect(fleet.at(45).info(started(3)).vm(":web").restarts).toBe(2);
  });

  test("is counted again when `started` changes after an info that knew of the decrease", () => {
    const fleet = running().at(20).sample(":web", 1).at(25).info(started(1)).at(30).sample(":web", 9);
    expect(fleet.at(55).info(started(2)).vm(":web").restarts).toBe(2);
  });

  test("twice between two infos is two decreases and one changed `started`: two", () => {
    const fleet = running().at(20).sample(":web", 5).at(30).sample(":web", 1).at(35).info(started(3));
    expect(fleet.vm(":web").restarts).toBe(2);
    expect(fleet.at(45).sample(":web", 0).vm(":web").restarts).toBe(3);
  });

  test("that info tells of twice without a decrease is two", () => {
    const fleet = running().at(15).info(started(2)).at(20).sample(":web", 12).at(45).info(started(3));
    expect(fleet.vm(":web")).toMatchObject({ restarts: 2 });
  });

  test("is not seen in the first info about a VM, nor in one that does not say when it started", () => {
    const fleet = new TestFleet().sample(":web", 0).at(10).sample(":web", 1).info(started(7));
    expect(fleet.vm(":web")).toMatchObject({ restarts: 0, usagePercent: 10 });
    fleet.at(40).info(started(null)).at(70).info(started(8));
    expect(fleet.vm(":web")).toMatchObject({ restarts: 0 });
  });

  test("is not seen when only the process' start time in the statistics moves", () => {
    const fleet = new TestFleet().sample(":web", 0);
    const { stats } = fleet.vm(":web").sample;
    const kinfoMem = {
      vsize: 0,
      rss: 0,
      tsize: 0,
      dsize: 0,
      ssize: 0,
      runtime: 0,
      cow: 0,
      startSec: 5,
      startUsec: 0,
    };
    const later = { ...kinfoMem, startSec: 9 };
    fleet.fleet.record(makeSample({ stats: { ...stats, kinfoMem }, arrivalUs: 10e6 }));
    fleet.fleet.record(makeSample({ stats: { ...stats, kinfoMem: later }, arrivalUs: 20e6 }));
    expect(fleet.vm(":web").restarts).toBe(0);
  });

  test("told by an answer older than the last one is ignored with it", () => {
    const fleet = running().at(15).info(started(1)).info(started(2), 12);
    expect(fleet.vm(":web")).toMatchObject({ restarts: 0, info: { startedMs: 1 } });
  });
});

describe("whether a VM was seen to start", () => {
  test.each([
    { name: "one that is heard with the first burst of its host", at: [0], seen: false },
    { name: "one that is heard an interval after the first of its host", at: [0, 10], seen: false },
    { name: "one that comes later", at: [0, 10, 20], seen: true },
    { name: "one that comes after its host was silent for a while", at: [0, 10, 20, 60], seen: false },
  ])("$name: $seen", ({ at, seen }) => {
    const fleet = new TestFleet();
    for (const seconds of at) fleet.at(seconds).sample(":db", 1 + seconds);
    expect(fleet.sample(":web", 1).vm(":web").startSeen).toBe(seen);
  });

  test("one that restarts was", () => {
    const fleet = new TestFleet().sample(":web", 5).at(10).sample(":web", 2);
    expect(fleet.vm(":web").startSeen).toBe(true);
  });
});
