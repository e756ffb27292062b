import { type Family, labelPairs, type SeriesSink } from "../../exposition/family.ts";
import { Instruments } from "../../exposition/promClient.ts";
import { LABELLED, type RowHead, type TableRow, tableFamily } from "../../exposition/row.ts";
import { knownLoad, loadThresholds } from "../rules/averages.ts";
import {
  coolingUntilMs,
  type Decision,
  type Direction,
  type Evaluation,
  type Group,
  type GroupKey,
  type GroupName,
  type GroupPolicy,
  LOAD_OUTCOMES,
  type LoadOutcome,
  type Mode,
  modeOf,
  SCALE_REASONS,
} from "../rules/types.ts";
import { desiredClones, type TickFacts } from "./json.ts";

/** What is counted of a group, by the labels that follow its own. */
export interface Counted {
  readonly labels: string;
  readonly counts: Readonly<Record<string, number>>;
}

export function emitCounts({ labels, counts }: Counted, out: SeriesSink): void {
  for (const [more, count] of Object.entries(counts)) out.series(labels, count, more);
}

export function oneMore(counts: Counted["counts"], of: string): Counted["counts"] {
  return { ...counts, [of]: (counts[of] ?? 0) + 1 };
}

export function groupLabels({ host, path, group }: GroupName): string {
  return labelPairs({ host, path, group });
}

/** Before a group's first evaluation, too: what appears at 1 has not increased. */
const decisionsRow: TableRow<Counted> = {
  name: "albatross_scaler_decisions_total",
  help: "Evaluations by what was decided and why, holds included. Those that scale stand at 0 from the group's first scrape.",
  source: "the rules",
  unit: "evaluations",
  labels: [
    { name: "decision", holds: "scale_up, scale_down, hold" },
    { name: "reason", holds: "why, such as overloaded, cooldown, normal" },
    { name: "mode", holds: "dry_run: counted, not carried out, execute: carried out" },
  ],
  emit: emitCounts,
};

