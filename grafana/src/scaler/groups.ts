/** What each group is judged by. */
import { dashed, graph, shades, timeline } from "../shared/panels.ts";
import { BY_GROUP, GROUP_LEGEND, GROUPS, HOSTS, ofExporter } from "../shared/selectors.ts";
import { reasonMappings, reasonNumbers } from "../shared/states.ts";
import { type Column, type Key, PLACE, placed, table } from "../shared/tables.ts";

export const KEYS: readonly Key[] = [...PLACE, { label: "group", title: "Group" }];

/** The one series of each group with these conditions. */
export function each(metric: string, conditions = ""): string {
  return `max by (${BY_GROUP}) (albatross_${metric}{${GROUPS}${conditions}})`;
}

function percent(title: string, expression: string): Column {
  return { title, expression: placed(expression, "group"), unit: "percent", decimals: 1, width: 85 };
}

function count(title: string, expression: string): Column {
  return { title, expression: placed(expression, "group"), unit: "none", width: 75 };
}

/** What is left of the cooldown in a direction, in seconds. */
function cooling(direction: string): string {
  const until = each("scaler_cooldown_until_timestamp_seconds", `,direction="${direction}"`);
  return `clamp_min(${until} - time(), 0)`;
}

function rest(title: string, direction: string): Column {
  return { title, expression: placed(cooling(direction), "group"), unit: "s", width: 95 };
}

export const why = table({
  title: "Why did it (not) scale?",
  means:
    "The last evaluation of each group, from left to right as it is made: why it was decided so; the average with members that were not measured as 0 against the upper threshold, and with them and starved ones as 100 against the lower one; evaluations in a row beyond each against those that are needed; clones against what the scaler wants and may have; rest of the cooldown in each direction.",
  todo: "Read the reason first. A group that is not here has no policy; `/api/v1/decisions` of the exporter has every decision in words.",
  keys: KEYS,
  columns: [
    {
      title: "Why",
      expression: placed(reasonNumbers(GROUPS), "group"),
      unit: "none",
      mappings: reasonMappings,
      width: 200,
    },
    percent("Average ↑", each("scaler_average_percent", ',measure="for_up"')),
    percent("above", each("scaler_threshold_percent", ',direction="up"')),
    count("Ticks ↑", each("scaler_ticks", ',direction="up"')),
    count("of", each("scaler_trigger_ticks", ',direction="up"')),
    percent("Average ↓", each("scaler_average_percent", ',measure="for_down"')),
    percent("below", each("scaler_threshold_percent", ',direction="down"')),
    count("Ticks ↓", each("scaler_ticks", ',direction="down"')),
    count("of ", each("scaler_trigger_ticks", ',direction="down"')),
    count("Clones", each("scaler_clones")),
    count("Wanted", each("scaler_desired_clones")),
    count("Min", each("scaler_min_clones")),
    count("Max", each("scaler_max_clones")),
    rest("Cooldown ↑", "up"),
    rest("Cooldown ↓", "down"),
  ],
  sortBy: "Average ↑",
  descending: true,
  noValue: "-",
});

export const states = timeline({
  title: "Reasons over time",
  means:
    "Why each evaluation decided as it did, one line for each group. Red: a clone was called for; blue: one was given up; other colours: held, and why.",
  todo: "Orange for long (decided, not done yet): somebody should carry the decision out. Much purple: the cooldown is long for this load.",
  unit: "none",
  decimals: 0,
  colours: ["text"],
  mappings: reasonMappings,
  queries: [[`max by (${BY_GROUP}) (${reasonNumbers(GROUPS)})`, ofExporter(GROUP_LEGEND)]],
  noValue: "no group with a policy",
});

/** Thresholds, triggers and bounds are dashed: they are what the others are held against. */
const BOUNDS_DASHED = dashed("/(threshold|trigger|min|max)( [↑↓])?$/");

const THRESHOLDS_COLOURED = [
  BOUNDS_DASHED,
  shades("/threshold ↑$/", "red"),
  shades("/threshold ↓$/", "blue"),
];

export const averages = graph(
  {
    title: "Averages against both thresholds",
    means:
      "The average that is held against the upper threshold counts members that were not measured as 0 (↑), the one against the lower as 100 (↓), so that missing data never causes a decision: while a clone warms up ↑ falls and ↓ rises, though the load did not change. Between them the average of those measured. A load from PromQL is in percent of the members' capacity, and may be above 100.",
    todo: "Above the upper dashed line: ticks ↑ count. Below the lower one: ticks ↓ count. Averages far apart: members are missing or warming, see the Fleet dashboard.",
    unit: "percent",
    decimals: 1,
    colours: ["green"],
    queries: [
      [each("scaler_average_percent", ',measure="for_up"'), `${GROUP_LEGEND} average ↑`],
      [each("scaler_average_percent", ',measure="for_down"'), `${GROUP_LEGEND} average ↓`],
      [each("scaler_average_percent", ',measure="fresh"'), `${GROUP_LEGEND} measured`],
      [each("scaler_threshold_percent", ',direction="up"'), `${GROUP_LEGEND} threshold ↑`],
      [each("scaler_threshold_percent", ',direction="down"'), `${GROUP_LEGEND} threshold ↓`],
    ],
    overrides: THRESHOLDS_COLOURED,
  },
  { min: 0 },
);

