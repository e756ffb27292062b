/** What the metrics say of actions. */
import { type Family, labelPairs } from "../../exposition/family.ts";
import { Instruments } from "../../exposition/promClient.ts";
import { type InstrumentRow, LABELLED, type TableRow, tableFamily } from "../../exposition/row.ts";
import { HOOK_EVENTS, type HookEvent } from "../actions/hooks.ts";
import { type ActionRecord, OUTCOME_REASONS } from "../actions/record.ts";
import { type Group, type GroupKey, type GroupName, groupKey, modeOf, OPEN_PHASES } from "../rules/types.ts";
import { type Counted, emitCounts, type GroupItem, groupLabels, oneMore } from "./metrics.ts";

type LabelledAction = Pick<ActionRecord, "operation" | "phase"> & { readonly labels: string };

const OPERATIONS = ["create", "destroy"];

const totalRow: TableRow<Counted> = {
  name: "albatross_scaler_actions_total",
  help: "Actions that ended, by what they were to do and what came of it. In groups that act those that can fail stand at 0 from the first scrape. A clone that does not outlive its warm-up is counted again, as failed.",
  source: "the actions",
  unit: "actions",
  labels: [
    { name: "operation", holds: "create, destroy" },
    { name: "outcome", holds: Object.keys(OUTCOME_REASONS).join(", ") },
    { name: "reason", holds: "why, such as done, quota, unreachable" },
  ],
  emit: emitCounts,
};

const inProgressRow: TableRow<LabelledAction> = {
  name: "albatross_scaler_action_in_progress",
  help: "Always 1: an action that is under way. Absent while there is none.",
  source: "the actions",
  unit: "1",
  labels: [
    { name: "operation", holds: "create, destroy" },
    { name: "phase", holds: OPEN_PHASES.join(", ") },
  ],
  emit: ({ labels, operation, phase }, out) => out.series(labels, 1, `,${labelPairs({ operation, phase })}`),
};

export const actionRows = [totalRow, inProgressRow] as const;

export const actionInstrumentRows = {
  seconds: {
    name: "albatross_scaler_action_duration_seconds",
    type: "histogram",
    help: "Time from the decision to the end of an action.",
    source: "the actions",
    labels: [{ name: "operation", holds: "create, destroy" }],
  },
  hookFailures: {
    name: "albatross_scaler_hook_failures_total",
    help: "Hooks that did not say yes, all their tries together.",
    source: "`clone.after_create`, `clone.before_destroy`",
    unit: "1",
    labels: [{ name: "event", holds: HOOK_EVENTS.join(", ") }],
  },
} satisfies Record<string, InstrumentRow>;

const SECONDS_BUCKETS = [0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600];

/** What a group that acts begins with: all that an alert may be about. */
const NO_ACTIONS: Counted["counts"] = Object.fromEntries(
  OPERATIONS.flatMap((operation) =>
    Object.entries(OUTCOME_REASONS)
      .filter(([outcome]) => outcome !== "abandoned")
      .flatMap(([outcome, reasons]) => reasons.map((reason) => [suffixOf(operation, outcome, reason), 0])),
  ),
);

function suffixOf(operation: string, outcome: string, reason: string): string {
  return `,${labelPairs({ operation, outcome, reason })}`;
}

export class ActionMetrics {
  readonly #instruments = new Instruments();
  readonly #seconds = this.#instruments.histogram(actionInstrumentRows.seconds, SECONDS_BUCKETS);
  readonly #hookFailures = this.#instruments.counter(actionInstrumentRows.hookFailures);
  #counts = new Map<GroupKey, Counted>();

  constructor() {
    for (const operation of OPERATIONS) this.#seconds.zero({ operation });
    for (const event of HOOK_EVENTS) this.#hookFailures.inc({ event }, 0);
  }

  ended(action: ActionRecord): void {
    const { operation, phase, reason, endedMs, decision } = action;
    const key = groupKey(action);
    const { labels, counts } = this.#counts.get(key) ?? countedAnew(action);
    this.#counts.set(key, { labels, counts: oneMore(counts, suffixOf(operation, phase, reason ?? "")) });
    const ms = (endedMs ?? decision.sinceMs) - decision.sinceMs;
    this.#seconds.observe({ operation }, Math.max(0, ms) / 1000);
  }

  hookFailed(event: HookEvent): void {
    this.#hookFailures.inc({ event });
  }

  keepOnly(groups: ReadonlyMap<GroupKey, unknown>): void {
    this.#counts = new Map([...this.#counts].filter(([key]) => groups.has(key)));
  }

  /** As of now; of the groups that have been evaluated and those that have not yet. */
  async families(
    open: readonly ActionRecord[],
    items: readonly GroupItem[],
    newcomers: readonly Group[],
  ): Promise<Family[]> {
    const known = items.map(({ evaluation }) => ({ ...evaluation.observation, policy: evaluation.policy }));
    // while the fleet has changed since the tick, all its groups are newcomers
    const groups = new Map([...newcomers, ...known].map((group) => [group.key, group]));
    const counted = [...groups.values()].flatMap((group) => {
      const counts = this.#counts.get(group.key);
      if (counts !== undefined) return counts;
      return modeOf(group) === "execute" ? countedAnew(group) : [];
    });
    return [
      tableFamily(totalRow, counted, LABELLED),
      tableFamily(
        inProgressRow,
        open.map((action) => ({ ...action, labels: groupLabels(action) })),
        LABELLED,
      ),
      ...(await this.#instruments.families()),
    ];
  }
}

function countedAnew(group: GroupName): Counted {
  return { labels: groupLabels(group), counts: NO_ACTIONS };
}
