import { describe, expect, test } from "vitest";
import { cooldownUntilMs, FRESH_STATE } from "../../src/scaler/rules/types.ts";
import { holdsFor, MINUTE, outstanding, policy, run } from "./rules.ts";

const UP = outstanding("scale_up overloaded", 1);
const DOWN = outstanding("scale_down underloaded", 2);
/** The cooldown after either is over. */
const LATER = { lastActionMs: 0 };

describe("4. an outstanding decision is not taken again", () => {
  holdsFor`
    while the load stays high and the clone does not come            | 0:95           | hold outstanding                   | 3 0 | ${{ state: { ...LATER, outstanding: UP, highTicks: 2 } }}
    while the load stays low and the clone does not go               | 0:10 1:10 2:10 | hold outstanding                   | 0 5 | ${{ state: { ...LATER, outstanding: DOWN, lowTicks: 4 } }}
    at_max comes before outstanding                                  | 0:95           | hold at_max                        | 3 0 | ${{ policy: { maxClones: 0 }, state: { ...LATER, outstanding: UP, highTicks: 2 } }}
    at_min comes before outstanding                                  | 0:10 1:10 2:10 | hold at_min                        | 0 5 | ${{ policy: { minClones: 2 }, state: { ...LATER, outstanding: DOWN, lowTicks: 4 } }}
    a scale-up that is outstanding says nothing against a scale-down | 0:10 2:10      | scale_down underloaded web-clone-2 | 0 0 | ${{ state: { ...LATER, outstanding: UP, lowTicks: 4 } }}
    another clone than the one asked for does not end it             | 0:95 2:95      | hold outstanding                   | 3 0 | ${{ state: { ...LATER, outstanding: UP, highTicks: 2 } }}
    its clone is alive: counting starts again, at this evaluation    | 0:95 1:95      | hold pending_up                    | 1 0 | ${{ state: { ...LATER, outstanding: UP, highTicks: 2 } }}
    its clone is gone: counting starts again, at this evaluation     | 0:10 1:10      | hold pending_down                  | 0 1 | ${{ state: { ...LATER, outstanding: DOWN, lowTicks: 4 } }}
    a clone that is alive before it is measured counts as come       | 0:95 1:warming | hold incomplete_data               | 0 0 | ${{ state: { ...LATER, outstanding: UP, highTicks: 2 } }}
  `;
});

describe("4. an outstanding decision ends", () => {
  const atMost = { nowMs: 5 * MINUTE, state: LATER };
  test.each([
    { name: "when the load is not high any more", asked: UP, members: { 0: 90 }, ends: true },
    { name: "not while it is", asked: UP, members: { 0: 91 }, ends: false },
    { name: "when the load is not low any more", asked: DOWN, members: { 0: 40, 1: 40, 2: 40 }, ends: true },
    { name: "not while it is", asked: DOWN, members: { 0: 39, 1: 39, 2: 39 }, ends: false },
    {
      name: "when missing data make it uncertain that the load is high",
      asked: UP,
      members: { 0: 95, 2: "missing" as const },
      ends: true,
    },
    {
      name: "when a repair is not needed any more",
      asked: outstanding("scale_down above_max", 3),
      members: { 0: 50, 2: 50, 3: 50 },
      policy: { maxClones: 2 },
      ends: true,
    },
    {
      name: "not while it is needed, whatever the load",
      asked: outstanding("scale_down above_max", 3),
      members: { 0: 50, 2: 50, 3: 50 },
      policy: { maxClones: 1 },
      ends: false,
    },
    {
      name: "when there are enough clones again",
      asked: outstanding("scale_up below_min", 4),
      members: { 0: 50, 1: 50 },
      policy: { minClones: 1 },
      ends: true,
    },
    {
      name: "not while there are too few",
      asked: outstanding("scale_up below_min", 4),
      members: { 0: 50 },
      policy: { minClones: 1 },
      ends: false,
    },
    { name: "when its clone is alive", asked: UP, members: { 0: 95, 1: 95 }, ends: true },
    { name: "when its clone is gone", asked: DOWN, members: { 0: 10, 1: 10 }, ends: true },
  ])("$name: $asked.reason, in cooldown as after it", ({ asked, members, policy, ends }) => {
    for (const nowMs of [atMost.nowMs, 60 * MINUTE]) {
      const state = { ...LATER, outstanding: asked, knownClones: null };
      const result = run({ members, policy: policy ?? {}, state, nowMs });
      expect(result.evaluation.decision.reason === "cooldown").toBe(nowMs === atMost.nowMs);
      expect(result.state.outstanding).toEqual(ends ? null : asked);
    }
  });

  test("not while step 1 holds the group: nothing can be said about its load", () => {
    const { state } = run({ members: { 0: "missing" }, state: { outstanding: UP } });
    expect(state.outstanding).toEqual(UP);
  });

  test("and one that came as asked is known as made here, as long as it lives", () => {
    const came = run({ members: { 0: 95, 1: 95 }, state: { ...LATER, outstanding: UP, knownClones: [] } });
    expect(came.state.madeHere).toEqual([1]);
    const cooling = run({
      members: { 0: 95, 1: 95 },
      state: { outstanding: UP, lastActionMs: 0 },
      nowMs: MINUTE,
    });
    expect(cooling.state.madeHere).toEqual([1]);
    const went = run({ members: { 0: 95 }, state: { ...came.state } });
    expect(went.state.madeHere).toEqual([]);
  });

  test("while a clone that nobody asked for is not known as made here", () => {
    const { state } = run({
      members: { 0: 95, 2: 95 },
      state: { ...LATER, outstanding: UP, knownClones: [] },
    });
    expect(state.madeHere).toEqual([]);
  });
});

