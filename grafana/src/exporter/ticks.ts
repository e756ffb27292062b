/** The scaler's evaluations as a whole. */
import { dashed, graph } from "../shared/panels.ts";
import { BY_EXPORTER, EXPORTERS } from "../shared/selectors.ts";

export const tickLag = graph(
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

export const tickDuration = graph(
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
        `histogram_quantile(0.9, sum by (${BY_EXPORTER}, le) (rate(albatross_scaler_tick_duration_seconds_bucket{${EXPORTERS}}[5m])))`,
        "{{instance}} p90",
      ],
    ],
  },
  { min: 0 },
);

export const tickAge = graph(
  {
    title: "Last tick",
    means:
      "How long ago the scaler last evaluated its groups: a saw that rises to the poll_interval (dashed). Before the first evaluation there is no line.",
    todo: "Rises further: the scaler stands still. Restart the exporter and report it.",
    unit: "s",
    decimals: 0,
    colours: ["green", [180, "red"]],
    queries: [
      [`time() - (albatross_scaler_last_tick_timestamp_seconds{${EXPORTERS}} > 0)`, "{{instance}}"],
      [`albatross_scaler_poll_interval_seconds{${EXPORTERS}}`, "{{instance}} poll_interval"],
    ],
    overrides: [dashed("/poll_interval$/")],
  },
  { min: 0 },
);

export const stateFile = graph(
  {
    title: "State file",
    means:
      "Writes of the scaler's state file per minute, those that failed, files found damaged or unreadable at a start, and failures of the decision log.",
    todo: "Failures: disk full or the directory is not the service's. Until it is written, a restart would begin from an older state.",
    unit: "cpm",
    decimals: 1,
    colours: ["green"],
    queries: [
      [`60 * rate(albatross_scaler_state_writes_total{${EXPORTERS}}[5m])`, "{{instance}} written"],
      [`60 * rate(albatross_scaler_state_write_failures_total{${EXPORTERS}}[5m])`, "{{instance}} failed"],
      [`albatross_scaler_state_damaged_total{${EXPORTERS}}`, "{{instance}} found damaged"],
      [`1 - albatross_scaler_state_ok{${EXPORTERS}}`, "{{instance}} cannot be read"],
      [
        `60 * rate(albatross_scaler_decision_log_write_failures_total{${EXPORTERS}}[5m])`,
        "{{instance}} decision log failed",
      ],
    ],
  },
  { min: 0 },
);
