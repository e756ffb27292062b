/** One group, one tick: the design's steps under "Deciding", in their order. Pure. */
import { splitCloneName } from "../../fleet/groups.ts";
import { isValidLabel } from "../../wire/names.ts";
import { average, averageWithoutOne, whyDamped } from "./averages.ts";
import {
  idsOfClones,
  rememberClones,
  settleOutstanding,
  sideOf,
  withoutOutstanding,
  withoutRows,
  withSide,
  withTicks,
} from "./cloneChanges.ts";
import {
  type Averages,
  backoffUntilMs,
  coolingUntilMs,
  type Decision,
  type Direction,
  type Evaluation,
  type GroupPolicy,
  type GroupState,
  type HoldReason,
  type Observation,
  type Scale,
} from "./types.ts";

export interface EvaluateInput {
  readonly policy: GroupPolicy | null;
  readonly observation: Observation;
  readonly state: GroupState;
  /** on the clock that the state's times are of, in milliseconds */
  readonly nowMs: number;
  /** how many more clones may be called for on the group's host at this tick */
  readonly clonesLeft: number;
}

/** What the steps after 6 go by. */
interface Facts {
  readonly input: EvaluateInput;
  readonly policy: GroupPolicy;
  readonly averages: Averages;
  readonly cloneIds: readonly number[];
  /** with the counters of this evaluation */
  readonly state: GroupState;
  readonly high: boolean;
  readonly low: boolean;
  readonly upCools: boolean;
  readonly downCools: boolean;
}

/** Decides for one group at one tick. Never throws; changes nothing it was given. */
export function evaluate(input: EvaluateInput): Evaluation {
  const { policy, observation, nowMs } = input;
  const averages = average(observation, policy);
  const cloneIds = idsOfClones(observation.members, input.state.knownClones);
  const remembered = rememberClones(input.state, cloneIds, policy, nowMs);
  const outcome = (state: GroupState, decision: Decision): Evaluation => {
    return { observation, policy, decision, averages, clones: cloneIds.length, state };
  };

  // 1. nothing may be decided at all
  const barred = whyBarred(policy, observation, averages);
  if (policy === null || barred !== null) {
    // an outage leaves it outstanding; where nothing is scaled nobody is to carry it out
    const isKept = barred === "no_data" || remembered.action === "sent";
    const state = isKept ? remembered : withoutOutstanding(remembered);
    return outcome(withoutRows(state), hold(barred ?? "no_policy"));
  }

  // 2., 3.
  const high = averages.forUp !== null && averages.forUp > policy.scaleUpThresholdPercent;
  const low =
    cloneIds.length > 0 && averages.forDown !== null && averages.forDown < policy.scaleDownThresholdPercent;

  // 4. nothing but its outcome ends what has been sent
  const unsettled =
    remembered.action === "sent" ? remembered : settleOutstanding(remembered, cloneIds, averages, policy);
  const settled = withSide(unsettled, sideOf(unsettled, cloneIds.length, policy));
  if (settled.action !== null) return outcome(withTicks(settled, 0, 0), hold("acting"));

  // 5.
  const cools = (direction: Direction) =>
    nowMs < (coolingUntilMs({ policy, state: settled }, direction) ?? nowMs);
  const upCools = cools("up");
  const downCools = cools("down");
  if (upCools && downCools) {
    return outcome(withTicks(settled, 0, 0), hold(whyCooling(["up", "down"], input, settled)));
  }

  // 6.
  const state = withTicks(
    settled,
    high && !upCools ? settled.highTicks + 1 : 0,
    low && !downCools ? settled.lowTicks + 1 : 0,
  );

  const wanted = decide({ input, policy, averages, cloneIds, state, high, low, upCools, downCools });
  if (wanted.decision === "hold") return outcome(state, wanted);

  // 11. a paused group keeps its counters; nothing begins
  if (policy.paused) return outcome(state, { decision: "hold", reason: "paused", would: wanted });
  return outcome(act(state, wanted, policy, nowMs), wanted);
}

/** Steps 7 to 10. */
function decide(facts: Facts): Decision {
  const { input, policy, averages, cloneIds, state, high, low, upCools, downCools } = facts;
  const { side, outstanding } = state;
  const clones = cloneIds.length;
  // 7. one bad evaluation may be a person at work: only the second in a row is repaired
  if (state.row >= 2 && side === "above" && !downCools) {
    return outstanding?.decision === "scale_down" ? hold("outstanding") : chooseVictim(facts, "above_max");
  }
  if (state.row >= 2 && side === "below" && !upCools) {
    if (outstanding?.decision === "scale_up") return hold("outstanding");
    return chooseClones(facts, "below_min", policy.minClones - clones);
  }
  // 8.
  if (state.highTicks >= triggerTicks(policy, "up")) {
    if (clones >= policy.maxClones) return hold("at_max");
    if (outstanding?.decision === "scale_up") return hold("outstanding");
    return chooseClones(facts, "overloaded", clonesCalledFor(averages, policy));
  }
  // 9.
  if (state.lowTicks >= triggerTicks(policy, "down")) {
    if (clones <= policy.minClones) return hold("at_min");
    if (outstanding?.decision === "scale_down") return hold("outstanding");
    return chooseVictim(facts, "underloaded");
  }
  // 10.
  const upIsDue = high || side === "below";
  const downIsDue = low || side === "above";
  if (upCools && upIsDue) return hold(whyCooling(["up"], input, state));
  if (downCools && downIsDue) return hold(whyCooling(["down"], input, state));
  const damped = whyDamped(policy, averages) ?? (averages.allStarved ? "cores_saturated" : null);
  if (damped !== null) return hold(damped);
  if (state.highTicks > 0) return hold("pending_up");
  if (state.lowTicks > 0) return hold("pending_down");
  return hold("normal");
}

