/** Why a decision was taken, in words. */
import { MAX_CLONE_ID } from "../../fleet/groups.ts";
import { isValidLabel } from "../../wire/names.ts";
import { whyNotCloneable } from "../actions/plan.ts";
import { knownLoad } from "../rules/averages.ts";
import { clonesAwaited } from "../rules/cloneChanges.ts";
import { nextCloneId, triggerTicks } from "../rules/evaluate.ts";
import {
  coolingUntilMs,
  type Direction,
  type Evaluation,
  flapFactorOf,
  type GroupPolicy,
  type HoldReason,
  type MemberObservation,
  type Scale,
  type Side,
} from "../rules/types.ts";

/** One sentence or two about an evaluation made at `nowMs` on the clock of its times. */
export function describe(evaluation: Evaluation, nowMs: number): string {
  const { decision, policy } = evaluation;
  if (policy === null || decision.reason === "no_policy") {
    return "No policy of the configuration matches this group, so it is only observed.";
  }
  const why = policy.enabled && policy.mode === "execute" ? whyNoClone(evaluation) : null;
  const aside = why === null ? "" : ` It cannot be cloned: ${why}.`;
  if (decision.decision !== "hold") return scaleWords(decision, evaluation, policy) + aside;
  if (decision.reason === "paused") {
    return `Paused by its policy. Otherwise: ${scaleWords(decision.would, evaluation, policy)}${aside}`;
  }
  return HOLD_WORDS[decision.reason](evaluation, policy, nowMs) + aside;
}

/** Why a plan would refuse a clone, as far as that is known. */
export function whyNoClone({ policy, observation: { primary } }: Evaluation): string | null {
  if (policy === null) return null;
  const { type, blockDevices } = primary ?? { type: "solo5", blockDevices: 0 };
  return whyNotCloneable(type, blockDevices, policy.clone.arguments);
}

/** What is added of a clone count out of bounds, or of a decision that waits. */
function asideWords({ state: { side, outstanding }, clones }: Evaluation, policy: GroupPolicy): string {
  if (side !== null) {
    return ` It has ${beyond(side, clones, policy)}: that counts from the second evaluation in a row on.`;
  }
  return outstanding === null ? "" : ` ${theDecision(outstanding)} waits to be carried out.`;
}

/** `The decision to create web-clone-1 and 2 more`. */
function theDecision(scale: Scale | null): string {
  if (scale === null) return "The decision";
  return `The decision to ${scale.decision === "scale_up" ? "create" : "remove"} ${clonesOf(scale)}`;
}

/** `4 clones, above max_clones (3)`. */
function beyond(side: Side, clones: number, { minClones, maxClones }: GroupPolicy): string {
  const bound = side === "above" ? `above max_clones (${maxClones})` : `below min_clones (${minClones})`;
  return `${clonesText(clones)}, ${bound}`;
}

function scaleWords(scale: Scale, evaluation: Evaluation, policy: GroupPolicy): string {
  const act = scale.decision === "scale_up" ? "Create" : "Remove";
  return `${act} ${clonesOf(scale)}: ${SCALE_WORDS[scale.reason](evaluation, policy, scale)}`;
}

/** `web-clone-1 and 2 more`. */
export function clonesOf({ clone, step }: Pick<Scale, "clone" | "step">): string {
  return step > 1 ? `${clone} and ${step - 1} more` : clone;
}

type ScaleWords = (evaluation: Evaluation, policy: GroupPolicy, scale: Scale) => string;

const SCALE_WORDS: Readonly<Record<Scale["reason"], ScaleWords>> = {
  overloaded: (evaluation, policy, { step }) => {
    const { measured, threshold } = compared(evaluation, policy, "forUp", "up");
    const aim = step > 1 ? `, and target_percent is ${policy.targetPercent}` : "";
    return `the ${measured} is above ${threshold} for ${times(triggerTicks(policy, "up"))} in a row${aim}.`;
  },
  underloaded: (evaluation, policy) => {
    const { measured, threshold } = compared(evaluation, policy, "forDown", "down");
    return `the ${measured} is below ${threshold} for ${times(triggerTicks(policy, "down"))} in a row.`;
  },
  above_max: ({ clones }, policy) =>
    `${beyond("above", clones, policy)} for two evaluations in a row or more.`,
  below_min: ({ clones }, policy) =>
    `${beyond("below", clones, policy)} for two evaluations in a row or more.`,
};

