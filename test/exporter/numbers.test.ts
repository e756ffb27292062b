import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bitsAsBytes, microsAsSeconds, seconds, times, unsigned } from "../../src/exporter/numbers.ts";
import type { Int64 } from "../../src/wire/messages.ts";

/** Any signed 64-bit integer as the wire hands it on: a number while it is a safe integer. */
const int64 = fc
  .oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.maxSafeInteger().map(BigInt))
  .map(
    (value): Int64 =>
      value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
        ? Number(value)
        : value,
  );

const asUnsigned = (value: Int64) => BigInt.asUintN(64, BigInt(value));

describe("fields as unsigned 64-bit integers", () => {
  it.each<[Int64, string]>([
    [0, "0"],
    [Number.MAX_SAFE_INTEGER, "9007199254740991"],
    [9_007_199_254_740_993n, "9007199254740993"],
    [2n ** 63n - 1n, "9223372036854775807"],
    [-(2n ** 63n), "9223372036854775808"],
    [-1, "18446744073709551615"],
    [-9_007_199_254_740_993n, "18437736874454810623"],
  ])("%s reads %s", (value, text) => {
    expect(String(unsigned(value))).toBe(text);
  });

  it("keep every bit", () => {
    fc.assert(fc.property(int64, (value) => BigInt(unsigned(value)) === asUnsigned(value)));
  });

  it("times a page size keep every digit", () => {
    const pageSize = fc.constantFrom(1024, 4096, 16_384, 65_536);
    fc.assert(
      fc.property(
        int64,
        pageSize,
        (value, size) => BigInt(times(value, size)) === asUnsigned(value) * BigInt(size),
      ),
    );
  });
});

describe("bits per second as bytes per second", () => {
  it.each<[Int64, string]>([
    [10_000_000_000, "1250000000"],
    [1, "0.125"],
    [-1, "2305843009213693951.875"],
    [-2, "2305843009213693951.750"],
    [-8, "2305843009213693951"],
  ])("%s bit/s are %s byte/s", (bits, text) => {
    expect(String(bitsAsBytes(bits))).toBe(text);
  });
});

describe("seconds with microseconds", () => {
  it.each<[Int64, Int64, string]>([
    [0, 0, "0"],
    [3, 999_999, "3.999999"],
    [2, 20_000, "2.02"],
    [7, 1, "7.000001"],
    [9_007_199_254_740_993n, 500_000, "9007199254740993.5"],
    [-1, 1, "18446744073709551615.000001"],
    [1, 1_500_000, "2.5"],
    [1, -500_000, "0.5"],
    [0, -1, "-0.000001"],
  ])("%s s and %s µs read %s", (sec, usec, text) => {
    expect(String(seconds(sec, usec))).toBe(text);
  });

  it("lose nothing against integer arithmetic", () => {
    fc.assert(
      fc.property(int64, fc.integer({ min: 0, max: 999_999 }), (sec, usec) => {
        expect(microsOf(String(seconds(sec, usec)))).toBe(asUnsigned(sec) * 1_000_000n + BigInt(usec));
      }),
    );
  });

  it("say the same as microseconds in one number", () => {
    fc.assert(
      fc.property(int64, (micros) => {
        expect(microsOf(String(microsAsSeconds(micros)))).toBe(asUnsigned(micros));
      }),
    );
  });
});

function microsOf(text: string): bigint {
  const [whole = "", fraction = ""] = text.split(".");
  return BigInt(whole) * 1_000_000n + BigInt(fraction.padEnd(6, "0"));
}