export const load = graph(
  {
    title: "Load from PromQL",
    means:
      "What the query of each group's policy was answered, in the query's own unit, beside the loads above which the group is too busy and below which it is too idle with the members that it has.",
    todo: "Above the upper dashed line: ticks ↑ count; each clone that comes raises both lines. A gap: the load is not known and the group holds, see how its queries ended.",
    unit: "short",
    decimals: null,
    colours: ["green"],
    queries: [
      [each("scaler_load"), `${GROUP_LEGEND} load`],
      [each("scaler_load_threshold", ',direction="up"'), `${GROUP_LEGEND} threshold ↑`],
      [each("scaler_load_threshold", ',direction="down"'), `${GROUP_LEGEND} threshold ↓`],
    ],
    overrides: THRESHOLDS_COLOURED,
    noValue: "no group has a load from PromQL",
  },
  { min: 0 },
);

export const loadQueries = graph(
  {
    title: "Failed queries of loads",
    means:
      "Queries whose answer was no load, by how they ended. Each leaves its group as it is until the next.",
    todo: "`/api/v1/groups` of the exporter has the reason in words; `check-config --online` asks each query once.",
    unit: "none",
    decimals: 1,
    colours: ["green"],
    queries: [
      [
        `sum by (${BY_GROUP}, outcome) (increase(albatross_scaler_load_queries_total{${GROUPS},outcome!="ok"}[$__rate_interval]))`,
        `${GROUP_LEGEND} {{outcome}}`,
      ],
    ],
    noValue: "no group has a load from PromQL",
  },
  { min: 0 },
);

export const ticks = graph(
  {
    title: "Ticks against their triggers",
    means:
      "Evaluations in a row beyond each threshold, and how many call for a decision (dashed). A decision, the cooldown and a clone that comes or goes set them to 0.",
    todo: "Teeth that never reach the dashed line: peaks shorter than the trigger. Decided too late: fewer trigger ticks.",
    unit: "none",
    decimals: 0,
    colours: ["green"],
    queries: [
      [each("scaler_ticks", ',direction="up"'), `${GROUP_LEGEND} ticks ↑`],
      [each("scaler_ticks", ',direction="down"'), `${GROUP_LEGEND} ticks ↓`],
      [each("scaler_trigger_ticks", ',direction="up"'), `${GROUP_LEGEND} trigger ↑`],
      [each("scaler_trigger_ticks", ',direction="down"'), `${GROUP_LEGEND} trigger ↓`],
    ],
    overrides: [BOUNDS_DASHED, shades("/ ↑$/", "red"), shades("/ ↓$/", "blue")],
  },
  { steps: true, min: 0 },
);

export const clones = graph(
  {
    title: "Clones",
    means:
      "Clones alive as the last evaluation counted them, those the scaler wants, and the least and most it may have (dashed). A step of several clones is wanted at once.",
    todo: "Wanted differs from alive for long: in dry run somebody has to add or remove the clone. Alive at the maximum while overloaded: raise it.",
    unit: "none",
    decimals: 0,
    colours: ["green"],
    queries: [
      [each("scaler_clones"), `${GROUP_LEGEND} alive`],
      [each("scaler_desired_clones"), `${GROUP_LEGEND} wanted`],
      [each("scaler_min_clones"), `${GROUP_LEGEND} min`],
      [each("scaler_max_clones"), `${GROUP_LEGEND} max`],
    ],
    overrides: [BOUNDS_DASHED, shades("/ wanted$/", "orange")],
  },
  { steps: true, min: 0 },
);

export const cooldown = graph(
  {
    title: "Cooldown",
    means: "How long the last scale decision still keeps each group from growing (↑) and from shrinking (↓).",
    todo: "Overloaded and still cooling down: a shorter scale_up_cooldown_period, or a larger scale_up_max_step. A longer ↓ than scale_down_cooldown_period: flap damping.",
    unit: "s",
    decimals: 0,
    colours: ["green"],
    queries: [
      [cooling("up"), `${GROUP_LEGEND} ↑`],
      [cooling("down"), `${GROUP_LEGEND} ↓`],
    ],
    overrides: [shades("/ ↑$/", "red"), shades("/ ↓$/", "blue")],
    noValue: "no scale decision yet",
  },
  { min: 0 },
);

export const cores = graph(
  {
    title: "Cores that VMs are pinned to",
    means:
      "CPU usage of the chosen hosts' cores, summed over the VMs that unikernel info pins to each. VMs all of whose cores are at 95 % or more are starved: their usage says what they got, not what they needed.",
    todo: "Cores at the top beside idle ones: pin VMs to those. A core without VMs is not here. The reason cores saturated says that it concerns a group.",
    unit: "percent",
    decimals: 1,
    colours: ["green", [95, "red"]],
    queries: [[`albatross_host_cpu_usage_percent{${HOSTS}}`, ofExporter("{{host}} cpuid {{cpu}}")]],
    noValue: "no VM is pinned to a core",
  },
  { min: 0 },
);

export const members = graph(
  {
    title: "Members by state",
    means: "Members of the chosen groups as the metrics see them: only fresh ones have a usage.",
    todo: "warming and missing ones dampen decisions; see the reason incomplete data.",
    unit: "none",
    decimals: 0,
    colours: ["green"],
    queries: [
      [`sum by (${BY_GROUP}, state) (albatross_group_members{${GROUPS}})`, `${GROUP_LEGEND} {{state}}`],
    ],
  },
  { stacked: true, steps: true, min: 0 },
);

export const usage = graph(
  {
    title: "CPU usage of the group",
    means:
      "Mean over the members that have a usage, over their last stats interval: what `/metrics` shows. The scaler decides on averages between its evaluations instead.",
    todo: "Compare with the averages above; peaks that only show here are too short to count.",
    unit: "percent",
    decimals: 1,
    colours: ["green"],
    queries: [[`albatross_group_cpu_usage_percent{${GROUPS}}`, GROUP_LEGEND]],
  },
  { min: 0, max: 100 },
);