type HoldWords = (evaluation: Evaluation, policy: GroupPolicy, nowMs: number) => string;

const HOLD_WORDS: Readonly<Record<Exclude<HoldReason, "paused" | "no_policy">, HoldWords>> = {
  disabled: () => "Its policy says enabled: false, so it is only observed.",
  no_data: ({ observation: { hostLive, load, members } }, policy) => {
    if (!hostLive) return "No statistics arrive from its host, so nothing can be decided.";
    if (policy.load !== null && load === null)
      return "Its load has not been asked for yet. Nothing can be decided.";
    return load === null || load.outcome === "ok"
      ? `No member is measured: ${named(members)}. Nothing can be decided.`
      : `Its load is not known: ${load.text}. Nothing can be decided.`;
  },
  orphaned: ({ observation }) =>
    `Its primary ${observation.group} is not alive, so the group is shown but never scaled.`,
  acting: ({ state: { outstanding, action } }) => {
    const isTold = action === "sent" ? ": albatrossd has been told" : "";
    return `${theDecision(outstanding)} is being carried out${isTold}.`;
  },
  cooldown: coolingWords,
  backoff: (evaluation, _, nowMs) => {
    const { up, down } = evaluation.state.failures;
    const last = (up?.sinceMs ?? 0) > (down?.sinceMs ?? 0) ? up : down;
    const { inARow = 1 } = last ?? {};
    const row = inARow > 1 ? `, ${inARow} times in a row` : "";
    return `Its last ${last === up ? "scale-up" : "scale-down"} came to nothing${row}: ${coolingList(evaluation, nowMs)}.`;
  },
  at_max: (evaluation, policy) =>
    `Too busy (${beyondThreshold("above", evaluation, policy, "forUp")}), but it has ${clonesText(evaluation.clones)} and max_clones is ${policy.maxClones}.`,
  at_min: (evaluation, policy) =>
    `Idle enough to give a clone up (${beyondThreshold("below", evaluation, policy, "forDown")}), but it has ${clonesText(evaluation.clones)} and min_clones is ${policy.minClones}.`,
  outstanding: ({ state: { outstanding }, clones }) => {
    const step = outstanding?.step ?? 0;
    const awaited = clonesAwaited(outstanding, clones);
    const isPart = awaited > 0 && awaited < step;
    const rest = isPart
      ? `; of the ${step} clones ${awaited} are still to come`
      : " and waits to be carried out";
    return `${theDecision(outstanding)} has been taken already${rest}.`;
  },
  no_clone_name: ({ observation: { group, highestListedId }, state }) =>
    `A clone is called for, but ${whyNoName(group, nextCloneId(state.knownClones ?? [], state, highestListedId))}.`,
  host_limit: ({ observation }) =>
    `A clone is called for, but max_scale_ups_per_tick of ${observation.host} is used up at this evaluation: the busiest groups go first.`,
  would_overload: (evaluation, policy) =>
    evaluation.averages.membersForDown > 1
      ? `A clone could go (${beyondThreshold("below", evaluation, policy, "forDown")}), but the others would then be above ${policy.scaleUpThresholdPercent} %.`
      : `A clone could go (${beyondThreshold("below", evaluation, policy, "forDown")}), but it is the only member that is heard.`,
  not_ours: ({ clones, state }, policy) =>
    `${state.side === "above" ? `It has ${clonesText(clones)} and max_clones is ${policy.maxClones}` : "A clone could go"}, but none of them was made by this scaler, and its policy says adopt_clones: false.`,
  incomplete_data: incompleteWords,
  cores_saturated: saturatedWords,
  pending_up: (evaluation, policy) => busyWords(evaluation, policy) + asideWords(evaluation, policy),
  pending_down: (evaluation, policy) => {
    const { state } = evaluation;
    return `Idle (${beyondThreshold("below", evaluation, policy, "forDown")}): evaluation ${state.lowTicks} of the ${triggerTicks(policy, "down")} in a row that give a clone up.${asideWords(evaluation, policy)}`;
  },
  normal: (evaluation, policy) => {
    const up = compared(evaluation, policy, "forUp", "up");
    const down = compared(evaluation, policy, "fresh", "down");
    const words =
      evaluation.clones === 0
        ? `The ${up.measured} is not above ${up.threshold}, and there is no clone to give up.`
        : `The ${down.measured} is between ${down.threshold} and ${up.threshold}.`;
    return words + asideWords(evaluation, policy);
  },
};

