import { describe, expect, test } from "vitest";
import {
  coolingUntilMs,
  FRESH_STATE,
  type GroupPolicy,
  type GroupState,
} from "../../src/scaler/rules/types.ts";
import { holdsFor, MINUTE, policy, run } from "./rules.ts";

/** An hour after the clock's start: the last decision was ten minutes ago. */
const state = { lastActionMs: 50 * MINUTE };
const UP_COOLS = { scaleUpCooldownPeriodMs: 10 * MINUTE + 1, scaleDownCooldownPeriodMs: 10 * MINUTE };
const DOWN_COOLS = { scaleUpCooldownPeriodMs: 10 * MINUTE, scaleDownCooldownPeriodMs: 10 * MINUTE + 1 };
const BOTH_COOL = { ...UP_COOLS, ...{ scaleDownCooldownPeriodMs: 10 * MINUTE + 1 } };

describe("5. each direction has a cooldown of its own", () => {
  holdsFor`
    both cool: nothing counts, whatever the load    | 0:60 1:60 | hold cooldown                      | 0 0 | ${{ policy: BOTH_COOL, state: { ...state, highTicks: 2 } }}
    up cools, the load is high                      | 0:95 1:95 | hold cooldown                      | 0 0 | ${{ policy: UP_COOLS, state: { ...state, highTicks: 2 } }}
    up cools, the load is low: down counts          | 0:10 1:10 | hold pending_down                  | 0 2 | ${{ policy: UP_COOLS, state: { ...state, lowTicks: 1 } }}
    up cools, a clone may go                        | 0:10 1:10 | scale_down underloaded web-clone-1 | 0 0 | ${{ policy: UP_COOLS, state: { ...state, lowTicks: 4 } }}
    up cools, the load is neither                   | 0:60 1:60 | hold normal                        | 0 0 | ${{ policy: UP_COOLS, state }}
    up cools, there are too few clones              | 0:60      | hold cooldown                      | 0 0 | ${{ policy: { ...UP_COOLS, minClones: 1 }, state }}
    down cools, the load is low                     | 0:10 1:10 | hold cooldown                      | 0 0 | ${{ policy: DOWN_COOLS, state: { ...state, lowTicks: 4 } }}
    down cools, the load is high: up counts         | 0:95 1:95 | hold pending_up                    | 2 0 | ${{ policy: DOWN_COOLS, state: { ...state, highTicks: 1 } }}
    down cools, a clone is called for               | 0:95 1:95 | scale_up overloaded web-clone-2    | 0 0 | ${{ policy: DOWN_COOLS, state: { ...state, highTicks: 2 } }}
    down cools, there are too many clones           | 0:60 1:60 | hold cooldown                      | 0 0 | ${{ policy: { ...DOWN_COOLS, maxClones: 0 }, state }}
    down cools for as many times as the flap factor | 0:10 1:10 | hold cooldown                      | 0 0 | ${{ policy: { scaleDownCooldownPeriodMs: 3 * MINUTE, flapDampingMax: 4 }, state: { ...state, lowTicks: 4, flapFactor: 4 } }}
    and for no more than flap_damping_max says now  | 0:10 1:10 | scale_down underloaded web-clone-1 | 0 0 | ${{ policy: { scaleDownCooldownPeriodMs: 3 * MINUTE, flapDampingMax: 2, scaleUpCooldownPeriodMs: 0 }, state: { ...state, lowTicks: 4, flapFactor: 4 } }}
    up does not, whatever the flap factor           | 0:95 1:95 | scale_up overloaded web-clone-2    | 0 0 | ${{ policy: { ...DOWN_COOLS, flapDampingMax: 4 }, state: { ...state, highTicks: 2, flapFactor: 4 } }}
  `;
});

describe("flap damping", () => {
  const damped: Partial<GroupPolicy> = { flapDampingMax: 8, cooldownPeriodMs: 0 };
  /** The factor after a clone is given up, the last scale-up and scale-down having been at these minutes of two hours. */
  function factorAfter(upMinute: number | null, downMinute: number | null, before: Partial<GroupState> = {}) {
    const at = (minute: number | null) => (minute === null ? null : minute * MINUTE);
    const result = run({
      members: { 0: 10, 1: 10 },
      policy: damped,
      state: { lowTicks: 4, lastScaleUpMs: at(upMinute), lastScaleDownMs: at(downMinute), ...before },
      nowMs: 120 * MINUTE,
    });
    expect(result.evaluation.decision.reason).toBe("underloaded");
    return result.state.flapFactor;
  }

  test.each([
    ["a clone was called for within the hour after the last was given up", 70, 10, 1, 2],
    ["doubles again", 70, 10, 2, 4],
    ["is at most flap_damping_max", 70, 10, 8, 8],
    ["a minute later than the hour", 71, 10, 4, 2],
    ["none was called for since", 10, 20, 4, 2],
    ["none was ever given up", 70, null, 4, 2],
    ["none was ever called for", null, 10, 4, 2],
    ["is never below 1", null, null, 1, 1],
  ])("%s", (_, up, down, before, after) => {
    expect(factorAfter(up, down, { flapFactor: before })).toBe(after);
  });

  test("lengthens the cooldown before the next clone goes, from that decision on", () => {
    const cooling = { flapDampingMax: 8, cooldownPeriodMs: 5 * MINUTE };
    const { state, evaluation } = run({
      members: { 0: 10, 1: 10 },
      policy: cooling,
      state: {
        lowTicks: 4,
        lastScaleUpMs: 40 * MINUTE,
        lastScaleDownMs: 20 * MINUTE,
        lastActionMs: 40 * MINUTE,
      },
    });
    const until = (direction: "up" | "down") => coolingUntilMs(evaluation, direction);
    expect([state.flapFactor, until("up"), until("down")]).toEqual([2, 65 * MINUTE, 70 * MINUTE]);
  });

  test("is left as it is by other decisions", () => {
    const { state } = run({
      members: { 0: 10, 1: 10 },
      policy: { ...damped, maxClones: 0 },
      state: { side: "above", row: 1, flapFactor: 4, lastScaleUpMs: 2, lastScaleDownMs: 1 },
    });
    expect([state.outstanding?.reason, state.flapFactor]).toEqual(["above_max", 4]);
  });

  test("is off by default", () => {
    expect([policy().flapDampingMax, FRESH_STATE.flapFactor]).toEqual([1, 1]);
  });
});
