/** The exporter itself: does it hear from every host, does it answer in time, is it well. */
import { annotation } from "./shared/annotations.ts";
import { dashboard, type Section } from "./shared/layout.ts";
import { figure, graph, timeline } from "./shared/panels.ts";
import { EXPORTERS, HOSTS } from "./shared/selectors.ts";
import { slotMappings, slotNumbers } from "./shared/states.ts";
import { table } from "./shared/tables.ts";

const RATE = "[$__rate_interval]";
const SLOT_LEGEND = "{{host}} {{subscription}}";
const SLOT = "host, subscription";

const exportersUp = figure({
  title: "Exporters",
  means: "Exporters that answer Prometheus.",
  todo: "Fewer than expected: see Prometheus' page of targets, then whether the service runs.",
  unit: "none",
  decimals: 0,
  colours: ["red", [1, "green"]],
  queries: [[`sum(up{${EXPORTERS}})`, "up"]],
});

const receiving = figure(
  {
    title: "Subscriptions",
    means: "Subscriptions to statistics that receive, and those in any other state.",
    todo: "See below in which state the others are.",
    unit: "none",
    decimals: 0,
    colours: ["text"],
    queries: [
      [`sum(albatross_stats_subscription_state{${HOSTS},state="receiving"})`, "receiving"],
      [`sum(albatross_stats_subscription_state{${HOSTS},state!="receiving"})`, "not"],
    ],
  },
  { named: true },
);

const displaced = figure({
  title: "Displaced or blocked",
  means:
    "Subscriptions that another client has taken, or that must not be opened because a unikernel has the path's own name.",
  todo: "Displaced: albatross-influx or mollymawk is on the same slot; subscribe to paths instead. Blocked: rename the unikernel.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "red"]],
  queries: [
    [`sum(albatross_stats_subscription_state{${HOSTS},state=~"displaced|blocked"})`, "subscriptions"],
  ],
});

const decodeErrorsNow = figure({
  title: "Decode errors",
  means: "Frames and messages within the time shown that could not be read.",
  todo: "Any: see below for the reason. A new version of Albatross may send what this program does not know.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "red"]],
  queries: [
    [`sum(increase(albatross_stats_decode_errors_total{${HOSTS}}[$__range])) or vector(0)`, "errors"],
  ],
});

const configuration = figure({
  title: "Configuration",
  means:
    "Whether the configuration was taken the last time it was read. A refused one changes nothing: the one before stays in use.",
  todo: "Refused: the log names file, line and column; `albatross-exporter check-config` does too.",
  unit: "bool_yes_no",
  decimals: 0,
  colours: ["red", [1, "green"]],
  queries: [[`min(albatross_exporter_config_last_reload_successful{${EXPORTERS}})`, "taken"]],
});

const leftOut = figure({
  title: "VMs left out",
  means: "VMs that are not served because there are more than `exporter.max_vms`.",
  todo: "Raise max_vms or exclude VMs by name. Groups and decisions see all VMs in any case.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "orange"]],
  queries: [[`sum(albatross_exporter_vms_dropped{${EXPORTERS}})`, "VMs"]],
});

const states = timeline({
  title: "Subscriptions over time",
  means: "The state of each subscription to a host's statistics.",
  todo: "Waiting to connect again for long: albatross-stats does not run or its socket may not be opened. Displaced: another client wants the slot.",
  unit: "none",
  decimals: 0,
  colours: ["text"],
  mappings: slotMappings,
  queries: [[`max by (${SLOT}) (${slotNumbers(HOSTS)})`, SLOT_LEGEND]],
});

const messages = graph(
  {
    title: "Messages",
    means: "Statistics messages per second: each VM sends one in each stats interval.",
    todo: "Falls to 0 with VMs running: see the state of the subscription.",
    unit: "mps",
    decimals: 2,
    colours: ["green"],
    queries: [[`sum by (${SLOT}) (rate(albatross_stats_messages_total{${HOSTS}}${RATE}))`, SLOT_LEGEND]],
  },
  { min: 0 },
);

