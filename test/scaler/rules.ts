/** What the tests of the scaler's rules are written in: policies, states and observations by what differs. */
import { expect, test } from "vitest";
import { evaluate } from "../../src/scaler/rules/evaluate.ts";
import {
  type Decision,
  type Evaluation,
  FRESH_STATE,
  type GroupPolicy,
  type GroupState,
  groupKey,
  type MemberObservation,
  type Observation,
  type Outstanding,
} from "../../src/scaler/rules/types.ts";
import { policy } from "../support/scalerConfig.ts";

export { policy };

export const MINUTE = 60_000;

/** A member's CPU usage in percent, or why it has none. */
export type Seen = number | "warming" | "missing" | "silent";
/** Members by clone id, 0 being the primary: `{ 0: 95, 2: "missing" }`. */
export type Members = Readonly<Record<number, Seen>>;

/** A group on host `h`, path `user`. */
export function observation(members: Members, facts: Partial<Observation> = {}): Observation {
  const { host = "h", path = "user", group = "web" } = facts;
  return {
    key: groupKey({ host, path, group }),
    host,
    path,
    group,
    hostLive: true,
    highestListedId: 0,
    primary: null,
    leastUsedCpu: null,
    load: null,
    members: Object.entries(members).map(([id, seen]) => member(group, Number(id), seen)),
    ...facts,
  };
}

function member(group: string, cloneId: number, seen: Seen): MemberObservation {
  const vm = cloneId === 0 ? group : `${group}-clone-${cloneId}`;
  return typeof seen === "number"
    ? { vm, cloneId, state: "fresh", usagePercent: seen, starved: false }
    : { vm, cloneId, state: seen, usagePercent: null, starved: false };
}

/** A scale decision of `web` that has been taken and not been carried out: `outstanding("scale_up overloaded", 1)`. */
export function outstanding(
  text: string,
  cloneId: number,
  {
    step = 1,
    sinceMs = 0,
    clonesThen,
  }: { step?: number; sinceMs?: number; clonesThen?: readonly number[] } = {},
): Outstanding {
  const clone = `web-clone-${cloneId}`;
  const below = Array.from({ length: Math.min(cloneId - 1, 9) }, (_, i) => i + 1);
  const facts = { clone, cloneId, step, sinceMs };
  const up = { ...facts, clonesThen: clonesThen ?? below };
  const down = { ...facts, clonesThen: clonesThen ?? [...below, cloneId] };
  switch (text) {
    case "scale_up overloaded":
      return { decision: "scale_up", reason: "overloaded", ...up };
    case "scale_up below_min":
      return { decision: "scale_up", reason: "below_min", ...up };
    case "scale_down underloaded":
      return { decision: "scale_down", reason: "underloaded", ...down };
    case "scale_down above_max":
      return { decision: "scale_down", reason: "above_max", ...down };
    default:
      throw new Error(`no scale decision: ${text}`);
  }
}

/** Clones that came as the scaler had asked, alive. */
export function ours(...ids: readonly number[]): GroupState["ours"] {
  return ids.map((cloneId) => ({ cloneId, goneMs: null }));
}

/** One evaluation by what differs from the defaults: a group that the last evaluation saw with the same clones. */
export interface Case {
  readonly members: Members;
  /** null: none matches */
  readonly policy?: Partial<GroupPolicy> | null;
  readonly state?: Partial<GroupState>;
  readonly facts?: Partial<Observation>;
  readonly nowMs?: number;
  readonly clonesLeft?: number;
}

/** Evaluates the case. Its time is an hour after the clock's start unless it says otherwise. */
export function run(given: Case): { state: GroupState; evaluation: Evaluation } {
  const { members, facts, nowMs = 60 * MINUTE, clonesLeft = 10 } = given;
  const knownClones = Object.keys(members)
    .map(Number)
    .filter((id) => id > 0);
  const evaluation = evaluate({
    policy: given.policy === null ? null : policy(given.policy),
    observation: observation(members, facts),
    state: { ...FRESH_STATE, knownClones, ...given.state },
    nowMs,
    clonesLeft,
  });
  return { state: evaluation.state, evaluation };
}

/** A decision in words: `hold normal`, `scale_up overloaded web-clone-1`, `paused (scale_up overloaded web-clone-1)`. */
export function words(decision: Decision): string {
  if (decision.decision !== "hold")
    return `${decision.decision} ${decision.reason} ${decision.clone}${decision.step > 1 ? ` x${decision.step}` : ""}`;
  if (decision.reason !== "paused") return `hold ${decision.reason}`;
  return `paused (${words(decision.would)})`;
}

/**
 * One test for each line of a table: a sentence, the members by clone id, what is decided, the counters of high and low
 * evaluations after it, and by what else the case differs from the defaults, if by anything.
 *
 *     at max_clones | 0:95 1:95 | hold at_max | 3 0 | ${{ policy: { maxClones: 1 }, state: { highTicks: 2 } }}
 */
export function holdsFor(
  { raw }: TemplateStringsArray,
  ...values: readonly (string | Omit<Case, "members">)[]
): void {
  const given = (cell: string) => (cell === "" ? {} : values[Number(cell)]);
  const lines = raw.reduce((text, piece, i) => {
    const value = values[i - 1];
    return `${text}${typeof value === "string" ? value : i - 1}${piece}`;
  });
  const rows = lines.trim().split("\n");
  test.each(rows.map((row) => row.split("|").map((cell) => cell.trim())))(
    "%s",
    (_, members = "", decides = "", ticks = "", difference = "") => {
      const { state, evaluation } = run({ members: membersOf(members), ...(given(difference) as object) });
      expect(words(evaluation.decision)).toBe(decides);
      expect(`${state.highTicks} ${state.lowTicks}`).toBe(ticks);
    },
  );
}

/** `0:95 2:missing` as members. */
function membersOf(text: string): Members {
  const members = text.split(" ").map((member): [number, Seen] => {
    const [id = "", seen = ""] = member.split(":");
    if (seen === "warming" || seen === "missing" || seen === "silent") return [Number(id), seen];
    return [Number(id), Number(seen)];
  });
  return Object.fromEntries(members);
}
