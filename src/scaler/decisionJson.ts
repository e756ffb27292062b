import type { Evaluation, Scale } from "./types.ts";

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