/** What the scaler says of each group that a policy matches. */
export const scalerGroupRows: readonly TableRow<GroupItem>[] = [
  decisionsRow,
  {
    name: "albatross_scaler_average_percent",
    help: "Average CPU usage of the members since the previous evaluation: of the measured ones (fresh), with those not measured as 0 (for_up), and with them and starved ones as 100 (for_down). With `load` what its answer is of the capacity of the measured members (fresh, for_down) and of all that are not silent (for_up). Absent while nothing is measured.",
    source: "CPU time of the members, or `load`",
    by: "measure",
    values: {
      fresh: ({ evaluation }) => evaluation.averages.fresh,
      for_up: ({ evaluation }) => evaluation.averages.forUp,
      for_down: ({ evaluation }) => evaluation.averages.forDown,
    },
  },
  {
    name: "albatross_scaler_threshold_percent",
    help: "Average above which the group is too busy (up), and below which it is too idle (down).",
    source: "`scale_up_threshold_percent`, `scale_down_threshold_percent`",
    by: "direction",
    values: {
      up: ({ policy }) => policy.scaleUpThresholdPercent,
      down: ({ policy }) => policy.scaleDownThresholdPercent,
    },
  },
  {
    name: "albatross_scaler_load",
    help: "What the query of the group's policy was answered, in its own unit. Absent while that is not known, and where the load is CPU usage.",
    source: "`load`",
    unit: "the query's",
    value: ({ evaluation }) => knownLoad(evaluation.observation),
  },
  {
    name: "albatross_scaler_load_threshold",
    help: "Load above which the group is too busy with the members that it has (up), and below which it is too idle (down), in the query's unit.",
    source: "`load`, `scale_up_threshold_percent`, `scale_down_threshold_percent`",
    unit: "the query's",
    by: "direction",
    values: {
      up: ({ evaluation, policy }) => loadThresholds(policy, evaluation.averages)?.up ?? null,
      down: ({ evaluation, policy }) => loadThresholds(policy, evaluation.averages)?.down ?? null,
    },
  },
  {
    name: "albatross_scaler_load_queries_total",
    help: "Queries of the group's load by how they ended. All but ok leave it unknown, and the group as it is.",
    source: "`load`",
    unit: "queries",
    labels: [{ name: "outcome", holds: LOAD_OUTCOMES.join(", ") }],
    emit: ({ labels, queries }, out) => emitCounts({ labels, counts: queries }, out),
  },
  {
    name: "albatross_scaler_ticks",
    help: "Evaluations in a row beyond the threshold so far.",
    source: "the rules",
    unit: "evaluations",
    by: "direction",
    values: {
      up: ({ evaluation }) => evaluation.state.highTicks,
      down: ({ evaluation }) => evaluation.state.lowTicks,
    },
  },
  {
    name: "albatross_scaler_trigger_ticks",
    help: "Evaluations in a row beyond the threshold that call for a decision.",
    source: "`scale_up_trigger_ticks`, `scale_down_trigger_ticks`",
    unit: "evaluations",
    by: "direction",
    values: {
      up: ({ policy }) => policy.scaleUpTriggerTicks,
      down: ({ policy }) => policy.scaleDownTriggerTicks,
    },
  },
  {
    name: "albatross_scaler_clones",
    help: "Clones alive at the last evaluation, as it counted them: silent ones that unikernel info lists are among them.",
    source: "the rules",
    value: ({ evaluation }) => evaluation.clones,
  },
  {
    name: "albatross_scaler_min_clones",
    help: "Clones that the group is to have at least.",
    source: "`min_clones`",
    value: ({ policy }) => policy.minClones,
  },
  {
    name: "albatross_scaler_max_clones",
    help: "Clones that the group is to have at most.",
    source: "`max_clones`",
    value: ({ policy }) => policy.maxClones,
  },
  {
    name: "albatross_scaler_desired_clones",
    help: "Clones that an outstanding decision leads to, else those alive. Absent while no statistics arrive from the host.",
    source: "the rules",
    value: ({ evaluation }) => (evaluation.observation.hostLive ? desiredClones(evaluation) : null),
  },
  {
    name: "albatross_scaler_outstanding_info",
    help: "Always 1: a scale decision that has been taken and neither carried out nor overtaken by events. Absent while there is none.",
    source: "the rules",
    labels: [
      { name: "decision", holds: "scale_up, scale_down" },
      { name: "reason", holds: "overloaded, below_min, underloaded, above_max" },
      {
        name: "clone",
        holds: "the clone to create, the first of them where there are several, or to remove",
      },
      { name: "step", holds: "how many clones; those to create have the ids that follow" },
      { name: "mode", holds: "dry_run: for somebody to carry out, execute: the scaler does" },
    ],
    emit: ({ labels, evaluation }, out) => {
      if (evaluation.state.outstanding === null) return;
      const { decision, reason, clone, step } = evaluation.state.outstanding;
      out.series(labels, 1, `,${labelPairs({ decision, reason, clone, step, mode: modeOf(evaluation) })}`);
    },
  },
  {
    name: "albatross_scaler_group_state",
    help: "Always 1; the label tells why the last evaluation decided as it did.",
    source: "the rules",
    unit: "1",
    labels: [{ name: "reason", holds: "of the last evaluation, and only that one" }],
    emit: ({ labels, evaluation }, out) => out.series(labels, 1, `,reason="${evaluation.decision.reason}"`),
  },
  {
    name: "albatross_scaler_cooldown_until_timestamp_seconds",
    help: "Wall time until which the last scale decision keeps the group from growing (up) and from shrinking (down). Absent while there has been none.",
    source: "the rules, `scale_up_cooldown_period`, `scale_down_cooldown_period`, `flap_damping_max`",
    by: "direction",
    values: {
      up: ({ coolingUntilSeconds }) => coolingUntilSeconds.up,
      down: ({ coolingUntilSeconds }) => coolingUntilSeconds.down,
    },
  },
  {
    name: "albatross_scaler_last_decision_timestamp_seconds",
    help: "Wall time of the last evaluation that decided so; a hold's since the program started. Absent before.",
    source: "the rules",
    by: "decision",
    values: {
      scale_up: ({ lastSeconds }) => lastSeconds.scale_up,
      scale_down: ({ lastSeconds }) => lastSeconds.scale_down,
      hold: ({ lastSeconds }) => lastSeconds.hold,
    },
  },
  {
    name: "albatross_scaler_paused",
    help: "1 while the group's policy is paused: evaluated and shown, nothing decided.",
    source: "`paused`",
    unit: "0 or 1",
    value: ({ policy }) => (policy.paused ? 1 : 0),
  },
];

