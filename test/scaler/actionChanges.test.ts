import { describe, expect, test } from "vitest";
import { type ActionChange, withAction } from "../../src/scaler/rules/actionChanges.ts";
import { Rules } from "../../src/scaler/rules/tick.ts";
import {
  backoffUntilMs,
  FRESH_STATE,
  type GroupState,
  groupKey,
  type Outstanding,
  type Phase,
} from "../../src/scaler/rules/types.ts";
import { scalerConfig } from "../support/scalerConfig.ts";
import { type Case, MINUTE, observation, outstanding, policy, run, words } from "./rules.ts";

const NOW_MS = 60 * MINUTE;
const UP = outstanding("scale_up overloaded", 1, { sinceMs: NOW_MS - MINUTE });
const DOWN = outstanding("scale_down underloaded", 2, { sinceMs: NOW_MS - MINUTE });
const execute = { mode: "execute" } as const;

/** A group that acts, with its decision under way. */
function acting(action: GroupState["action"], members: Case["members"], decision: Outstanding = UP): Case {
  return { members, policy: execute, state: { outstanding: decision, action, highTicks: 2, lowTicks: 1 } };
}

function change(phase: Phase, given: Partial<ActionChange> = {}): ActionChange {
  const base = { phase, decision: UP, cloneId: 1, tombstoneMs: null, more: false, isOnTrial: false };
  return { ...base, atMs: NOW_MS, ...given };
}

function stateAfter(...changes: readonly ActionChange[]): GroupState {
  const state: GroupState = { ...FRESH_STATE, outstanding: UP, action: "planned", highTicks: 1 };
  return changes.reduce(withAction, state);
}

describe("a decision in execute", () => {
  test("is outstanding with its action planned, and begins no cooldown", () => {
    const { state } = run({ members: { 0: 95 }, policy: execute, state: { highTicks: 2 } });
    expect(state).toMatchObject({ action: "planned", lastActionMs: null, lastScaleUpMs: NOW_MS });
    expect(state.outstanding).toMatchObject({ clone: "web-clone-1", sinceMs: NOW_MS });
  });

  test.each([
    ["planned, it is still called for", "planned", { 0: 95 }, "hold acting", true],
    ["planned, but the load is over", "planned", { 0: 50 }, "hold normal", false],
    ["planned, but nothing is measured", "planned", { 0: "missing" }, "hold no_data", true],
    ["planned, but the primary is gone", "planned", { 1: 95 }, "hold orphaned", false],
    ["sent, and the load is over", "sent", { 0: 50 }, "hold acting", true],
    ["sent, and nothing is measured", "sent", { 0: "missing" }, "hold no_data", true],
    ["sent, and the primary is gone", "sent", { 2: 95 }, "hold orphaned", true],
    ["sent, and the clone has come", "sent", { 0: 95, 1: 95 }, "hold acting", true],
  ] as const)("%s: %s %j is %s", (_, action, members, decides, isKept) => {
    const { state, evaluation } = run(acting(action, members));
    expect(words(evaluation.decision)).toBe(decides);
    expect(state.outstanding === null ? null : state.action).toBe(isKept ? action : null);
    expect(state.highTicks + state.lowTicks).toBe(0);
  });

  test.each([
    ["no policy", null],
    ["enabled: false", { ...execute, enabled: false }],
  ])("that has been sent outlives %s; one that is planned does not", (_, keys) => {
    const left = (action: "sent" | "planned") =>
      run({ ...acting(action, { 0: 95 }), policy: keys }).state.action;
    expect([left("sent"), left("planned")]).toEqual(["sent", null]);
  });

  test("makes a clone ours when its create is acknowledged, not when it comes", () => {
    const came = run(acting("sent", { 0: 95, 1: 95 }));
    expect(came.state.ours).toEqual([]);
    expect(stateAfter(change("sent"), change("acknowledged")).ours).toEqual([{ cloneId: 1, goneMs: null }]);
  });
});

describe("an action's end", () => {
  test("verified begins the cooldown, and ends the row of failures", () => {
    const failed = { up: { inARow: 3, sinceMs: 0 }, down: { inARow: 1, sinceMs: 0 } };
    const state = withAction({ ...stateAfter(change("acknowledged")), failures: failed }, change("verified"));
    expect(state).toMatchObject({ outstanding: null, action: null, lastActionMs: NOW_MS, highTicks: 0 });
    expect(state.failures).toEqual({ up: null, down: failed.down });
  });

  test("verified on trial leaves the row of failures until the warm-up is over", () => {
    const failures = { up: { inARow: 3, sinceMs: 0 }, down: null };
    const before = { ...stateAfter(change("acknowledged")), failures };
    expect(withAction(before, change("verified", { isOnTrial: true })).failures).toEqual(failures);
  });

  test("verified with more to follow keeps the decision, whose next action is planned", () => {
    expect(stateAfter(change("verified", { more: true }))).toMatchObject({
      outstanding: UP,
      action: "planned",
      lastActionMs: NOW_MS,
    });
  });

  test.each(["refused", "failed", "lost"] as const)("%s is a failure of its direction", (phase) => {
    const state = stateAfter(change("sent"), change(phase));
    expect(state).toMatchObject({ outstanding: null, action: null, lastActionMs: null });
    expect(state.failures).toEqual({ up: { inARow: 1, sinceMs: NOW_MS }, down: null });
    const down = withAction(
      { ...FRESH_STATE, outstanding: DOWN, action: "sent" },
      change(phase, { decision: DOWN, cloneId: 2 }),
    );
    expect(down.failures).toEqual({ up: null, down: { inARow: 1, sinceMs: NOW_MS } });
  });

  test("abandoned is none", () => {
    expect(stateAfter(change("abandoned"))).toMatchObject({
      outstanding: null,
      failures: FRESH_STATE.failures,
    });
  });

  test("of another decision than the outstanding one leaves that", () => {
    const later = { ...UP, sinceMs: NOW_MS };
    expect(
      withAction({ ...FRESH_STATE, outstanding: later, action: "planned" }, change("abandoned")),
    ).toMatchObject({
      outstanding: later,
      action: "planned",
    });
  });

  test("told again after a restart, some milliseconds off, changes nothing", () => {
    const once = stateAfter(change("failed"));
    expect(withAction(once, change("failed", { atMs: NOW_MS + 3 }))).toEqual(once);
    const done = stateAfter(change("verified", { tombstoneMs: NOW_MS + MINUTE }));
    expect(withAction(done, change("verified", { tombstoneMs: NOW_MS + MINUTE }))).toEqual(done);
  });
});

