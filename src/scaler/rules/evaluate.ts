/**
 * One group, one tick: what was measured, what is remembered, what is allowed -> what to do, and why.
 * Pure: no clock, no I/O, and no knowledge of where the numbers came from. The numbers in the comments are the
 * design's steps under "Deciding"; they run in that order.
 */
import { splitCloneName } from "../../fleet/groups.ts";
import { isValidLabel } from "../../wire/names.ts";
import { average, averageWithoutOne, isIncomplete } from "./averages.ts";
import {
  idsOfClones,
  outOfBounds,
  rememberClones,
  settleOutstanding,
  withoutOutstanding,
  withTicks,
} from "./cloneChanges.ts";
import {
  type Averages,
  cooldownUntilMs,
  type Decision,
  type Evaluation,
  type GroupPolicy,
  type GroupState,
  type HoldReason,
  type Observation,
  type Scale,
} from "./types.ts";

export interface EvaluateInput {
  /** null when no policy matches */
  readonly policy: GroupPolicy | null;
  readonly observation: Observation;
  readonly state: GroupState;
  /** on the clock that the state's times are of, in milliseconds */
  readonly nowMs: number;
  /** false when the host's scale-ups of this tick are used up */
  readonly scaleUpAllowed: boolean;
}

/** Decides for one group at one tick. Never throws; changes nothing it was given. */
export function evaluate(input: EvaluateInput): Evaluation {
  const { policy, observation, nowMs } = input;
  const averages = average(observation);
  const cloneIds = idsOfClones(observation.members, input.state.knownClones);
  const remembered = rememberClones(input.state, cloneIds, policy, nowMs);
  const measured = { observation, policy, averages, clones: cloneIds.length };

  // 1. nothing may be decided at all
  const barred = whyBarred(policy, observation, averages);
  if (policy === null || barred !== null) {
    // an outage leaves it outstanding; where nothing is scaled nobody is to carry it out
    const state = barred === "no_data" ? remembered : withoutOutstanding(remembered);
    return outcome(measured, withTicks(state, 0, 0), hold(barred ?? "no_policy"));
  }

  // 2., 3.
  const high = averages.forUp !== null && averages.forUp > policy.scaleUpThresholdPercent;
  const low =
    cloneIds.length > 0 && averages.forDown !== null && averages.forDown < policy.scaleDownThresholdPercent;
  const bounds = outOfBounds(cloneIds.length, policy);

  // 4.
  const settled = settleOutstanding(remembered, cloneIds, { high, low, bounds });

  // 5.
  const coolUntilMs = cooldownUntilMs({ policy, state: settled });
  if (coolUntilMs !== null && nowMs < coolUntilMs) {
    return outcome(measured, withTicks(settled, 0, 0), hold("cooldown"));
  }

  // 6.
  const counted = withTicks(settled, high ? settled.highTicks + 1 : 0, low ? settled.lowTicks + 1 : 0);

  const wanted = decide(input, policy, averages, cloneIds, counted, bounds);
  if (wanted.decision === "hold") return outcome(measured, counted, wanted);

  // 11. a paused group keeps its counters; nothing begins
  if (policy.paused) return outcome(measured, counted, { decision: "hold", reason: "paused", would: wanted });
  return outcome(measured, act(counted, wanted, observation.group, policy, nowMs), wanted);
}

function outcome(
  { observation, policy, averages, clones }: Omit<Evaluation, "decision" | "state">,
  state: GroupState,
  decision: Decision,
): Evaluation {
  return { observation, policy, decision, averages, clones, state };
}

/** Steps 7 to 10. */
function decide(
  input: EvaluateInput,
  policy: GroupPolicy,
  averages: Averages,
  cloneIds: readonly number[],
  state: GroupState,
  bounds: "above" | "below" | null,
): Decision {
  // 7. one bad evaluation may be a person at work: only the second in a row is repaired. What is outstanding because of
  // the load does not hold a repair back: whether it still is may depend on data that are missing.
  const repairDue = bounds !== null && input.state.outOfBounds === bounds;
  if (repairDue && state.outstanding?.reason !== REPAIR_REASON[bounds]) {
    return bounds === "above"
      ? chooseVictim(input, policy, averages, state, "above_max")
      : chooseClone(input, cloneIds, state, "below_min");
  }
  // 8.
  if (state.highTicks >= policy.scaleUpTriggerTicks) {
    if (cloneIds.length >= policy.maxClones) return hold("at_max");
    if (state.outstanding?.decision === "scale_up") return hold("outstanding");
    return chooseClone(input, cloneIds, state, "overloaded");
  }
  // 9.
  if (state.lowTicks >= policy.scaleDownTriggerTicks) {
    if (cloneIds.length <= policy.minClones) return hold("at_min");
    if (state.outstanding?.decision === "scale_down") return hold("outstanding");
    return chooseVictim(input, policy, averages, state, "underloaded");
  }
  // 10.
  if (isIncomplete(policy, averages)) return hold("incomplete_data");
  if (state.highTicks > 0) return hold("pending_up");
  if (state.lowTicks > 0) return hold("pending_down");
  return hold("normal");
}

