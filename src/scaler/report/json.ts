import { policyJson } from "../../config/scaler.ts";
import { knownLoad, loadThresholds } from "../rules/averages.ts";
import { clonesAwaited } from "../rules/cloneChanges.ts";
import {
  coolingUntilMs,
  type Direction,
  type Evaluation,
  flapFactorOf,
  type GroupPolicy,
  modeOf,
  type Scale,
} from "../rules/types.ts";
import { describe, whyNoClone } from "./words.ts";

/** When evaluations were made, on the clock of their times and as wall time. */
export interface TickFacts {
  readonly nowMs: number;
  readonly wallMs: number;
}

/** One evaluation as the decision log, the API and `backtest` show it. */
export type DecisionJson = Readonly<ReturnType<typeof decisionJson>>;

/** An evaluation as JSON, made at this wall time (ms since the epoch). */
export function decisionJson(evaluation: Evaluation, timeMs: number) {
  const { observation, decision, averages, clones, state } = evaluation;
  return {
    time: new Date(timeMs).toISOString(),
    host: observation.host,
    path: observation.path,
    group: observation.group,
    decision: decision.decision,
    reason: decision.reason,
    /** the clone to create or to remove; null for a hold */
    clone: decision.decision === "hold" ? null : decision.clone,
    /** how many clones, with ids from that one's on; null for a hold */
    step: decision.decision === "hold" ? null : decision.step,
    /** over the fresh members; null where there is nothing to take a mean of */
    average_percent: averages.fresh,
    average_for_up_percent: averages.forUp,
    average_for_down_percent: averages.forDown,
    /** where the policy has a query its answer, in its unit; null while that is not known */
    ...(evaluation.policy?.load && { load: knownLoad(observation) }),
    clones,
    /** the counters after this evaluation */
    high_ticks: state.highTicks,
    low_ticks: state.lowTicks,
    /** what a paused group would have decided; null unless only that held it back */
    would: decision.reason === "paused" ? scaleJson(decision.would) : null,
  };
}

function scaleJson({ decision, reason, clone, step }: Scale) {
  return { decision, reason, clone, step };
}

function loadJson({ observation: { load }, averages }: Evaluation, policy: GroupPolicy) {
  const thresholds = loadThresholds(policy, averages);
  return {
    outcome: load?.outcome ?? null,
    error: load === null || load.outcome === "ok" ? null : load.text,
    scale_up_threshold: thresholds?.up ?? null,
    scale_down_threshold: thresholds?.down ?? null,
  };
}

/** As `/api/v1/groups` explains a tick's evaluation. What is left of the cooldown is as of `nowMs`. */
export function explain(evaluation: Evaluation, tick: TickFacts, nowMs: number) {
  const { host, path, group, ...decision } = decisionJson(evaluation, tick.wallMs);
  const { policy, observation, averages, state } = evaluation;
  const { outstanding } = state;
  const { leastUsedCpu } = observation;
  const notCloneable = whyNoClone(evaluation);
  const cooling = (direction: Direction) =>
    Math.max(0, (coolingUntilMs(evaluation, direction) ?? nowMs) - nowMs) / 1000;
  const time = (ms: number) => new Date(Math.round(tick.wallMs + ms - tick.nowMs)).toISOString();
  return {
    ...decision,
    text: describe(evaluation, nowMs),
    mode: modeOf(evaluation),
    members: observation.members.map(({ vm, cloneId, state, usagePercent, starved }) => ({
      vm,
      clone_id: cloneId,
      state,
      usage_percent: usagePercent,
      /** all cores that it is pinned to are used up */
      starved,
    })),
    /** of the host's cores that VMs are pinned to; null where none is known to be */
    least_used_cpu: leastUsedCpu && { cpu: leastUsedCpu.cpu, usage_percent: leastUsedCpu.usagePercent },
    /** members in the average for up; without `load` in that for down, too */
    members_averaged: averages.members,
    /** null where the load is CPU usage */
    load_query: policy?.load ? loadJson(evaluation, policy) : null,
    desired_clones: desiredClones(evaluation),
    /** null where unikernel info does not say, or no policy matches */
    cloneable: notCloneable !== null ? false : observation.primary && policy && true,
    not_cloneable: notCloneable,
    last_action: state.lastActionMs === null ? null : time(state.lastActionMs),
    cooldown_remaining_seconds: Math.max(cooling("up"), cooling("down")),
    scale_up_cooldown_remaining_seconds: cooling("up"),
    scale_down_cooldown_remaining_seconds: cooling("down"),
    /** what flap damping multiplies the cooldown before a scale-down by */
    flap_factor: flapFactorOf(evaluation),
    /** of its bounds, and at how many evaluations in a row */
    side: state.side,
    side_ticks: state.row,
    outstanding:
      outstanding === null ? null : { ...scaleJson(outstanding), since: time(outstanding.sinceMs) },
    tombstones: state.tombstones.map(({ cloneId, untilMs }) => ({ clone_id: cloneId, until: time(untilMs) })),
    /** ids of the clones that came as this scaler had asked */
    made_here: state.ours.map(({ cloneId }) => cloneId),
    /** the bounds and all else that holds for the group; null when no policy matches it */
    policy: policy === null ? null : policyJson(policy),
  };
}

/** What an outstanding decision leads to, else what there is. */
export function desiredClones({ clones, state: { outstanding } }: Evaluation): number {
  if (outstanding?.decision === "scale_down") return Math.max(0, clones - 1);
  return clones + clonesAwaited(outstanding, clones);
}