const age = graph(
  {
    title: "Last message",
    means:
      "How long ago the last message came, and the time between two samples of a VM as configured or learnt (dashed).",
    todo: "Far above the dashed line: nothing comes. No line: nothing has ever come.",
    unit: "s",
    decimals: 0,
    colours: ["green"],
    queries: [
      [`min by (${SLOT}) (time() - albatross_stats_last_message_timestamp_seconds{${HOSTS}})`, SLOT_LEGEND],
      [`max by (${SLOT}) (albatross_stats_interval_seconds{${HOSTS}})`, `${SLOT_LEGEND} interval`],
    ],
    overrides: [
      {
        series: "/ interval$/",
        set: [
          { id: "custom.lineStyle", value: { fill: "dash", dash: [10, 10] } },
          { id: "custom.fillOpacity", value: 0 },
        ],
      },
    ],
  },
  { min: 0 },
);

/** Quantiles of a histogram of the exporter's. */
function quantile(q: number, metric: string): string {
  return `histogram_quantile(${q}, sum by (instance, le) (rate(${metric}_bucket{${EXPORTERS}}${RATE})))`;
}

const scrapeDuration = graph(
  {
    title: "Scrape duration",
    means:
      "Time from a scrape's request to the last byte of its answer: median and slowest tenth as the exporter sees it, and as Prometheus sees it.",
    todo: "Near Prometheus' scrape_timeout: fewer collectors or VMs for each exporter, or a longer timeout. Only Prometheus' is slow: the network.",
    unit: "s",
    decimals: 3,
    colours: ["green", [5, "yellow"], [10, "red"]],
    queries: [
      [quantile(0.5, "albatross_exporter_scrape_duration_seconds"), "{{instance}} p50"],
      [quantile(0.9, "albatross_exporter_scrape_duration_seconds"), "{{instance}} p90"],
      [`scrape_duration_seconds{${EXPORTERS}}`, "{{instance}} Prometheus"],
    ],
  },
  { min: 0 },
);

