/** What the exporter says about itself, without VM or group labels; prom-client holds the figures. */
export interface SelfRow {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  readonly unit: string;
  /** left out by `web.disable_exporter_metrics` */
  readonly runtime: boolean;
}

export const selfRows = {
  buildInfo: {
    name: "albatross_exporter_build_info",
    type: "gauge",
    help: "Always 1; the labels say what is running.",
    labels: ["version", "revision", "nodeversion"],
    unit: "1",
    runtime: false,
  },
  reloadSuccessful: {
    name: "albatross_exporter_config_last_reload_successful",
    type: "gauge",
    help: "1 if the configuration was taken the last time it was read, 0 if it was refused and the one before is in use.",
    labels: [],
    unit: "0 or 1",
    runtime: false,
  },
  reloadSuccessTime: {
    name: "albatross_exporter_config_last_reload_success_timestamp_seconds",
    type: "gauge",
    help: "Wall time at which a configuration was last taken.",
    labels: [],
    unit: "seconds",
    runtime: false,
  },
  vmsDropped: {
    name: "albatross_exporter_vms_dropped",
    type: "gauge",
    help: "VMs left out of the scrape because there are more than `exporter.max_vms`.",
    labels: [],
    unit: "VMs",
    runtime: false,
  },
  duplicateSeries: {
    name: "albatross_exporter_duplicate_series_total",
    type: "counter",
    help: "Series left out of scrapes because a device or stat before them on the same VM has an equal label.",
    labels: [],
    unit: "series",
    runtime: false,
  },
  scrapeSeconds: {
    name: "albatross_exporter_scrape_duration_seconds",
    type: "histogram",
    help: "Time from a scrape's request to the last byte of its response, for those answered whole.",
    labels: [],
    unit: "seconds",
    runtime: true,
  },
  scrapeSeries: {
    name: "albatross_exporter_scrape_series",
    type: "gauge",
    help: "Series in the last scrape that was answered whole.",
    labels: [],
    unit: "series",
    runtime: true,
  },
  scrapes: {
    name: "albatross_exporter_scrapes_total",
    type: "counter",
    help: "Scrapes by outcome: ok; timeout, cut because not taken within `web.write_timeout` or Prometheus' scrape timeout if shorter; aborted by the client; rejected, 503 because `web.max_requests` were being served; error.",
    labels: ["outcome"],
    unit: "scrapes",
    runtime: true,
  },
  streamClientsDropped: {
    name: "albatross_exporter_stream_clients_dropped_total",
    type: "counter",
    help: "Clients of /api/v1/stream that were cut because they did not keep up.",
    labels: [],
    unit: "clients",
    runtime: true,
  },
} as const satisfies Record<string, SelfRow>;
