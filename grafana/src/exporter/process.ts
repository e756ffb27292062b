/** How the program is: what runs, what it uses. */
import { dashed, figure, graph, upAndDown } from "../shared/panels.ts";
import { BY_EXPORTER, EXPORTERS, RATE } from "../shared/selectors.ts";
import { table } from "../shared/tables.ts";

export const exportersUp = upAndDown(
  {
    title: "Exporters",
    means: "Exporters that answer Prometheus, and those that do not.",
    todo: "Any that is down: see Prometheus' page of targets, then whether the service runs.",
    noValue: "none",
  },
  `up{${EXPORTERS}}`,
);

export const configuration = figure({
  title: "Configuration",
  means:
    "Whether the configuration was taken the last time it was read. A refused one changes nothing: the one before stays in use.",
  todo: "Refused: the log names file, line and column; `albatross-exporter check-config` does too.",
  unit: "bool_yes_no",
  decimals: 0,
  colours: ["red", [1, "green"]],
  queries: [[`min(albatross_exporter_config_last_reload_successful{${EXPORTERS}})`, "taken"]],
});

export const loopDelay = graph(
  {
    title: "Event-loop delay",
    means:
      "How late the program's event loop runs: half and 99 % of the times since the scrape before, and the longest. It is measured in steps of 10 ms, so that an idle one shows 10 ms.",
    todo: "More than 100 ms: the machine has too little CPU for it, or one scrape is very large. Samples then arrive late.",
    unit: "s",
    decimals: 3,
    colours: ["green", [0.1, "yellow"], [0.5, "red"]],
    queries: [
      [`nodejs_eventloop_lag_p50_seconds{${EXPORTERS}}`, "{{instance}} p50"],
      [`nodejs_eventloop_lag_p99_seconds{${EXPORTERS}}`, "{{instance}} p99"],
      [`nodejs_eventloop_lag_max_seconds{${EXPORTERS}}`, "{{instance}} max"],
    ],
  },
  { min: 0 },
);

export const memory = graph(
  {
    title: "Memory",
    means:
      "Memory of the exporter's process (resident), and the part of it that JavaScript uses of what it has taken.",
    todo: "It grows with the number of VMs and stays. A line that climbs for days with the same VMs is a leak: report it.",
    unit: "bytes",
    decimals: 1,
    colours: ["green"],
    queries: [
      [`process_resident_memory_bytes{${EXPORTERS}}`, "{{instance}} resident"],
      [`nodejs_heap_size_total_bytes{${EXPORTERS}}`, "{{instance}} heap"],
      [`nodejs_heap_size_used_bytes{${EXPORTERS}}`, "{{instance}} heap in use"],
      [`nodejs_external_memory_bytes{${EXPORTERS}}`, "{{instance}} external"],
    ],
  },
  { min: 0 },
);

export const processCpu = graph(
  {
    title: "CPU",
    means:
      "CPUs that the exporter uses, user and system time, and the part of the event loop's time that is spent collecting garbage.",
    todo: "10,000 VMs at one sample each per 10 s should take less than 5 % of a CPU, scrapes aside.",
    unit: "percentunit",
    decimals: 2,
    colours: ["green"],
    queries: [
      [`rate(process_cpu_user_seconds_total{${EXPORTERS}}${RATE})`, "{{instance}} user"],
      [`rate(process_cpu_system_seconds_total{${EXPORTERS}}${RATE})`, "{{instance}} system"],
      [
        `sum by (${BY_EXPORTER}) (rate(nodejs_gc_duration_seconds_sum{${EXPORTERS}}${RATE}))`,
        "{{instance}} garbage collection",
      ],
    ],
  },
  { min: 0 },
);

export const descriptors = graph(
  {
    title: "Open files",
    means: "File descriptors that the process holds, sockets included, and how many it may (dashed).",
    todo: "Near the limit: too many scrapes or streams at once; raise LimitNOFILE of the service.",
    unit: "none",
    decimals: 0,
    colours: ["green"],
    queries: [
      [`process_open_fds{${EXPORTERS}}`, "{{instance}} open"],
      [`process_max_fds{${EXPORTERS}}`, "{{instance}} limit"],
    ],
    overrides: [dashed("/ limit$/")],
  },
  { min: 0 },
);

export const builds = table({
  title: "What runs",
  means:
    "Version, revision and Node of each exporter, when it started and when it last took a configuration.",
  todo: "Versions that differ: update the others.",
  keys: [
    { label: "job", title: "Job" },
    { label: "instance", title: "Exporter" },
    { label: "version", title: "Version" },
    { label: "revision", title: "Revision" },
    { label: "nodeversion", title: "Node" },
  ],
  columns: [
    {
      title: "Started",
      expression: ofBuild(`process_start_time_seconds{${EXPORTERS}} * 1000`),
      unit: "dateTimeFromNow",
    },
    {
      title: "Configuration taken",
      expression: ofBuild(
        `albatross_exporter_config_last_reload_success_timestamp_seconds{${EXPORTERS}} * 1000`,
      ),
      unit: "dateTimeFromNow",
    },
  ],
  sortBy: "Exporter",
});

/** A figure of each exporter with the labels of its build. */
function ofBuild(expression: string): string {
  return `max by (${BY_EXPORTER}, version, revision, nodeversion) (${expression} * on (${BY_EXPORTER}) group_left (version, revision, nodeversion) albatross_exporter_build_info{${EXPORTERS}})`;
}
