import { describe, expect, test } from "vitest";
import { type Reading, readingFrom } from "../../scripts/soak/readings.ts";
import { judge } from "../../scripts/soak/verdict.ts";

const MB = 1024 * 1024;
const CALM = { p50: 10.1, p90: 10.4, p99: 14, p999: 30, max: 55 };

/** Ten minutes of readings as they should be, but for what `at` says of each, by its number. */
function run(at: (i: number) => Partial<Reading> = () => ({}), count = 120): Reading[] {
  return Array.from({ length: count }, (_, i) => ({
    atSeconds: 5 * i,
    residentBytes: (110 + (i % 5)) * MB,
    // Goes up until it is collected.
    heapUsedBytes: (25 + (i % 4) * 3) * MB,
    externalBytes: 3 * MB,
    openDescriptors: 22,
    cpuSeconds: i / 4,
    loopP50Ms: 10,
    loopP99Ms: 13,
    loopMaxMs: 40,
    vms: 2000,
    scrapeMs: 80,
    scrapeBytes: 7 * MB,
    ...at(i),
  }));
}

function failures(readings: readonly Reading[], loop: typeof CALM | null = CALM): string[] {
  return judge(readings, loop, 2000)
    .filter(({ holds }) => !holds)
    .map(({ text }) => text);
}

describe("a soak", () => {
  test("of a program that stays as it is holds", () => {
    expect(failures(run())).toEqual([]);
  });

  test("does not judge the time in which the heap finds its size", () => {
    expect(
      failures(run((i) => (i < 30 ? { residentBytes: 60 * MB, heapUsedBytes: 9 * MB, vms: 0 } : {}))),
    ).toEqual([]);
  });

  test.each<[string, (i: number) => Partial<Reading>, RegExp]>([
    [
      "resident memory that grows",
      (i) => ({ residentBytes: (100 + i / 4) * MB }),
      /^resident memory: .*\+\d+\.\d %/,
    ],
    [
      "a heap whose floor rises",
      (i) => ({ heapUsedBytes: (25 + (i % 4) * 3 + i / 20) * MB }),
      /^heap after collection/,
    ],
    ["buffers that grow", (i) => ({ externalBytes: (3 + i / 100) * MB }), /^memory outside the heap/],
    [
      "descriptors that are not closed",
      (i) => ({ openDescriptors: 20 + Math.floor(i / 30) }),
      /^open descriptors: 21, then 22/,
    ],
    [
      "a VM that is missing once",
      (i) => (i === 77 ? { vms: 1999 } : {}),
      /^VMs served at each scrape: 1999 or more of 2000/,
    ],
  ])("does not hold with %s", (_, at, text) => {
    expect(failures(run(at))).toEqual([expect.stringMatching(text)]);
  });

  test("does not hold with an event loop that is late too often", () => {
    expect(failures(run(), { ...CALM, p99: 20 })).toEqual([
      "event-loop delay p50, p90, p99, p99.9, max: 10.1, 10.4, 20.0, 30.0, 55.0 ms (limit of p99 20 ms; idle is 10 ms)",
    ]);
    expect(failures(run(), null)).toEqual(["event-loop delay: the exporter did not end in good order"]);
  });

  test("that is too short is not taken for a good one", () => {
    expect(failures(run(undefined, 12))).toEqual([expect.stringMatching(/^12 scrapes are too few/)]);
  });
});

test("a scrape without one of the figures is an error, not a zero", () => {
  const measured = { atSeconds: 0, scrapeMs: 1, scrapeBytes: 1 };
  expect(() => readingFrom("process_resident_memory_bytes 1\n", measured)).toThrow(
    "nodejs_heap_size_used_bytes",
  );
});
