/** What paths, hosts and groups use over time. */
import { toGroup } from "../shared/links.ts";
import { eventBars, graph, ranking } from "../shared/panels.ts";
import {
  BY_HOST,
  BY_VM,
  GROUP_LEGEND,
  GROUPS,
  ofExporter,
  PATH_LEGEND,
  PATHS,
  VM_LEGEND,
  withAt,
} from "../shared/selectors.ts";

export const cpuByPath = graph(
  {
    title: "CPU by path",
    means: "CPUs in use by all VMs directly at each path, over five minutes: 1 is one CPU all the time.",
    todo: "Compare with the CPUs that the host has. Recorded by `alerts/recording.rules.yml`: empty where those rules are not loaded.",
    unit: "none",
    decimals: 2,
    colours: ["green"],
    queries: [[`path:albatross_vm_cpu_seconds:rate5m{${PATHS}}`, ofExporter(PATH_LEGEND)]],
  },
  { stacked: true, min: 0 },
);

export const memoryByPath = graph(
  {
    title: "Memory by path",
    means: "Memory in use on the host (resident set size) by all VMs directly at each path.",
    todo: "Compare with the path's policy below and with what the host has. Recorded by `alerts/recording.rules.yml`: empty where those rules are not loaded.",
    unit: "bytes",
    decimals: 1,
    colours: ["green"],
    queries: [[`path:albatross_vm_memory_resident_bytes:sum{${PATHS}}`, ofExporter(PATH_LEGEND)]],
  },
  { stacked: true, min: 0 },
);

export const network = graph({
  title: "Network",
  means: "What all VMs of a host send (above) and receive (below), in bits per second as the VMs see it.",
  todo: "Compare with the host's link. The VM dashboard has it by device.",
  unit: "bps",
  decimals: 1,
  colours: ["green"],
  queries: [
    [
      `sum by (${BY_HOST}) (rate(albatross_vm_network_transmit_bytes_total{${PATHS}}[$__rate_interval])) * 8`,
      ofExporter("{{host}} sent"),
    ],
    [
      `sum by (${BY_HOST}) (rate(albatross_vm_network_receive_bytes_total{${PATHS}}[$__rate_interval])) * -8`,
      ofExporter("{{host}} received"),
    ],
  ],
});

export const restartsOverTime = eventBars({
  title: "Restarts by VM",
  means: "Restarts of each VM around each moment; VMs without any are left out.",
  todo: "One VM again and again: read its console. Many at once: the host or albatrossd restarted.",
  colours: ["red"],
  counter: `albatross_vm_restarts_total{${PATHS}}`,
  by: BY_VM,
  legend: ofExporter(VM_LEGEND),
  noValue: "no restarts",
});

export const members = graph(
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

export const busiestGroups = ranking(
  {
    title: "Busiest groups",
    means: "The ten groups with the highest CPU usage: the mean over their members that have one.",
    todo: "Click one to see what the scaler decides about it.",
    unit: "percent",
    decimals: 1,
    colours: ["green", [70, "yellow"], [90, "red"]],
    queries: [[withAt(`topk(10, albatross_group_cpu_usage_percent{${GROUPS}})`), ofExporter(GROUP_LEGEND)]],
    links: [toGroup],
  },
  { max: 100 },
);
