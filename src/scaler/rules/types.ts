import { z } from "zod";
import type { GroupPolicy, Mode } from "../../config/scaler.ts";
import { MAX_CLONE_ID } from "../../fleet/groups.ts";
import type { VmInfo } from "../../fleet/types.ts";

/** The scaler's values. All of them are immutable. */

export type { GroupPolicy, Mode } from "../../config/scaler.ts";

export type ObservedState = "fresh" | "warming" | "missing" | "silent";

/** One member at one tick. `usagePercent` is there exactly when the member is fresh. */
export interface MemberObservation {
  readonly vm: string;
  /** 0 for the primary */
  readonly cloneId: number;
  readonly state: ObservedState;
  readonly usagePercent: number | null;
  /** its cores were used up: the usage says what it got, not what it needed */
  readonly starved: boolean;
}

export interface GroupName {
  readonly host: string;
  readonly path: string;
  readonly group: string;
}

export type GroupKey = string;

/** In order of host, path and name. */
export function groupKey({ host, path, group }: GroupName): GroupKey {
  return `${host}\n${path}\n${group}`;
}

/** What was measured of one group at one tick. Members that are gone are not in it. */
export interface Observation extends GroupName {
  readonly key: GroupKey;
  readonly hostLive: boolean;
  readonly members: readonly MemberObservation[];
  /** of a clone that unikernel info lists, member or not; 0 for none */
  readonly highestListedId: number;
  /** what info says of the primary; null where it does not */
  readonly primary: Pick<VmInfo, "type" | "blockDevices"> | null;
  /** of the host's cores that info pins VMs to; null where it says of none */
  readonly leastUsedCpu: { readonly cpu: number; readonly usagePercent: number } | null;
  /** what the query of the group's policy was answered; null where it has none */
  readonly load: LoadAnswer | null;
}

/** How a query of a load can end; all but the first leave the load unknown. */
export const LOAD_OUTCOMES = [
  "ok",
  "unreachable",
  "timeout",
  "refused",
  "error",
  "no_sample",
  "several",
  "not_a_number",
  "stale",
  "warning",
] as const;
export type LoadOutcome = (typeof LOAD_OUTCOMES)[number];

/** The answer to a query: the load in the query's unit, or why it is not known. */
export type LoadAnswer =
  | { readonly outcome: "ok"; readonly value: number }
  | { readonly outcome: Exclude<LoadOutcome, "ok">; readonly text: string };

export const HOLD_REASONS = [
  "no_policy",
  "disabled",
  "no_data",
  "orphaned",
  "acting",
  "cooldown",
  "backoff",
  "at_max",
  "at_min",
  "outstanding",
  "no_clone_name",
  "host_limit",
  "would_overload",
  "not_ours",
  "paused",
  "incomplete_data",
  "cores_saturated",
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
  /** the clone to create, the first of them where there are several, or to remove */
  readonly clone: string;
  /** how many clones: those to create have ids that follow the first one's */
  readonly step: number;
};
export type Scale = ScaleBy<"scale_up"> | ScaleBy<"scale_down">;
export type Hold =
  | { readonly decision: "hold"; readonly reason: Exclude<HoldReason, "paused"> }
  | { readonly decision: "hold"; readonly reason: "paused"; readonly would: Scale };
export type Decision = Scale | Hold;

/** How far an action is while it is open, and how it can end. */
export const OPEN_PHASES = ["planned", "sent", "acknowledged"] as const;
export const OUTCOMES = ["verified", "refused", "failed", "lost", "abandoned"] as const;
export type Phase = (typeof OPEN_PHASES | typeof OUTCOMES)[number];

/** From the year 0 on, as a host may say that it started a VM. */
export const wallMs = z.number().min(-6.22e13).max(8.64e15);
export const count = z.int().min(0);
export const cloneId = z.int().min(1).max(MAX_CLONE_ID);
export const label = z.string().min(1).max(63);

function outstandingBy<D extends keyof ScaleReasons>(decision: D) {
  return z.object({
    decision: z.literal(decision),
    reason: z.literal<ScaleReasons[D]>(SCALE_REASONS[decision]),
    clone: label,
    cloneId,
    sinceMs: wallMs,
    step: z.int().min(1),
    /** ids of the clones that were there when it was taken and have been since, ascending */
    clonesThen: z.array(cloneId).readonly(),
  });
}

/** A scale decision that has been neither carried out nor overtaken by events. */
export const outstandingSchema = z.discriminatedUnion("decision", [
  outstandingBy("scale_up"),
  outstandingBy("scale_down"),
]);
export type Outstanding = Readonly<z.output<typeof outstandingSchema>>;

/** Actions that came to nothing, and when the last one ended. */
const failures = z
  .object({ inARow: z.int().min(1), sinceMs: wallMs })
  .readonly()
  .nullable();

