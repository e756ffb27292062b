import { describe, expect, test } from "vitest";
import { hpa, LOADS, nomadThreshold, ourDefaults, playDay, quickProfile } from "../../bench/loads.ts";
import { type Decider, ownRules } from "../../src/backtest/player.ts";

const day = (load: string, decider: Decider) => {
  const { saturatedMs, cloneMs, reversals } = playDay(load, decider);
  return { saturated: saturatedMs / 60_000, hours: cloneMs / 3_600_000, reversals };
};
const quick = (load: string) => day(load, ownRules(quickProfile()));

describe("Kubernetes' HPA as it is written here takes as many clone-hours as in another model of it:", () => {
  test.each([
    { load: "diurnal", from: 35.8 * 0.9, to: 35.8 * 1.1 },
    { load: "flash crowd", from: 8.9 * 0.9, to: 8.9 * 1.1 },
    { load: "ramp", from: 23.8 * 0.9, to: 23.8 * 1.1 },
    { load: "at the edge", from: 24 * 0.9, to: 24 * 1.1 },
    { load: "sawtooth", from: 36.3 * 0.9, to: 36.3 * 1.1 },
    { load: "short bursts", from: 14, to: 16 },
  ])("$load", ({ load, from, to }) => {
    const { hours } = day(load, hpa());
    expect(hours).toBeGreaterThanOrEqual(from);
    expect(hours).toBeLessThanOrEqual(to);
  });
});

test("Nomad's threshold takes as many on a flash crowd and a sawtooth", () => {
  const hours = ["flash crowd", "sawtooth"].map((load) => day(load, nomadThreshold()).hours);
  expect(hours).toEqual([expect.closeTo(8, 0), expect.closeTo(28.1, 0)]);
});

describe("the quick profile of config.yaml", () => {
  test.each([
    { load: "flash crowd", most: 10 },
    { load: "short bursts", most: 5 },
  ])("leaves a group saturated for at most $most minutes of a day of $load", ({ load, most }) => {
    expect(quick(load).saturated).toBeLessThanOrEqual(most);
  });

  test.each(["short bursts", "sawtooth"])("goes back and forth at most half as often as HPA: %s", (load) => {
    expect(quick(load).reversals).toBeLessThanOrEqual(day(load, hpa()).reversals / 2);
  });

  test.each(["diurnal", "flash crowd", "at the edge", "ramp"])(
    "costs what HPA does, but for 15 percent: %s",
    (load) => {
      const others = day(load, hpa()).hours;
      expect(Math.abs(quick(load).hours / others - 1)).toBeLessThanOrEqual(0.15);
    },
  );
});

test("the defaults, one clone a decision and ten minutes to the next, leave a flash crowd waiting", () => {
  expect(day("flash crowd", ownRules(ourDefaults())).saturated).toBeCloseTo(109, 0);
});

test("a day played twice comes out the same", () => {
  for (const load of Object.keys(LOADS)) expect(quick(load)).toEqual(quick(load));
});
