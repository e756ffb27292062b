/** What was decided, how often and why. */
import { eventBars, graph, ranking } from "../shared/panels.ts";
import { BY_EXPORTER, BY_GROUP, EXPORTERS, GROUP_LEGEND, GROUPS, ofExporter } from "../shared/selectors.ts";
import { SCALED } from "../shared/states.ts";
import { type Column, placed, table } from "../shared/tables.ts";
import { each, KEYS } from "./groups.ts";

export const decisionsByReason = ranking({
  title: "Decisions by reason",
  means: "Evaluations within the time shown by what was decided and why, holds included.",
  todo: "Which hold comes most often says what keeps the groups as they are.",
  unit: "none",
  decimals: 0,
  colours: ["blue"],
  queries: [
    [
      `sort_desc(sum by (decision, reason) (increase(albatross_scaler_decisions_total{${GROUPS}}[$__range])) > 0)`,
      "{{decision}}: {{reason}}",
    ],
  ],
});

export const decisionsOverTime = graph(
  {
    title: "Evaluations per minute by reason",
    means: "How many evaluations a minute ended with each decision and reason, over all chosen groups.",
    todo: "The sum is the number of groups at a poll_interval of a minute; less means the scaler skips evaluations, see the Exporter dashboard.",
    unit: "cpm",
    decimals: 1,
    colours: ["green"],
    queries: [
      [
        `60 * sum by (decision, reason) (rate(albatross_scaler_decisions_total{${GROUPS}}[$__rate_interval]))`,
        "{{decision}}: {{reason}}",
      ],
    ],
  },
  { stacked: true, min: 0, interval: "1m" },
);

export const scaleDecisions = eventBars({
  title: "Scale decisions",
  means:
    "Decisions to create or remove a clone around each moment, by group; they are also marked in the graphs above.",
  todo: "Up and down by turns within an hour: thresholds are too close to each other, or the cooldown is too short.",
  colours: ["green"],
  counter: `albatross_scaler_decisions_total{${GROUPS},${SCALED}}`,
  by: `${BY_GROUP}, decision, reason`,
  legend: `${GROUP_LEGEND} {{decision}}: {{reason}}`,
  noValue: "no scale decisions",
});

export const actions = eventBars({
  title: "Actions",
  means:
    "Clones created and destroyed by the scaler around each moment, by what came of it: verified, or refused, failed, lost or abandoned, and why. Only groups whose policy says execute have any.",
  todo: "Anything but verified: `/api/v1/actions` of the exporter has each action step by step. Quota or name in use: the host refused it.",
  colours: ["green"],
  counter: `albatross_scaler_actions_total{${GROUPS}}`,
  by: `${BY_GROUP}, operation, outcome, reason`,
  legend: `${GROUP_LEGEND} {{operation}} {{outcome}}: {{reason}}`,
  noValue: "no actions",
});

export const actionDuration = graph(
  {
    title: "Duration of actions",
    means: "Time from a decision to the end of its action, by the slowest tenth.",
    todo: "Longer than a poll_interval: fetching the primary's image takes long, or albatrossd is slow to answer.",
    unit: "s",
    decimals: 1,
    colours: ["green"],
    queries: [
      [
        `histogram_quantile(0.9, sum by (${BY_EXPORTER}, operation, le) (rate(albatross_scaler_action_duration_seconds_bucket{${EXPORTERS}}[$__rate_interval])))`,
        "{{instance}} {{operation}} p90",
      ],
    ],
    noValue: "no actions",
  },
  { min: 0 },
);

export const cloneHours = ranking({
  title: "Clone-hours",
  means: "What the clones of each group cost within the time shown: a clone for an hour is 1.",
  todo: "Compare with other thresholds by `backtest --what-if` on a recording of the same time.",
  unit: "none",
  decimals: 1,
  colours: ["blue"],
  queries: [
    [
      `sort_desc(sum by (${BY_GROUP}) (sum_over_time(albatross_group_clones{${GROUPS}}[$__range:1m])) / 60)`,
      ofExporter(GROUP_LEGEND),
    ],
  ],
});

export const outstanding = table({
  title: "Outstanding decisions",
  means:
    "Decisions that were taken and have not been carried out: the clone to create (the first of them) or to remove, how many, and since when.",
  todo: "In dry run somebody has to create or remove them. A row goes when the clones have come or gone, or when the load surely no longer calls for it.",
  keys: [
    ...KEYS,
    { label: "decision", title: "Decision" },
    { label: "reason", title: "Reason" },
    { label: "clone", title: "Clone" },
    { label: "step", title: "Clones" },
  ],
  columns: [
    {
      title: "Since",
      expression: placed(
        `1000 * albatross_scaler_last_decision_timestamp_seconds{${GROUPS}} * on (${BY_GROUP}, decision) group_right () albatross_scaler_outstanding_info{${GROUPS}}`,
        "group",
        "decision",
        "reason",
        "clone",
        "step",
      ),
      unit: "dateTimeFromNow",
    },
  ],
  sortBy: "Group",
  noValue: "nothing is outstanding",
});

export const settings = table({
  title: "Last decisions and pauses",
  means:
    "When each group was last decided to grow, to shrink and to stay, since the program started, and whether its policy is paused.",
  todo: "Paused groups are evaluated and nothing follows; unpause them in the configuration when the reason is over.",
  keys: KEYS,
  columns: [
    {
      title: "Paused",
      expression: placed(each("scaler_paused"), "group"),
      unit: "bool_yes_no",
      colours: ["green", [1, "orange"]],
    },
    ago("Scale up", "scale_up"),
    ago("Scale down", "scale_down"),
    ago("Hold", "hold"),
  ],
  sortBy: "Group",
  noValue: "never",
});

function ago(title: string, decision: string): Column {
  const expression = `1000 * ${each("scaler_last_decision_timestamp_seconds", `,decision="${decision}"`)}`;
  return { title, expression: placed(expression, "group"), unit: "dateTimeFromNow" };
}
