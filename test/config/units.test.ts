import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/config/units.ts";

describe("durations", () => {
  test.each([
    ["90s", 90_000],
    ["10m", 600_000],
    ["1h30m", 5_400_000],
    ["500ms", 500],
    ["2d", 172_800_000],
    ["1d2h3m4s5ms", 93_784_005],
    ["0s", 0],
    ["05m", 300_000],
  ])("%s is %i ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each([
    "",
    "s",
    "10",
    "1.5h",
    "-1s",
    "1s1m",
    "1m1m",
    " 1s",
    "1 s",
    "1S",
    "1w",
    "1h 30m",
    "99999999999999999999d",
  ])("%j is none", (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  test("what is formatted reads back as the same duration", () => {
    fc.assert(fc.property(fc.nat(2_000_000_000), (ms) => parseDuration(formatDuration(ms)) === ms));
  });
});

describe("sizes", () => {
  test.each([
    ["512B", 512],
    ["1KiB", 1024],
    ["64MiB", 67_108_864],
    ["2GiB", 2_147_483_648],
    ["10kB", 10_000],
    ["10 MB", 10_000_000],
    ["1GB", 1_000_000_000],
  ])("%s is %i bytes", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test.each(["", "1", "MiB", "1.5MiB", "1mib", "1Mib", "-1B", "1TiB", "99999999999GiB"])(
    "%j is none",
    (text) => {
      expect(parseSize(text)).toBeNull();
    },
  );

  test("what is formatted reads back as the same size", () => {
    fc.assert(fc.property(fc.nat(), (bytes) => parseSize(formatSize(bytes)) === bytes));
  });
});
