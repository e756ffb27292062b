import { collectDefaultMetrics } from "prom-client";
import type { Family } from "../exposition/family.ts";
import { Instruments } from "../exposition/promClient.ts";
import type { RowHead } from "../exposition/row.ts";
import type { CollectCounts } from "./collect.ts";
import { millisAsSeconds } from "./numbers.ts";

export interface SelfRow extends Omit<RowHead, "source"> {
  readonly labels?: readonly string[];
  /** left out by `web.disable_exporter_metrics` */
  readonly runtime?: boolean;
}

export const selfRows = {
  buildInfo: {
    name: "albatross_exporter_build_info",
    help: "Always 1; the labels say what is running.",
    labels: ["version", "revision", "nodeversion"],
  },
  reloadSuccessful: {
    name: "albatross_exporter_config_last_reload_successful",
    help: "1 if the configuration was taken the last time it was read, 0 if it was refused and the one before is in use.",
    unit: "0 or 1",
  },
  reloadSuccessTime: {
    name: "albatross_exporter_config_last_reload_success_timestamp_seconds",
    help: "Wall time at which a configuration was last taken.",
  },
  vmsDropped: {
    name: "albatross_exporter_vms_dropped",
    help: "VMs left out of the scrape because there are more than `exporter.max_vms`.",
    unit: "VMs",
  },
  duplicateSeries: {
    name: "albatross_exporter_duplicate_series_total",
    help: "Series left out of scrapes because a device or stat before them on the same VM has an equal label.",
  },
  logLinesLost: {
    name: "albatross_exporter_log_lines_lost_total",
    help: "Lines of the log that were lost because nobody read it, or because it had no room.",
    unit: "lines",
    runtime: true,
  },
  scrapeSeconds: {
    name: "albatross_exporter_scrape_duration_seconds",
    type: "histogram",
    help: "Time from a scrape's request to the last byte of its response, for those answered whole.",
    runtime: true,
  },
  scrapeSeries: {
    name: "albatross_exporter_scrape_series",
    help: "Series in the last scrape that was answered whole.",
    runtime: true,
  },
  scrapes: {
    name: "albatross_exporter_scrapes_total",
    help: "Scrapes by outcome: ok; timeout, cut because not taken within `web.write_timeout` or Prometheus' scrape timeout if shorter; aborted by the client; rejected, 503 because `web.max_requests` were being served; error.",
    labels: ["outcome"],
    runtime: true,
  },
  streamClientsDropped: {
    name: "albatross_exporter_stream_clients_dropped_total",
    help: "Clients of /api/v1/stream that were cut because they did not keep up.",
    unit: "clients",
    runtime: true,
  },
  responsesCut: {
    name: "albatross_exporter_responses_cut_total",
    help: "Responses cut because their client did not take them within `web.write_timeout` (Prometheus' scrape timeout if shorter), or asked for too much at once on one connection; `route` is `/metrics` wherever the metrics are, `/groups` for the page of a group, `other` where there is nothing.",
    labels: ["route"],
    unit: "responses",
    runtime: true,
  },
  authFailures: {
    name: "albatross_exporter_auth_failures_total",
    help: "Requests refused because of a wrong user or password; those without any, with which browsers begin, do not count.",
    unit: "requests",
    runtime: true,
  },
} satisfies Record<string, SelfRow>;

/** Gauges of prom-client's whose names end in `_total`, which `promtool check metrics` refuses. */
const BADLY_NAMED = ["handles", "requests", "resources"].map((what) => `nodejs_active_${what}_total`);

/** What prom-client tells of the event loop's delays since the scrape before. */
const LOOP_DELAYS = /^nodejs_eventloop_lag_(?:min|max|mean|stddev|p50|p90|p99)_seconds$/;
const MEAN_LOOP_DELAY = "nodejs_eventloop_lag_mean_seconds";

/** From a small host's millisecond to the scrape timeout that Prometheus has by default. */
const SCRAPE_SECONDS_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10];

const SCRAPE_OUTCOMES = ["ok", "timeout", "aborted", "rejected", "error"] as const;