/** A group as the rows see it. Immutable: it may still be written at the next tick. */
export interface GroupItem extends Counted {
  readonly evaluation: Evaluation;
  readonly policy: GroupPolicy;
  /** by outcome; none for a group without `load` */
  readonly queries: Counted["counts"];
  /** wall times, in seconds; null while there has been no scale decision */
  readonly coolingUntilSeconds: Readonly<Record<Direction, number | null>>;
  readonly lastSeconds: Readonly<Record<Decision["decision"], number | null>>;
}

/** A published time does not jitter with the wall clock. */
const SAME_TIME_SECONDS = 1;

function decisionLabels(decision: string, reason: string, mode: Mode): string {
  return `,decision="${decision}",reason="${reason}",mode="${mode}"`;
}

function noScales(mode: Mode): Counted["counts"] {
  const scales = Object.entries(SCALE_REASONS).flatMap(([decision, reasons]) =>
    reasons.map((reason) => decisionLabels(decision, reason, mode)),
  );
  return Object.fromEntries(scales.map((labels) => [labels, 0]));
}

/** Made once: the first tick has it for each group. */
const NO_SCALES: Readonly<Record<Mode, Counted["counts"]>> = {
  dry_run: noScales("dry_run"),
  execute: noScales("execute"),
};

/** What the metrics say of each group that a policy matches. */
export class GroupItems {
  #items: ReadonlyMap<GroupKey, GroupItem> = new Map();

