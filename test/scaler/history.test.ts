import { describe, expect, test } from "vitest";
import { HISTORY_GROUPS, History } from "../../src/scaler/report/history.ts";
import { groupKey } from "../../src/scaler/rules/types.ts";
import { type Members, run } from "./rules.ts";

const WEB = groupKey({ host: "h", path: "user", group: "web" });

/** Ticks at these seconds with these members; null is a tick without the group. */
function historyOf(ticks: readonly (readonly [seconds: number, members: Members | null])[]): History {
  const history = new History();
  for (const [seconds, members] of ticks) {
    history.add(members === null ? [] : [run({ members }).evaluation], seconds * 1000);
  }
  return history;
}

describe("the last hour of a group", () => {
  test("is its measured average at each evaluation, the oldest first", () => {
    const history = historyOf([
      [60, { 0: 20 }],
      [120, { 0: 40, 1: 80 }],
      [180, { 0: 90, 1: "missing" }],
    ]);
    expect(history.of(WEB, 190_000)).toEqual([
      { agoMs: 130_000, percent: 20 },
      { agoMs: 70_000, percent: 60 },
      { agoMs: 10_000, percent: 90 },
    ]);
  });

  test("has a gap where nothing was measured, and begins with a measurement", () => {
    const history = historyOf([
      [0, { 0: "warming" }],
      [60, { 0: 20 }],
      [120, { 0: "missing" }],
      [180, null],
      [240, { 0: 30 }],
    ]);
    expect(history.of(WEB, 240_000)?.map(({ percent }) => percent)).toEqual([20, null, null, 30]);
  });

  test("has 240 points at most, of evaluations within a quarter minute the last", () => {
    const history = historyOf(Array.from({ length: 2_000 }, (_, i) => [i * 3, { 0: i % 100 }]));
    const points = history.of(WEB, 1_999 * 3_000) ?? [];
    expect(points).toHaveLength(240);
    expect(points.at(-1)).toEqual({ agoMs: 0, percent: 99 });
    expect(points.at(-2)).toEqual({ agoMs: 15_000, percent: 94 });
  });

  test("ends after an hour, however rarely groups are evaluated", () => {
    const history = historyOf([
      [0, { 0: 10 }],
      [1_800, { 0: 20 }],
      [3_601, { 0: 30 }],
    ]);
    expect(history.of(WEB, 3_601_000)?.map(({ percent }) => percent)).toEqual([20, 30]);
  });
});

test("no history is kept of a group without a policy", () => {
  const history = new History();
  history.add([run({ members: { 0: 50 }, policy: null }).evaluation], 0);
  expect(history.of(WEB, 0)).toBeNull();
});

test("beyond 1,000 groups a line is kept once one of them has not been measured for an hour", () => {
  const history = new History();
  const seen = (count: number) =>
    Array.from(
      { length: count },
      (_, i) => run({ members: { 0: 50 }, facts: { group: `g${i}`, key: `g${i}` } }).evaluation,
    );
  const all = seen(HISTORY_GROUPS + 1);
  history.add(all, 0);
  expect(history.of("g999", 0)).toHaveLength(1);
  expect(history.of("g1000", 0)).toBeNull();
  for (let second = 15; second <= 3_600; second += 15) history.add(all.slice(1), second * 1000);
  expect(history.of("g0", 3_600_000)).toBeNull();
  expect(history.of("g1000", 3_600_000)).toHaveLength(1);
});