describe("backoff", () => {
  const until = (inARow: number, cooldownPeriodMs: number) =>
    (backoffUntilMs(
      {
        policy: policy({ cooldownPeriodMs }),
        state: { ...FRESH_STATE, failures: { up: { inARow, sinceMs: NOW_MS }, down: null } },
      },
      "up",
    ) ?? 0) - NOW_MS;

  test.each([
    [1, 0, 1],
    [2, 0, 2],
    [3, 0, 4],
    [1, 10, 10],
    [2, 10, 20],
    [3, 10, 40],
    [4, 10, 60],
    [99, 1, 60],
  ])(
    "after %d failures in a row with a cooldown of %d minutes is %d minutes",
    (inARow, cooldown, minutes) => {
      expect(until(inARow, cooldown * MINUTE)).toBe(minutes * MINUTE);
    },
  );

  test.each([
    [
      "up while the group is busy",
      { 0: 95 },
      { up: { inARow: 1, sinceMs: NOW_MS }, down: null },
      "hold backoff",
    ],
    [
      "up while it is idle",
      { 0: 5, 1: 5 },
      { up: { inARow: 1, sinceMs: NOW_MS }, down: null },
      "hold pending_down",
    ],
    [
      "down while it is idle",
      { 0: 5, 1: 5 },
      { up: null, down: { inARow: 1, sinceMs: NOW_MS } },
      "hold backoff",
    ],
    [
      "down while it is busy",
      { 0: 95 },
      { up: null, down: { inARow: 1, sinceMs: NOW_MS } },
      "hold pending_up",
    ],
    ["that is over", { 0: 95 }, { up: { inARow: 1, sinceMs: 0 }, down: null }, "hold pending_up"],
  ] as const)("%s: %j", (_, members, failures, decides) => {
    const { evaluation } = run({ members, policy: execute, state: { failures } });
    expect(words(evaluation.decision)).toBe(decides);
  });
});

describe("rules whose policy is switched", () => {
  const WEB = { host: "h", path: "user", group: "web" };
  const key = groupKey(WEB);
  const remembered = (state: Partial<GroupState>) =>
    new Map([[key, { key, ...WEB, state: { ...FRESH_STATE, knownClones: [], ...state } }]]);
  const tick = (rules: Rules, minute: number) => {
    const [evaluation] = rules.tick([observation({ 0: 95 })], minute * MINUTE * 1000);
    return evaluation && `${evaluation.policy?.mode} ${words(evaluation.decision)}`;
  };

  test("to execute evaluate once more in dry run, drop what that has decided, and act", () => {
    const rules = new Rules(scalerConfig({ scaleUpTriggerTicks: 1, cooldownPeriodMs: 0 }));
    expect(tick(rules, 1)).toBe("dry_run scale_up overloaded web-clone-1");
    rules.reconfigure(scalerConfig({ scaleUpTriggerTicks: 1, cooldownPeriodMs: 0, ...execute }, execute));
    expect(tick(rules, 2)).toBe("dry_run hold outstanding");
    expect(rules.groupOf(WEB).state.outstanding).toBeNull();
    expect(tick(rules, 3)).toBe("execute scale_up overloaded web-clone-1");
  });

  test("forget failures with any reload", () => {
    const failures = { up: { inARow: 2, sinceMs: 0 }, down: null };
    const config = scalerConfig(execute, execute);
    const rules = new Rules(config, remembered({ failures }));
    rules.reconfigure(config);
    expect(rules.groupOf(WEB).state.failures).toEqual(FRESH_STATE.failures);
  });

  test("drop at the start what nobody carries out, in groups that act alone", () => {
    const left = (config = scalerConfig()) => {
      const rules = new Rules(config, remembered({ outstanding: UP, highTicks: 1 }));
      rules.dropUnacted();
      const { state } = rules.groupOf(WEB);
      return [state.outstanding?.clone, state.highTicks];
    };
    expect(left()).toEqual(["web-clone-1", 1]);
    expect(left(scalerConfig(execute, execute))).toEqual([undefined, 0]);
  });

  test("keep a group that is absent while its action is open", () => {
    const rules = new Rules(
      scalerConfig(execute, execute),
      remembered({ outstanding: DOWN, action: "sent" }),
    );
    rules.tick([], NOW_MS * 1000);
    expect(rules.groups.get(key)?.state).toMatchObject({ outstanding: DOWN, action: "sent" });
  });
});
