import { describe, expect, test } from "vitest";
import { loadSection } from "../../src/config/promql.ts";
import { HISTORY_GROUPS, History } from "../../src/scaler/report/history.ts";
import { groupKey, type LoadAnswer } from "../../src/scaler/rules/types.ts";
import { type Members, run } from "./rules.ts";

/** CPU usage is in percent already. */
const FULL = { fullForUp: 100, fullForDown: 100 };
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
      { agoMs: 130_000, load: 20, ...FULL },
      { agoMs: 70_000, load: 60, ...FULL },
      { agoMs: 10_000, load: 90, ...FULL },
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
    expect(history.of(WEB, 240_000)?.map(({ load }) => load)).toEqual([20, null, null, 30]);
  });

  test("has 240 points at most, of evaluations within a quarter minute the last", () => {
    const history = historyOf(Array.from({ length: 2_000 }, (_, i) => [i * 3, { 0: i % 100 }]));
    const points = history.of(WEB, 1_999 * 3_000) ?? [];
    expect(points).toHaveLength(240);
    expect(points.at(-1)).toEqual({ agoMs: 0, load: 99, ...FULL });
    expect(points.at(-2)).toEqual({ agoMs: 15_000, load: 94, ...FULL });
  });

  test("ends after an hour, however rarely groups are evaluated", () => {
    const history = historyOf([
      [0, { 0: 10 }],
      [1_800, { 0: 20 }],
      [3_601, { 0: 30 }],
    ]);
    expect(history.of(WEB, 3_601_000)?.map(({ load }) => load)).toEqual([20, 30]);
  });
});

describe("with a load from PromQL", () => {
  const load = (query: string) => loadSection.schema.parse({ query, capacity_per_member: 200 });
  const at = (history: History, seconds: number, members: Members, answer: LoadAnswer, query = "q") =>
    history.add(
      [run({ members, policy: { load: load(query) }, facts: { load: answer } }).evaluation],
      seconds * 1000,
    );

  test("it is in the query's unit, beside what the members of then could take", () => {
    const history = new History();
    at(history, 0, { 0: 5 }, { outcome: "ok", value: 150.5 });
    at(history, 60, { 0: 5, 1: "warming" }, { outcome: "ok", value: 250 });
    at(history, 120, { 0: 5, 1: 5 }, { outcome: "timeout", text: "no answer within 10s" });
    at(history, 180, { 0: "missing" }, { outcome: "ok", value: 300 });
    at(history, 240, { 0: 5, 1: 5 }, { outcome: "ok", value: 0 });
    expect(history.of(WEB, 240_000)).toMatchObject([
      { agoMs: 240_000, load: 150.5, fullForUp: 200, fullForDown: 200 },
      { agoMs: 180_000, load: 250, fullForUp: 400, fullForDown: 200 },
      { agoMs: 120_000, load: null },
      { agoMs: 60_000, load: null },
      { agoMs: 0, load: 0, fullForUp: 400, fullForDown: 400 },
    ]);
  });

  test("it begins anew with another query, whose unit may be another", () => {
    const history = new History();
    at(history, 0, { 0: 5 }, { outcome: "ok", value: 150 });
    at(history, 60, { 0: 5 }, { outcome: "ok", value: 3 }, "other");
    expect(history.of(WEB, 60_000)).toMatchObject([{ agoMs: 0, load: 3 }]);
    history.add([run({ members: { 0: 20 } }).evaluation], 120_000);
    expect(history.of(WEB, 120_000)).toEqual([{ agoMs: 0, load: 20, ...FULL }]);
  });

  test.each([
    [1e-300, [0]],
    [1e300, []],
  ])("what four bytes cannot hold is nothing or not shown: %d", (value, loads) => {
    const history = new History();
    at(history, 0, { 0: 5 }, { outcome: "ok", value });
    expect(history.of(WEB, 0)?.map(({ load }) => load)).toEqual(loads);
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
