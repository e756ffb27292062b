/** How a group's state follows the actions that carry its decisions out. */
import { withoutOutstanding, withoutRows } from "./cloneChanges.ts";
import { directionOf, type GroupState, type Outstanding, type Phase } from "./types.ts";

/** What has become of an action. Times are on the clock of the group's state. */
export interface ActionChange {
  readonly phase: Phase;
  readonly decision: Outstanding;
  readonly cloneId: number;
  /** when the victim's id may be given again; null for a create */
  readonly tombstoneMs: number | null;
  /** more actions follow for the same decision */
  readonly more: boolean;
  /** failures before it count as in a row until its clone has outlived its warm-up */
  readonly isOnTrial: boolean;
  readonly atMs: number;
}

/** There is one decision of a direction at a time. */
export function isSameDecision(one: Outstanding | null, other: Outstanding): boolean {
  return one?.decision === other.decision && one.cloneId === other.cloneId && one.sinceMs === other.sinceMs;
}

/** The state after a phase of an action. The same phase told twice changes nothing more. */
export function withAction(before: GroupState, change: ActionChange): GroupState {
  const state = withMarks(before, change);
  switch (change.phase) {
    case "planned":
      return isSameDecision(state.outstanding, change.decision) ? { ...state, action: "planned" } : state;
    case "sent":
    case "acknowledged":
      return { ...state, outstanding: change.decision, action: "sent" };
    case "verified":
      return change.more
        ? { ...verified(state, change), action: "planned" }
        : ended(verified(state, change), change);
    case "refused":
    case "failed":
    case "lost":
      return ended(withFailure(state, change), change);
    case "abandoned":
      return ended(state, change);
  }
}

/** No two actions of a group end within this time with nothing done. */
const SAME_MS = 1_000;

/** Another failure in a row. */
export function withFailure(
  state: GroupState,
  { decision, atMs }: Pick<ActionChange, "decision" | "atMs">,
): GroupState {
  const direction = directionOf(decision);
  const before = state.failures[direction];
  // told again after a restart, from a time on the wall
  if (before !== null && before.sinceMs + SAME_MS >= atMs) return state;
  const failed = { inARow: (before?.inARow ?? 0) + 1, sinceMs: atMs };
  return { ...state, failures: { ...state.failures, [direction]: failed } };
}

/** What was done lasts: failures from now on are the first in a row. */
export function withoutFailures(state: GroupState, { decision }: Pick<ActionChange, "decision">): GroupState {
  return { ...state, failures: { ...state.failures, [directionOf(decision)]: null } };
}

/** What holds from an action's beginning, or its acknowledgement. */
function withMarks(state: GroupState, { phase, decision, cloneId, tombstoneMs }: ActionChange): GroupState {
  const isMade = (phase === "acknowledged" || phase === "verified") && decision.decision === "scale_up";
  const ours =
    isMade && state.ours.every((own) => own.cloneId !== cloneId)
      ? [...state.ours, { cloneId, goneMs: null }]
      : state.ours;
  const buried = tombstoneMs === null ? null : { cloneId, untilMs: tombstoneMs };
  const isKnown = state.tombstones.some(
    (one) => one.cloneId === cloneId && one.untilMs >= (tombstoneMs ?? 0),
  );
  const tombstones =
    buried === null || isKnown
      ? state.tombstones
      : [...state.tombstones.filter((one) => one.cloneId !== cloneId), buried];
  const later = (ms: number | null) => Math.max(ms ?? decision.sinceMs, decision.sinceMs);
  const isUp = decision.decision === "scale_up";
  return {
    ...state,
    ours,
    tombstones,
    lastScaleUpMs: isUp ? later(state.lastScaleUpMs) : state.lastScaleUpMs,
    lastScaleDownMs: isUp ? state.lastScaleDownMs : later(state.lastScaleDownMs),
  };
}

function verified(state: GroupState, change: ActionChange): GroupState {
  const done = { ...state, lastActionMs: Math.max(state.lastActionMs ?? change.atMs, change.atMs) };
  return change.isOnTrial ? done : withoutFailures(done, change);
}

function ended(state: GroupState, { decision }: ActionChange): GroupState {
  if (!isSameDecision(state.outstanding, decision)) return state;
  return withoutRows(withoutOutstanding(state));
}
