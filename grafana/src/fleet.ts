/** All hosts and their VMs: is everything there, what is busy, what is large, how old is what is shown. */
import { dashboard, type Section } from "./shared/layout.ts";
import { rowToGroup, rowToVm, toGroup, toVm } from "./shared/links.ts";
import { figure, graph, ranking } from "./shared/panels.ts";
import { GROUP_LEGEND, GROUPS, HOSTS, PATH_LEGEND, PATHS, VM_LEGEND, withAt } from "./shared/selectors.ts";
import { PLACE, placed, table } from "./shared/tables.ts";

const hostsUp = figure(
  {
    title: "Hosts",
    means: "Hosts with at least one open subscription to their statistics, and those without any.",
    todo: "A host that is down has no VMs here and nothing is decided for its groups: see its subscriptions on the Exporter dashboard, then whether albatross-stats runs there.",
    unit: "none",
    decimals: 0,
    colours: ["text"],
    queries: [
      [`sum(albatross_up{${HOSTS}})`, "up"],
      [`count(albatross_up{${HOSTS}} == 0) or vector(0)`, "down"],
    ],
    overrides: [
      {
        series: "/^down$/",
        set: [
          {
            id: "thresholds",
            value: {
              mode: "absolute",
              steps: [
                { value: null, color: "green" },
                { value: 1, color: "red" },
              ],
            },
          },
        ],
      },
    ],
    noValue: "0",
  },
  { named: true },
);

const vms = figure({
  title: "VMs",
  means:
    "Unikernels and VMs that are alive as far as is known, whether or not they were heard of lately. Of hosts that are up.",
  todo: "Fewer than expected: see below whether a host is down or VMs are missing or silent.",
  unit: "none",
  decimals: 0,
  colours: ["text"],
  queries: [[`sum(albatross_group_members{${PATHS}})`, "VMs"]],
  noValue: "0",
});

const groups = figure(
  {
    title: "Groups",
    means:
      "Groups of a primary and its clones; a VM without clones is a group of its own. Beside them how many clones there are.",
    todo: "See the Scaler dashboard for what was decided about them.",
    unit: "none",
    decimals: 0,
    colours: ["text"],
    queries: [
      [`count(albatross_group_clones{${PATHS}})`, "groups"],
      [`sum(albatross_group_clones{${PATHS}})`, "clones"],
    ],
    noValue: "0",
  },
  { named: true },
);

const busyGroups = figure({
  title: "Overloaded groups",
  means:
    "Groups whose CPU usage over five minutes is above their policy's threshold, or above 90 % where no policy matches.",
  todo: "See in the list of busiest groups which, and on the Scaler dashboard what is done about it.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "orange"], [5, "red"]],
  queries: [
    [
      `count(group:albatross_group_cpu_usage_percent:avg5m{${PATHS}} > group:albatross_scaler_threshold_percent:up_or_default{${PATHS}}) or vector(0)`,
      "overloaded",
    ],
  ],
  noValue: "0",
});

const restarts = figure({
  title: "Restarts",
  means: "Restarts of VMs within the time shown, seen by counters that went down or a changed start time.",
  todo: "More than somebody asked for: see below which VMs, then their console on the host.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "yellow"], [10, "red"]],
  queries: [[`sum(increase(albatross_vm_restarts_total{${PATHS}}[$__range])) or vector(0)`, "restarts"]],
  noValue: "0",
});

const oldestSample = figure({
  title: "Oldest sample",
  means:
    "How long ago the last statistics arrived about the VM that has been silent for longest. A VM that is silent for 3.5 stats intervals leaves the metrics.",
  todo: "More than 30 s with an interval of 10 s: albatross-stats has lost a VM or stalls. See below how the host does as a whole.",
  unit: "s",
  decimals: 0,
  colours: ["green", [30, "yellow"], [60, "red"]],
  queries: [[`max(time() - albatross_vm_last_sample_timestamp_seconds{${PATHS}})`, "age"]],
  noValue: "no VM",
});

const busiest = ranking(
  {
    title: "Busiest VMs",
    means:
      "The ten VMs with the highest CPU usage over the last stats interval; 100 % is all CPUs of the VM.",
    todo: "Click one to see it in full. One at 100 % for long needs more CPUs or clones.",
    unit: "percent",
    decimals: 1,
    colours: ["green", [70, "yellow"], [90, "red"]],
    queries: [[withAt(`topk(10, albatross_vm_cpu_usage_percent{${PATHS}})`), VM_LEGEND]],
    links: [toVm],
  },
  { max: 100 },
);

const largest = ranking({
  title: "Largest VMs",
  means: "The ten VMs with the most memory in use on the host (resident set size).",
  todo: "Click one to see it against its limit. Compare with what the host has.",
  unit: "bytes",
  decimals: 1,
  colours: ["blue"],
  queries: [[withAt(`topk(10, albatross_vm_memory_resident_bytes{${PATHS}})`), VM_LEGEND]],
  links: [toVm],
});