/** What outlives the process of a group's state. */
export const keptState = {
  highTicks: count,
  lowTicks: count,
  /** of the last verified action, in dry run of the last scale decision */
  lastActionMs: wallMs.nullable(),
  outstanding: outstandingSchema.nullable(),
  /** what keeps a direction from being tried again at once */
  failures: z.object({ up: failures, down: failures }).readonly().default({ up: null, down: null }),
  /** ids of clones that were decided to go; they are not given again before `untilMs` */
  tombstones: z.array(z.object({ cloneId, untilMs: wallMs })).readonly(),
  /** clones that came as this scaler had asked; null while one is alive */
  ours: z.array(z.object({ cloneId, goneMs: wallMs.nullable() })).readonly(),
  /** ids of the clones at the last evaluation, ascending; null before the first */
  knownClones: z.array(cloneId).readonly().nullable(),
  /** on which side of its bounds the clone count was, and at how many evaluations in a row */
  side: z.literal(["above", "below"]).nullable(),
  row: count,
  lastScaleUpMs: wallMs.nullable().default(null),
  lastScaleDownMs: wallMs.nullable().default(null),
  /** what the cooldown before a scale-down is multiplied by */
  flapFactor: z.number().min(1),
};
export type KeptState = Readonly<z.output<z.ZodObject<typeof keptState>>>;

/** What is remembered of a group. Times are the scaler's own clock's, in a file wall times. */
export interface GroupState extends KeptState {
  /** how far the outstanding decision's action is; null in dry run */
  readonly action: "planned" | "sent" | null;
}

export type Side = NonNullable<GroupState["side"]>;

export type Direction = keyof GroupState["failures"];

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
  readonly nowUs: number;
  readonly wallMs: number;
  /** monotonic arrival of the first samples: where the first windows begin */
  readonly firstSampleUs: number;
  /** a group as the rules know it before the tick */
  readonly groupOf: (name: GroupName) => Group;
}

/** Where observations come from. */
export interface Source {
  /** Reads what changes with time before it returns. Never rejects. */
  observe(tick: Tick): Promise<readonly Observation[]>;
  /** How long before a tick it wants to begin, in ms; 0 for not at all. */
  leadMs?(): number;
  /** Begins with what takes time, so that it is there at the next tick. */
  prepare?(groupOf: Tick["groupOf"]): void;
  stop?(): void;
}

export const FRESH_STATE: GroupState = {
  highTicks: 0,
  lowTicks: 0,
  lastActionMs: null,
  outstanding: null,
  action: null,
  failures: { up: null, down: null },
  tombstones: [],
  ours: [],
  knownClones: null,
  side: null,
  row: 0,
  lastScaleUpMs: null,
  lastScaleDownMs: null,
  flapFactor: 1,
};

/** Means in percent, with `load` of what the members can carry; null where not known. */
export interface Averages {
  readonly fresh: number | null;
  /** over fresh, warming and missing members, the latter two as 0 */
  readonly forUp: number | null;
  /** the same with them and starved ones as 100; with `load` over the fresh members */
  readonly forDown: number | null;
  /** `forDown` with starved members as they were measured */
  readonly forDownAsMeasured: number | null;
  /** there are fresh members, and all of them are starved */
  readonly allStarved: boolean;
  readonly members: number;
  readonly membersForDown: number;
}

/** One evaluation: the decision and everything that led to it. */
export interface Evaluation {
  readonly observation: Observation;
  readonly policy: GroupPolicy | null;
  readonly decision: Decision;
  readonly averages: Averages;
  /** clones alive at this tick, silent ones included */
  readonly clones: number;
  readonly state: GroupState;
}

/** What is done about a group's scale decisions; nothing where no policy matches. */
export function modeOf({ policy }: { readonly policy: GroupPolicy | null }): Mode {
  return policy?.mode ?? "dry_run";
}

/** When nothing keeps the group from a decision any more; null where nothing does. */
export function coolingUntilMs(
  given: Pick<Evaluation, "policy" | "state">,
  direction: Direction,
): number | null {
  const { policy, state } = given;
  const backoffMs = backoffUntilMs(given, direction);
  if (policy === null || state.lastActionMs === null) return backoffMs;
  const cooldownMs = state.lastActionMs + cooldownOf(given, policy, direction);
  return Math.max(cooldownMs, backoffMs ?? cooldownMs);
}

const SHORTEST_BACKOFF_MS = 60_000;
const LONGEST_BACKOFF_MS = 3_600_000;

/** Until when failed actions keep the group from another; null where there are none. */
export function backoffUntilMs(
  given: Pick<Evaluation, "policy" | "state">,
  direction: Direction,
): number | null {
  const { policy, state } = given;
  const failures = state.failures[direction];
  if (policy === null || failures === null) return null;
  const firstMs = Math.max(SHORTEST_BACKOFF_MS, cooldownOf(given, policy, direction));
  return failures.sinceMs + Math.min(LONGEST_BACKOFF_MS, firstMs * 2 ** (failures.inARow - 1));
}

function cooldownOf(given: Pick<Evaluation, "policy" | "state">, policy: GroupPolicy, direction: Direction) {
  if (direction === "up") return policy.scaleUpCooldownPeriodMs;
  return policy.scaleDownCooldownPeriodMs * flapFactorOf(given);
}

/** What the cooldown before a scale-down is multiplied by. */
export function flapFactorOf({ policy, state }: Pick<Evaluation, "policy" | "state">): number {
  return Math.min(state.flapFactor, policy?.flapDampingMax ?? 1);
}

export function directionOf({ decision }: Pick<Scale, "decision">): Direction {
  return decision === "scale_up" ? "up" : "down";
}
