import { describe } from "vitest";
import { holdsFor, MINUTE, NONE } from "./rules.ts";

const DUE_UP = { highTicks: 2 };
const DUE_DOWN = { lowTicks: 4 };

describe("1. what may not be decided on is held, with both counters reset", () => {
  const state = { highTicks: 2, lowTicks: 4 };
  holdsFor([
    {
      name: "no policy matches",
      policy: null,
      members: { 0: 99 },
      state,
      decides: "hold no_policy",
      ticks: NONE,
    },
    {
      name: "no policy comes before no data",
      policy: null,
      members: { 0: "missing" },
      state,
      decides: "hold no_policy",
      ticks: NONE,
    },
    {
      name: "the policy is disabled",
      policy: { enabled: false },
      members: { 0: 99 },
      state,
      decides: "hold disabled",
      ticks: NONE,
    },
    {
      name: "disabled comes before no data",
      policy: { enabled: false },
      members: { 1: "missing" },
      state,
      decides: "hold disabled",
      ticks: NONE,
    },
    {
      name: "no member is fresh",
      members: { 0: "missing", 1: "warming" },
      state,
      decides: "hold no_data",
      ticks: NONE,
    },
    {
      name: "silent members are no data",
      members: { 0: "silent" },
      state,
      decides: "hold no_data",
      ticks: NONE,
    },
    {
      name: "a host without live data has none, whatever its members say",
      members: { 0: 99 },
      facts: { hostLive: false },
      state,
      decides: "hold no_data",
      ticks: NONE,
    },
    {
      name: "no data comes before orphaned",
      members: { 1: "missing" },
      state,
      decides: "hold no_data",
      ticks: NONE,
    },
    {
      name: "the primary is not alive",
      members: { 1: 99, 2: 99 },
      state,
      decides: "hold orphaned",
      ticks: NONE,
    },
    {
      name: "a primary that is missing is alive",
      members: { 0: "missing", 1: 99 },
      state: {},
      decides: "hold incomplete_data",
      ticks: NONE,
    },
    {
      name: "a primary that is silent is alive",
      members: { 0: "silent", 1: 99 },
      state: {},
      decides: "hold pending_up",
      ticks: [1, 0],
    },
    {
      name: "a paused group without data says so",
      policy: { paused: true },
      members: { 0: "missing" },
      state,
      decides: "hold no_data",
      ticks: NONE,
    },
  ]);
});

describe("2., 3. what is high and what is low", () => {
  holdsFor([
    {
      name: "just above the up threshold is high",
      members: { 0: 90.1 },
      decides: "hold pending_up",
      ticks: [1, 0],
    },
    {
      name: "exactly at the up threshold is not high",
      members: { 0: 90 },
      decides: "hold normal",
      ticks: NONE,
    },
    {
      name: "just below the down threshold is low",
      members: { 0: 39.9, 1: 39.9 },
      decides: "hold pending_down",
      ticks: [0, 1],
    },
    {
      name: "exactly at the down threshold is not low",
      members: { 0: 40, 1: 40 },
      decides: "hold normal",
      ticks: NONE,
    },
    { name: "a primary without clones is never low", members: { 0: 1 }, decides: "hold normal", ticks: NONE },
    {
      name: "a clone that is silent is a clone",
      members: { 0: 39, 1: "silent" },
      decides: "hold pending_down",
      ticks: [0, 1],
    },
    {
      name: "the mean counts, not the most loaded",
      members: { 0: 100, 1: 70 },
      decides: "hold normal",
      ticks: NONE,
    },
    {
      name: "a missing member counts as 0 towards high",
      members: { 0: 100, 1: "missing" },
      state: DUE_UP,
      decides: "hold incomplete_data",
      ticks: NONE,
    },
    {
      name: "a warming member counts as 0 towards high",
      members: { 0: 100, 1: "warming" },
      state: DUE_UP,
      decides: "hold incomplete_data",
      ticks: NONE,
    },
    {
      name: "a missing member counts as 100 towards low",
      members: { 0: 1, 1: "missing" },
      state: DUE_DOWN,
      decides: "hold incomplete_data",
      ticks: NONE,
    },
    {
      name: "a warming member counts as 100 towards low",
      members: { 0: 1, 1: "warming" },
      state: DUE_DOWN,
      decides: "hold incomplete_data",
      ticks: NONE,
    },
    {
      name: "enough measured load outweighs a missing member",
      members: { 0: 100, 1: 100, 2: 100, 3: "missing" },
      policy: { scaleUpThresholdPercent: 74, maxClones: 4 },
      decides: "hold pending_up",
      ticks: [1, 0],
    },
    {
      name: "enough measured idleness outweighs a missing member",
      members: { 0: 1, 1: 1, 2: 1, 3: "missing" },
      decides: "hold pending_down",
      ticks: [0, 1],
    },
    {
      name: "a silent member is in no average",
      members: { 0: 95, 1: "silent" },
      decides: "hold pending_up",
      ticks: [1, 0],
    },
  ]);
});

