import type { TableRow } from "../exposition/row.ts";
import { desiredClones } from "./explanation.ts";
import type { GroupItem } from "./groupItems.ts";

/** What the scaler says of each group that a policy matches: one table, as of the last tick. */
export const scalerGroupRows: readonly TableRow<GroupItem>[] = [
  {
    name: "albatross_scaler_decisions_total",
    type: "counter",
    help: "Evaluations by what was decided and why, holds included. Those that scale start at 0.",
    source: "the rules",
    unit: "evaluations",
    labels: [
      { name: "decision", holds: "scale_up, scale_down, hold" },
      { name: "reason", holds: "why, such as overloaded, cooldown, normal" },
      { name: "mode", holds: "dry_run: counted, not carried out" },
    ],
    emit: ({ labels, kinds, counts }, out) => {
      kinds.forEach((kind, index) => {
        out.series(labels, counts[index] ?? 0, kind.labels);
      });
    },
  },
  {
    name: "albatross_scaler_average_percent",
    type: "gauge",
    help: "Average CPU usage of the members since the previous evaluation: of the measured ones (fresh), with those not measured as 0 (for_up) and as 100 (for_down). The first is absent while nothing is measured.",
    source: "CPU time of the members",
    unit: "percent",
    by: "measure",
    values: {
      fresh: ({ evaluation }) => evaluation.averages.fresh,
      for_up: ({ evaluation }) => evaluation.averages.forUp,
      for_down: ({ evaluation }) => evaluation.averages.forDown,
    },
  },
  {
    name: "albatross_scaler_threshold_percent",
    type: "gauge",
    help: "Average above which the group is too busy (up), and below which it is too idle (down).",
    source: "`scale_up_threshold_percent`, `scale_down_threshold_percent`",
    unit: "percent",
    by: "direction",
    values: {
      up: ({ policy }) => policy.scaleUpThresholdPercent,
      down: ({ policy }) => policy.scaleDownThresholdPercent,
    },
  },
  {
    name: "albatross_scaler_ticks",
    type: "gauge",
    help: "Evaluations in a row beyond the threshold so far.",
    source: "the rules",
    unit: "evaluations",
    by: "direction",
    values: {
      up: ({ evaluation }) => evaluation.highTicks,
      down: ({ evaluation }) => evaluation.lowTicks,
    },
  },
  {
    name: "albatross_scaler_trigger_ticks",
    type: "gauge",
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
    name: "albatross_scaler_min_clones",
    type: "gauge",
    help: "Clones that the group is to have at least.",
    source: "`min_clones`",
    unit: "clones",
    value: ({ policy }) => policy.minClones,
  },
  {
    name: "albatross_scaler_max_clones",
    type: "gauge",
    help: "Clones that the group is to have at most.",
    source: "`max_clones`",
    unit: "clones",
    value: ({ policy }) => policy.maxClones,
  },
  {
    name: "albatross_scaler_desired_clones",
    type: "gauge",
    help: "Clones alive, and one more or less while a decision waits to be carried out.",
    source: "the rules",
    unit: "clones",
    value: ({ evaluation }) => desiredClones(evaluation),
  },
  {
    name: "albatross_scaler_group_state",
    type: "gauge",
    help: "Always 1; the label tells why the last evaluation decided as it did.",
    source: "the rules",
    unit: "1",
    labels: [{ name: "reason", holds: "of the last evaluation, and only that one" }],
    emit: ({ labels, evaluation }, out) => out.series(labels, 1, `,reason="${evaluation.decision.reason}"`),
  },
  {
    name: "albatross_scaler_cooldown_until_timestamp_seconds",
    type: "gauge",
    help: "Wall time until which the last scale decision keeps the group from another. Absent while there has been none.",
    source: "the rules, `cooldown_period`",
    unit: "seconds",
    value: ({ cooldownUntilSeconds }) => cooldownUntilSeconds,
  },
  {
    name: "albatross_scaler_last_decision_timestamp_seconds",
    type: "gauge",
    help: "Wall time of the last evaluation that decided so, since the program started. Absent before.",
    source: "the rules",
    unit: "seconds",
    by: "decision",
    values: {
      scale_up: ({ lastUpSeconds }) => lastUpSeconds,
      scale_down: ({ lastDownSeconds }) => lastDownSeconds,
      hold: ({ lastHoldSeconds }) => lastHoldSeconds,
    },
  },
  {
    name: "albatross_scaler_paused",
    type: "gauge",
    help: "1 while the group's policy is paused: evaluated and shown, nothing decided.",
    source: "`paused`",
    unit: "0 or 1",
    value: ({ policy }) => (policy.paused ? 1 : 0),
  },
];