const loopDelay = graph(
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

const memory = graph(
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

const decodeErrors = graph(
  {
    title: "Decode errors by reason",
    means:
      "Frames and messages per second that could not be read, by what was wrong. Framing damage closes the connection; a single message that is wrong is skipped.",
    todo: "version, message, der: another version of Albatross. frame_*: something else answers on the socket, or it is damaged.",
    unit: "eps",
    decimals: 2,
    colours: ["green"],
    queries: [
      [
        `sum by (${SLOT}, reason) (rate(albatross_stats_decode_errors_total{${HOSTS}}${RATE})) > 0`,
        `${SLOT_LEGEND} {{reason}}`,
      ],
    ],
    noValue: "no errors",
  },
  { min: 0 },
);

const connections = graph(
  {
    title: "Connections made and ended",
    means: "Connections to stat.sock made (above) and ended (below) around each moment, those by why.",
    todo: "closed again and again: another client takes the slot. watchdog: the daemon forgot the subscriber. refused, timeout: it does not run.",
    unit: "none",
    decimals: 0,
    colours: ["green"],
    queries: [
      [
        `round(sum by (${SLOT}) (increase(albatross_stats_connects_total{${HOSTS}}${RATE})))`,
        `${SLOT_LEGEND} made`,
      ],
      [
        `round(sum by (${SLOT}, reason) (increase(albatross_stats_disconnects_total{${HOSTS}}${RATE}))) * -1 < 0`,
        `${SLOT_LEGEND} {{reason}}`,
      ],
    ],
  },
  { bars: true, interval: "1m" },
);

const bytes = graph(
  {
    title: "Bytes read",
    means: "What is read from stat.sock per second.",
    todo: "A message is some 450 bytes. Much more for the same messages: VMs with many devices.",
    unit: "Bps",
    decimals: 1,
    colours: ["green"],
    queries: [[`sum by (${SLOT}) (rate(albatross_stats_bytes_total{${HOSTS}}${RATE}))`, SLOT_LEGEND]],
  },
  { min: 0 },
);

const scrapeSize = graph(
  {
    title: "Scrape size",
    means:
      "Series in a scrape, as the exporter wrote them and as Prometheus took them, and how many were new to Prometheus.",
    todo: "Compare with Prometheus' sample_limit. Many new ones again and again: VMs come and go, or change their names.",
    unit: "short",
    decimals: 0,
    colours: ["green"],
    queries: [
      [`albatross_exporter_scrape_series{${EXPORTERS}}`, "{{instance}} written"],
      [`scrape_samples_scraped{${EXPORTERS}}`, "{{instance}} taken"],
      [`scrape_series_added{${EXPORTERS}}`, "{{instance}} new"],
    ],
  },
  { min: 0 },
);

const scrapes = graph(
  {
    title: "Scrapes by outcome",
    means:
      "Scrapes per minute. timeout: not taken in time and cut. aborted: the client left. rejected: more than web.max_requests at once. error: it failed here.",
    todo: "Anything but ok: compare the scrape's duration with Prometheus' scrape_timeout; for error, read the log.",
    unit: "cpm",
    decimals: 1,
    colours: ["green"],
    queries: [
      [
        `60 * sum by (instance, outcome) (rate(albatross_exporter_scrapes_total{${EXPORTERS}}${RATE}))`,
        "{{instance}} {{outcome}}",
      ],
    ],
  },
  { stacked: true, min: 0 },
);

const losses = graph(
  {
    title: "Left out and cut off",
    means:
      "Series per second that were left out because an equal one came first, and clients of the stream that were cut because they did not keep up.",
    todo: "Series: two devices of a VM have one name. Clients: `record` runs on a machine that is too slow.",
    unit: "cps",
    decimals: 2,
    colours: ["green"],
    queries: [
      [
        `rate(albatross_exporter_duplicate_series_total{${EXPORTERS}}${RATE})`,
        "{{instance}} series left out",
      ],
      [
        `rate(albatross_exporter_stream_clients_dropped_total{${EXPORTERS}}${RATE})`,
        "{{instance}} clients cut off",
      ],
    ],
  },
  { min: 0 },
);

const tickLag = graph(
  {
    title: "Tick lag",
    means: "How long after its time the last evaluation of all groups began.",
    todo: "More than a second: the event loop is busy or the machine was asleep. Averages are still right: they are over the time that has really passed.",
    unit: "s",
    decimals: 3,
    colours: ["green", [1, "yellow"], [10, "red"]],
    queries: [[`albatross_scaler_tick_lag_seconds{${EXPORTERS}}`, "{{instance}}"]],
  },
  { min: 0 },
);

const tickDuration = graph(
  {
    title: "Tick duration",
    means: "Time that an evaluation of all groups takes, mean and slowest tenth.",
    todo: "More than 50 ms with fewer than 10,000 groups is unusual: see the event-loop delay.",
    unit: "s",
    decimals: 4,
    colours: ["green", [0.05, "yellow"], [0.25, "red"]],
    queries: [
      [
        `rate(albatross_scaler_tick_duration_seconds_sum{${EXPORTERS}}[5m]) / rate(albatross_scaler_tick_duration_seconds_count{${EXPORTERS}}[5m])`,
        "{{instance}} mean",
      ],
      [
        `histogram_quantile(0.9, sum by (instance, le) (rate(albatross_scaler_tick_duration_seconds_bucket{${EXPORTERS}}[5m])))`,
        "{{instance}} p90",
      ],
    ],
  },
  { min: 0 },
);

const tickAge = graph(
  {
    title: "Last tick",
    means:
      "How long ago the scaler last evaluated its groups: a saw that rises to the poll_interval. Before the first evaluation there is no line.",
    todo: "Rises further: the scaler stands still. Restart the exporter and report it.",
    unit: "s",
    decimals: 0,
    colours: ["green", [180, "red"]],
    queries: [[`time() - (albatross_scaler_last_tick_timestamp_seconds{${EXPORTERS}} > 0)`, "{{instance}}"]],
  },
  { min: 0 },
);

const stateFile = graph(
  {
    title: "State file",
    means:
      "Writes of the scaler's state file per minute, those that failed, and files found damaged at a start.",
    todo: "Failures: disk full or the directory is not the service's. Until it is written, a restart would begin from an older state.",
    unit: "cpm",
    decimals: 1,
    colours: ["green"],
    queries: [
      [`60 * rate(albatross_scaler_state_writes_total{${EXPORTERS}}[5m])`, "{{instance}} written"],
      [`60 * rate(albatross_scaler_state_write_failures_total{${EXPORTERS}}[5m])`, "{{instance}} failed"],
      [`albatross_scaler_state_damaged_total{${EXPORTERS}}`, "{{instance}} found damaged"],
    ],
  },
  { min: 0 },
);

const processCpu = graph(
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
        `sum by (instance) (rate(nodejs_gc_duration_seconds_sum{${EXPORTERS}}${RATE}))`,
        "{{instance}} garbage collection",
      ],
    ],
  },
  { min: 0 },
);