const freshness = graph(
  {
    title: "Age of the data",
    means:
      "How long ago each host last sent statistics about any VM: a saw that rises to the stats interval.",
    todo: "A line that rises and does not fall: the host is down, the subscription was displaced, or nothing runs there. The Exporter dashboard tells which.",
    unit: "s",
    decimals: 0,
    colours: ["green", [35, "yellow"], [60, "red"]],
    queries: [
      [`min by (host) (time() - albatross_stats_last_message_timestamp_seconds{${HOSTS}})`, "{{host}}"],
    ],
  },
  { min: 0 },
);

const cpuByPath = graph(
  {
    title: "CPU by path",
    means: "CPUs in use by all VMs directly at each path, over five minutes: 1 is one CPU all the time.",
    todo: "Compare with the CPUs that the host has. Recorded by `alerts/recording.rules.yml`: empty where those rules are not loaded.",
    unit: "none",
    decimals: 2,
    colours: ["green"],
    queries: [[`path:albatross_vm_cpu_seconds:rate5m{${PATHS}}`, PATH_LEGEND]],
  },
  { stacked: true, min: 0 },
);

const memoryByPath = graph(
  {
    title: "Memory by path",
    means: "Memory in use on the host (resident set size) by all VMs directly at each path.",
    todo: "Compare with the path's policy below and with what the host has. Recorded by `alerts/recording.rules.yml`: empty where those rules are not loaded.",
    unit: "bytes",
    decimals: 1,
    colours: ["green"],
    queries: [[`path:albatross_vm_memory_resident_bytes:sum{${PATHS}}`, PATH_LEGEND]],
  },
  { stacked: true, min: 0 },
);

const network = graph({
  title: "Network",
  means: "What all VMs of a host send (above) and receive (below), in bits per second as the VMs see it.",
  todo: "Compare with the host's link. The VM dashboard has it by device.",
  unit: "bps",
  decimals: 1,
  colours: ["green"],
  queries: [
    [
      `sum by (host) (rate(albatross_vm_network_transmit_bytes_total{${PATHS}}[$__rate_interval])) * 8`,
      "{{host}} sent",
    ],
    [
      `sum by (host) (rate(albatross_vm_network_receive_bytes_total{${PATHS}}[$__rate_interval])) * -8`,
      "{{host}} received",
    ],
  ],
});

const hosts = table({
  title: "Every host",
  means:
    "Each target of the exporters: is a subscription open, how many VMs and groups are known there, when did it last send.",
  todo: "A host that is down needs attention first: without it nothing else about it is known.",
  keys: [{ label: "host", title: "Host" }],
  columns: [
    {
      title: "Up",
      expression: `max by (host) (albatross_up{${HOSTS}})`,
      unit: "bool_yes_no",
      colours: ["red", [1, "green"]],
    },
    { title: "VMs", expression: `sum by (host) (host:albatross_group_members:sum{${HOSTS}})`, unit: "none" },
    { title: "Groups", expression: `count by (host) (albatross_group_clones{${HOSTS}})`, unit: "none" },
    {
      title: "Last message",
      expression: `min by (host) (time() - albatross_stats_last_message_timestamp_seconds{${HOSTS}})`,
      unit: "s",
      colours: ["green", [35, "yellow"], [60, "red"]],
    },
  ],
  sortBy: "Up",
});

const paths = table({
  title: "Paths and their policies",
  means:
    "What the VMs directly at each path use, and what the path's policy allows. VMs further below count for the policy too and have a line of their own.",
  todo: "Near a limit, albatrossd refuses new unikernels: raise the policy or remove some.",
  keys: PLACE,
  columns: [
    {
      title: "VMs",
      expression: placed(`sum by (host, path) (albatross_group_members{${PATHS}})`),
      unit: "none",
    },
    {
      title: "VMs allowed",
      expression: placed(`max by (host, path) (albatross_policy_unikernels_limit{${PATHS}})`),
      unit: "none",
    },
    {
      title: "Memory given",
      expression: placed(`sum by (host, path) (albatross_vm_memory_limit_bytes{${PATHS}})`),
      unit: "bytes",
      decimals: 1,
    },
    {
      title: "Memory allowed",
      expression: placed(`max by (host, path) (albatross_policy_memory_limit_bytes{${PATHS}})`),
      unit: "bytes",
      decimals: 1,
    },
    {
      title: "Block allowed",
      expression: placed(`max by (host, path) (albatross_policy_block_limit_bytes{${PATHS}})`),
      unit: "bytes",
      decimals: 1,
    },
  ],
  sortBy: "Memory given",
  descending: true,
});

const restartsOverTime = graph(
  {
    title: "Restarts by VM",
    means: "Restarts of each VM around each moment; VMs without any are left out.",
    todo: "One VM again and again: read its console. Many at once: the host or albatrossd restarted.",
    unit: "none",
    decimals: 0,
    colours: ["red"],
    queries: [
      [
        `round(sum by (host, path, vm) (increase(albatross_vm_restarts_total{${PATHS}}[$__rate_interval]))) > 0`,
        VM_LEGEND,
      ],
    ],
    noValue: "no restarts",
  },
  { bars: true, min: 0, interval: "1m" },
);

