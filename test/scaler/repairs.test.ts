import { describe, expect, test } from "vitest";
import { holdsFor, MINUTE, outstanding, run } from "./rules.ts";

const DOWN = outstanding("scale_down underloaded", 2);
/** The cooldown after a decision is over. */
const LATER = { lastActionMs: 0 };

describe("7. a clone count out of bounds is repaired", () => {
  holdsFor`
    not at the first evaluation that sees too many                              | 0:60 1:60 2:60 | hold normal                      | 0 0 | ${{ policy: { maxClones: 1 } }}
    at the second in a row, by the victim rule                                  | 0:50 1:50 2:50 | scale_down above_max web-clone-2 | 0 0 | ${{ policy: { maxClones: 1 }, state: { outOfBounds: "above" } }}
    not at the first evaluation that sees too few                               | 0:60           | hold normal                      | 0 0 | ${{ policy: { minClones: 1 } }}
    at the second in a row, by the name rule                                    | 0:60 4:60      | scale_up below_min web-clone-5   | 0 0 | ${{ policy: { minClones: 2 }, state: { outOfBounds: "below" } }}
    too few after too many is not two in a row                                  | 0:60           | hold normal                      | 0 0 | ${{ policy: { minClones: 1 }, state: { outOfBounds: "above" } }}
    exactly max_clones are not too many                                         | 0:60 1:60      | hold normal                      | 0 0 | ${{ policy: { maxClones: 1 }, state: { outOfBounds: "above" } }}
    before the load is looked at                                                | 0:95 1:95 2:95 | hold would_overload              | 3 0 | ${{ policy: { maxClones: 1, scaleUpThresholdPercent: 90, adoptClones: false }, state: { outOfBounds: "above", highTicks: 2, madeHere: [1, 2] } }}
    not when the rest would be overloaded                                       | 0:70 1:70 2:70 | hold would_overload              | 0 0 | ${{ policy: { maxClones: 1 }, state: { outOfBounds: "above" } }}
    not by clones that may not be removed                                       | 0:10 1:10 2:10 | hold not_ours                    | 0 1 | ${{ policy: { maxClones: 1, adoptClones: false }, state: { outOfBounds: "above" } }}
    not beyond the host's limit                                                 | 0:60           | hold host_limit                  | 0 0 | ${{ policy: { minClones: 1 }, state: { outOfBounds: "below" }, scaleUpAllowed: false }}
    though a scale-down for another reason is outstanding                       | 0:10 1:10 2:10 | scale_down above_max web-clone-2 | 0 0 | ${{ policy: { maxClones: 1 }, state: { ...LATER, outOfBounds: "above", outstanding: DOWN } }}
    while the repair is outstanding, the load decides what is said: too many    | 0:95 1:95 2:95 | hold at_max                      | 3 0 | ${{ policy: { maxClones: 1 }, state: { ...LATER, outOfBounds: "above", highTicks: 2, outstanding: outstanding("scale_down above_max", 2) } }}
    while the repair is outstanding, the load decides what is said: too few     | 0:60           | hold normal                      | 0 0 | ${{ policy: { minClones: 1 }, state: { ...LATER, outOfBounds: "below", outstanding: outstanding("scale_up below_min", 1) } }}
    while a clone is asked for to repair, none is asked for because of the load | 0:95           | hold outstanding                 | 3 0 | ${{ policy: { minClones: 1 }, state: { ...LATER, outOfBounds: "below", highTicks: 2, outstanding: outstanding("scale_up below_min", 1) } }}
  `;

  test("evaluations that are held for other reasons count as evaluations in a row", () => {
    const first = run({ members: { 0: 60 }, policy: { minClones: 1 }, state: LATER, nowMs: MINUTE });
    expect(first.evaluation.decision.reason).toBe("cooldown");
    const second = run({ members: { 0: 60 }, policy: { minClones: 1 }, state: first.state });
    expect(second.evaluation.decision.reason).toBe("below_min");
  });
});
