import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Family } from "../exposition/family.ts";
import { promClientFamilies } from "../exposition/promClient.ts";
import type { CollectCounts } from "./collect.ts";
import { millisAsSeconds } from "./numbers.ts";
import { type SelfRow, selfRows } from "./selfTable.ts";

/** Gauges of prom-client's default set whose names end in `_total`, which `promtool check metrics` refuses. */
const BADLY_NAMED = [
  "nodejs_active_handles_total",
  "nodejs_active_requests_total",
  "nodejs_active_resources_total",
];

/** From a small host's millisecond to the scrape timeout that Prometheus has by default. */
const SCRAPE_SECONDS_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10];

/** The exporter's own metrics: every instrument without a VM or group label is prom-client's. */
export class SelfMetrics implements CollectCounts {
  /** what the program is and how it was configured: served at all times */
  readonly #program = new Registry();
  /** how the program does: left out by `web.disable_exporter_metrics` */
  readonly #runtime = new Registry();

  readonly #reloadSuccessful = new Gauge(this.#about(selfRows.reloadSuccessful));
  readonly #reloadSuccessTime = new Gauge(this.#about(selfRows.reloadSuccessTime));
  readonly #vmsDropped = new Gauge(this.#about(selfRows.vmsDropped));
  readonly #duplicateSeries = new Counter(this.#about(selfRows.duplicateSeries));
  readonly #scrapeSeconds = new Histogram({
    ...this.#about(selfRows.scrapeSeconds),
    buckets: SCRAPE_SECONDS_BUCKETS,
  });
  readonly #scrapeSeries = new Gauge(this.#about(selfRows.scrapeSeries));
  readonly #scrapeTimeouts = new Counter(this.#about(selfRows.scrapeTimeouts));
  readonly #scrapesRejected = new Counter(this.#about(selfRows.scrapesRejected));

  constructor({ version }: { version: string }) {
    new Gauge(this.#about(selfRows.buildInfo)).set({ version, nodeversion: process.version }, 1);
    collectDefaultMetrics({ register: this.#runtime });
    for (const name of BADLY_NAMED) this.#runtime.removeSingleMetric(name);
  }

  /** A configuration was read at `wallMs`, and taken or refused. */
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

  /** A scrape was answered whole. */
  scrapeServed(durationSeconds: number, series: number): void {
    this.#scrapeSeconds.observe(durationSeconds);
    this.#scrapeSeries.set(series);
  }

  /** A response was cut because it was not taken in time. */
  scrapeTimedOut(): void {
    this.#scrapeTimeouts.inc();
  }

  /** A scrape was answered 503. */
  scrapeRejected(): void {
    this.#scrapesRejected.inc();
  }

  /** The families as they stand. `runtime: false` is `web.disable_exporter_metrics`. */
  async families({ runtime }: { runtime: boolean }): Promise<Family[]> {
    const program = await promClientFamilies(this.#program);
    return runtime ? [...program, ...(await promClientFamilies(this.#runtime))] : program;
  }

  #about({ name, help, labels, runtime }: SelfRow) {
    return { name, help, labelNames: labels, registers: [runtime ? this.#runtime : this.#program] };
  }
}