function busyWords(evaluation: Evaluation, policy: GroupPolicy): string {
  return `Busy (${beyondThreshold("above", evaluation, policy, "forUp")}): evaluation ${evaluation.state.highTicks} of the ${triggerTicks(policy, "up")} in a row that call for a clone.`;
}

function coolingWords(evaluation: Evaluation, _: GroupPolicy, nowMs: number): string {
  const cooling = coolingList(evaluation, nowMs);
  return cooling === ""
    ? "It was cooling down after the last scale decision; the next evaluation may decide again."
    : `Cooling down after the last scale decision: ${cooling}.`;
}

function coolingList(evaluation: Evaluation, nowMs: number): string {
  const left = (direction: Direction) =>
    Math.max(0, Math.ceil(((coolingUntilMs(evaluation, direction) ?? nowMs) - nowMs) / 1000));
  const [up, down] = [left("up"), left("down")];
  const factor = flapFactorOf(evaluation);
  const damped = factor > 1 ? ` (scale_down_cooldown_period times ${factor}, as it flaps)` : "";
  return [
    ...(up > 0 ? [`no scale-up for another ${up} s`] : []),
    ...(down > 0 ? [`no scale-down for another ${down} s${damped}`] : []),
  ].join(", ");
}

function incompleteWords(evaluation: Evaluation, policy: GroupPolicy): string {
  const { averages, observation } = evaluation;
  const unknown = named(observation.members.filter(isUnknown));
  const { fresh, forUp, forDownAsMeasured } = averages;
  if (policy.load !== null) {
    const { threshold } = compared(evaluation, policy, "forUp", "up");
    return `Those measured are busy (${beyondThreshold("above", evaluation, policy, "fresh")}), but with ${unknown} to carry it, too, it is not above ${threshold}.`;
  }
  return fresh !== null && fresh > policy.scaleUpThresholdPercent
    ? `Those measured are busy (${beyondThreshold("above", evaluation, policy, "fresh")}), but with ${unknown} as 0 % it is ${percent(forUp, policy.scaleUpThresholdPercent)}.`
    : `Those measured are idle (${beyondThreshold("below", evaluation, policy, "fresh")}), but with ${unknown} as 100 % it is ${percent(forDownAsMeasured, policy.scaleDownThresholdPercent)}.`;
}

function saturatedWords(evaluation: Evaluation, policy: GroupPolicy): string {
  const { averages, observation, state } = evaluation;
  const { members, leastUsedCpu } = observation;
  const { fresh, forDown, allStarved } = averages;
  const least =
    leastUsedCpu === null
      ? ""
      : ` The least used core that VMs are pinned to is cpuid ${leastUsedCpu.cpu}, at ${percent(leastUsedCpu.usagePercent)}.`;
  const counted = members.filter((member) => member.starved || isUnknown(member));
  const words = allStarved
    ? `Every measured member is starved: all cores that it is pinned to are busy, so its usage (${percent(fresh)} on average) says what it got, not what it needed.`
    : `Those measured are idle (${beyondThreshold("below", evaluation, policy, "fresh")}), but with ${named(counted)} as 100 % it is ${percent(forDown)}: a starved member's cores are busy, and it may need more than it got.`;
  const busy = state.highTicks > 0 ? ` ${busyWords(evaluation, policy)}` : "";
  return words + least + busy;
}

