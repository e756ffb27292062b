import type { Evaluation } from "../rules/types.ts";

/** What is done about scale decisions. */
export interface Action {
  /** what `mode` says in metrics, JSON and log lines */
  readonly name: string;
  /** for the documentation of metrics */
  readonly does: string;
  /**
   * Begins what a scale decision asks for. Called once for each, in the tick, when it has been counted and logged: neither
   * throws nor waits.
   */
  begin(evaluation: Evaluation): void;
}

/** Decisions are counted and logged, and nothing comes of them. */
const dryRun: Action = { name: "dry_run", does: "counted, not carried out", begin: () => undefined };

/** The action of each `mode` of the configuration. */
export const ACTIONS = { dry_run: dryRun };
