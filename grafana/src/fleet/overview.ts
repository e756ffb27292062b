/** What is seen first of the fleet: what there is, what stands out, how old it is. */
import { toVm } from "../shared/links.ts";
import { figure, graph, ranking, upAndDown } from "../shared/panels.ts";
import { BY_HOST, BY_VM, HOSTS, ofExporter, PATHS, VM_LEGEND, withAt } from "../shared/selectors.ts";

export const hostsUp = upAndDown(
  {
    title: "Hosts",
    means: "Hosts with at least one open subscription to their statistics, and those without any.",
    todo: "A host that is down has no VMs here and nothing is decided for its groups: see its subscriptions on the Exporter dashboard, then whether albatross-stats runs there.",
    noValue: "0",
  },
  `albatross_up{${HOSTS}}`,
);

export const vms = figure({
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

export const groups = figure(
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

export const busyGroups = figure({
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

export const restarts = figure({
  title: "Restarts",
  means: "Restarts of VMs within the time shown, seen by counters that went down or a changed start time.",
  todo: "More than somebody asked for: see below which VMs, then their console on the host.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "yellow"], [10, "red"]],
  queries: [[`sum(increase(albatross_vm_restarts_total{${PATHS}}[$__range])) or vector(0)`, "restarts"]],
  noValue: "0",
});

export const oldestSample = figure({
  title: "Oldest sample",
  means:
    "How long ago the last statistics arrived about the VM that has been silent for longest, of those that are still there. After 3.5 stats intervals its figures leave the other panels, and after an hour this one.",
  todo: "More than 30 s with an interval of 10 s: albatross-stats has lost a VM or stalls. See below how the host does as a whole.",
  unit: "s",
  decimals: 0,
  colours: ["green", [30, "yellow"], [60, "red"]],
  queries: [
    [
      `max(time() - (max_over_time(albatross_vm_last_sample_timestamp_seconds{${PATHS}}[1h]) and on (${BY_VM}) albatross_group_member_info{${PATHS}}))`,
      "age",
    ],
  ],
  noValue: "no VM",
});

export const busiest = ranking(
  {
    title: "Busiest VMs",
    means:
      "The ten VMs with the highest CPU usage over the last stats interval; 100 % is all CPUs of the VM.",
    todo: "Click one to see it in full. One at 100 % for long needs more CPUs or clones.",
    unit: "percent",
    decimals: 1,
    colours: ["green", [70, "yellow"], [90, "red"]],
    queries: [[withAt(`topk(10, albatross_vm_cpu_usage_percent{${PATHS}})`), ofExporter(VM_LEGEND)]],
    links: [toVm],
  },
  { max: 100 },
);

export const largest = ranking({
  title: "Largest VMs",
  means: "The ten VMs with the most memory in use on the host (resident set size).",
  todo: "Click one to see it against its limit. Compare with what the host has.",
  unit: "bytes",
  decimals: 1,
  colours: ["blue"],
  queries: [[withAt(`topk(10, albatross_vm_memory_resident_bytes{${PATHS}})`), ofExporter(VM_LEGEND)]],
  links: [toVm],
});

export const freshness = graph(
  {
    title: "Age of the data",
    means:
      "How long ago each host last sent statistics about any VM: a saw that rises to the stats interval.",
    todo: "A line that rises and does not fall: the host is down, the subscription was displaced, or nothing runs there. The Exporter dashboard tells which.",
    unit: "s",
    decimals: 0,
    colours: ["green", [35, "yellow"], [60, "red"]],
    queries: [
      [
        `min by (${BY_HOST}) (time() - albatross_stats_last_message_timestamp_seconds{${HOSTS}})`,
        ofExporter("{{host}}"),
      ],
    ],
  },
  { min: 0 },
);
