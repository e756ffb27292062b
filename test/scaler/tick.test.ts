import { describe, expect, test } from "vitest";
import type { ScalerPolicy } from "../../src/config/scaler.ts";
import { Rules } from "../../src/scaler/rules/tick.ts";
import {
  FRESH_STATE,
  type GroupState,
  groupKey,
  type Observation,
  type RememberedGroup,
} from "../../src/scaler/rules/types.ts";
import { scalerConfig } from "../support/scalerConfig.ts";
import { MINUTE, observation, ours, outstanding, words } from "./rules.ts";

const NOW_MS = 60 * MINUTE;
const WEB = { host: "h", path: "user", group: "web" };

function remembered(state: Partial<GroupState>, group = WEB): ReadonlyMap<string, RememberedGroup> {
  return new Map([
    [groupKey(group), { key: groupKey(group), ...group, state: { ...FRESH_STATE, ...state } }],
  ]);
}

interface Given {
  readonly policies?: readonly Partial<ScalerPolicy>[];
  readonly states?: ReadonlyMap<string, RememberedGroup>;
  readonly maxScaleUpsPerTick?: number;
}

function tickOf(observations: readonly Observation[], given: Given = {}) {
  const { policies = [{}], states, maxScaleUpsPerTick = 1 } = given;
  const all = policies.flatMap((keys) => scalerConfig(keys).policies);
  const rules = new Rules(scalerConfig({}, { policies: all, maxScaleUpsPerTick }), states);
  const evaluations = rules.tick(observations, NOW_MS * 1000);
  return { evaluations, groups: rules.groups, decisions: evaluations.map(({ decision }) => words(decision)) };
}

describe("one tick", () => {
  test("evaluates every group once, in their order", () => {
    const groups = ["db", "web", "auth"].map((group) => observation({ 0: 50 }, { group }));
    const { evaluations } = tickOf(groups);
    expect(evaluations.map((e) => e.observation)).toEqual(groups);
  });

  test("gives each group its own state and policy", () => {
    const result = tickOf([observation({ 0: 95 }), observation({ 0: 95 }, { host: "other" })], {
      states: remembered({ highTicks: 2 }),
      policies: [{ host: "h" }],
    });
    expect(result.decisions).toEqual(["scale_up overloaded web-clone-1", "hold no_policy"]);
  });

  test("of groups without any, remembers nothing", () => {
    const { evaluations, groups } = tickOf([]);
    expect([evaluations, groups.size]).toEqual([[], 0]);
  });

  test("repairs take part in the host's limit, by load as well", () => {
    const observations = [
      observation({ 0: 50 }, { group: "idle" }),
      observation({ 0: 95 }, { group: "busy" }),
    ];
    const result = tickOf(observations, {
      policies: [{ match: "user:idle", minClones: 1 }, {}],
      states: new Map([
        ...remembered({ side: "below", row: 1 }, { ...WEB, group: "idle" }),
        ...remembered({ highTicks: 2 }, { ...WEB, group: "busy" }),
      ]),
    });
    expect(result.decisions).toEqual(["hold host_limit", "scale_up overloaded busy-clone-1"]);
  });

  test("a step takes as many of the host's places as it has clones; groups of one load go by name", () => {
    const observations = ["b", "a", "c"].map((group) => observation({ 0: 99 }, { group }));
    const keys = {
      scaleUpTriggerTicks: 1,
      scaleUpMaxStep: 2,
      targetPercent: 45,
      scaleDownThresholdPercent: 10,
    };
    const result = tickOf([...observations, observation({ 0: 91 }, { group: "d" })], {
      policies: [keys],
      maxScaleUpsPerTick: 5,
    });
    expect(result.decisions).toEqual([
      "scale_up overloaded b-clone-1 x2",
      "scale_up overloaded a-clone-1 x2",
      "scale_up overloaded c-clone-1",
      "hold host_limit",
    ]);
  });

  test("a paused group that would scale up takes no place from one that does", () => {
    const observations = [
      observation({ 0: 99 }, { group: "paused" }),
      observation({ 0: 95 }, { group: "active" }),
    ];
    const result = tickOf(observations, {
      policies: [{ match: "user:paused", paused: true, scaleUpTriggerTicks: 1 }, { scaleUpTriggerTicks: 1 }],
    });
    expect(result.decisions).toEqual([
      "paused (scale_up overloaded paused-clone-1)",
      "scale_up overloaded active-clone-1",
    ]);
  });
});

describe("a group that is absent at a tick", () => {
  const cooling = { lastActionMs: NOW_MS - MINUTE };
  const kept = (state: Partial<GroupState>, given: Given = {}) =>
    tickOf([], { states: remembered(state), ...given }).groups.get(groupKey(WEB))?.state ?? null;

  test("is forgotten when it has neither cooldown nor tombstones", () => {
    expect(kept({ highTicks: 2, lowTicks: 1 })).toBeNull();
  });

  test("is kept while it is in cooldown, its counters reset", () => {
    const asked = outstanding("scale_up overloaded", 1);
    const state = kept({ ...cooling, highTicks: 2, lowTicks: 1, outstanding: asked, ours: ours(3) });
    const gone = [{ cloneId: 3, goneMs: NOW_MS }];
    expect(state).toEqual({ ...FRESH_STATE, ...cooling, outstanding: asked, ours: gone });
  });

  test("is forgotten when its cooldown ends", () => {
    const cooldownPeriodMs = 10 * MINUTE;
    expect(kept({ lastActionMs: NOW_MS - cooldownPeriodMs + 1 })).not.toBeNull();
    expect(kept({ lastActionMs: NOW_MS - cooldownPeriodMs })).toBeNull();
  });

  test("is remembered by nothing but the clones that are ours when it is forgotten otherwise, until they are", () => {
    const state = {
      ...cooling,
      outstanding: outstanding("scale_up overloaded", 4),
      flapFactor: 4,
      ours: ours(3),
    };
    const over = { policies: [{ cooldownPeriodMs: MINUTE }] };
    expect(kept(state, over)).toEqual({ ...FRESH_STATE, ours: [{ cloneId: 3, goneMs: NOW_MS }] });
    expect(kept({ ...state, ours: [{ cloneId: 3, goneMs: NOW_MS - 15 * MINUTE }] }, over)).toBeNull();
  });

  test("is kept for its tombstones, without those that are over", () => {
    const tombstones = [
      { cloneId: 1, untilMs: NOW_MS },
      { cloneId: 2, untilMs: NOW_MS + 1 },
    ];
    expect(kept({ tombstones })?.tombstones).toEqual([{ cloneId: 2, untilMs: NOW_MS + 1 }]);
    expect(kept({ tombstones: tombstones.slice(0, 1) })).toBeNull();
  });

  test("without a policy has no cooldown to wait for", () => {
    expect(kept(cooling, { policies: [] })).toBeNull();
  });

  test("needs two evaluations in a row again before its clone count is repaired", () => {
    const policies = [{ minClones: 1 }];
    const absent = tickOf([], {
      policies,
      states: remembered({ tombstones: [{ cloneId: 1, untilMs: 1e9 }], side: "below", row: 1 }),
    });
    const back = tickOf([observation({ 0: 50 })], { policies, states: absent.groups });
    expect(back.decisions).toEqual(["hold normal"]);
    const again = tickOf([observation({ 0: 50 })], { policies, states: back.groups });
    expect(again.decisions).toEqual(["scale_up below_min web-clone-2"]);
  });
});
