import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Curve, curveAt } from "../../src/simulator/curve.ts";

const ramp: Curve = { type: "ramp", from: 20, to: 80, startMs: 10_000, overMs: 30_000 };
const sine: Curve = { type: "sine", mean: 50, amplitude: 30, periodMs: 40_000, phaseMs: 0 };
const steps: Curve = {
  type: "steps",
  steps: [
    { atMs: 5_000, percent: 10 },
    { atMs: 8_000, percent: 90 },
  ],
};
const noise: Curve = { type: "noise", mean: 40, amplitude: 10, everyMs: 2_000 };

describe("a curve", () => {
  test.each<{ name: string; curve: Curve; at: number; percent: number }>([
    { name: "constant", curve: { type: "constant", percent: 42 }, at: 123_456, percent: 42 },
    { name: "ramp before its start", curve: ramp, at: 3_000, percent: 20 },
    { name: "ramp half way", curve: ramp, at: 25_000, percent: 50 },
    { name: "ramp after its end", curve: ramp, at: 90_000, percent: 80 },
    { name: "sine at the start", curve: sine, at: 0, percent: 50 },
    { name: "sine at its height", curve: sine, at: 10_000, percent: 80 },
    { name: "sine at its depth", curve: sine, at: 30_000, percent: 20 },
    { name: "sine with a phase", curve: { ...sine, phaseMs: 10_000 }, at: 20_000, percent: 20 },
    { name: "steps before the first", curve: steps, at: 4_999, percent: 0 },
    { name: "steps at the very time of one", curve: steps, at: 8_000, percent: 90 },
    { name: "steps between two", curve: steps, at: 7_999, percent: 10 },
    {
      name: "sum",
      curve: { type: "sum", of: [ramp, { type: "constant", percent: -5 }] },
      at: 25_000,
      percent: 45,
    },
    { name: "sum of nothing", curve: { type: "sum", of: [] }, at: 1, percent: 0 },
    { name: "scale", curve: { type: "scale", by: 0.5, of: sine }, at: 10_000, percent: 40 },
  ])("$name: $percent % at $at ms", ({ curve, at, percent }) => {
    expect(curveAt(curve, at, 1)).toBeCloseTo(percent, 9);
  });

  test("of noise stays within its amplitude and is the same for the same seed and time, in any order", () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.nat(1_000_000), { minLength: 1 }), (seed, times) => {
        const forwards = times.map((ms) => curveAt(noise, ms, seed));
        const backwards = times.toReversed().map((ms) => curveAt(noise, ms, seed));
        expect(backwards.reverse()).toEqual(forwards);
        for (const value of forwards) expect(Math.abs(value - 40)).toBeLessThanOrEqual(10);
      }),
    );
  });

  test("of noise holds for its span, differs from span to span and from seed to seed", () => {
    const values = Array.from({ length: 50 }, (_, index) => curveAt(noise, index * 2_000, 9));
    expect(curveAt(noise, 1_999, 9)).toBe(values[0]);
    expect(new Set(values).size).toBe(50);
    expect(values).not.toContain(curveAt(noise, 0, 10));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(mean).toBeGreaterThan(37);
    expect(mean).toBeLessThan(43);
  });

  test("of two equal noises is not twice the same noise", () => {
    const centred: Curve = { type: "noise", mean: 0, amplitude: 10, everyMs: 1_000 };
    const both = curveAt({ type: "sum", of: [centred, centred] }, 5_000, 3);
    expect(both).not.toBeCloseTo(2 * curveAt(centred, 5_000, 3), 3);
  });
});