  get items(): readonly GroupItem[] {
    return [...this.#items.values()];
  }

  /** Of the groups, and of those that have not been evaluated yet. */
  families(newcomers: readonly Group[]): Family[] {
    const { items } = this;
    const uncounted = newcomers
      .filter(({ key }) => !this.#items.has(key))
      .map((group) => countedAnew(group, modeOf(group)));
    const decisions = tableFamily(decisionsRow, [...items, ...uncounted], LABELLED);
    return scalerGroupRows.map(
      (row): Family => (row === decisionsRow ? decisions : tableFamily(row, items, LABELLED)),
    );
  }

  /** Takes in one tick. Groups that are not among these go. */
  update(evaluations: readonly Evaluation[], facts: TickFacts): void {
    const items = new Map<GroupKey, GroupItem>();
    for (const evaluation of evaluations) {
      if (evaluation.policy === null) continue;
      const { key } = evaluation.observation;
      items.set(key, itemAfter(this.#items.get(key), evaluation, evaluation.policy, facts));
    }
    this.#items = items;
  }

  keepOnly(groups: ReadonlyMap<GroupKey, unknown>): void {
    this.#items = new Map([...this.#items].filter(([key]) => groups.has(key)));
  }
}

const NO_QUERIES: Counted["counts"] = Object.fromEntries(
  LOAD_OUTCOMES.map((outcome) => [outcomeLabel(outcome), 0]),
);

function outcomeLabel(outcome: LoadOutcome): string {
  return `,outcome="${outcome}"`;
}

function queriesAfter({ observation: { load } }: Evaluation, before: Counted["counts"]) {
  return load === null ? before : oneMore({ ...NO_QUERIES, ...before }, outcomeLabel(load.outcome));
}

function countedAnew(group: GroupName, mode: Mode): Counted {
  return { labels: groupLabels(group), counts: NO_SCALES[mode] };
}

function itemAfter(
  before: GroupItem | undefined,
  evaluation: Evaluation,
  policy: GroupPolicy,
  facts: TickFacts,
): GroupItem {
  const { observation, decision, state } = evaluation;
  const mode = modeOf(evaluation);
  const { labels, counts } = before ?? countedAnew(observation, mode);
  const isAnew = before !== undefined && modeOf(before.evaluation) !== mode;
  const begun = isAnew ? { ...NO_SCALES[mode], ...counts } : counts;
  const last = before?.lastSeconds;
  const hold = decision.decision === "hold" ? facts.wallMs / 1000 : (last?.hold ?? null);
  return {
    labels,
    evaluation,
    policy,
    queries: policy.load === null ? {} : queriesAfter(evaluation, before?.queries ?? {}),
    counts: oneMore(begun, decisionLabels(decision.decision, decision.reason, mode)),
    coolingUntilSeconds: {
      up: wallSeconds(coolingUntilMs(evaluation, "up"), facts, before?.coolingUntilSeconds.up),
      down: wallSeconds(coolingUntilMs(evaluation, "down"), facts, before?.coolingUntilSeconds.down),
    },
    lastSeconds: {
      scale_up: wallSeconds(state.lastScaleUpMs, facts, last?.scale_up),
      scale_down: wallSeconds(state.lastScaleDownMs, facts, last?.scale_down),
      hold,
    },
  };
}

/** A time as wall time: as it was published before, unless it is another one. */
function wallSeconds(
  atMs: number | null,
  { nowMs, wallMs }: TickFacts,
  before: number | null = null,
): number | null {
  if (atMs === null) return null;
  const seconds = (wallMs + atMs - nowMs) / 1000;
  return before !== null && Math.abs(before - seconds) < SAME_TIME_SECONDS ? before : seconds;
}

/** What the scaler says about itself as a whole; prom-client holds the figures. */
export const instrumentRows = {
  tickSeconds: {
    name: "albatross_scaler_tick_duration_seconds",
    type: "histogram",
    help: "Time that an evaluation of all groups took.",
    source: "the ticker",
  },
  tickLag: {
    name: "albatross_scaler_tick_lag_seconds",
    help: "How long after its time the last evaluation of all groups began.",
    source: "the ticker",
  },
  lastTick: {
    name: "albatross_scaler_last_tick_timestamp_seconds",
    help: "Wall time of the last evaluation of all groups; 0 before the first.",
    source: "the ticker",
  },
  pollInterval: {
    name: "albatross_scaler_poll_interval_seconds",
    help: "How often all groups are evaluated.",
    source: "`poll_interval`",
  },
  stateOk: {
    name: "albatross_scaler_state_ok",
    help: "1 when the state file could be read at the start, or there was none; 0 while it cannot be: nothing is evaluated.",
    source: "the state file",
    unit: "0 or 1",
  },
  written: {
    name: "albatross_scaler_state_writes_total",
    help: "State files written.",
    source: "the state file",
    unit: "files",
  },
  failed: {
    name: "albatross_scaler_state_write_failures_total",
    help: "State files that could not be written. After a restart the last one that could counts.",
    source: "the state file",
    unit: "files",
  },
  damaged: {
    name: "albatross_scaler_state_damaged_total",
    help: "State files found damaged at the start and set aside; the scaler then started afresh.",
    source: "the state file",
    unit: "files",
  },
  decisionLogFailures: {
    name: "albatross_scaler_decision_log_write_failures_total",
    help: "Appends to the decision log and rotations of it that failed. Lines that could not be appended are lost.",
    source: "the decision log",
    unit: "1",
  },
} satisfies Record<string, RowHead>;

/** Up to a machine that is short of everything. */
const TICK_SECONDS_BUCKETS = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

/** The scaler's instruments without group labels. */
export class ScalerInstruments extends Instruments {
  readonly tickSeconds = this.histogram(instrumentRows.tickSeconds, TICK_SECONDS_BUCKETS);
  readonly tickLag = this.gauge(instrumentRows.tickLag);
  readonly lastTick = this.gauge(instrumentRows.lastTick);
  readonly pollInterval = this.gauge(instrumentRows.pollInterval);
  readonly stateOk = this.gauge(instrumentRows.stateOk);
  readonly decisionLogFailures = this.counter(instrumentRows.decisionLogFailures);
  readonly stateFiles = {
    written: this.counter(instrumentRows.written),
    failed: this.counter(instrumentRows.failed),
    damaged: this.counter(instrumentRows.damaged),
  };
}
