import { describe } from "vitest";
import type { MemberObservation } from "../../src/scaler/rules/types.ts";
import { holdsFor, MINUTE } from "./rules.ts";

const DUE_UP = { highTicks: 2 };
const DUE_DOWN = { lowTicks: 4 };

describe("1. what may not be decided on is held, with both counters reset", () => {
  const state = { highTicks: 2, lowTicks: 4 };
  holdsFor`
    no policy matches                                           | 0:99                | hold no_policy       | 0 0 | ${{ policy: null, state }}
    no policy comes before no data                              | 0:missing           | hold no_policy       | 0 0 | ${{ policy: null, state }}
    the policy is disabled                                      | 0:99                | hold disabled        | 0 0 | ${{ policy: { enabled: false }, state }}
    disabled comes before no data                               | 1:missing           | hold disabled        | 0 0 | ${{ policy: { enabled: false }, state }}
    no member is fresh                                          | 0:missing 1:warming | hold no_data         | 0 0 | ${{ state }}
    silent members are no data                                  | 0:silent            | hold no_data         | 0 0 | ${{ state }}
    a host without live data has none, whatever its members say | 0:99                | hold no_data         | 0 0 | ${{ facts: { hostLive: false }, state }}
    no data comes before orphaned                               | 1:missing           | hold no_data         | 0 0 | ${{ state }}
    the primary is not alive                                    | 1:99 2:99           | hold orphaned        | 0 0 | ${{ state }}
    a primary that is missing is alive                          | 0:missing 1:99      | hold incomplete_data | 0 0 | ${{ state: {} }}
    a primary that is silent is alive                           | 0:silent 1:99       | hold pending_up      | 1 0 | ${{ state: {} }}
    a paused group without data says so                         | 0:missing           | hold no_data         | 0 0 | ${{ policy: { paused: true }, state }}
  `;
});

describe("2., 3. what is high and what is low", () => {
  holdsFor`
    just above the up threshold is high                 | 0:90.1                      | hold pending_up      | 1 0 |
    exactly at the up threshold is not high             | 0:90                        | hold normal          | 0 0 |
    just below the down threshold is low                | 0:39.9 1:39.9               | hold pending_down    | 0 1 |
    exactly at the down threshold is not low            | 0:40 1:40                   | hold normal          | 0 0 |
    nor is it by what floats lose in adding up          | 0:32.4 1:32.8 2:54.8         | hold normal          | 0 0 |
    a primary without clones is never low               | 0:1                         | hold normal          | 0 0 |
    a clone that is silent is a clone                   | 0:39 1:silent               | hold pending_down    | 0 1 |
    the mean counts, not the most loaded                | 0:100 1:70                  | hold normal          | 0 0 |
    a missing member counts as 0 towards high           | 0:100 1:missing             | hold incomplete_data | 0 0 | ${{ state: DUE_UP }}
    a warming member counts as 0 towards high           | 0:100 1:warming             | hold incomplete_data | 0 0 | ${{ state: DUE_UP }}
    a missing member counts as 100 towards low          | 0:1 1:missing               | hold incomplete_data | 0 0 | ${{ state: DUE_DOWN }}
    a warming member counts as 100 towards low          | 0:1 1:warming               | hold incomplete_data | 0 0 | ${{ state: DUE_DOWN }}
    enough measured load outweighs a missing member     | 0:100 1:100 2:100 3:missing | hold pending_up      | 1 0 | ${{ policy: { scaleUpThresholdPercent: 74, maxClones: 4 } }}
    enough measured idleness outweighs a missing member | 0:1 1:1 2:1 3:missing       | hold pending_down    | 0 1 |
    a silent member is in no average                    | 0:95 1:silent               | hold pending_up      | 1 0 |
  `;
});

describe("5. nothing is decided in cooldown, and nothing is counted", () => {
  const lastActionMs = 5 * MINUTE;
  const state = { lastActionMs, highTicks: 2, lowTicks: 0 };
  holdsFor`
    one millisecond before its end                                            | 0:99      | hold cooldown                   | 0 0 | ${{ state, nowMs: lastActionMs + 10 * MINUTE - 1 }}
    at its end it is over                                                     | 0:99      | scale_up overloaded web-clone-1 | 0 0 | ${{ state, nowMs: lastActionMs + 10 * MINUTE }}
    a cooldown of 0 holds nothing, even at the very time of the last decision | 0:99      | scale_up overloaded web-clone-1 | 0 0 | ${{ policy: { cooldownPeriodMs: 0 }, state, nowMs: lastActionMs }}
    step 1 comes before it                                                    | 0:missing | hold no_data                    | 0 0 | ${{ state, nowMs: lastActionMs }}
    it holds repairs back as well                                             | 0:50      | hold cooldown                   | 0 0 | ${{ policy: { minClones: 1 }, state: { lastActionMs, side: "below", row: 1 }, nowMs: lastActionMs + MINUTE }}
  `;
});

