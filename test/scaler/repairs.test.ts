import { describe, expect, test } from "vitest";
import { holdsFor, MINUTE, NONE, outstanding, run } from "./rules.ts";

const DOWN = outstanding("scale_down underloaded", 2);
/** The cooldown after a decision is over. */
const LATER = { lastActionMs: 0 };

describe("7. a clone count out of bounds is repaired", () => {
  holdsFor([
    {
      name: "not at the first evaluation that sees too many",
      members: { 0: 60, 1: 60, 2: 60 },
      policy: { maxClones: 1 },
      decides: "hold normal",
      ticks: NONE,
    },
    {
      name: "at the second in a row, by the victim rule",
      members: { 0: 50, 1: 50, 2: 50 },
      policy: { maxClones: 1 },
      state: { outOfBounds: "above" },
      decides: "scale_down above_max web-clone-2",
      ticks: NONE,
    },
    {
      name: "not at the first evaluation that sees too few",
      members: { 0: 60 },
      policy: { minClones: 1 },
      decides: "hold normal",
      ticks: NONE,
    },
    {
      name: "at the second in a row, by the name rule",
      members: { 0: 60, 4: 60 },
      policy: { minClones: 2 },
      state: { outOfBounds: "below" },
      decides: "scale_up below_min web-clone-5",
      ticks: NONE,
    },
    {
      name: "too few after too many is not two in a row",
      members: { 0: 60 },
      policy: { minClones: 1 },
      state: { outOfBounds: "above" },
      decides: "hold normal",
      ticks: NONE,
    },
    {
      name: "exactly max_clones are not too many",
      members: { 0: 60, 1: 60 },
      policy: { maxClones: 1 },
      state: { outOfBounds: "above" },
      decides: "hold normal",
      ticks: NONE,
    },
    {
      name: "before the load is looked at",
      members: { 0: 95, 1: 95, 2: 95 },
      policy: { maxClones: 1, scaleUpThresholdPercent: 90, adoptClones: false },
      state: { outOfBounds: "above", highTicks: 2, madeHere: [1, 2] },
      decides: "hold would_overload",
      ticks: [3, 0],
    },
    {
      name: "not when the rest would be overloaded",
      members: { 0: 70, 1: 70, 2: 70 },
      policy: { maxClones: 1 },
      state: { outOfBounds: "above" },
      decides: "hold would_overload",
      ticks: NONE,
    },
    {
      name: "not by clones that may not be removed",
      members: { 0: 10, 1: 10, 2: 10 },
      policy: { maxClones: 1, adoptClones: false },
      state: { outOfBounds: "above" },
      decides: "hold not_ours",
      ticks: [0, 1],
    },
    {
      name: "not beyond the host's limit",
      members: { 0: 60 },
      policy: { minClones: 1 },
      state: { outOfBounds: "below" },
      scaleUpAllowed: false,
      decides: "hold host_limit",
      ticks: NONE,
    },
    {
      name: "though a scale-down for another reason is outstanding",
      members: { 0: 10, 1: 10, 2: 10 },
      policy: { maxClones: 1 },
      state: { ...LATER, outOfBounds: "above", outstanding: DOWN },
      decides: "scale_down above_max web-clone-2",
      ticks: NONE,
    },
    {
      name: "while the repair is outstanding, the load decides what is said: too many",
      members: { 0: 95, 1: 95, 2: 95 },
      policy: { maxClones: 1 },
      state: {
        ...LATER,
        outOfBounds: "above",
        highTicks: 2,
        outstanding: outstanding("scale_down above_max", 2),
      },
      decides: "hold at_max",
      ticks: [3, 0],
    },
    {
      name: "while the repair is outstanding, the load decides what is said: too few",
      members: { 0: 60 },
      policy: { minClones: 1 },
      state: { ...LATER, outOfBounds: "below", outstanding: outstanding("scale_up below_min", 1) },
      decides: "hold normal",
      ticks: NONE,
    },
    {
      name: "while a clone is asked for to repair, none is asked for because of the load",
      members: { 0: 95 },
      policy: { minClones: 1 },
      state: {
        ...LATER,
        outOfBounds: "below",
        highTicks: 2,
        outstanding: outstanding("scale_up below_min", 1),
      },
      decides: "hold outstanding",
      ticks: [3, 0],
    },
  ]);

  test("evaluations that are held for other reasons count as evaluations in a row", () => {
    const first = run({ members: { 0: 60 }, policy: { minClones: 1 }, state: LATER, nowMs: MINUTE });
    expect(first.evaluation.decision.reason).toBe("cooldown");
    const second = run({ members: { 0: 60 }, policy: { minClones: 1 }, state: first.state });
    expect(second.evaluation.decision.reason).toBe("below_min");
  });
});
