import { expect, test } from "vitest";
import { Fleet } from "../../src/fleet/fleet.ts";
import { formatName } from "../../src/wire/names.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { readTrace } from "../support/trace.ts";

/** Recorded at a 2 s interval from real processes under albatross-stats; the fixtures' README tells what they did. */
const samples = readTrace(new URL("../fixtures/wire/traces/real-web.ndjson", import.meta.url));
const INTERVAL_US = 2e6;
const startMs = samples[0]?.wallMs ?? 0;

/** Each VM's gauges over the trace by seconds since its start, and its record at the end of its time. */
function replay() {
  const clock = new FakeClock(startMs);
  const fleet = new Fleet({ clock, deathTimeoutMs: 40_000 });
  const gauges = new Map<string, { readonly atS: number; readonly percent: number | null }[]>();
  const restarts = new Map<string, number>();
  for (const { wallMs, host, name, stats } of samples) {
    clock.advance(wallMs - startMs - clock.nowUs() / 1000);
    fleet.record({
      host,
      name,
      stats,
      arrivalUs: clock.nowUs(),
      arrivalWallMs: wallMs,
      intervalUs: INTERVAL_US,
    });
    const fullName = formatName(name);
    const { vms } = fleet.snapshot({ staleAfterUs: () => 7e6 });
    const record = vms.find((vm) => vm.fullName === fullName);
    const point = { atS: (wallMs - startMs) / 1000, percent: record?.usagePercent ?? null };
    gauges.set(fullName, [...(gauges.get(fullName) ?? []), point]);
    restarts.set(fullName, record?.restarts ?? 0);
  }
  return { fleet, gauges, restarts };
}

const { fleet, gauges, restarts } = replay();

function meanBetween(vm: string, fromS: number, toS: number): number {
  const percents = (gauges.get(vm) ?? []).flatMap(({ atS, percent }) =>
    percent !== null && atS >= fromS && atS < toS ? [percent] : [],
  );
  return percents.reduce((sum, percent) => sum + percent, 0) / percents.length;
}

test.each([
  ["user:web", 10, 100, 97],
  ["user:web", 125, 200, 50],
  ["user:web-clone-1", 125, 200, 50],
  ["user:web", 225, 320, 12],
  ["user:web-clone-1", 225, 320, 12],
  ["user:db", 10, 400, 8],
  [":hello", 10, 400, 3],
])("%s is measured between %i s and %i s at %i %%", (vm, fromS, toS, percent) => {
  expect(Math.abs(meanBetween(vm, fromS, toS) - percent)).toBeLessThan(2);
});

test("only the first sample and each restart's first have no gauge", () => {
  for (const [vm, points] of gauges) {
    const without = points.filter(({ percent }) => percent === null);
    expect([vm, without.length]).toEqual([vm, 1 + (restarts.get(vm) ?? 0)]);
  }
});

test("each change of load was a restart", () => {
  expect(Object.fromEntries(restarts)).toEqual({
    "user:web": 2,
    "user:web-clone-1": 1,
    "user:db": 0,
    ":hello": 0,
  });
});

test("what was destroyed is gone after death_timeout, and the others are there", () => {
  // the clone was last heard 72 s before the end of the trace, web 42 s before it
  const groups = fleet.snapshot({ staleAfterUs: () => 7e6 }).groups();
  expect(groups.map(({ path, group, clones }) => [path, group, clones])).toEqual([
    ["", "hello", 0],
    ["user", "db", 0],
  ]);
});