describe("11. a paused group", () => {
  const paused = { paused: true };
  holdsFor`
    says what it would do, and keeps its counters                      | 0:95      | paused (scale_up overloaded web-clone-1)    | 3 0 | ${{ policy: paused, state: { highTicks: 2 } }}
    goes on counting while it is paused                                | 0:95      | paused (scale_up overloaded web-clone-1)    | 8 0 | ${{ policy: paused, state: { highTicks: 7 } }}
    says which clone would go                                          | 0:10 1:10 | paused (scale_down underloaded web-clone-1) | 0 5 | ${{ policy: paused, state: { lowTicks: 4 } }}
    says what would be repaired                                        | 0:60      | paused (scale_up below_min web-clone-1)     | 0 0 | ${{ policy: { ...paused, minClones: 1 }, state: { outOfBounds: "below" } }}
    is held for other reasons as ever                                  | 0:95 1:95 | hold at_max                                 | 3 0 | ${{ policy: { ...paused, maxClones: 1 }, state: { highTicks: 2 } }}
    takes none of the host's scale-ups, and is not held by their limit | 0:95      | paused (scale_up overloaded web-clone-1)    | 3 0 | ${{ policy: paused, state: { highTicks: 2 }, scaleUpAllowed: false }}
  `;

  test("begins no cooldown, leaves no tombstone, has nothing outstanding", () => {
    const { state } = run({ members: { 0: 10, 1: 10 }, policy: paused, state: { lowTicks: 4 } });
    expect(state).toEqual({ ...FRESH_STATE, lowTicks: 5, knownClones: [1] });
  });
});

describe("after a scale decision", () => {
  const nowMs = 60 * MINUTE;

  test("a scale-up starts a cooldown and is outstanding", () => {
    const { state, evaluation } = run({ members: { 0: 95 }, state: { highTicks: 2 } });
    expect(state).toEqual({
      ...FRESH_STATE,
      knownClones: [],
      lastActionMs: nowMs,
      lastScaleUpMs: nowMs,
      outstanding: outstanding("scale_up overloaded", 1, nowMs),
    });
    expect(cooldownUntilMs(evaluation)).toBe(nowMs + policy().cooldownPeriodMs);
  });

  test("a scale-down leaves a tombstone for death_timeout besides", () => {
    const { state } = run({
      members: { 0: 10, 1: 10, 2: 10 },
      state: { lowTicks: 4, tombstones: [{ cloneId: 9, untilMs: nowMs + 1 }] },
    });
    expect(state.outstanding).toEqual(outstanding("scale_down underloaded", 2, nowMs));
    expect(state.tombstones).toEqual([
      { cloneId: 9, untilMs: nowMs + 1 },
      { cloneId: 2, untilMs: nowMs + policy().deathTimeoutMs },
    ]);
  });

  test("the same clone has one tombstone, the newer", () => {
    const { state } = run({
      members: { 0: 10, 2: 10 },
      state: { lowTicks: 4, tombstones: [{ cloneId: 2, untilMs: nowMs + 1 }] },
    });
    expect(state.tombstones).toEqual([{ cloneId: 2, untilMs: nowMs + policy().deathTimeoutMs }]);
  });
});

describe("the explanation", () => {
  test("says what was measured: the mean, and the mean damped towards either decision", () => {
    const { evaluation } = run({ members: { 0: 90, 1: 30, 2: "missing", 3: "warming", 4: "silent" } });
    expect(evaluation.averages).toEqual({ fresh: 60, forUp: 30, forDown: 80, members: 4 });
    expect(evaluation.clones).toBe(4);
  });

  test("has no mean where there is nothing to take one of", () => {
    const { evaluation } = run({ members: { 0: "silent" } });
    expect(evaluation.averages).toEqual({ fresh: null, forUp: null, forDown: null, members: 0 });
  });
});

describe("where nothing may be decided", () => {
  const state = { outstanding: outstanding("scale_up overloaded", 1) };
  test.each([
    {
      name: "a policy that is switched off ends what is outstanding",
      given: { policy: { enabled: false } },
      ends: true,
    },
    { name: "so does one that no longer matches", given: { policy: null }, ends: true },
    { name: "so does a primary that is gone", given: { members: { 2: 95 } }, ends: true },
    { name: "members without data do not", given: { members: { 0: "missing" as const } }, ends: false },
    { name: "a host without data does not", given: { facts: { hostLive: false } }, ends: false },
  ])("$name", ({ given, ends }) => {
    const { state: after } = run({ members: { 0: 95 }, state, ...given });
    expect(after.outstanding).toEqual(ends ? null : state.outstanding);
  });
});
