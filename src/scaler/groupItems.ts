/** What the metrics say of each group, made anew at every tick from what they said before and its evaluations. */
import { InOrder } from "./inOrder.ts";
import { groupKey } from "./names.ts";
import type { Decision, Evaluation, GroupPolicy, HoldReason, ScaleReason } from "./types.ts";

/** A kind of decision, and the labels that a series of it carries behind its group's. */
interface DecisionKind {
  /** `,decision="hold",reason="normal",mode="dry_run"` */
  readonly labels: string;
}

/** No reason is one of two decisions, so that it tells the kind. */
type KindOf = (decision: Decision["decision"], reason: ScaleReason | HoldReason) => DecisionKind;

/** A group as the metric rows see it. Immutable: a scrape that is being written is not touched by the next tick. */
export interface GroupItem {
  readonly labels: string;
  readonly evaluation: Evaluation;
  readonly policy: GroupPolicy;
  /** what has been decided, the scale decisions first; `counts` says how often at the same index */
  readonly kinds: readonly DecisionKind[];
  readonly counts: readonly number[];
  /** wall time, in seconds; null while there has been no scale decision */
  readonly cooldownUntilSeconds: number | null;
  /** wall times of the last decisions, in seconds; null for none in this run of the program */
  readonly lastUpSeconds: number | null;
  readonly lastDownSeconds: number | null;
  readonly lastHoldSeconds: number | null;
}

/** Wall clocks are corrected by less than this without anybody noticing; an end of a cooldown that is told stays told. */
const SAME_TIME_SECONDS = 1;

const SCALE_PAIRS: readonly [Decision["decision"], ScaleReason][] = [
  ["scale_up", "overloaded"],
  ["scale_up", "below_min"],
  ["scale_down", "underloaded"],
  ["scale_down", "above_max"],
];

/** The items of all groups that a policy matches, as of the last tick. */
export class GroupItems {
  readonly #kindsByMode = new Map<string, KindOf>();
  #items: readonly GroupItem[] = [];

  /** As of the last tick; replaced by the next, never changed. */
  get items(): readonly GroupItem[] {
    return this.#items;
  }

  /** Takes in the evaluations of one tick, at `nowMs` on the clock of their times. Groups that are not among them go. */
  update(evaluations: readonly Evaluation[], at: { nowMs: number; wallMs: number; mode: string }): void {
    const before = new InOrder(
      this.#items.map(({ labels }) => labels),
      this.#items,
    );
    const kindOf = this.#kindsOf(at.mode);
    const items: GroupItem[] = [];
    for (const evaluation of evaluations) {
      const { policy, observation } = evaluation;
      if (policy === null) continue;
      const key = groupKey(observation);
      // a group's key is its labels
      items.push(itemAfter(before.get(key), key, evaluation, policy, kindOf, at));
    }
    this.#items = items;
  }

  #kindsOf(mode: string): KindOf {
    const known = this.#kindsByMode.get(mode);
    if (known !== undefined) return known;
    const kinds = new Map<string, DecisionKind>();
    const kindOf: KindOf = (decision, reason) => {
      const made = kinds.get(reason);
      if (made !== undefined) return made;
      const kind = { labels: `,decision="${decision}",reason="${reason}",mode="${mode}"` };
      kinds.set(reason, kind);
      return kind;
    };
    this.#kindsByMode.set(mode, kindOf);
    return kindOf;
  }
}

function itemAfter(
  before: GroupItem | undefined,
  labels: string,
  evaluation: Evaluation,
  policy: GroupPolicy,
  kindOf: KindOf,
  { nowMs, wallMs }: { readonly nowMs: number; readonly wallMs: number },
): GroupItem {
  const { decision, reason } = evaluation.decision;
  const kind = kindOf(decision, reason);
  let kinds = before?.kinds ?? SCALE_PAIRS.map((pair) => kindOf(...pair));
  const counts = before?.counts.slice() ?? kinds.map(() => 0);
  let index = kinds.indexOf(kind);
  if (index < 0) {
    index = kinds.length;
    kinds = [...kinds, kind];
  }
  counts[index] = (counts[index] ?? 0) + 1;
  const untilMs = evaluation.cooldownUntilMs;
  const wall = wallMs / 1000;
  return {
    labels,
    evaluation,
    policy,
    kinds,
    counts,
    cooldownUntilSeconds:
      untilMs === null
        ? null
        : steady(before?.cooldownUntilSeconds ?? null, (wallMs + untilMs - nowMs) / 1000),
    lastUpSeconds: decision === "scale_up" ? wall : (before?.lastUpSeconds ?? null),
    lastDownSeconds: decision === "scale_down" ? wall : (before?.lastDownSeconds ?? null),
    lastHoldSeconds: decision === "hold" ? wall : (before?.lastHoldSeconds ?? null),
  };
}

/** The time as it was told before, unless it is another one. */
function steady(before: number | null, now: number): number {
  return before !== null && Math.abs(before - now) < SAME_TIME_SECONDS ? before : now;
}
