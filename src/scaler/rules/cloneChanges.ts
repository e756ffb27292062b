/** How a group's state follows its clones. */
import {
  type Averages,
  coolingUntilMs,
  type Direction,
  FRESH_STATE,
  type Group,
  type GroupPolicy,
  type GroupState,
  type MemberObservation,
  type Outstanding,
  type Side,
} from "./types.ts";

/** Ascending; `known` itself when the same clones are in it. */
export function idsOfClones(
  members: readonly MemberObservation[],
  known: readonly number[] | null,
): readonly number[] {
  if (known !== null && isInOrder(members, known)) return known;
  const ids: number[] = [];
  for (const { cloneId } of members) if (cloneId > 0) ids.push(cloneId);
  return ids.sort((a, b) => a - b);
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

/** One that came or went resets both counters. Itself when nothing changed. */
export function rememberClones(
  state: GroupState,
  cloneIds: readonly number[],
  policy: GroupPolicy | null,
  nowMs: number,
): GroupState {
  const known = state.knownClones;
  const isSame = known === cloneIds || known?.join() === cloneIds.join();
  const expires = state.tombstones.some((t) => nowMs >= t.untilMs);
  if (isSame && !expires && state.ours.every(({ goneMs }) => goneMs === null)) return state;
  const isChanged = known !== null && !isSame;
  return {
    ...state,
    highTicks: isChanged ? 0 : state.highTicks,
    lowTicks: isChanged ? 0 : state.lowTicks,
    tombstones: expires ? state.tombstones.filter((t) => nowMs < t.untilMs) : state.tombstones,
    ours: oursNow(state, cloneIds, policy, nowMs),
    outstanding: stillThere(state.outstanding, cloneIds),
    knownClones: cloneIds,
  };
}

/** In dry run clones that came while a decision named them are ours, too. */
function oursNow(
  { ours, outstanding }: GroupState,
  cloneIds: readonly number[],
  policy: GroupPolicy | null,
  nowMs: number,
): GroupState["ours"] {
  if (ours.length === 0 && outstanding === null) return ours;
  const kept = ours
    .map(({ cloneId, goneMs }) => ({
      cloneId,
      goneMs: cloneIds.includes(cloneId) ? null : (goneMs ?? nowMs),
    }))
    .filter(({ goneMs }) => goneMs === null || nowMs < goneMs + (policy?.deathTimeoutMs ?? 0));
  if (outstanding?.decision !== "scale_up" || policy?.mode === "execute") return kept;
  const came = cloneIds.filter(
    (id) =>
      id >= outstanding.cloneId &&
      id < outstanding.cloneId + outstanding.step &&
      !outstanding.clonesThen.includes(id) &&
      !kept.some(({ cloneId }) => cloneId === id),
  );
  return [...kept, ...came.map((cloneId) => ({ cloneId, goneMs: null }))];
}

/** Clones that went while more are asked for count as new when they come back. */
function stillThere(outstanding: Outstanding | null, cloneIds: readonly number[]): Outstanding | null {
  if (outstanding?.decision !== "scale_up") return outstanding;
  return { ...outstanding, clonesThen: outstanding.clonesThen.filter((id) => cloneIds.includes(id)) };
}

/** What is kept of an absent group; after its cooldowns and tombstones which clones are ours. */
export function afterAbsence(
  { policy, state }: Pick<Group, "policy" | "state">,
  nowMs: number,
): GroupState | null {
  const after = rememberClones(state, [], policy, nowMs);
  const { tombstones, ours, outstanding } = after;
  const isCooling = (direction: Direction) => nowMs < (coolingUntilMs({ policy, state }, direction) ?? nowMs);
  const isActing = state.action !== null;
  if (!isActing && !isCooling("up") && !isCooling("down") && tombstones.length === 0) {
    return ours.length === 0 ? null : { ...FRESH_STATE, ours };
  }
  return {
    ...after,
    ...NOTHING_IN_A_ROW,
    outstanding: isActing || outstanding?.decision === "scale_up" ? outstanding : null,
    knownClones: null,
  };
}

export const NOTHING_IN_A_ROW = { highTicks: 0, lowTicks: 0, side: null, row: 0 } as const;

/** The state with nothing in a row; itself when nothing was. */
export function withoutRows(state: GroupState): GroupState {
  const { highTicks, lowTicks, row } = state;
  return highTicks === 0 && lowTicks === 0 && row === 0 ? state : { ...state, ...NOTHING_IN_A_ROW };
}

/** The state without an outstanding decision; itself when there is none. */
export function withoutOutstanding(state: GroupState): GroupState {
  return state.outstanding === null ? state : { ...state, outstanding: null, action: null };
}

/** How many clones an outstanding scale-up still waits for. */
export function clonesAwaited(outstanding: Outstanding | null, clones: number): number {
  if (outstanding?.decision !== "scale_up") return 0;
  return Math.max(0, outstanding.step - (clones - outstanding.clonesThen.length));
}

/** Step 4: it ends when it has happened, is impossible, or is surely not needed. */
export function settleOutstanding(
  state: GroupState,
  cloneIds: readonly number[],
  averages: Averages,
  policy: GroupPolicy,
): GroupState {
  const { outstanding } = state;
  if (outstanding === null) return state;
  const clones = cloneIds.length;
  const isOver =
    outstanding.decision === "scale_up"
      ? clones >= policy.maxClones || clonesAwaited(outstanding, clones) === 0
      : clones <= policy.minClones || outstanding.clonesThen.some((id) => !cloneIds.includes(id));
  return isOver || !isNeeded(outstanding, clones, averages, policy) ? withoutOutstanding(state) : state;
}

function isNeeded({ reason }: Outstanding, clones: number, averages: Averages, policy: GroupPolicy): boolean {
  const { forUp, forDown } = averages;
  switch (reason) {
    case "overloaded":
      return forDown === null || forDown > policy.scaleUpThresholdPercent;
    case "underloaded":
      return forUp === null || forUp < policy.scaleDownThresholdPercent;
    case "above_max":
      return clones > policy.maxClones;
    case "below_min":
      return clones < policy.minClones;
  }
}

/** Step 4: what is outstanding counts as done. */
export function sideOf({ outstanding }: GroupState, clones: number, policy: GroupPolicy): Side | null {
  const leaving = outstanding?.decision === "scale_down" ? 1 : 0;
  if (clones - leaving > policy.maxClones) return "above";
  return clones + clonesAwaited(outstanding, clones) < policy.minClones ? "below" : null;
}

/** The state with this evaluation's side: evaluations with the same one are a row. */
export function withSide(state: GroupState, side: Side | null): GroupState {
  if (side === null) return state.side === null ? state : { ...state, side, row: 0 };
  return { ...state, side, row: state.side === side ? state.row + 1 : 1 };
}
