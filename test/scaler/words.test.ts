import { expect, test } from "vitest";
import { describe } from "../../src/scaler/report/words.ts";
import { HOLD_REASONS, type MemberObservation } from "../../src/scaler/rules/types.ts";
import { type Case, MINUTE, outstanding, run } from "./rules.ts";

const NOW_MS = 60 * MINUTE;
const busy = { highTicks: 2 };
const idle = { lowTicks: 4 };

function starved(cloneId: number, usagePercent: number): MemberObservation {
  const vm = cloneId === 0 ? "web" : `web-clone-${cloneId}`;
  return { vm, cloneId, state: "fresh", usagePercent, starved: true };
}

const rows: readonly (readonly [reason: string, given: Case, words: string])[] = [
  [
    "no_policy",
    { members: { 0: 95 }, policy: null },
    "No policy of the configuration matches this group, so it is only observed.",
  ],
  [
    "disabled",
    { members: { 0: 95 }, policy: { enabled: false } },
    "Its policy says enabled: false, so it is only observed.",
  ],
  [
    "no_data",
    { members: { 0: "missing", 1: "warming" } },
    "No member is measured: web (missing), web-clone-1 (warming). Nothing can be decided.",
  ],
  [
    "no_data",
    { members: { 0: 95 }, facts: { hostLive: false } },
    "No statistics arrive from its host, so nothing can be decided.",
  ],
  [
    "orphaned",
    { members: { 1: 95 } },
    "Its primary web is not alive, so the group is shown but never scaled.",
  ],
  [
    "cooldown",
    { members: { 0: 95 }, state: { lastActionMs: NOW_MS - 8 * MINUTE } },
    "Cooling down after the last scale decision: no scale-up for another 120 s, no scale-down for another 120 s.",
  ],
  [
    "cooldown",
    {
      members: { 0: 95 },
      policy: {
        scaleUpCooldownPeriodMs: 9 * MINUTE,
        scaleDownCooldownPeriodMs: 5 * MINUTE,
        flapDampingMax: 8,
      },
      state: { lastActionMs: NOW_MS - 8 * MINUTE, flapFactor: 4 },
    },
    "Cooling down after the last scale decision: no scale-up for another 60 s, no scale-down for another 720 s (scale_down_cooldown_period times 4, as it flaps).",
  ],
  [
    "cooldown",
    {
      members: { 0: 5, 1: 5 },
      policy: { scaleUpCooldownPeriodMs: MINUTE },
      state: { lastActionMs: NOW_MS - 8 * MINUTE },
    },
    "Cooling down after the last scale decision: no scale-down for another 120 s.",
  ],
  [
    "cooldown",
    {
      members: { 0: 50 },
      policy: { scaleDownCooldownPeriodMs: MINUTE, minClones: 1 },
      state: { lastActionMs: NOW_MS - 8 * MINUTE },
    },
    "Cooling down after the last scale decision: no scale-up for another 120 s.",
  ],
  [
    "at_max",
    { members: { 0: 95.25, 1: 91, 2: 92, 3: 93 }, state: busy },
    "Too busy (an average of 92.8 %, above 90 %), but it has 3 clones and max_clones is 3.",
  ],
  [
    "at_min",
    { members: { 0: 5, 1: 5 }, state: idle, policy: { minClones: 1 } },
    "Idle enough to give a clone up (an average of 5 %, below 40 %), but it has 1 clone and min_clones is 1.",
  ],
  [
    "outstanding",
    {
      members: { 0: 95 },
      state: {
        ...busy,
        outstanding: outstanding("scale_up overloaded", 1, { sinceMs: NOW_MS - 20 * MINUTE }),
      },
    },
    "The decision to create web-clone-1 has been taken already and waits to be carried out.",
  ],
  [
    "outstanding",
    {
      members: { 0: 5, 1: 5 },
      state: {
        ...idle,
        outstanding: outstanding("scale_down underloaded", 1, { sinceMs: NOW_MS - 20 * MINUTE }),
      },
    },
    "The decision to remove web-clone-1 has been taken already and waits to be carried out.",
  ],
  [
    "outstanding",
    {
      members: { 0: 95, 1: 95, 2: 95 },
      policy: { maxClones: 5 },
      state: {
        ...busy,
        outstanding: outstanding("scale_up overloaded", 2, { step: 3, clonesThen: [1] }),
      },
    },
    "The decision to create web-clone-2 and 2 more has been taken already; of the 3 clones 2 are still to come.",
  ],
  [
    "outstanding",
    {
      members: { 0: 95 },
      state: { ...busy, outstanding: outstanding("scale_up overloaded", 1, { step: 2 }) },
    },
    "The decision to create web-clone-1 and 1 more has been taken already and waits to be carried out.",
  ],
  [
    "no_clone_name",
    { members: { 0: 95 }, state: busy, facts: { group: "w".repeat(60) } },
    `A clone is called for, but the name of ${"w".repeat(60)}'s next clone would be longer than Albatross' 63 characters.`,
  ],
  [
    "no_clone_name",
    { members: { 0: 95, 999999999: 95 }, state: busy },
    "A clone is called for, but the ids of web's clones are used up: 999999999 is the last.",
  ],
  [
    "no_clone_name",
    { members: { 0: 95 }, state: busy, facts: { group: "web-clone-1-clone-2" } },
    "A clone is called for, but web-clone-1-clone-2-clone-1 would not be read as a clone of web-clone-1-clone-2, whose own name ends as that of a clone.",
  ],
  [
    "host_limit",
    { members: { 0: 95 }, state: busy, clonesLeft: 0 },
    "A clone is called for, but max_scale_ups_per_tick of h is used up at this evaluation: the busiest groups go first.",
  ],
  [
    "would_overload",
    { members: { 0: 39, 1: 39 }, state: idle, policy: { scaleUpThresholdPercent: 60 } },
    "A clone could go (an average of 39 %, below 40 %), but the others would then be above 60 %.",
  ],
  [
    "would_overload",
    { members: { 1: 5, 0: "silent" }, state: idle },
    "A clone could go (an average of 5 %, below 40 %), but it is the only member that is heard.",
  ],
  [
    "not_ours",
    { members: { 0: 5, 1: 5 }, state: idle, policy: { adoptClones: false } },
    "A clone could go, but none of them was made by this scaler, and its policy says adopt_clones: false.",
  ],
  [
    "not_ours",
    {
      members: { 0: 95, 1: 95 },
      state: { side: "above", row: 1 },
      policy: { maxClones: 0, adoptClones: false },
    },
    "It has 1 clone and max_clones is 0, but none of them was made by this scaler, and its policy says adopt_clones: false.",
  ],
  [
    "paused",
    {
      members: { 0: 50 },
      state: { side: "below", row: 1 },
      policy: { minClones: 3, scaleUpMaxStep: 3, paused: true },
    },
    "Paused by its policy. Otherwise: Create web-clone-1 and 2 more: 0 clones, below min_clones (3) for two evaluations in a row or more.",
  ],
  [
    "paused",
    { members: { 0: 95 }, state: busy, policy: { paused: true } },
    "Paused by its policy. Otherwise: Create web-clone-1: the average of 95 % is above 90 % for 3 evaluations in a row.",
  ],
  [
    "incomplete_data",
    { members: { 0: 95, 1: "missing" } },
    "Those measured are busy (an average of 95 %, above 90 %), but with web-clone-1 (missing) as 0 % it is 47.5 %.",
  ],
  [
    "incomplete_data",
    { members: { 0: 5, 1: "missing", 2: "warming" } },
    "Those measured are idle (an average of 5 %, below 40 %), but with web-clone-1 (missing), web-clone-2 (warming) as 100 % it is 68.3 %.",
  ],
  [
    "incomplete_data",
    {
      members: { 0: 5, ...Object.fromEntries(Array.from({ length: 400 }, (_, i) => [i + 1, "missing"])) },
      policy: { maxClones: 400 },
    },
    "Those measured are idle (an average of 5 %, below 40 %), but with web-clone-1 (missing), web-clone-2 (missing), web-clone-3 (missing), web-clone-4 (missing), web-clone-5 (missing) and 395 more as 100 % it is 99.8 %.",
  ],
  [
    "cores_saturated",
    { members: {}, facts: { members: [starved(0, 50)], leastUsedCpu: { cpu: 3, usagePercent: 12.34 } } },
    "Every measured member is starved: all cores that it is pinned to are busy, so its usage (50 % on average) says what it got, not what it needed. The least used core that VMs are pinned to is cpuid 3, at 12.3 %.",
  ],
  [
    "cores_saturated",
    { members: {}, facts: { members: [starved(0, 99)], leastUsedCpu: { cpu: 3, usagePercent: 12 } } },
    "Every measured member is starved: all cores that it is pinned to are busy, so its usage (99 % on average) says what it got, not what it needed. The least used core that VMs are pinned to is cpuid 3, at 12 %. Busy (an average of 99 %, above 90 %): evaluation 1 of the 3 in a row that call for a clone.",
  ],
  [
    "cores_saturated",
    {
      members: { 1: 10 },
      facts: {
        members: [starved(1, 20), { ...starved(0, 10), starved: false }],
        leastUsedCpu: { cpu: 0, usagePercent: 99 },
      },
    },
    "Those measured are idle (an average of 15 %, below 40 %), but with web-clone-1 (starved) as 100 % it is 55 %: a starved member's cores are busy, and it may need more than it got. The least used core that VMs are pinned to is cpuid 0, at 99 %.",
  ],
  [
    "pending_up",
    { members: { 0: 95 } },
    "Busy (an average of 95 %, above 90 %): evaluation 1 of the 3 in a row that call for a clone.",
  ],
  [
    "pending_up",
    { members: { 0: 90.0004 } },
    "Busy (an average of 90.0004 %, above 90 %): evaluation 1 of the 3 in a row that call for a clone.",
  ],
  [
    "pending_down",
    { members: { 0: 5, 1: 7 }, state: { lowTicks: 1 } },
    "Idle (an average of 6 %, below 40 %): evaluation 2 of the 5 in a row that give a clone up.",
  ],
  [
    "normal",
    { members: { 0: 50 } },
    "The average of 50 % is not above 90 %, and there is no clone to give up.",
  ],
  [
    "normal",
    { members: { 0: 50 }, policy: { minClones: 2 } },
    "The average of 50 % is not above 90 %, and there is no clone to give up. It has 0 clones, below min_clones (2): that counts from the second evaluation in a row on.",
  ],
  [
    "normal",
    {
      members: { 0: 50 },
      policy: { minClones: 2 },
      state: { outstanding: outstanding("scale_up below_min", 1, { step: 2 }) },
    },
    "The average of 50 % is not above 90 %, and there is no clone to give up. The decision to create web-clone-1 and 1 more waits to be carried out.",
  ],
  [
    "pending_up",
    { members: { 0: 95 }, state: { outstanding: outstanding("scale_up overloaded", 1) } },
    "Busy (an average of 95 %, above 90 %): evaluation 1 of the 3 in a row that call for a clone. The decision to create web-clone-1 waits to be carried out.",
  ],
  [
    "pending_down",
    { members: { 0: 5, 1: 7 }, policy: { maxClones: 0 } },
    "Idle (an average of 6 %, below 40 %): evaluation 1 of the 5 in a row that give a clone up. It has 1 clone, above max_clones (0): that counts from the second evaluation in a row on.",
  ],
  [
    "acting",
    { members: { 0: 95 }, state: { outstanding: outstanding("scale_up overloaded", 1), action: "planned" } },
    "The decision to create web-clone-1 is being carried out.",
  ],
  [
    "acting",
    { members: { 0: 95 }, state: { outstanding: outstanding("scale_up overloaded", 1), action: "sent" } },
    "The decision to create web-clone-1 is being carried out: albatrossd has been told.",
  ],
  [
    "backoff",
    { members: { 0: 95 }, state: { failures: { up: { inARow: 1, sinceMs: NOW_MS - MINUTE }, down: null } } },
    "Its last scale-up came to nothing: no scale-up for another 540 s.",
  ],
  [
    "backoff",
    {
      members: { 0: 5, 1: 5 },
      state: { failures: { up: null, down: { inARow: 3, sinceMs: NOW_MS - MINUTE } } },
    },
    "Its last scale-down came to nothing, 3 times in a row: no scale-down for another 2340 s.",
  ],
  ["normal", { members: { 0: 50, 1: 60 } }, "The average of 55 % is between 40 % and 90 %."],
  [
    "overloaded",
    { members: { 0: 95 }, state: busy },
    "Create web-clone-1: the average of 95 % is above 90 % for 3 evaluations in a row.",
  ],
  [
    "overloaded",
    { members: { 0: 95 }, policy: { scaleUpTriggerTicks: 1 } },
    "Create web-clone-1: the average of 95 % is above 90 % for one evaluation in a row.",
  ],
  [
    "overloaded",
    {
      members: { 0: 95, 1: 95 },
      state: busy,
      policy: { scaleUpMaxStep: 3, maxClones: 9, targetPercent: 40 },
    },
    "Create web-clone-2 and 2 more: the average of 95 % is above 90 % for 3 evaluations in a row, and target_percent is 40.",
  ],
  [
    "overloaded",
    {
      members: { 0: 33.34 },
      state: busy,
      policy: { scaleUpThresholdPercent: 33.333, scaleDownThresholdPercent: 1 },
    },
    "Create web-clone-1: the average of 33.34 % is above 33.333 % for 3 evaluations in a row.",
  ],
  [
    "underloaded",
    { members: { 0: 5, 1: 5, 2: 5 }, state: idle },
    "Remove web-clone-2: the average of 5 % is below 40 % for 5 evaluations in a row.",
  ],
  [
    "above_max",
    { members: { 0: 41, 1: 41 }, policy: { maxClones: 0 }, state: { side: "above", row: 1 } },
    "Remove web-clone-1: 1 clone, above max_clones (0) for two evaluations in a row or more.",
  ],
  [
    "below_min",
    { members: { 0: 50 }, policy: { minClones: 2 }, state: { side: "below", row: 1 } },
    "Create web-clone-1: 0 clones, below min_clones (2) for two evaluations in a row or more.",
  ],
];

test.each(rows)("%s", (reason, given, words) => {
  const { evaluation } = run(given);
  expect(evaluation.decision.reason).toBe(reason);
  expect(describe(evaluation, NOW_MS)).toBe(words);
});

test("every reason has words here", () => {
  const scale = ["overloaded", "underloaded", "above_max", "below_min"];
  expect(new Set(rows.map(([reason]) => reason))).toEqual(new Set([...HOLD_REASONS, ...scale]));
});
