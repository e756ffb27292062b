/** Why a decision was taken, in words: what was measured, against which bound, why this and not that. */
import { MAX_CLONE_ID } from "../../fleet/groups.ts";
import { isValidLabel } from "../../wire/names.ts";
import { nextCloneId } from "../rules/evaluate.ts";
import {
  type Averages,
  coolingUntilMs,
  type Evaluation,
  type GroupPolicy,
  type HoldReason,
  type Scale,
} from "../rules/types.ts";

/** One sentence or two about an evaluation made at `nowMs` on the clock of its times. */
export function describe(evaluation: Evaluation, nowMs: number): string {
  const { decision, policy } = evaluation;
  if (policy === null) return "No policy of the configuration matches this group, so it is only observed.";
  if (decision.decision !== "hold") return scaleWords(decision, evaluation, policy);
  if (decision.reason === "paused") {
    return `Paused by its policy. Otherwise: ${scaleWords(decision.would, evaluation, policy)}`;
  }
  return HOLD_WORDS[decision.reason](evaluation, policy, nowMs);
}

function scaleWords(scale: Scale, evaluation: Evaluation, policy: GroupPolicy): string {
  const act = scale.decision === "scale_up" ? `Create ${scale.clone}` : `Remove ${scale.clone}`;
  return `${act}: ${SCALE_WORDS[scale.reason](evaluation, policy)}`;
}

const SCALE_WORDS: Readonly<
  Record<Scale["reason"], (evaluation: Evaluation, policy: GroupPolicy) => string>
> = {
  overloaded: ({ averages }, policy) =>
    `the average of ${percent(averages.forUp)} is above ${percent(policy.scaleUpThresholdPercent)} for ${times(policy.scaleUpTriggerTicks)} in a row.`,
  underloaded: ({ averages }, policy) =>
    `the average of ${percent(averages.forDown)} is below ${percent(policy.scaleDownThresholdPercent)} for ${times(policy.scaleDownTriggerTicks)} in a row.`,
  above_max: ({ clones }, policy) =>
    `${clonesText(clones)} for two evaluations in a row, and max_clones is ${policy.maxClones}.`,
  below_min: ({ clones }, policy) =>
    `${clonesText(clones)} for two evaluations in a row, and min_clones is ${policy.minClones}.`,
};

type HoldWords = (evaluation: Evaluation, policy: GroupPolicy, nowMs: number) => string;

const HOLD_WORDS: Readonly<Record<Exclude<HoldReason, "paused">, HoldWords>> = {
  no_policy: () => "No policy of the configuration matches this group, so it is only observed.",
  disabled: () => "Its policy says enabled: false, so it is only observed.",
  no_data: ({ observation }) =>
    observation.hostLive
      ? "No member has a usage since the previous evaluation, so nothing can be decided."
      : "No statistics arrive from its host, so nothing can be decided.",
  orphaned: ({ observation }) =>
    `Its primary ${observation.group} is not alive, so the group is shown but never scaled.`,
  cooldown: (evaluation, _, nowMs) =>
    `Cooling down after the last scale decision for another ${seconds((coolingUntilMs(evaluation, "up") ?? nowMs) - nowMs)}.`,
  at_max: ({ averages, clones }, policy) =>
    `Too busy (${above(averages, policy)}), but it has ${clonesText(clones)} and max_clones is ${policy.maxClones}.`,
  at_min: ({ averages, clones }, policy) =>
    `Idle enough to give a clone up (${below(averages, policy)}), but it has ${clonesText(clones)} and min_clones is ${policy.minClones}.`,
  outstanding: ({ state: { outstanding } }) =>
    outstanding === null
      ? "The decision has been taken already and waits to be carried out."
      : `The decision to ${outstanding.decision === "scale_up" ? "create" : "remove"} ${outstanding.clone} has been taken already and waits to be carried out.`,
  no_clone_name: ({ observation, state }) =>
    `A clone is called for, but ${whyNoName(observation.group, nextCloneId(state.knownClones ?? [], state, observation.highestListedId))}.`,
  host_limit: ({ observation }) =>
    `A clone is called for, but ${observation.host} has had its max_scale_ups_per_tick for this evaluation; more overloaded groups go first.`,
  would_overload: ({ averages, clones }, policy) =>
    clones > policy.maxClones
      ? `It has ${clonesText(clones)} and max_clones is ${policy.maxClones}, but without one of them the others would be above ${percent(policy.scaleUpThresholdPercent)}.`
      : `A clone could go (${below(averages, policy)}), but the others would then be above ${percent(policy.scaleUpThresholdPercent)}.`,
  not_ours: () =>
    "A clone could go, but none of them was made by this scaler, and its policy says adopt_clones: false.",
  incomplete_data: ({ averages }) =>
    `The measured members' average of ${percent(averages.fresh)} is beyond a threshold; with those not measured counted in (${percent(averages.forUp)} to ${percent(averages.forDown)}) it may not be.`,
  cores_saturated: ({ averages, observation: { leastUsedCpu } }) =>
    `The measured members' average of ${percent(averages.fresh)} says what they got, not what they need: their cores are used up${leastUsedCpu === null ? "" : `; the least used is cpuid ${leastUsedCpu.cpu} with ${percent(leastUsedCpu.usagePercent)}`}.`,
  pending_up: ({ averages, state }, policy) =>
    `Busy (${above(averages, policy)}): evaluation ${state.highTicks} of the ${policy.scaleUpTriggerTicks} in a row that call for a clone.`,
  pending_down: ({ averages, state }, policy) =>
    `Idle (${below(averages, policy)}): evaluation ${state.lowTicks} of the ${policy.scaleDownTriggerTicks} in a row that give a clone up.`,
  normal: ({ averages, clones }, policy) =>
    clones === 0
      ? `The average of ${percent(averages.forUp)} is not above ${percent(policy.scaleUpThresholdPercent)}, and there is no clone to give up.`
      : `The average of ${percent(averages.fresh)} is between ${percent(policy.scaleDownThresholdPercent)} and ${percent(policy.scaleUpThresholdPercent)}.`,
};

function whyNoName(primary: string, cloneId: number): string {
  const name = `${primary}-clone-${cloneId}`;
  if (!isValidLabel(name))
    return `the name of ${primary}'s next clone would be longer than Albatross' 63 characters`;
  if (cloneId > MAX_CLONE_ID)
    return `the ids of ${primary}'s clones are used up: ${MAX_CLONE_ID} is the last`;
  return `${name} would not be read as a clone of ${primary}, whose own name ends as that of a clone`;
}

function above({ forUp }: Averages, policy: GroupPolicy): string {
  return `an average of ${percent(forUp)}, above ${percent(policy.scaleUpThresholdPercent)}`;
}

function below({ forDown }: Averages, policy: GroupPolicy): string {
  return `an average of ${percent(forDown)}, below ${percent(policy.scaleDownThresholdPercent)}`;
}

function percent(value: number | null): string {
  return value === null ? "unknown" : `${Number(value.toFixed(1))} %`;
}

function times(evaluations: number): string {
  return evaluations === 1 ? "one evaluation" : `${evaluations} evaluations`;
}

function clonesText(clones: number): string {
  return clones === 1 ? "1 clone" : `${clones} clones`;
}

function seconds(ms: number): string {
  return `${Math.max(0, Math.ceil(ms / 1000))} s`;
}
