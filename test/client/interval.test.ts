import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StatsInterval } from "../../src/client/interval.ts";

const S = 1_000_000;

/** One burst of these VMs, 20 µs between two messages. */
function burst(learner: StatsInterval, atUs: number, vms: readonly string[] = ["web", "db"]): void {
  vms.forEach((vm, i) => {
    learner.message(vm, atUs + 20 * i);
  });
}

function learnFrom(burstsAtUs: readonly number[], vms?: readonly string[]): StatsInterval {
  const learner = new StatsInterval("auto");
  for (const atUs of burstsAtUs) burst(learner, atUs, vms);
  return learner;
}

describe("the measured interval", () => {
  test("is not known before three gaps", () => {
    expect(learnFrom([]).measuredUs).toBeNull();
    expect(learnFrom([0, 2 * S, 4 * S]).measuredUs).toBeNull();
    expect(learnFrom([0, 2 * S, 4 * S, 6 * S]).measuredUs).toBe(2 * S);
  });

  test("is the median: one late burst does not move it", () => {
    expect(learnFrom([0, 10 * S, 47 * S, 50 * S, 60 * S, 70 * S]).measuredUs).toBe(10 * S);
  });

  test("is that of the last nine gaps", () => {
    const slow = Array.from({ length: 10 }, (_, i) => i * 10 * S);
    const fast = Array.from({ length: 5 }, (_, i) => 90 * S + (i + 1) * S);
    expect(learnFrom([...slow, ...fast.slice(0, 4)]).measuredUs).toBe(10 * S);
    expect(learnFrom([...slow, ...fast]).measuredUs).toBe(S);
  });

  test("works with a single VM", () => {
    expect(learnFrom([0, S, 2 * S, 3 * S], ["web"]).measuredUs).toBe(S);
  });

  test("is not disturbed by a hiccup inside a burst", () => {
    const learner = new StatsInterval("auto");
    for (let tick = 0; tick < 5; tick++) {
      burst(learner, tick * 10 * S, ["a", "b"]);
      burst(learner, tick * 10 * S + 300_000, ["c", "d"]);
    }
    expect(learner.measuredUs).toBe(10 * S);
  });

  test("takes ticks that were queued and come at once for one burst", () => {
    const learner = learnFrom([0, 10 * S, 20 * S, 30 * S]);
    // 25 s of stall: the ticks at 40 and 50 s come together.
    burst(learner, 55 * S, ["web", "db", "web", "db"]);
    burst(learner, 60 * S);
    burst(learner, 70 * S);
    expect(learner.measuredUs).toBe(10 * S);
  });

  test("sees a tick that begins with a VM that is new", () => {
    const learner = new StatsInterval("auto");
    for (let tick = 0; tick < 5; tick++) burst(learner, tick * 10 * S, [`new-${tick}`, "web"]);
    expect(learner.measuredUs).toBe(10 * S);
  });

  test("survives VMs that come and go", () => {
    const learner = learnFrom([0, 10 * S, 20 * S], ["web", "db"]);
    for (const at of [30, 40, 50]) burst(learner, at * S, ["db"]);
    for (const at of [60, 70, 80, 90]) burst(learner, at * S, ["db", "mail"]);
    expect(learner.measuredUs).toBe(10 * S);
  });

  test("is the daemon's for any number of VMs, jitter and order", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 500_000, max: 60_000_000 }),
        fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 4, maxLength: 20 }),
        (vmCount, intervalUs, jitters) => {
          const learner = new StatsInterval("auto");
          const vms = Array.from({ length: vmCount }, (_, i) => `vm-${i}`);
          jitters.forEach((jitterUs, tick) => {
            burst(learner, tick * intervalUs + jitterUs, tick % 2 === 0 ? vms : [...vms].reverse());
          });
          const measuredUs = learner.measuredUs ?? Number.NaN;
          expect(Math.abs(measuredUs - intervalUs)).toBeLessThanOrEqual(20_000);
        },
      ),
    );
  });
});

describe("names that never come again", () => {
  /** Bursts of names of which none repeats, 1,000 each second. */
  function inventedNames(learner: StatsInterval, count: number): void {
    for (let i = 0; i < count; i++) learner.message(`invented-name-${i}`, Math.floor(i / 1000) * S);
  }

  test("cost a bounded memory, however many come", () => {
    const learner = new StatsInterval("auto");
    inventedNames(learner, 2_000);
    setFlagsFromString("--expose-gc");
    const collectGarbage: () => void = runInNewContext("gc");
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    inventedNames(learner, 500_000);
    collectGarbage();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(2_000_000);
    expect(learner.measuredUs).toBeNull();
  });

  test("hide the interval for ten minutes at most", () => {
    const learner = new StatsInterval("auto");
    inventedNames(learner, 5_000);
    for (let tick = 1; tick <= 65; tick++) burst(learner, tick * 10 * S);
    expect(learner.measuredUs).toBe(10 * S);
  });

  test("do not hide it where a host has more VMs than are remembered of a burst", () => {
    const vms = Array.from({ length: 5_000 }, (_, i) => `vm-${i}`);
    expect(learnFrom([0, 10 * S, 20 * S, 30 * S], vms).measuredUs).toBe(10 * S);
  });
});

describe("the provisional interval", () => {
  test.each([
    ["10 s before any gap", [0], 10 * S],
    ["the gap, from the second burst on", [0, S], S],
    ["the smallest gap of two", [0, 3 * S, 5 * S], 2 * S],
    ["10 s at most", [0, 60 * S], 10 * S],
    ["half a second at least", [0, 100_000], 500_000],
    ["the measured interval once that is known", [0, 60 * S, 120 * S, 180 * S], 60 * S],
  ])("is %s", (_, burstsAtUs, expected) => {
    expect(learnFrom(burstsAtUs).sampleUs).toBe(expected);
  });

  test("is known when the first message of the second burst comes", () => {
    const learner = learnFrom([0]);
    learner.message("web", S);
    expect(learner.sampleUs).toBe(S);
  });
});

describe("a subscription's interval", () => {
  test("is 10 s until it is learnt", () => {
    const interval = new StatsInterval("auto");
    burst(interval, 0);
    burst(interval, S);
    burst(interval, 2 * S);
    expect([interval.us, interval.knownUs, interval.sampleUs]).toEqual([10 * S, null, S]);
    burst(interval, 3 * S);
    expect([interval.us, interval.knownUs, interval.sampleUs]).toEqual([S, S, S]);
  });

  test("is learnt anew on another connection", () => {
    const interval = new StatsInterval("auto");
    for (let tick = 0; tick < 4; tick++) burst(interval, tick * S);
    interval.reconnected();
    expect(interval.us).toBe(10 * S);
  });

  test("is what is configured, whatever the stream shows", () => {
    const interval = new StatsInterval(5_000);
    for (let tick = 0; tick < 4; tick++) burst(interval, tick * S);
    expect([interval.us, interval.knownUs, interval.sampleUs]).toEqual([5 * S, 5 * S, 5 * S]);
  });

  test.each([
    ["the same", 2_000, null],
    ["1.5 times too long", 3_000, null],
    ["more than 1.5 times too long", 3_001, 2 * S],
    ["1.5 times too short", 1_334, null],
    ["more than 1.5 times too short", 1_333, 2 * S],
  ])("contradicts what is measured only beyond a factor of 1.5: %s", (_, configuredMs, expected) => {
    const interval = new StatsInterval(configuredMs);
    for (let tick = 0; tick < 4; tick++) burst(interval, tick * 2 * S);
    expect(interval.contradictedByUs).toBe(expected);
  });
});
