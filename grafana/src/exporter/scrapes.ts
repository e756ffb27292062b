/** How the exporter answers Prometheus. */
import { figure, graph } from "../shared/panels.ts";
import { BY_EXPORTER, EXPORTERS, RATE } from "../shared/selectors.ts";

export const leftOut = figure({
  title: "VMs left out",
  means: "VMs that are not served because there are more than `exporter.max_vms`.",
  todo: "Raise max_vms or exclude VMs by name. Groups and decisions see all VMs in any case.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "orange"]],
  queries: [[`sum(albatross_exporter_vms_dropped{${EXPORTERS}})`, "VMs"]],
});

/** Quantiles of a histogram of the exporter's. */
function quantile(q: number, metric: string): string {
  return `histogram_quantile(${q}, sum by (${BY_EXPORTER}, le) (rate(${metric}_bucket{${EXPORTERS}}${RATE})))`;
}

export const scrapeDuration = graph(
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

export const scrapeSize = graph(
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

export const scrapes = graph(
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
        `60 * sum by (${BY_EXPORTER}, outcome) (rate(albatross_exporter_scrapes_total{${EXPORTERS}}${RATE}))`,
        "{{instance}} {{outcome}}",
      ],
    ],
  },
  { stacked: true, min: 0 },
);

export const losses = graph(
  {
    title: "Left out and cut off",
    means:
      "Series per second that were left out because an equal one came first, responses that were cut because nobody took them, clients of the stream that did not keep up, and logins that were refused.",
    todo: "Series: two devices of a VM have one name. Responses: the log names the client. Clients: `record` runs on a machine that is too slow. Logins: the log names the client.",
    unit: "cps",
    decimals: 2,
    colours: ["green"],
    queries: [
      [
        `rate(albatross_exporter_duplicate_series_total{${EXPORTERS}}${RATE})`,
        "{{instance}} series left out",
      ],
      [
        `sum by (${BY_EXPORTER}, route) (rate(albatross_exporter_responses_cut_total{${EXPORTERS}}${RATE}))`,
        "{{instance}} responses cut of {{route}}",
      ],
      [
        `rate(albatross_exporter_stream_clients_dropped_total{${EXPORTERS}}${RATE})`,
        "{{instance}} clients cut off",
      ],
      [`rate(albatross_exporter_auth_failures_total{${EXPORTERS}}${RATE})`, "{{instance}} logins refused"],
    ],
  },
  { min: 0 },
);
