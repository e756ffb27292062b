/** How the exporter hears from its hosts. */
import { dashed, figure, graph, timeline } from "../shared/panels.ts";
import { BY_HOST, HOSTS, ofExporter, RATE } from "../shared/selectors.ts";
import { subscriptionMappings, subscriptionNumbers } from "../shared/states.ts";

const LEGEND = ofExporter("{{host}} {{subscription}}");

const BY_SUBSCRIPTION = `${BY_HOST}, subscription`;

export const receiving = figure(
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

export const displaced = figure({
  title: "Displaced or blocked",
  means:
    "Subscriptions that another client has taken, or that must not be opened because a unikernel has the path's own name.",
  todo: "Displaced: albatross-influx or mollymawk takes the same one; subscribe to paths instead. Blocked: rename the unikernel.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "red"]],
  queries: [
    [`sum(albatross_stats_subscription_state{${HOSTS},state=~"displaced|blocked"})`, "subscriptions"],
  ],
});

export const decodeErrorsNow = figure({
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

export const states = timeline({
  title: "Subscriptions over time",
  means: "The state of each subscription to a host's statistics.",
  todo: "Waiting to connect again for long: albatross-stats does not run or its socket may not be opened. Displaced: another client takes it.",
  unit: "none",
  decimals: 0,
  colours: ["text"],
  mappings: subscriptionMappings,
  queries: [[`max by (${BY_SUBSCRIPTION}) (${subscriptionNumbers(HOSTS)})`, LEGEND]],
});

export const messages = graph(
  {
    title: "Messages",
    means: "Statistics messages per second: each VM sends one in each stats interval.",
    todo: "Falls to 0 with VMs running: see the state of the subscription.",
    unit: "mps",
    decimals: 2,
    colours: ["green"],
    queries: [
      [`sum by (${BY_SUBSCRIPTION}) (rate(albatross_stats_messages_total{${HOSTS}}${RATE}))`, LEGEND],
    ],
  },
  { min: 0 },
);

export const age = graph(
  {
    title: "Last message",
    means:
      "How long ago the last message came, and the time between two samples of a VM as configured or learnt (dashed).",
    todo: "Far above the dashed line: nothing comes. No line: nothing has ever come.",
    unit: "s",
    decimals: 0,
    colours: ["green"],
    queries: [
      [
        `min by (${BY_SUBSCRIPTION}) (time() - albatross_stats_last_message_timestamp_seconds{${HOSTS}})`,
        LEGEND,
      ],
      [`max by (${BY_SUBSCRIPTION}) (albatross_stats_interval_seconds{${HOSTS}})`, `${LEGEND} interval`],
    ],
    overrides: [dashed("/ interval$/")],
  },
  { min: 0 },
);

export const decodeErrors = graph(
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
        `sum by (${BY_SUBSCRIPTION}, reason) (rate(albatross_stats_decode_errors_total{${HOSTS}}${RATE})) > 0`,
        `${LEGEND} {{reason}}`,
      ],
    ],
    noValue: "no errors",
  },
  { min: 0 },
);

export const connections = graph(
  {
    title: "Connections made and ended",
    means: "Connections to stat.sock made (above) and ended (below) around each moment, those by why.",
    todo: "closed again and again: another client takes the subscription. watchdog: the daemon forgot the subscriber. refused, timeout: it does not run.",
    unit: "none",
    decimals: 0,
    colours: ["green"],
    queries: [
      [
        `round(sum by (${BY_SUBSCRIPTION}) (increase(albatross_stats_connects_total{${HOSTS}}${RATE})))`,
        `${LEGEND} made`,
      ],
      [
        `round(sum by (${BY_SUBSCRIPTION}, reason) (increase(albatross_stats_disconnects_total{${HOSTS}}${RATE}))) * -1 < 0`,
        `${LEGEND} {{reason}}`,
      ],
    ],
  },
  { bars: true, interval: "1m" },
);

export const bytes = graph(
  {
    title: "Bytes read",
    means: "What is read from stat.sock per second.",
    todo: "A message is some 450 bytes. Much more for the same messages: VMs with many devices.",
    unit: "Bps",
    decimals: 1,
    colours: ["green"],
    queries: [[`sum by (${BY_SUBSCRIPTION}) (rate(albatross_stats_bytes_total{${HOSTS}}${RATE}))`, LEGEND]],
  },
  { min: 0 },
);

export const certificates = graph({
  title: "Certificates expire in",
  means:
    "How long the certificates are still valid with which hosts are reached by TLS: by file, or server for the host's own.",
  todo: "Less than two weeks: have another issued. It is read when it lies in place of the old one.",
  unit: "s",
  decimals: 0,
  colours: ["green"],
  queries: [
    [
      `min by (${BY_HOST}, certificate) (albatross_target_certificate_not_after_timestamp_seconds{${HOSTS}} - time())`,
      ofExporter("{{host}} {{certificate}}"),
    ],
  ],
  noValue: "no host by TLS",
});
