import { describe, expect, test } from "vitest";
import { holdsFor, MINUTE, ours, outstanding, run } from "./rules.ts";

const DOWN = outstanding("scale_down underloaded", 2);
/** The cooldown after a decision is over. */
const LATER = { lastActionMs: 0 };

describe("7. a clone count out of bounds is repaired", () => {
  holdsFor`
    not at the first evaluation that sees too many                              | 0:60 1:60 2:60 | hold normal                      | 0 0 | ${{ policy: { maxClones: 1 } }}
    at the second in a row, by the victim rule                                  | 0:50 1:50 2:50 | scale_down above_max web-clone-2 | 0 0 | ${{ policy: { maxClones: 1 }, state: { side: "above", row: 1 } }}
    not at the first evaluation that sees too few                               | 0:60           | hold normal                      | 0 0 | ${{ policy: { minClones: 1 } }}
    at the second in a row, by the name rule                                    | 0:60 4:60      | scale_up below_min web-clone-5   | 0 0 | ${{ policy: { minClones: 2 }, state: { side: "below", row: 1 } }}
    too few after too many is not two in a row                                  | 0:60           | hold normal                      | 0 0 | ${{ policy: { minClones: 1 }, state: { side: "above", row: 1 } }}
    exactly max_clones are not too many                                         | 0:60 1:60      | hold normal                      | 0 0 | ${{ policy: { maxClones: 1 }, state: { side: "above", row: 1 } }}
    before the load is looked at                                                | 0:95 1:95 2:95 | scale_down above_max web-clone-2 | 0 0 | ${{ policy: { maxClones: 1, adoptClones: false }, state: { side: "above", row: 1, highTicks: 2, ours: ours(1, 2) } }}
    whatever the rest would have to carry                                       | 0:100 1:100    | scale_down above_max web-clone-1 | 0 0 | ${{ policy: { maxClones: 0 }, state: { side: "above", row: 1 } }}
    not by clones that may not be removed                                       | 0:10 1:10 2:10 | hold not_ours                    | 0 1 | ${{ policy: { maxClones: 1, adoptClones: false }, state: { side: "above", row: 1 } }}
    not beyond the host's limit                                                 | 0:60           | hold host_limit                  | 0 0 | ${{ policy: { minClones: 1 }, state: { side: "below", row: 1 }, clonesLeft: 0 }}
    as many at once as a step may have                                          | 0:10           | scale_up below_min web-clone-1 x2 | 0 0 | ${{ policy: { minClones: 3, scaleUpMaxStep: 2 }, state: { side: "below", row: 1 } }}
    at once as many as are missing                                              | 0:10           | scale_up below_min web-clone-1 x3 | 0 0 | ${{ policy: { minClones: 3, scaleUpMaxStep: 9 }, state: { side: "below", row: 1 } }}
    what is outstanding is counted as done: one too many, one to go             | 0:10 1:10 2:10 | hold pending_down                | 0 1 | ${{ policy: { maxClones: 1, scaleDownTriggerTicks: 9 }, state: { ...LATER, side: "above", row: 1, outstanding: DOWN } }}
    one too few, one to come                                                    | 0:60           | hold normal                      | 0 0 | ${{ policy: { minClones: 1 }, state: { ...LATER, side: "below", row: 1, outstanding: outstanding("scale_up below_min", 1) } }}
    more are too many than one is outstanding for                               | 0:10 1:10 2:10 | hold outstanding                 | 0 1 | ${{ policy: { maxClones: 0 }, state: { ...LATER, side: "above", row: 1, outstanding: DOWN } }}
    more are too few than are outstanding                                       | 0:60           | hold outstanding                 | 0 0 | ${{ policy: { minClones: 2 }, state: { ...LATER, side: "below", row: 1, outstanding: outstanding("scale_up below_min", 1) } }}
    not while that direction cools                                              | 0:60           | hold cooldown                    | 0 0 | ${{ policy: { minClones: 1, scaleUpCooldownPeriodMs: 61 * MINUTE }, state: { ...LATER, side: "below", row: 1 } }}
    but while the other one does                                                | 0:60           | scale_up below_min web-clone-1   | 0 0 | ${{ policy: { minClones: 1, scaleDownCooldownPeriodMs: 61 * MINUTE }, state: { ...LATER, side: "below", row: 1 } }}
  `;

  test("evaluations that are held for other reasons count as evaluations in a row", () => {
    const first = run({ members: { 0: 60 }, policy: { minClones: 1 }, state: LATER, nowMs: MINUTE });
    expect(first.evaluation.decision.reason).toBe("cooldown");
    const second = run({ members: { 0: 60 }, policy: { minClones: 1 }, state: first.state });
    expect(second.evaluation.decision.reason).toBe("below_min");
  });
});