const descriptors = graph(
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
    overrides: [
      {
        series: "/ limit$/",
        set: [
          { id: "custom.lineStyle", value: { fill: "dash", dash: [10, 10] } },
          { id: "custom.fillOpacity", value: 0 },
        ],
      },
    ],
  },
  { min: 0 },
);

const builds = table({
  title: "What runs",
  means:
    "Version, revision and Node of each exporter, when it started and when it last took a configuration.",
  todo: "Versions that differ: update the others.",
  keys: [
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
  return `max by (instance, version, revision, nodeversion) (${expression} * on (job, instance) group_left (version, revision, nodeversion) albatross_exporter_build_info{${EXPORTERS}})`;
}

const sections: readonly Section[] = [
  {
    title: "Connections",
    collapsed: false,
    lines: [
      {
        height: 8,
        panels: [
          [8, connections],
          [8, decodeErrors],
          [8, bytes],
        ],
      },
    ],
  },
  {
    title: "The scaler's ticks",
    collapsed: false,
    lines: [
      {
        height: 8,
        panels: [
          [6, tickLag],
          [6, tickDuration],
          [6, tickAge],
          [6, stateFile],
        ],
      },
    ],
  },
  {
    title: "Scrapes",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [8, scrapeSize],
          [8, scrapes],
          [8, losses],
        ],
      },
    ],
  },
  {
    title: "Process",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [8, processCpu],
          [6, descriptors],
          [10, builds],
        ],
      },
    ],
  },
];

export const exporter = () =>
  dashboard({
    name: "exporter",
    title: "Albatross / Exporter",
    description: "The exporters themselves: can the figures of the other dashboards be trusted?",
    shown: ["host", "instance"],
    top: [
      {
        height: 4,
        panels: [
          [4, exportersUp],
          [4, receiving],
          [4, displaced],
          [4, decodeErrorsNow],
          [4, configuration],
          [4, leftOut],
        ],
      },
      {
        height: 8,
        panels: [
          [12, states],
          [6, messages],
          [6, age],
        ],
      },
      {
        height: 8,
        panels: [
          [8, scrapeDuration],
          [8, loopDelay],
          [8, memory],
        ],
      },
    ],
    sections,
    annotations: [
      annotation({
        name: "Configuration taken",
        colour: "blue",
        expression: `changes(albatross_exporter_config_last_reload_success_timestamp_seconds{${EXPORTERS}}[$__rate_interval]) > 0`,
        title: "configuration taken",
        text: "{{instance}}",
        tags: ["instance"],
      }),
    ],
  });
