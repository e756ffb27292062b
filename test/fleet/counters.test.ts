import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cpuTimeUs, hasReset, isBelow } from "../../src/fleet/counters.ts";
import type { Rusage } from "../../src/wire/messages.ts";
import { makeRusage, makeStats } from "../support/stats.ts";

describe("CPU time", () => {
  const rows: [string, Partial<Rusage>, number | null][] = [
    ["is 0 for a process that has not run", {}, 0],
    [
      "is user plus system time in microseconds",
      { utimeSec: 3, utimeUsec: 250_000, stimeSec: 1, stimeUsec: 5 },
      4_250_005,
    ],
    ["counts microseconds of a second and more", { utimeUsec: 2_500_000 }, 2_500_000],
    ["is exact up to 2^53", { utimeSec: 9_007_199_254, utimeUsec: 740_991 }, Number.MAX_SAFE_INTEGER],
    ["is unusable above 2^53", { utimeSec: 9_007_199_254, utimeUsec: 740_992 }, null],
    ["is unusable where seconds are a bigint", { utimeSec: 2n ** 60n }, null],
    ["is unusable where a field is negative: that is a value above 2^63", { stimeSec: -1 }, null],
    ["is unusable where microseconds are negative", { utimeSec: 5, utimeUsec: -1 }, null],
  ];
  test.each(rows)("%s", (_, fields, expected) => {
    expect(cpuTimeUs(makeRusage(fields))).toBe(expected);
  });
});

describe("a reset", () => {
  const before = { minflt: 100, nvcsw: 50 };
  const rows: [string, number, Partial<Rusage>, boolean][] = [
    ["is not seen when nothing changes", 10, before, false],
    ["is not seen when everything grows", 11, { minflt: 101, nvcsw: 51 }, false],
    ["is seen when CPU time goes down", 9, before, true],
    ["is seen when minor faults go down though CPU time grows", 11, { minflt: 99, nvcsw: 50 }, true],
    ["is seen when voluntary context switches go down", 11, { minflt: 100, nvcsw: 49 }, true],
    ["is not seen in a counter that may go down", 11, { ...before, maxrss: -5, nivcsw: 0 }, false],
    ["is not seen when faults pass 2^63, where they look negative", 11, { ...before, minflt: -5 }, false],
    ["is not seen when CPU time becomes absurd", 0, { ...before, utimeSec: -1 }, false],
  ];
  test.each(rows)("%s", (_, cpuUs, fields, expected) => {
    const previous = makeStats(10, { ...before, maxrss: 7, nivcsw: 7 });
    expect(hasReset(previous, makeStats(cpuUs, fields))).toBe(expected);
  });

  test("is seen when absurd CPU time becomes small again", () => {
    expect(hasReset(makeStats(0, { utimeSec: -1 }), makeStats(10))).toBe(true);
  });

  test("is seen in absurd CPU time that goes down", () => {
    expect(hasReset(makeStats(0, { utimeSec: -1 }), makeStats(0, { utimeSec: -2 }))).toBe(true);
    expect(hasReset(makeStats(0, { utimeSec: -2 }), makeStats(0, { utimeSec: -1 }))).toBe(false);
  });
});

test("64-bit counters compare as unsigned, whether number or bigint", () => {
  const int64 = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt(-3n, 3n));
  const asWire = (v: bigint) => (Number.isSafeInteger(Number(v)) ? Number(v) : v);
  fc.assert(
    fc.property(int64, int64, (a, b) => {
      expect(isBelow(asWire(a), asWire(b))).toBe(BigInt.asUintN(64, a) < BigInt.asUintN(64, b));
    }),
  );
});