const REPAIR_REASON = { above: "above_max", below: "below_min" } as const;

/** Which hold of step 1 applies, the first in its order; null when the group may be decided on. */
function whyBarred(
  policy: GroupPolicy | null,
  observation: Observation,
  averages: Averages,
): "no_policy" | "disabled" | "no_data" | "orphaned" | null {
  if (policy === null) return "no_policy";
  if (!policy.enabled) return "disabled";
  if (!observation.hostLive || averages.fresh === null) return "no_data";
  if (!observation.members.some((m) => m.cloneId === 0)) return "orphaned";
  return null;
}

function idOf(group: string, clone: string): number {
  return Number(clone.slice(`${group}-clone-`.length));
}

/** The holds and the name of step 8. */
function chooseClone(
  input: EvaluateInput,
  cloneIds: readonly number[],
  state: GroupState,
  reason: "overloaded" | "below_min",
): Decision {
  const clone = cloneName(input.observation.group, nextCloneId(cloneIds, state));
  if (clone === null) return hold("no_clone_name");
  // a paused group acts on nothing, so it takes no part in the host's limit
  if (!input.scaleUpAllowed && input.policy?.paused !== true) return hold("host_limit");
  return { decision: "scale_up", reason, clone };
}

/** The holds and the victim of step 9. */
function chooseVictim(
  input: EvaluateInput,
  policy: GroupPolicy,
  averages: Averages,
  state: GroupState,
  reason: "underloaded" | "above_max",
): Decision {
  const [victim] = input.observation.members
    .filter((m) => m.cloneId > 0 && (policy.adoptClones || state.madeHere.includes(m.cloneId)))
    .sort((a, b) => Number(b.state === "silent") - Number(a.state === "silent") || b.cloneId - a.cloneId);
  // a clone that is in no average may go although only one member is left in them; that one itself may not
  const wouldTakeLast = victim !== undefined && victim.state !== "silent";
  if (
    (averages.members > 1 || wouldTakeLast) &&
    averageWithoutOne(averages) > policy.scaleUpThresholdPercent
  ) {
    return hold("would_overload");
  }
  if (victim === undefined) return hold("not_ours");
  return { decision: "scale_down", reason, clone: victim.vm };
}

/** What a scale decision leaves behind: counters at 0, a cooldown, the decision outstanding, a tombstone for a victim. */
function act(state: GroupState, scale: Scale, group: string, policy: GroupPolicy, nowMs: number): GroupState {
  const cloneId = idOf(group, scale.clone);
  return {
    ...state,
    highTicks: 0,
    lowTicks: 0,
    lastActionMs: nowMs,
    [scale.decision === "scale_up" ? "lastScaleUpMs" : "lastScaleDownMs"]: nowMs,
    outstanding: { ...scale, cloneId, sinceMs: nowMs },
    tombstones:
      scale.decision === "scale_up"
        ? state.tombstones
        : [
            ...state.tombstones.filter((t) => t.cloneId !== cloneId),
            { cloneId, untilMs: nowMs + policy.deathTimeoutMs },
          ],
  };
}

function hold(reason: Exclude<HoldReason, "paused">): Decision {
  return { decision: "hold", reason };
}

/** The id of the next clone: one more than the highest that is there or was decided to go. */
export function nextCloneId(cloneIds: readonly number[], { tombstones }: GroupState): number {
  return 1 + Math.max(0, ...cloneIds, ...tombstones.map((t) => t.cloneId));
}

/**
 * The name of a group's clone with this id; null when Albatross would not take it (a label has 63 characters at most), or
 * when it would not be read back as this group's clone.
 */
export function cloneName(primary: string, cloneId: number): string | null {
  const name = `${primary}-clone-${cloneId}`;
  const read = splitCloneName(name);
  return isValidLabel(name) && read.primary === primary && read.cloneId === cloneId ? name : null;
}
