import { describe, expect, test } from "vitest";
import { cloneDefaults } from "../../src/config/clone.ts";
import { explain, type TickFacts } from "../../src/scaler/report/json.ts";
import type { GroupPolicy, Observation } from "../../src/scaler/rules/types.ts";
import { type Case, MINUTE, ours, outstanding, run } from "./rules.ts";

const TICK_MS = 60 * MINUTE;
const TICK_WALL_MS = Date.parse("2026-01-01T12:00:00Z");

function explained(given: Case, times: { tick?: TickFacts; nowMs?: number } = {}) {
  const { tick = { nowMs: TICK_MS, wallMs: TICK_WALL_MS }, nowMs = TICK_MS } = times;
  return explain(run(given).evaluation, tick, nowMs);
}

test("an explanation holds what was measured, the bounds, the counts, and what is remembered", () => {
  const explanation = explained({
    members: { 0: 95, 2: 91, 3: "missing", 4: "silent" },
    state: {
      highTicks: 1,
      lastActionMs: TICK_MS - 11 * MINUTE,
      outstanding: outstanding("scale_up overloaded", 5, {
        sinceMs: TICK_MS - 11 * MINUTE,
        clonesThen: [2, 3, 4],
      }),
      tombstones: [{ cloneId: 1, untilMs: TICK_MS + MINUTE }],
      ours: ours(2),
    },
    policy: { scaleUpThresholdPercent: 60, maxClones: 4 },
    facts: { leastUsedCpu: { cpu: 2, usagePercent: 7.5 } },
  });
  expect(explanation).toEqual({
    time: "2026-01-01T12:00:00.000Z",
    decision: "hold",
    reason: "pending_up",
    clone: null,
    step: null,
    would: null,
    text: "Busy (an average of 62 %, above 60 %): evaluation 2 of the 3 in a row that call for a clone. The decision to create web-clone-5 waits to be carried out.",
    mode: "dry_run",
    average_percent: 93,
    average_for_up_percent: 62,
    average_for_down_percent: (95 + 91 + 100) / 3,
    load_query: null,
    members_averaged: 3,
    members: [
      { vm: "web", clone_id: 0, state: "fresh", usage_percent: 95, starved: false },
      { vm: "web-clone-2", clone_id: 2, state: "fresh", usage_percent: 91, starved: false },
      { vm: "web-clone-3", clone_id: 3, state: "missing", usage_percent: null, starved: false },
      { vm: "web-clone-4", clone_id: 4, state: "silent", usage_percent: null, starved: false },
    ],
    least_used_cpu: { cpu: 2, usage_percent: 7.5 },
    clones: 3,
    desired_clones: 4,
    cloneable: false,
    not_cloneable: "its policy does not say clone.arguments",
    high_ticks: 2,
    low_ticks: 0,
    last_action: "2026-01-01T11:49:00.000Z",
    cooldown_remaining_seconds: 0,
    scale_up_cooldown_remaining_seconds: 0,
    scale_down_cooldown_remaining_seconds: 0,
    flap_factor: 1,
    side: null,
    side_ticks: 0,
    outstanding: {
      decision: "scale_up",
      reason: "overloaded",
      clone: "web-clone-5",
      step: 1,
      since: "2026-01-01T11:49:00.000Z",
    },
    tombstones: [{ clone_id: 1, until: "2026-01-01T12:01:00.000Z" }],
    made_here: [2],
    policy: {
      mode: "dry_run",
      scale_up_threshold_percent: 60,
      scale_up_trigger_ticks: 3,
      scale_down_threshold_percent: 40,
      scale_down_trigger_ticks: 5,
      cooldown_seconds: 600,
      scale_up_cooldown_seconds: 600,
      scale_down_cooldown_seconds: 600,
      scale_up_max_step: 1,
      target_percent: 50,
      flap_damping_max: 1,
      warmup_seconds: 120,
      death_timeout_seconds: 900,
      min_clones: 0,
      max_clones: 4,
      adopt_clones: true,
      enabled: true,
      paused: false,
      load: null,
      clone: { max_image_bytes: "64MiB" },
    },
  });
});

test("the policy of an explanation says what a clone is made of, but for secrets", () => {
  const hook = { url: "http://me:hunter2@balancer/?key=hunter2", timeoutMs: 10_000, waitMs: 0 };
  const clone = { ...cloneDefaults, arguments: ["--a=hunter2", "--b"], cpuids: [1], beforeDestroy: hook };
  const explanation = explained({ members: { 0: 95 }, policy: { mode: "execute", clone } });
  expect(explanation.policy).toMatchObject({
    mode: "execute",
    clone: {
      arguments: ["<secret>", "<secret>"],
      cpuids: [1],
      max_image_bytes: "64MiB",
      before_destroy: { url: "<secret>", timeout: "10s", wait: "0s" },
    },
  });
  expect(JSON.stringify(explanation)).not.toContain("hunter2");
});

