import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Value } from "../../src/exposition/family.ts";
import { formatValue, MAX_VALUE_BYTES, writeValue } from "../../src/exposition/numbers.ts";

function written(value: Value): string {
  const into = Buffer.alloc(3 + MAX_VALUE_BYTES, "#");
  const end = writeValue(into, 3, value);
  expect(into.toString("latin1", 0, 3)).toBe("###");
  expect(into.subarray(end).every((byte) => byte === 0x23)).toBe(true);
  return into.toString("latin1", 3, end);
}

describe("a value is written", () => {
  test.each<{ value: Value; text: string }>([
    { value: 0, text: "0" },
    { value: -0, text: "0" },
    { value: 9, text: "9" },
    { value: 10, text: "10" },
    { value: 999_999_999, text: "999999999" },
    { value: 1_000_000_000, text: "1000000000" },
    { value: 4_294_967_295, text: "4294967295" },
    { value: 4_294_967_296, text: "4294967296" },
    { value: 9_000_000_000_000_000, text: "9000000000000000" },
    { value: 8_999_999_999_999_999, text: "8999999999999999" },
    { value: Number.MAX_SAFE_INTEGER, text: "9007199254740991" },
    { value: 2 ** 53, text: "9007199254740992" },
    { value: 18_446_744_073_709_551_615n, text: "18446744073709551615" },
    { value: -9_223_372_036_854_775_808n, text: "-9223372036854775808" },
    { value: 1e21, text: "1e+21" },
    { value: 123_456_789_012_345_680_000, text: "123456789012345680000" },
    { value: -17, text: "-17" },
    { value: 0.1, text: "0.1" },
    { value: 12.345678901234567, text: "12.345678901234567" },
    { value: 5e-324, text: "5e-324" },
    { value: -1.7976931348623157e308, text: "-1.7976931348623157e+308" },
    { value: Number.POSITIVE_INFINITY, text: "+Inf" },
    { value: Number.NEGATIVE_INFINITY, text: "-Inf" },
    { value: Number.NaN, text: "NaN" },
  ])("$value as $text", ({ value, text }) => {
    expect(formatValue(value)).toBe(text);
    expect(written(value)).toBe(text);
  });

  test("with every digit, whatever the whole number", () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        expect(written(value)).toBe(String(value));
      }),
      { numRuns: 1_000 },
    );
  });

  test("with every digit of 64 bits", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), (value) => {
        expect(BigInt(written(value))).toBe(value);
      }),
    );
  });

  test("right around each multiple of 10^9, where the digits are written in two halves", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9_007_199 }),
        fc.integer({ min: -2, max: 2 }),
        (billions, offset) => {
          const value = billions * 1e9 + offset;
          expect(written(value)).toBe(String(value));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("so that a float reads back as itself", () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(Number(written(value))).toBe(value === 0 ? 0 : value);
      }),
    );
  });
});
