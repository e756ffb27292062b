import type { ScalerDefaults } from "../../config/scaler.ts";

/** The scaler's values. All of them are immutable; a new state is made from an old one. */

/** What holds for one group: its policy's keys over the defaults. `deathTimeoutMs` is also how long a tombstone lasts. */
export type GroupPolicy = ScalerDefaults;

export type ObservedState = "fresh" | "warming" | "missing" | "silent";

/** One member at one tick. `usagePercent` is there exactly when the member is fresh. */
export interface MemberObservation {
  readonly vm: string;
  /** 0 for the primary */
  readonly cloneId: number;
  readonly state: ObservedState;
  readonly usagePercent: number | null;
}

/** Which group. */
export interface GroupName {
  readonly host: string;
  readonly path: string;
  /** the primary's label */
  readonly group: string;
}

export type GroupKey = string;

/** Identifies a group across ticks. Keys in order are groups in order of host, path and name. */
export function groupKey({ host, path, group }: GroupName): GroupKey {
  return `${host}\n${path}\n${group}`;
}

/** What was measured of one group at one tick, wherever the numbers came from. Members that are gone are not in it. */
export interface Observation extends GroupName {
  readonly key: GroupKey;
  readonly hostLive: boolean;
  readonly members: readonly MemberObservation[];
}

export const HOLD_REASONS = [
  "no_policy",
  "disabled",
  "no_data",
  "orphaned",
  "cooldown",
  "at_max",
  "at_min",
  "outstanding",
  "no_clone_name",
  "host_limit",
  "would_overload",
  "not_ours",
  "paused",
  "incomplete_data",
  "pending_up",
  "pending_down",
  "normal",
] as const;
export type HoldReason = (typeof HOLD_REASONS)[number];

/** What is done about a group's size, and why. */
export const SCALE_REASONS = {
  scale_up: ["overloaded", "below_min"],
  scale_down: ["underloaded", "above_max"],
} as const;
type ScaleReasons = typeof SCALE_REASONS;
type ScaleBy<D extends keyof ScaleReasons> = {
  readonly decision: D;
  readonly reason: ScaleReasons[D][number];
  /** the clone to create or to remove */
  readonly clone: string;
};
export type Scale = ScaleBy<"scale_up"> | ScaleBy<"scale_down">;
export type Hold =
  | { readonly decision: "hold"; readonly reason: Exclude<HoldReason, "paused"> }
  | { readonly decision: "hold"; readonly reason: "paused"; readonly would: Scale };
export type Decision = Scale | Hold;

/** A scale decision that has been taken and neither carried out nor overtaken by events. */
export type Outstanding = Scale & { readonly cloneId: number; readonly sinceMs: number };

/** The id of a clone that was decided to go; it is not given again before `untilMs`. */
export interface Tombstone {
  readonly cloneId: number;
  readonly untilMs: number;
}

/** What is remembered of a group between two ticks. Times are the scaler's own clock's, in milliseconds. */
export interface GroupState {
  readonly highTicks: number;
  readonly lowTicks: number;
  readonly lastActionMs: number | null;
  readonly outstanding: Outstanding | null;
  readonly tombstones: readonly Tombstone[];
  /** ids of live clones that came as this scaler had asked */
  readonly madeHere: readonly number[];
  /** ids of the clones at the last evaluation, ascending; null before the first */
  readonly knownClones: readonly number[] | null;
  /** on which side of its bounds the clone count was at the last evaluation */
  readonly outOfBounds: "above" | "below" | null;
  readonly lastScaleUpMs: number | null;
  readonly lastScaleDownMs: number | null;
}

/** A group, and what is remembered of it. */
export interface RememberedGroup extends GroupName {
  readonly key: GroupKey;
  readonly state: GroupState;
}

/** The same with the policy that holds for it; null when none matches. */
export interface Group extends RememberedGroup {
  readonly policy: GroupPolicy | null;
}

/** One tick, as sources are asked at it. */
export interface Tick {
  /** when it is, on both clocks */
  readonly nowUs: number;
  readonly wallMs: number;
  /** monotonic arrival of the first samples: where the first windows begin */
  readonly firstSampleUs: number;
  /** a group as the rules know it before the tick */
  readonly groupOf: (name: GroupName) => Group;
}

/** Where observations come from. */
export interface Source {
  /**
   * What there is to say of each group at this tick. What changes with time is read before it returns. Never rejects: a
   * source that cannot tell observes members without usage. No group is observed by two sources.
   */
  observe(tick: Tick): Promise<readonly Observation[]>;
}

export const FRESH_STATE: GroupState = {
  highTicks: 0,
  lowTicks: 0,
  lastActionMs: null,
  outstanding: null,
  tombstones: [],
  madeHere: [],
  knownClones: null,
  outOfBounds: null,
  lastScaleUpMs: null,
  lastScaleDownMs: null,
};

/** Means over the members in percent; null where there is nothing to take a mean of. */
export interface Averages {
  /** over the fresh members */
  readonly fresh: number | null;
  /** over fresh, warming and missing members, the latter two as 0 */
  readonly forUp: number | null;
  /** the same with them as 100 */
  readonly forDown: number | null;
  /** members in `forUp` and `forDown` */
  readonly members: number;
}

/** One evaluation: the decision and everything that led to it. */
export interface Evaluation {
  readonly observation: Observation;
  readonly policy: GroupPolicy | null;
  readonly decision: Decision;
  readonly averages: Averages;
  /** clones alive at this tick, silent ones included */
  readonly clones: number;
  /** what is remembered after it */
  readonly state: GroupState;
}

/** When the last scale decision no longer keeps the group from another; null where nothing does. */
export function cooldownUntilMs({ policy, state }: Pick<Evaluation, "policy" | "state">): number | null {
  if (policy === null || state.lastActionMs === null) return null;
  return state.lastActionMs + policy.cooldownPeriodMs;
}