const members = graph(
  {
    title: "VMs by state",
    means:
      "fresh: has a CPU usage. warming: too new for one. missing: silent for more than 3.5 stats intervals. silent: for the scaler's death_timeout, but albatrossd lists it.",
    todo: "Missing or silent VMs run without statistics: restart albatross-stats on their host if it stays so.",
    unit: "none",
    decimals: 0,
    colours: ["green"],
    queries: [[`sum by (state) (albatross_group_members{${PATHS}})`, "{{state}}"]],
  },
  { stacked: true, steps: true, min: 0 },
);

const busiestGroups = ranking(
  {
    title: "Busiest groups",
    means: "The ten groups with the highest CPU usage: the mean over their members that have one.",
    todo: "Click one to see what the scaler decides about it.",
    unit: "percent",
    decimals: 1,
    colours: ["green", [70, "yellow"], [90, "red"]],
    queries: [[withAt(`topk(10, albatross_group_cpu_usage_percent{${GROUPS}})`), GROUP_LEGEND]],
    links: [toGroup],
  },
  { max: 100 },
);

const allVms = table({
  title: "Every VM",
  means: "Every VM with what it uses now. Memory of its limit is there where unikernel info can be read.",
  todo: "Click a name to see the VM in full. Sort by a column by clicking its title.",
  keys: [...PLACE, { label: "vm", title: "VM" }],
  columns: [
    {
      title: "CPU",
      expression: placed(`albatross_vm_cpu_usage_percent{${PATHS}}`, "vm"),
      unit: "percent",
      decimals: 1,
      colours: ["green", [70, "yellow"], [90, "red"]],
    },
    { title: "CPUs", expression: placed(`albatross_vm_cpus{${PATHS}}`, "vm"), unit: "none" },
    {
      title: "Memory",
      expression: placed(`albatross_vm_memory_resident_bytes{${PATHS}}`, "vm"),
      unit: "bytes",
      decimals: 1,
    },
    {
      title: "Of its limit",
      expression: placed(`vm:albatross_vm_memory_resident_per_limit:ratio{${PATHS}}`, "vm"),
      unit: "percentunit",
      decimals: 0,
      colours: ["green", [0.8, "yellow"], [0.9, "red"]],
    },
    {
      title: "Started",
      expression: placed(`albatross_vm_start_time_seconds{${PATHS}} * 1000`, "vm"),
      unit: "dateTimeFromNow",
    },
    {
      title: "Restarts in an hour",
      expression: placed(`vm:albatross_vm_restarts:increase1h{${PATHS}}`, "vm"),
      unit: "none",
      colours: ["green", [1, "yellow"], [3, "red"]],
    },
    {
      title: "Last sample",
      expression: placed(`time() - albatross_vm_last_sample_timestamp_seconds{${PATHS}}`, "vm"),
      unit: "s",
      colours: ["green", [30, "yellow"], [60, "red"]],
    },
  ],
  sortBy: "CPU",
  descending: true,
  links: [rowToVm],
});

const allGroups = table({
  title: "Every group",
  means: "Every group with its clones and its usage.",
  todo: "Click a name to see what the scaler decides about it.",
  keys: [...PLACE, { label: "group", title: "Group" }],
  columns: [
    {
      title: "CPU",
      expression: placed(`albatross_group_cpu_usage_percent{${GROUPS}}`, "group"),
      unit: "percent",
      decimals: 1,
      colours: ["green", [70, "yellow"], [90, "red"]],
    },
    {
      title: "Clones",
      expression: placed(`albatross_group_clones{${GROUPS}}`, "group"),
      unit: "none",
    },
  ],
  sortBy: "CPU",
  descending: true,
  links: [rowToGroup],
});

const sections: readonly Section[] = [
  {
    title: "Hosts and paths",
    collapsed: false,
    lines: [
      {
        height: 8,
        panels: [
          [10, hosts],
          [14, paths],
        ],
      },
      {
        height: 8,
        panels: [
          [8, restartsOverTime],
          [8, members],
          [8, busiestGroups],
        ],
      },
    ],
  },
  { title: "All VMs", collapsed: true, lines: [{ height: 14, panels: [[24, allVms]] }] },
  { title: "All groups", collapsed: true, lines: [{ height: 12, panels: [[24, allGroups]] }] },
];

export const fleet = () =>
  dashboard({
    name: "fleet",
    title: "Albatross / Fleet",
    description:
      "All Albatross hosts and their unikernels and VMs: is everything there, what is busy, what is large.",
    shown: ["host", "path", "group"],
    top: [
      {
        height: 4,
        panels: [
          [4, hostsUp],
          [4, vms],
          [4, groups],
          [4, busyGroups],
          [4, restarts],
          [4, oldestSample],
        ],
      },
      {
        height: 8,
        panels: [
          [8, busiest],
          [8, largest],
          [8, freshness],
        ],
      },
      {
        height: 8,
        panels: [
          [8, cpuByPath],
          [8, memoryByPath],
          [8, network],
        ],
      },
    ],
    sections,
  });
