import { policyJson } from "../../config/scaler.ts";
import type { Evaluation, GroupState, ObservedState, Scale } from "../rules/types.ts";
import { describe } from "./words.ts";

/** An evaluation as `/api/v1/groups` explains it: what was measured, against which bounds, and why this decision. */
export interface ExplanationJson extends Omit<DecisionJson, "host" | "path" | "group"> {
  /** the reason in words */
  readonly text: string;
  readonly mode: string;
  readonly members: readonly MemberJson[];
  /** how many members the two averages for up and down are over; silent ones are in neither */
  readonly members_averaged: number;
  readonly desired_clones: number;
  readonly last_action: string | null;
  readonly cooldown_remaining_seconds: number;
  readonly outstanding: OutstandingJson | null;
  /** ids that are not given again yet */
  readonly tombstones: readonly { readonly clone_id: number; readonly until: string }[];
  /** ids of the clones that came as this scaler had asked */
  readonly made_here: readonly number[];
  /** the bounds and all else that holds for the group; null when no policy matches it */
  readonly policy: ReturnType<typeof policyJson> | null;
}

interface MemberJson {
  readonly vm: string;
  readonly clone_id: number;
  readonly state: ObservedState;
  /** since the previous evaluation */
  readonly usage_percent: number | null;
}

interface OutstandingJson {
  readonly decision: string;
  readonly reason: string;
  readonly clone: string;
  readonly since: string;
}

/** When evaluations were made, on the clock of their times and as wall time, and what is done about their decisions. */
export interface TickFacts {
  readonly nowMs: number;
  readonly wallMs: number;
  readonly mode: string;
}

export interface ExplainInput {
  readonly evaluation: Evaluation;
  /** what is remembered of the group after the evaluation */
  readonly state: GroupState;
  /** when the evaluation was made */
  readonly tick: TickFacts;
  /** now, on the clock of its times */
  readonly nowMs: number;
}

/** Explains an evaluation; what is left of the cooldown is as of now, all else as of the tick. */
export function explain({ evaluation, state, tick, nowMs }: ExplainInput): ExplanationJson {
  const { wallMs: tickWallMs, nowMs: tickMs, mode } = tick;
  const { host, path, group, ...decision } = decisionJson(evaluation, tickWallMs);
  const { policy, observation, averages, outstanding, cooldownUntilMs } = evaluation;
  const time = (ms: number) => new Date(Math.round(tickWallMs + ms - tickMs)).toISOString();
  return {
    ...decision,
    text: describe(evaluation, nowMs),
    mode,
    members: observation.members.map(({ vm, cloneId, state, usagePercent }) => ({
      vm,
      clone_id: cloneId,
      state,
      usage_percent: usagePercent,
    })),
    members_averaged: averages.members,
    desired_clones: desiredClones(evaluation),
    last_action: state.lastActionMs === null ? null : time(state.lastActionMs),
    cooldown_remaining_seconds: Math.max(0, (cooldownUntilMs ?? nowMs) - nowMs) / 1000,
    outstanding:
      outstanding === null
        ? null
        : {
            decision: outstanding.decision,
            reason: outstanding.reason,
            clone: outstanding.clone,
            since: time(outstanding.sinceMs),
          },
    tombstones: state.tombstones.map(({ cloneId, untilMs }) => ({ clone_id: cloneId, until: time(untilMs) })),
    made_here: state.madeHere,
    policy: policy === null ? null : policyJson(policy),
  };
}

/** One clone more or less than there are while a decision is outstanding. */
export function desiredClones({ clones, outstanding }: Pick<Evaluation, "clones" | "outstanding">): number {
  if (outstanding === null) return clones;
  return outstanding.decision === "scale_up" ? clones + 1 : clones - 1;
}

/** A scale decision that a paused group would have taken. */
export interface WouldJson {
  readonly decision: Scale["decision"];
  readonly reason: Scale["reason"];
  readonly clone: string;
}

/** One evaluation as the decision log, the API and `backtest` tell it. */
export interface DecisionJson {
  /** RFC 3339 with milliseconds */
  readonly time: string;
  readonly host: string;
  readonly path: string;
  /** the primary's label */
  readonly group: string;
  readonly decision: Evaluation["decision"]["decision"];
  readonly reason: Evaluation["decision"]["reason"];
  /** the clone to create or to remove; null for a hold */
  readonly clone: string | null;
  /** over the fresh members; the averages are null where there is nothing to take a mean of */
  readonly average_percent: number | null;
  readonly average_for_up_percent: number | null;
  readonly average_for_down_percent: number | null;
  readonly clones: number;
  /** the counters after this evaluation */
  readonly high_ticks: number;
  readonly low_ticks: number;
  /** null unless the group is paused and only that held it back */
  readonly would: WouldJson | null;
}

/** An evaluation as JSON, made at this wall time (ms since the epoch). */
export function decisionJson(evaluation: Evaluation, timeMs: number): DecisionJson {
  const { observation, decision, averages } = evaluation;
  return {
    time: new Date(timeMs).toISOString(),
    host: observation.host,
    path: observation.path,
    group: observation.group,
    decision: decision.decision,
    reason: decision.reason,
    clone: decision.decision === "hold" ? null : decision.clone,
    average_percent: averages.fresh,
    average_for_up_percent: averages.forUp,
    average_for_down_percent: averages.forDown,
    clones: evaluation.clones,
    high_ticks: evaluation.highTicks,
    low_ticks: evaluation.lowTicks,
    would: decision.reason === "paused" ? wouldJson(decision.would) : null,
  };
}

function wouldJson({ decision, reason, clone }: Scale): WouldJson {
  return { decision, reason, clone };
}
