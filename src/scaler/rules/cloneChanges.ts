/** How a group's state follows its clones: which came and went, and what that means for what is remembered. */
import type { GroupPolicy, GroupState, MemberObservation, Outstanding } from "./types.ts";

/** Ascending; the same array as `known` when the same clones are in it, as at most ticks of most groups. */
export function idsOfClones(
  members: readonly MemberObservation[],
  known: readonly number[] | null,
): readonly number[] {
  if (known !== null && isInOrder(members, known)) return known;
  return members
    .filter(({ cloneId }) => cloneId > 0)
    .map(({ cloneId }) => cloneId)
    .sort((a, b) => a - b);
}

function isInOrder(members: readonly MemberObservation[], ids: readonly number[]): boolean {
  let count = 0;
  for (const { cloneId } of members) {
    if (cloneId === 0) continue;
    if (ids[count] !== cloneId) return false;
    count += 1;
  }
  return count === ids.length;
}

/** The state with other counters; itself when they are the same. */
export function withTicks(state: GroupState, highTicks: number, lowTicks: number): GroupState {
  return state.highTicks === highTicks && state.lowTicks === lowTicks
    ? state
    : { ...state, highTicks, lowTicks };
}

/**
 * The state with this tick's clones: a clone that came or went resets both counters; expired tombstones are dropped. It
 * is itself when nothing changed, as at most ticks of most groups.
 */
export function rememberClones(
  state: GroupState,
  cloneIds: readonly number[],
  policy: GroupPolicy | null,
  nowMs: number,
): GroupState {
  const known = state.knownClones;
  const bounds = policy === null ? null : outOfBounds(cloneIds.length, policy);
  const isSame = known !== null && (known === cloneIds || sameIds(known, cloneIds));
  const expires = state.tombstones.some((t) => nowMs >= t.untilMs);
  if (isSame && !expires && state.outOfBounds === bounds) return state;
  const changed = known !== null && !isSame;
  return {
    ...state,
    highTicks: changed ? 0 : state.highTicks,
    lowTicks: changed ? 0 : state.lowTicks,
    tombstones: expires ? state.tombstones.filter((t) => nowMs < t.untilMs) : state.tombstones,
    madeHere: state.madeHere.filter((id) => cloneIds.includes(id)),
    knownClones: cloneIds,
    outOfBounds: bounds,
  };
}

function sameIds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}

export function outOfBounds(clones: number, policy: GroupPolicy): "above" | "below" | null {
  if (clones > policy.maxClones) return "above";
  return clones < policy.minClones ? "below" : null;
}

/** The state without an outstanding decision; itself when there is none. */
export function withoutOutstanding(state: GroupState): GroupState {
  return state.outstanding === null ? state : { ...state, outstanding: null };
}

/** Step 4: an outstanding decision ends when it has happened or when nobody needs it any more. */
export function settleOutstanding(
  state: GroupState,
  cloneIds: readonly number[],
  now: { high: boolean; low: boolean; bounds: "above" | "below" | null },
): GroupState {
  const { outstanding } = state;
  if (outstanding === null) return state;
  const { cloneId } = outstanding;
  const alive = cloneIds.includes(cloneId);
  if (outstanding.decision === "scale_up" ? alive : !alive) {
    return {
      ...state,
      outstanding: null,
      highTicks: 0,
      lowTicks: 0,
      madeHere: outstanding.decision === "scale_up" ? [...state.madeHere, cloneId] : state.madeHere,
    };
  }
  return isStillWanted(outstanding, now) ? state : withoutOutstanding(state);
}

function isStillWanted(
  outstanding: Outstanding,
  now: { high: boolean; low: boolean; bounds: "above" | "below" | null },
): boolean {
  switch (outstanding.reason) {
    case "overloaded":
      return now.high;
    case "underloaded":
      return now.low;
    case "above_max":
      return now.bounds === "above";
    case "below_min":
      return now.bounds === "below";
  }
}
