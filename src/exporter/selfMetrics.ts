/** The exporter's own metrics: every instrument without a VM or group label is prom-client's. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Family } from "../exposition/family.ts";
import { familiesFromRegistry } from "../exposition/promClient.ts";
import type { CollectCounts } from "./collect.ts";
import { millisAsSeconds } from "./numbers.ts";

/** Gauges whose names end in `_total`, which `promtool check metrics` refuses. */
const BADLY_NAMED = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/** From a small host's millisecond to the scrape timeout that Prometheus has by default. */
const SCRAPE_SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10];

export interface SelfMetricsOptions {
  readonly version: string;
}

export class SelfMetrics implements CollectCounts {
  /** served at all times: what the program is and how it was configured */
  readonly #program = new Registry();
  /** left out by `web.disable_exporter_metrics`: how the program does */
  readonly #runtime = new Registry();

  readonly #reloadSuccessful: Gauge;
  readonly #reloadTime: Gauge;
  readonly #vmsDropped: Gauge;
  readonly #duplicates: Counter;
  readonly #scrapeSeconds: Histogram;
  readonly #scrapeSeries: Gauge;
  readonly #timeouts: Counter;
  readonly #rejected: Counter;

  constructor({ version }: SelfMetricsOptions) {
    const program = { registers: [this.#program] };
    const runtime = { registers: [this.#runtime] };
    new Gauge({
      name: "albatross_exporter_build_info",
      help: "Always 1; the labels say what is running.",
      labelNames: ["version", "nodeversion"],
      ...program,
    }).set({ version, nodeversion: process.version }, 1);
    this.#reloadSuccessful = new Gauge({
      name: "albatross_exporter_config_last_reload_successful",
      help: "1 if the configuration was taken the last time it was read, 0 if it was refused and an older one is in use.",
      ...program,
    });
    this.#reloadTime = new Gauge({
      name: "albatross_exporter_config_last_reload_success_timestamp_seconds",
      help: "Wall time at which a configuration was last taken.",
      ...program,
    });
    this.#vmsDropped = new Gauge({
      name: "albatross_exporter_vms_dropped",
      help: "VMs left out of the last scrape because there are more than `exporter.max_vms`.",
      ...program,
    });
    this.#duplicates = new Counter({
      name: "albatross_exporter_duplicate_series_total",
      help: "Series left out of scrapes because the same VM had an equal device or stat before.",
      ...program,
    });
    this.#scrapeSeconds = new Histogram({
      name: "albatross_exporter_scrape_duration_seconds",
      help: "Time from a scrape's request to the last byte of its response.",
      buckets: SCRAPE_SECONDS,
      ...runtime,
    });
    this.#scrapeSeries = new Gauge({
      name: "albatross_exporter_scrape_series",
      help: "Series in the last complete scrape.",
      ...runtime,
    });
    this.#timeouts = new Counter({
      name: "albatross_exporter_scrape_timeouts_total",
      help: "Responses cut off because they were not taken within `web.write_timeout` or Prometheus' scrape timeout.",
      ...runtime,
    });
    this.#rejected = new Counter({
      name: "albatross_exporter_scrapes_rejected_total",
      help: "Scrapes answered 503 because `web.max_requests` were being served.",
      ...runtime,
    });
    collectDefaultMetrics({ register: this.#runtime });
    for (const name of BADLY_NAMED) this.#runtime.removeSingleMetric(name);
  }

  /** A configuration was read at `wallMs` and taken, or refused. */
  configRead(taken: boolean, wallMs: number): void {
    this.#reloadSuccessful.set(taken ? 1 : 0);
    if (taken) this.#reloadTime.set(millisAsSeconds(wallMs));
  }

  vmsDropped(vms: number): void {
    this.#vmsDropped.set(vms);
  }

  duplicateSeries(series: number): void {
    this.#duplicates.inc(series);
  }

  /** A scrape was answered whole. */
  scrapeServed(durationSeconds: number, series: number): void {
    this.#scrapeSeconds.observe(durationSeconds);
    this.#scrapeSeries.set(series);
  }

  scrapeTimedOut(): void {
    this.#timeouts.inc();
  }

  scrapeRejected(): void {
    this.#rejected.inc();
  }

  /** The families as they stand. `runtime: false` is `web.disable_exporter_metrics`. */
  async families({ runtime }: { runtime: boolean }): Promise<Family[]> {
    const program = await familiesFromRegistry(this.#program);
    return runtime ? [...program, ...(await familiesFromRegistry(this.#runtime))] : program;
  }
}