/** How a scrape ended; what it took counts when it was answered whole. */
export interface ScrapeResult {
  readonly outcome: (typeof SCRAPE_OUTCOMES)[number];
  readonly durationSeconds: number;
  readonly series: number;
}

export class SelfMetrics implements CollectCounts {
  /** what the program is and how it was configured: served at all times */
  readonly #program = new Instruments();
  /** how the program does: left out by `web.disable_exporter_metrics` */
  readonly #runtime = new Instruments();

  readonly #reloadSuccessful = this.#program.gauge(selfRows.reloadSuccessful);
  readonly #reloadSuccessTime = this.#program.gauge(selfRows.reloadSuccessTime);
  readonly #vmsDropped = this.#program.gauge(selfRows.vmsDropped);
  readonly #duplicateSeries = this.#program.counter(selfRows.duplicateSeries);
  readonly #logLinesLost = this.#runtime.counter(selfRows.logLinesLost);
  readonly #scrapeSeconds = this.#runtime.histogram(selfRows.scrapeSeconds, SCRAPE_SECONDS_BUCKETS);
  readonly #scrapeSeries = this.#runtime.gauge(selfRows.scrapeSeries);
  readonly #scrapes = this.#runtime.counter(selfRows.scrapes);
  readonly #streamClientsDropped = this.#runtime.counter(selfRows.streamClientsDropped);
  readonly #responsesCut = this.#runtime.counter(selfRows.responsesCut);
  readonly #authFailures = this.#runtime.counter(selfRows.authFailures);
  #loopDelays: readonly Family[] = [];

  constructor({ version, revision }: { version: string; revision: string | null }) {
    const build = { version, revision: revision ?? "", nodeversion: process.versions.node };
    this.#program.gauge(selfRows.buildInfo).set(build, 1);
    for (const outcome of SCRAPE_OUTCOMES) this.#scrapes.inc({ outcome }, 0);
    collectDefaultMetrics({ register: this.#runtime.registry });
    for (const name of BADLY_NAMED) this.#runtime.registry.removeSingleMetric(name);
  }

  configRead(taken: boolean, wallMs: number): void {
    this.#reloadSuccessful.set(taken ? 1 : 0);
    if (taken) this.#reloadSuccessTime.set(millisAsSeconds(wallMs));
  }

  vmsDropped(vms: number): void {
    this.#vmsDropped.set(vms);
  }

  duplicateSeries(series: number): void {
    this.#duplicateSeries.inc(series);
  }

  logLinesLost(lines: number): void {
    this.#logLinesLost.reset();
    this.#logLinesLost.inc(lines);
  }

  finished({ outcome, durationSeconds, series }: ScrapeResult): void {
    this.#scrapes.inc({ outcome });
    if (outcome !== "ok") return;
    this.#scrapeSeconds.observe(durationSeconds);
    this.#scrapeSeries.set(series);
  }

  streamDropped(): void {
    this.#streamClientsDropped.inc();
  }

  responsesCut(route: string, responses: number): void {
    this.#responsesCut.inc({ route }, responses);
  }

  authFailed(): void {
    this.#authFailures.inc();
  }

  /** `runtime: false` is `web.disable_exporter_metrics`. */
  async families({ runtime }: { runtime: boolean }): Promise<Family[]> {
    const program = await this.#program.families();
    return runtime ? [...program, ...(await this.#runtimeFamilies())] : program;
  }

  /** The event loop's delays are of the last scrape that found any: of none prom-client makes NaN and 292 years. */
  async #runtimeFamilies(): Promise<Family[]> {
    const families = await this.#runtime.families();
    const mean = await this.#runtime.registry.getSingleMetric(MEAN_LOOP_DELAY)?.get();
    const isMeasured = mean?.values.every(({ value }) => !Number.isNaN(value)) ?? false;
    if (isMeasured) this.#loopDelays = families.filter(({ name }) => LOOP_DELAYS.test(name));
    return [...families.filter(({ name }) => !LOOP_DELAYS.test(name)), ...this.#loopDelays];
  }
}