describe("5. nothing is decided in cooldown, and nothing is counted", () => {
  const lastActionMs = 5 * MINUTE;
  const state = { lastActionMs, highTicks: 2, lowTicks: 0 };
  holdsFor([
    {
      name: "one millisecond before its end",
      members: { 0: 99 },
      state,
      nowMs: lastActionMs + 10 * MINUTE - 1,
      decides: "hold cooldown",
      ticks: NONE,
    },
    {
      name: "at its end it is over",
      members: { 0: 99 },
      state,
      nowMs: lastActionMs + 10 * MINUTE,
      decides: "scale_up overloaded web-clone-1",
      ticks: NONE,
    },
    {
      name: "a cooldown of 0 holds nothing, even at the very time of the last decision",
      members: { 0: 99 },
      policy: { cooldownPeriodMs: 0 },
      state,
      nowMs: lastActionMs,
      decides: "scale_up overloaded web-clone-1",
      ticks: NONE,
    },
    {
      name: "step 1 comes before it",
      members: { 0: "missing" },
      state,
      nowMs: lastActionMs,
      decides: "hold no_data",
      ticks: NONE,
    },
    {
      name: "it holds repairs back as well",
      members: { 0: 50 },
      policy: { minClones: 1 },
      state: { lastActionMs, outOfBounds: "below" },
      nowMs: lastActionMs + MINUTE,
      decides: "hold cooldown",
      ticks: NONE,
    },
  ]);
});

describe("6. consecutive evaluations are counted", () => {
  holdsFor([
    {
      name: "one more when high",
      members: { 0: 95 },
      state: { highTicks: 1 },
      decides: "hold pending_up",
      ticks: [2, 0],
    },
    {
      name: "from the start when not",
      members: { 0: 90 },
      state: { highTicks: 2 },
      decides: "hold normal",
      ticks: NONE,
    },
    {
      name: "one more when low",
      members: { 0: 1, 1: 1 },
      state: { lowTicks: 3 },
      decides: "hold pending_down",
      ticks: [0, 4],
    },
    {
      name: "high ends low",
      members: { 0: 95, 1: 95 },
      state: { lowTicks: 4 },
      decides: "hold pending_up",
      ticks: [1, 0],
    },
    {
      name: "a clone that appeared by itself starts both again, and starts no cooldown",
      members: { 0: 95, 1: 95 },
      state: { highTicks: 2, knownClones: [] },
      decides: "hold pending_up",
      ticks: [1, 0],
    },
    {
      name: "so does one that went",
      members: { 0: 95 },
      state: { highTicks: 2, knownClones: [1] },
      decides: "hold pending_up",
      ticks: [1, 0],
    },
    {
      name: "so does one in the place of another",
      members: { 0: 95, 2: 95 },
      state: { highTicks: 2, knownClones: [1] },
      decides: "hold pending_up",
      ticks: [1, 0],
    },
    {
      name: "clones seen for the first time reset nothing that was counted before",
      members: { 0: 95, 1: 95 },
      state: { highTicks: 1, knownClones: null },
      decides: "hold pending_up",
      ticks: [2, 0],
    },
  ]);
});

describe("10. nothing to do", () => {
  holdsFor([
    {
      name: "the measured members are high, the damped average is not",
      members: { 0: 95, 1: "missing" },
      decides: "hold incomplete_data",
      ticks: NONE,
    },
    {
      name: "the measured members are low, the damped average is not",
      members: { 0: 5, 1: "missing" },
      decides: "hold incomplete_data",
      ticks: NONE,
    },
    {
      name: "measured members at the threshold are not beyond it",
      members: { 0: 90, 1: "missing" },
      decides: "hold normal",
      ticks: NONE,
    },
    {
      name: "members are missing, but what is measured is neither high nor low",
      members: { 0: 60, 1: "missing", 2: "warming" },
      decides: "hold normal",
      ticks: NONE,
    },
    { name: "between the thresholds", members: { 0: 60, 1: 60 }, decides: "hold normal", ticks: NONE },
  ]);
});
