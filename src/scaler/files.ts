import type { Clock } from "../clock.ts";
import type { ScalerConfig } from "../config/types.ts";
import type { Logger } from "../log.ts";
import { DecisionLog } from "./decisionLog.ts";
import type { SavedState } from "./savedState.ts";
import { StateFile, type StateFileCounts } from "./stateFile.ts";

/** Where the scaler's state outlives the process. */
export interface StateStore {
  /** for log lines */
  readonly path: string;
  /** What was saved last; null for a fresh start. */
  load(): SavedState | null;
  /** Saves what `pieces` makes, later; what it reads must not change. Never throws. */
  save(pieces: () => Iterable<string>): void;
  /** Resolves when all that was asked for is done. */
  flush(): Promise<void>;
}

/** Where the scaler's decisions are kept. */
export interface LineLog {
  /** Appends lines, later and in order. Never throws. */
  append(lines: readonly string[]): void;
  setLimits(limits: { maxBytes: number; files: number }): void;
  flush(): Promise<void>;
}

/** What the scaler writes to. Asked for anew when the configuration names other files. */
export interface ScalerFiles {
  state(config: ScalerConfig, counts: StateFileCounts): StateStore;
  decisions(config: ScalerConfig): LineLog;
}

export interface DiskOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Where a file that the configuration names stands. */
  readonly resolvePath: (path: string) => string;
}

/** The files that the configuration names. */
export function filesOnDisk({ clock, log, resolvePath }: DiskOptions): ScalerFiles {
  return {
    state: ({ stateFile }, counts) => new StateFile({ path: resolvePath(stateFile), clock, log, counts }),
    decisions: ({ decisionLog, decisionLogMaxBytes, decisionLogFiles }) =>
      new DecisionLog({
        path: resolvePath(decisionLog),
        maxBytes: decisionLogMaxBytes,
        files: decisionLogFiles,
        log,
      }),
  };
}
