/** What the metrics say of each group, made anew at every tick from what they said before and its evaluations. */
import { groupKey } from "./tick.ts";
import type { Decision, Evaluation, GroupPolicy, HoldReason, ScaleReason } from "./types.ts";

/** A kind of decision, and the labels that a series of it carries behind its group's. */
interface DecisionKind {
  /** `,decision="hold",reason="normal",mode="dry_run"` */
  readonly labels: string;
}

/** No reason is one of two decisions, so that it tells the kind. */
type KindOf = (decision: Decision["decision"], reason: ScaleReason | HoldReason) => DecisionKind;

/** How often a group got a kind of decision. */
export interface DecisionCount {
  readonly kind: DecisionKind;
  readonly count: number;
}

/** A group as the metric rows see it. Immutable: a scrape that is being written is not touched by the next tick. */
export interface GroupItem {
  readonly labels: string;
  readonly evaluation: Evaluation;
  readonly policy: GroupPolicy;
  /** the scale decisions first */
  readonly counts: readonly DecisionCount[];
  /** wall time, in seconds; null while there has been no scale decision */
  readonly cooldownUntilSeconds: number | null;
  /** wall times of the last decision of each kind, in seconds; null for none in this run of the program */
  readonly lastSeconds: Readonly<Record<Decision["decision"], number | null>>;
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
  #byKey = new Map<string, GroupItem>();

  /** As of the last tick; replaced by the next, never changed. */
  get items(): readonly GroupItem[] {
    return this.#items;
  }

  /** Takes in the evaluations of one tick, at `nowMs` on the clock of their times. Groups that are not among them go. */
  update(evaluations: readonly Evaluation[], at: { nowMs: number; wallMs: number; mode: string }): void {
    const before = this.#byKey;
    const kindOf = this.#kindsOf(at.mode);
    const items: GroupItem[] = [];
    const byKey = new Map<string, GroupItem>();
    for (const evaluation of evaluations) {
      const { policy, observation } = evaluation;
      if (policy === null) continue;
      const key = groupKey(observation);
      const item = itemAfter(before.get(key), { key, evaluation, policy, kindOf }, at);
      items.push(item);
      byKey.set(key, item);
    }
    this.#items = items;
    this.#byKey = byKey;
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
  {
    key,
    evaluation,
    policy,
    kindOf,
  }: { key: string; evaluation: Evaluation; policy: GroupPolicy; kindOf: KindOf },
  { nowMs, wallMs }: { nowMs: number; wallMs: number },
): GroupItem {
  const { decision, reason } = evaluation.decision;
  const counts = before?.counts ?? SCALE_PAIRS.map((pair) => ({ kind: kindOf(...pair), count: 0 }));
  const wall = wallMs / 1000;
  const untilMs = evaluation.cooldownUntilMs;
  return {
    // a group's key is its labels
    labels: key,
    evaluation,
    policy,
    counts: counted(counts, kindOf(decision, reason)),
    cooldownUntilSeconds:
      untilMs === null
        ? null
        : steady(before?.cooldownUntilSeconds ?? null, (wallMs + untilMs - nowMs) / 1000),
    lastSeconds: {
      scale_up: decision === "scale_up" ? wall : (before?.lastSeconds.scale_up ?? null),
      scale_down: decision === "scale_down" ? wall : (before?.lastSeconds.scale_down ?? null),
      hold: decision === "hold" ? wall : (before?.lastSeconds.hold ?? null),
    },
  };
}

function counted(counts: readonly DecisionCount[], kind: DecisionKind): readonly DecisionCount[] {
  const index = counts.findIndex((one) => one.kind === kind);
  if (index < 0) return [...counts, { kind, count: 1 }];
  return counts.with(index, { kind, count: (counts[index]?.count ?? 0) + 1 });
}

/** The time as it was told before, unless it is another one. */
function steady(before: number | null, now: number): number {
  return before !== null && Math.abs(before - now) < SAME_TIME_SECONDS ? before : now;
}