describe("whether the group can be cloned is said before any load comes:", () => {
  const given = { ...cloneDefaults, arguments: [] };
  const solo5 = { type: "solo5", blockDevices: 0 } as const;
  const noArguments = "its policy does not say clone.arguments";

  test.each<[string, Partial<GroupPolicy>, Observation["primary"], boolean | null, string | null]>([
    ["it can", { clone: given }, solo5, true, null],
    ["nobody knows without info", { clone: given }, null, null, null],
    ["not without arguments", {}, solo5, false, noArguments],
    ["not without them, whatever info says", {}, null, false, noArguments],
    [
      "not with block devices",
      { clone: given },
      { type: "solo5", blockDevices: 1 },
      false,
      "the primary has block devices, which two unikernels cannot share",
    ],
    [
      "not as a bhyve VM",
      { clone: given },
      { type: "bhyve", blockDevices: 0 },
      false,
      "the primary is a bhyve VM, of which albatrossd has no image",
    ],
  ])("%s", (_, policy, primary, cloneable, why) => {
    const of = (mode: GroupPolicy["mode"]) =>
      explained({ members: { 0: 50 }, policy: { ...policy, mode }, facts: { primary } });
    const aside = why === null ? "" : ` It cannot be cloned: ${why}.`;
    expect(of("execute")).toMatchObject({ cloneable, not_cloneable: why });
    expect(of("dry_run")).toMatchObject({ cloneable, not_cloneable: why });
    expect(of("execute").text).toBe(of("dry_run").text + aside);
    expect(of("dry_run").text).not.toContain("cloned");
  });

  test("not of a group that no policy matches", () => {
    expect(explained({ members: { 0: 50 }, policy: null, facts: { primary: solo5 } })).toMatchObject({
      cloneable: null,
      not_cloneable: null,
    });
  });
});

describe("what is left of a cooldown", () => {
  const cooling: Case = {
    members: { 0: 95 },
    policy: { scaleUpCooldownPeriodMs: 6 * MINUTE, scaleDownCooldownPeriodMs: 5 * MINUTE, flapDampingMax: 2 },
    state: { lastActionMs: TICK_MS - 4 * MINUTE, flapFactor: 8 },
  };
  const both = "no scale-up for another 30 s, no scale-down for another 270 s (";

  test.each([
    ["at the tick", 0, 120, 360, "no scale-up for another 120 s, no scale-down for another 360 s ("],
    ["some time after it", 90_500, 29.5, 269.5, both],
    ["at the end of one", 2 * MINUTE, 0, 240, "decision: no scale-down for another 240 s ("],
    ["at the end of both", 6 * MINUTE, 0, 0, "the next evaluation may decide again"],
    ["after it, until the next tick", 7 * MINUTE, 0, 0, "the next evaluation may decide again"],
  ])("%s", (_, afterMs, up, down, words) => {
    const explanation = explained(cooling, { nowMs: TICK_MS + afterMs });
    expect(explanation).toMatchObject({
      cooldown_remaining_seconds: down,
      scale_up_cooldown_remaining_seconds: up,
      scale_down_cooldown_remaining_seconds: down,
      flap_factor: 2,
    });
    expect(explanation.text).toContain(words);
  });

  test("is none where nothing was ever decided", () => {
    expect(explained({ members: { 0: 50 } })).toMatchObject({
      cooldown_remaining_seconds: 0,
      last_action: null,
      outstanding: null,
    });
  });
});

test("a paused group tells what would be done", () => {
  const { decision, reason, clone, would, desired_clones } = explained({
    members: { 0: 95 },
    state: { highTicks: 2 },
    policy: { paused: true },
  });
  expect([decision, reason, clone, desired_clones]).toEqual(["hold", "paused", null, 0]);
  expect(would).toEqual({ decision: "scale_up", reason: "overloaded", step: 1, clone: "web-clone-1" });
});

test("a step of several clones wants those that have not come yet", () => {
  const state = { outstanding: outstanding("scale_up overloaded", 2, { step: 3, clonesThen: [1] }) };
  const policy = { maxClones: 9 };
  const wanted = (members: Case["members"]) => explained({ members, state, policy }).desired_clones;
  expect(
    [
      { 0: 99, 1: 99 },
      { 0: 99, 1: 99, 2: 99 },
      { 0: 99, 1: 99, 7: 99, 8: 99 },
    ].map(wanted),
  ).toEqual([4, 4, 4]);
});

test("a decision to remove a clone wants one less", () => {
  expect(explained({ members: { 0: 5, 1: 5 }, state: { lowTicks: 4 } })).toMatchObject({
    decision: "scale_down",
    clone: "web-clone-1",
    clones: 1,
    desired_clones: 0,
  });
});

test("a group that no policy matches has no bounds", () => {
  expect(explained({ members: { 0: 95 }, policy: null })).toMatchObject({
    reason: "no_policy",
    policy: null,
  });
});