/** It is in the averages for up and down without having been measured. */
function isUnknown({ state }: MemberObservation): boolean {
  return state === "warming" || state === "missing";
}

/** So many members are named; a group may have hundreds. */
const MOST_NAMED = 5;

/** `web-clone-1 (missing), web-clone-2 (warming)`. */
function named(members: readonly MemberObservation[]): string {
  const names = members.map(({ vm, state, starved }) => `${vm} (${starved ? "starved" : state})`);
  const more = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function whyNoName(primary: string, cloneId: number): string {
  const name = `${primary}-clone-${cloneId}`;
  if (!isValidLabel(name))
    return `the name of ${primary}'s next clone would be longer than Albatross' 63 characters`;
  if (cloneId > MAX_CLONE_ID)
    return `the ids of ${primary}'s clones are used up: ${MAX_CLONE_ID} is the last`;
  return `${name} would not be read as a clone of ${primary}, whose own name ends as that of a clone`;
}

type Average = "fresh" | "forUp" | "forDown";

/** `an average of 95 %, above 90 %`. */
function beyondThreshold(side: Side, evaluation: Evaluation, policy: GroupPolicy, average: Average): string {
  const direction = side === "above" ? "up" : "down";
  const { article, measured, threshold } = compared(evaluation, policy, average, direction);
  return `${article} ${measured}, ${side} ${threshold}`;
}

/** `average of 95 %` and `90 %`, or `load of 412` and `360 (90 % of 2 members at 200 each)`. */
function compared(
  { averages, observation }: Evaluation,
  policy: GroupPolicy,
  average: Average,
  direction: Direction,
): { readonly article: string; readonly measured: string; readonly threshold: string } {
  const bound = direction === "up" ? policy.scaleUpThresholdPercent : policy.scaleDownThresholdPercent;
  if (policy.load === null) {
    const measured = `average of ${percent(averages[average], bound)}`;
    return { article: "an", measured, threshold: `${bound} %` };
  }
  const count = average === "forUp" ? averages.members : averages.membersForDown;
  const { capacityPerMember } = policy.load;
  const value = knownLoad(observation);
  // without what floats lose
  const load = Number(((bound / 100) * count * capacityPerMember).toPrecision(12));
  const members =
    count === 1 ? `one member at ${capacityPerMember}` : `${count} members at ${capacityPerMember} each`;
  return {
    article: "a",
    measured: `load of ${number(value, load, digitsOf(value))}`,
    threshold: `${load} (${bound} % of ${members})`,
  };
}

function percent(value: number | null, comparedWith: number | null = null): string {
  return value === null ? "unknown" : `${number(value, comparedWith)} %`;
}

/** So many tell of a small load more than that it is nearly 0. */
function digitsOf(load: number | null): number {
  return load === null || load === 0
    ? 1
    : Math.min(MOST_DIGITS, Math.max(1, 1 - Math.floor(Math.log10(load))));
}

/** To a tenth, or as exact as it takes to be on the same side of the other. */
function number(value: number | null, comparedWith: number | null = null, fewest = 1): string {
  if (value === null) return "unknown";
  const rounded = (digits: number) => Number(value.toFixed(digits));
  let digits = fewest;
  if (comparedWith !== null) {
    const side = Math.sign(value - comparedWith);
    while (digits < MOST_DIGITS && Math.sign(rounded(digits) - comparedWith) !== side) digits++;
  }
  return String(rounded(digits));
}

const MOST_DIGITS = 15;

function times(evaluations: number): string {
  return evaluations === 1 ? "one evaluation" : `${evaluations} evaluations`;
}

function clonesText(clones: number): string {
  return clones === 1 ? "1 clone" : `${clones} clones`;
}