/** So many evaluations in a row beyond a threshold call for a decision. */
export function triggerTicks(policy: GroupPolicy, direction: Direction): number {
  return direction === "up" ? policy.scaleUpTriggerTicks : policy.scaleDownTriggerTicks;
}

/** `backoff` where an action that came to nothing keeps a direction from another. */
function whyCooling(
  directions: readonly Direction[],
  { policy, nowMs }: EvaluateInput,
  state: GroupState,
): "cooldown" | "backoff" {
  const backsOff = (direction: Direction) => nowMs < (backoffUntilMs({ policy, state }, direction) ?? nowMs);
  return directions.some(backsOff) ? "backoff" : "cooldown";
}

/** Which hold of step 1 applies; null when the group may be decided on. */
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

/** Step 8: how many clones more would bring the average to `target_percent`. */
function clonesCalledFor({ forUp, members }: Averages, { targetPercent }: GroupPolicy): number {
  // what floats lose must not call for a clone
  return Math.ceil((members * (forUp ?? 0)) / targetPercent - 1e-9) - members;
}

/** The holds, the name and the step of step 8. */
function chooseClones(
  { input, policy, cloneIds, state }: Facts,
  reason: "overloaded" | "below_min",
  calledFor: number,
): Decision {
  const { group, highestListedId } = input.observation;
  const firstId = nextCloneId(cloneIds, state, highestListedId);
  const clone = cloneName(group, firstId);
  if (clone === null) return hold("no_clone_name");
  // a paused group acts on nothing, so it takes no part in the host's limit
  const clonesLeft = policy.paused ? Number.POSITIVE_INFINITY : input.clonesLeft;
  if (clonesLeft <= 0) return hold("host_limit");
  const most = Math.min(calledFor, policy.scaleUpMaxStep, policy.maxClones - cloneIds.length, clonesLeft);
  let step = 1;
  while (step < most && cloneName(group, firstId + step) !== null) step += 1;
  return { decision: "scale_up", reason, clone, step };
}

/** The holds and the victim of step 9. */
function chooseVictim(
  { input, policy, averages, state }: Facts,
  reason: "underloaded" | "above_max",
): Decision {
  const isOurs = (id: number) => policy.adoptClones || state.ours.some(({ cloneId }) => cloneId === id);
  const [victim] = input.observation.members
    .filter(({ cloneId }) => cloneId > 0 && isOurs(cloneId))
    .sort((a, b) => Number(b.state === "silent") - Number(a.state === "silent") || b.cloneId - a.cloneId);
  if (victim === undefined) return hold("not_ours");
  const isInAverages = policy.load === null ? victim.state !== "silent" : victim.state === "fresh";
  const wouldOverload = isInAverages && averageWithoutOne(averages) > policy.scaleUpThresholdPercent;
  if (reason === "underloaded" && wouldOverload) return hold("would_overload");
  return { decision: "scale_down", reason, clone: victim.vm, step: 1 };
}

/** What a scale decision leaves behind. */
function act(state: GroupState, scale: Scale, policy: GroupPolicy, nowMs: number): GroupState {
  const { cloneId } = splitCloneName(scale.clone);
  const acts = policy.mode === "execute";
  const begun = {
    ...withoutRows(state),
    // where it acts the cooldown starts when that is done
    lastActionMs: acts ? state.lastActionMs : nowMs,
    action: acts ? ("planned" as const) : null,
    outstanding: { ...scale, cloneId, sinceMs: nowMs, clonesThen: state.knownClones ?? [] },
  };
  if (scale.decision === "scale_up") return { ...begun, lastScaleUpMs: nowMs };
  const others = state.tombstones.filter((t) => t.cloneId !== cloneId);
  return {
    ...begun,
    lastScaleDownMs: nowMs,
    flapFactor: scale.reason === "underloaded" ? flapFactorAfter(state, policy) : state.flapFactor,
    tombstones: [...others, { cloneId, untilMs: nowMs + policy.deathTimeoutMs }],
  };
}

/** A clone that was needed again within this time of a scale-down had gone too early. */
const FLAP_MS = 3_600_000;

/** Flap damping: the factor after an `underloaded` decision. */
function flapFactorAfter(
  { lastScaleUpMs, lastScaleDownMs, flapFactor }: GroupState,
  { flapDampingMax }: GroupPolicy,
): number {
  const cameBackAfterMs =
    lastScaleUpMs === null || lastScaleDownMs === null ? null : lastScaleUpMs - lastScaleDownMs;
  const isFlapping = cameBackAfterMs !== null && cameBackAfterMs >= 0 && cameBackAfterMs <= FLAP_MS;
  return Math.min(flapDampingMax, Math.max(1, isFlapping ? flapFactor * 2 : flapFactor / 2));
}

function hold(reason: Exclude<HoldReason, "paused">): Decision {
  return { decision: "hold", reason };
}

/** One more than the highest that is there, that info lists, or that was decided to go. */
export function nextCloneId(
  cloneIds: readonly number[],
  { tombstones }: GroupState,
  highestListedId: number,
): number {
  return 1 + Math.max(highestListedId, ...cloneIds, ...tombstones.map((t) => t.cloneId));
}

/** Null where Albatross would not take it, or it would not be read as this group's clone. */
function cloneName(primary: string, cloneId: number): string | null {
  const name = `${primary}-clone-${cloneId}`;
  const read = splitCloneName(name);
  return isValidLabel(name) && read.primary === primary && read.cloneId === cloneId ? name : null;
}
