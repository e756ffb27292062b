import { describe, expect, test } from "vitest";
import { coolingUntilMs, FRESH_STATE, type GroupState } from "../../src/scaler/rules/types.ts";
import { holdsFor, type Members, MINUTE, ours, outstanding, policy, run } from "./rules.ts";

const UP = outstanding("scale_up overloaded", 1);
/** Two clones, beside one. */
const UP2 = outstanding("scale_up overloaded", 2, { step: 2 });
const DOWN = outstanding("scale_down underloaded", 2);
/** The cooldown after either is over. */
const LATER = { lastActionMs: 0 };

describe("4. an outstanding decision is not taken again", () => {
  holdsFor`
    while the load stays high and the clone does not come            | 0:95           | hold outstanding                   | 3 0 | ${{ state: { ...LATER, outstanding: UP, highTicks: 2 } }}
    while the load stays low and the clone does not go               | 0:10 1:10 2:10 | hold outstanding                   | 0 5 | ${{ state: { ...LATER, outstanding: DOWN, lowTicks: 4 } }}
    a scale-up that is outstanding says nothing against a scale-down | 0:10 2:10      | scale_down underloaded web-clone-2 | 0 0 | ${{ state: { ...LATER, outstanding: outstanding("scale_up below_min", 3, { clonesThen: [2], step: 2 }), lowTicks: 4 }, policy: { minClones: 0 } }}
    while only one of the clones asked for has come                  | 0:95 1:95      | hold outstanding                   | 3 0 | ${{ state: { ...LATER, outstanding: UP2, highTicks: 2, knownClones: [1] } }}
    both have come, one by another name                              | 0:95 1:95 7:95 | hold pending_up                    | 1 0 | ${{ state: { ...LATER, outstanding: UP2, highTicks: 2, knownClones: [1] } }}
    a clone that was gone in between counts as new                   | 0:95 1:95      | hold pending_up                    | 1 0 | ${{ state: { ...LATER, outstanding: outstanding("scale_up overloaded", 2, { clonesThen: [] }), highTicks: 2, knownClones: [] } }}
    its clone is alive: counting starts again, at this evaluation    | 0:95 1:95      | hold pending_up                    | 1 0 | ${{ state: { ...LATER, outstanding: UP, highTicks: 2, knownClones: [] } }}
    its clone is gone: counting starts again, at this evaluation     | 0:10 1:10      | hold pending_down                  | 0 1 | ${{ state: { ...LATER, outstanding: DOWN, lowTicks: 4, knownClones: [1, 2] } }}
    a clone that is alive before it is measured counts as come       | 0:95 1:warming | hold incomplete_data               | 0 0 | ${{ state: { ...LATER, outstanding: UP, highTicks: 2, knownClones: [] } }}
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
      name: "not when missing data make it uncertain that the load is high",
      asked: outstanding("scale_up overloaded", 3, { clonesThen: [2] }),
      members: { 0: 95, 2: "missing" as const },
      ends: false,
    },
    {
      name: "nor when they make it uncertain that it is low",
      asked: DOWN,
      members: { 0: 10, 1: "missing" as const, 2: 10 },
      ends: false,
    },
    {
      name: "when there are as many as max_clones",
      asked: outstanding("scale_up overloaded", 3, { step: 2, clonesThen: [1] }),
      members: { 0: 95, 1: 95, 3: 95 },
      policy: { maxClones: 2 },
      ends: true,
    },
    {
      name: "when there are as few as min_clones",
      asked: DOWN,
      members: { 0: 10, 1: 10, 2: 10 },
      policy: { minClones: 2 },
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
      asked: outstanding("scale_down above_max", 3, { clonesThen: [2, 3] }),
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
      asked: outstanding("scale_up below_min", 4, { clonesThen: [] }),
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

  test("and one that came as asked is ours, until it has been gone for death_timeout", () => {
    const came = run({ members: { 0: 95, 1: 95 }, state: { ...LATER, outstanding: UP, knownClones: [] } });
    expect(came.state.ours).toEqual(ours(1));
    const cooling = run({
      members: { 0: 95, 1: 95 },
      state: { outstanding: UP, lastActionMs: 0, knownClones: [] },
      nowMs: MINUTE,
    });
    expect(cooling.state.ours).toEqual(ours(1));
    const at = (nowMs: number, before: GroupState, members: Members) =>
      run({ members, state: before, policy: { deathTimeoutMs: 10 * MINUTE }, nowMs }).state;
    const went = at(70 * MINUTE, came.state, { 0: 95 });
    expect(went.ours).toEqual([{ cloneId: 1, goneMs: 70 * MINUTE }]);
    expect(at(80 * MINUTE - 1, went, { 0: 95, 1: 95 }).ours).toEqual(ours(1));
    expect(at(80 * MINUTE, went, { 0: 95, 1: 95 }).ours).toEqual(ours(1));
    expect(at(80 * MINUTE, went, { 0: 95 }).ours).toEqual([]);
  });

  test("while a clone that nobody asked for is not ours", () => {
    const { state } = run({
      members: { 0: 95, 2: 95 },
      state: { ...LATER, outstanding: UP, knownClones: [] },
    });
    expect(state.ours).toEqual([]);
  });
});

describe("11. a paused group", () => {
  const paused = { paused: true };
  holdsFor`
    says what it would do, and keeps its counters                      | 0:95      | paused (scale_up overloaded web-clone-1)    | 3 0 | ${{ policy: paused, state: { highTicks: 2 } }}
    goes on counting while it is paused                                | 0:95      | paused (scale_up overloaded web-clone-1)    | 8 0 | ${{ policy: paused, state: { highTicks: 7 } }}
    says which clone would go                                          | 0:10 1:10 | paused (scale_down underloaded web-clone-1) | 0 5 | ${{ policy: paused, state: { lowTicks: 4 } }}
    says what would be repaired                                        | 0:60      | paused (scale_up below_min web-clone-1)     | 0 0 | ${{ policy: { ...paused, minClones: 1 }, state: { side: "below", row: 1 } }}
    is held for other reasons as ever                                  | 0:95 1:95 | hold at_max                                 | 3 0 | ${{ policy: { ...paused, maxClones: 1 }, state: { highTicks: 2 } }}
    takes none of the host's scale-ups, and is not held by their limit | 0:95      | paused (scale_up overloaded web-clone-1)    | 3 0 | ${{ policy: paused, state: { highTicks: 2 }, clonesLeft: 0 }}
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
      outstanding: outstanding("scale_up overloaded", 1, { sinceMs: nowMs }),
    });
    expect(coolingUntilMs(evaluation, "up")).toBe(nowMs + policy().cooldownPeriodMs);
  });

  test("a scale-down leaves a tombstone for death_timeout besides", () => {
    const { state } = run({
      members: { 0: 10, 1: 10, 2: 10 },
      state: { lowTicks: 4, tombstones: [{ cloneId: 9, untilMs: nowMs + 1 }] },
    });
    expect(state.outstanding).toEqual(outstanding("scale_down underloaded", 2, { sinceMs: nowMs }));
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
    expect(evaluation.averages).toEqual({
      fresh: 60,
      forUp: 30,
      forDown: 80,
      forDownAsMeasured: 80,
      allStarved: false,
      members: 4,
      membersForDown: 4,
    });
    expect(evaluation.clones).toBe(4);
  });

  test("has no mean where there is nothing to take one of", () => {
    const { evaluation } = run({ members: { 0: "silent" } });
    expect(evaluation.averages).toEqual({
      fresh: null,
      forUp: null,
      forDown: null,
      forDownAsMeasured: null,
      allStarved: false,
      members: 0,
      membersForDown: 0,
    });
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
