import type { Logger } from "../log.ts";
import { type DecisionJson, decisionJson } from "./decisionJson.ts";
import type { Evaluation } from "./types.ts";

/** A decision as the decision log and `/api/v1/decisions` tell it. */
export interface LoggedDecision extends DecisionJson {
  /** `dry_run`: counted, not carried out */
  readonly mode: string;
}

export function loggedDecision(evaluation: Evaluation, timeMs: number, mode: string): LoggedDecision {
  return { ...decisionJson(evaluation, timeMs), mode };
}

/** One line of the program's log with the decision's numbers; a group that no policy matches is worth one at debug only. */
export function tellLog(
  log: Logger,
  { policy, decision: { decision } }: Evaluation,
  told: LoggedDecision,
): void {
  const {
    time: _,
    would,
    average_percent,
    average_for_up_percent,
    average_for_down_percent,
    ...fields
  } = told;
  const event = {
    ...fields,
    average_percent: rounded(average_percent),
    average_for_up_percent: rounded(average_for_up_percent),
    average_for_down_percent: rounded(average_for_down_percent),
    ...(would === null
      ? {}
      : { would: would.decision, would_reason: would.reason, would_clone: would.clone }),
    ...(policy === null
      ? {}
      : {
          scale_up_threshold_percent: policy.scaleUpThresholdPercent,
          scale_up_trigger_ticks: policy.scaleUpTriggerTicks,
          scale_down_threshold_percent: policy.scaleDownThresholdPercent,
          scale_down_trigger_ticks: policy.scaleDownTriggerTicks,
          min_clones: policy.minClones,
          max_clones: policy.maxClones,
        }),
  };
  if (decision !== "hold") log.info(event, "scale decision");
  else if (policy === null) log.debug(event, "scaler holds");
  else log.info(event, "scaler holds");
}

/** To a hundredth: the decision log has every digit. */
function rounded(percent: number | null): number | null {
  return percent === null ? null : Math.round(percent * 100) / 100;
}