describe("6. consecutive evaluations are counted", () => {
  holdsFor`
    one more when high                                                        | 0:95      | hold pending_up   | 2 0 | ${{ state: { highTicks: 1 } }}
    from the start when not                                                   | 0:90      | hold normal       | 0 0 | ${{ state: { highTicks: 2 } }}
    one more when low                                                         | 0:1 1:1   | hold pending_down | 0 4 | ${{ state: { lowTicks: 3 } }}
    high ends low                                                             | 0:95 1:95 | hold pending_up   | 1 0 | ${{ state: { lowTicks: 4 } }}
    a clone that appeared by itself starts both again, and starts no cooldown | 0:95 1:95 | hold pending_up   | 1 0 | ${{ state: { highTicks: 2, knownClones: [] } }}
    so does one that went                                                     | 0:95      | hold pending_up   | 1 0 | ${{ state: { highTicks: 2, knownClones: [1] } }}
    so does one in the place of another                                       | 0:95 2:95 | hold pending_up   | 1 0 | ${{ state: { highTicks: 2, knownClones: [1] } }}
    clones seen for the first time reset nothing that was counted before      | 0:95 1:95 | hold pending_up   | 2 0 | ${{ state: { highTicks: 1, knownClones: null } }}
  `;
});

describe("10. nothing to do", () => {
  holdsFor`
    the measured members are high, the damped average is not          | 0:95 1:missing           | hold incomplete_data | 0 0 |
    the measured members are low, the damped average is not           | 0:5 1:missing            | hold incomplete_data | 0 0 |
    measured members at the threshold are not beyond it               | 0:90 1:missing           | hold normal          | 0 0 |
    members are missing, but what is measured is neither high nor low | 0:60 1:missing 2:warming | hold normal          | 0 0 |
    between the thresholds                                            | 0:60 1:60                | hold normal          | 0 0 |
    too few clones, at the first evaluation that sees it              | 0:60                     | hold normal          | 0 0 | ${{ policy: { minClones: 1 } }}
  `;
});

describe("10. where cores are used up", () => {
  /** The primary and its clones with these loads, those of `*` starved. */
  const seen = (...loads: readonly string[]) => ({
    members: loads.map((text, cloneId): MemberObservation => {
      const facts = { vm: cloneId === 0 ? "web" : `web-clone-${cloneId}`, cloneId };
      if (text === "missing") return { ...facts, state: "missing", usagePercent: null, starved: false };
      return { ...facts, state: "fresh", usagePercent: Number.parseFloat(text), starved: text.endsWith("*") };
    }),
  });
  holdsFor`
    a starved member counts as 100 towards low                        | 0:5 1:5 | hold cores_saturated            | 0 0 | ${{ facts: seen("5", "5*"), state: { lowTicks: 4 } }}
    and with what it got towards high                                 | 0:5 1:5 | hold normal                     | 0 0 | ${{ facts: seen("95", "80*") }}
    enough measured idleness outweighs it                             | 0:5 1:5 | hold pending_down               | 0 1 | ${{ facts: seen("5", "5", "5", "5*") }}
    all are starved: what they need is not known                      | 0:5 1:5 | hold cores_saturated            | 0 0 | ${{ facts: seen("60*", "60*") }}
    all are starved, and busy all the same                            | 0:5 1:5 | hold cores_saturated            | 1 0 | ${{ facts: seen("95*", "95*") }}
    that does not keep a clone from being called for                  | 0:5 1:5 | scale_up overloaded web-clone-2 | 0 0 | ${{ facts: seen("95*", "95*"), state: { highTicks: 2 } }}
    a missing member comes first where it damps by itself             | 0:5 1:5 | hold incomplete_data            | 0 0 | ${{ facts: seen("5*", "missing") }}
    where only both together damp, the cores are to blame             | 0:5 1:5 | hold cores_saturated            | 0 0 | ${{ facts: seen("5*", "5", "5", "5", "missing") }}
  `;
});
