import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Family } from "../exposition/family.ts";
import { promClientFamilies } from "../exposition/promClient.ts";
import type { RowHead } from "../exposition/row.ts";
import type { StateFileCounts } from "./stateFile.ts";

/** What the scaler says about itself as a whole; prom-client holds the figures. */
export const instrumentRows = {
  tickSeconds: {
    name: "albatross_scaler_tick_duration_seconds",
    type: "histogram",
    help: "Time that an evaluation of all groups took.",
    source: "the ticker",
    unit: "seconds",
  },
  tickLag: {
    name: "albatross_scaler_tick_lag_seconds",
    type: "gauge",
    help: "How long after its time the last evaluation of all groups began.",
    source: "the ticker",
    unit: "seconds",
  },
  lastTick: {
    name: "albatross_scaler_last_tick_timestamp_seconds",
    type: "gauge",
    help: "Wall time of the last evaluation of all groups; 0 before the first.",
    source: "the ticker",
    unit: "seconds",
  },
  stateWrites: {
    name: "albatross_scaler_state_writes_total",
    type: "counter",
    help: "State files written.",
    source: "the state file",
    unit: "files",
  },
  stateWriteFailures: {
    name: "albatross_scaler_state_write_failures_total",
    type: "counter",
    help: "State files that could not be written. After a restart the last one that could counts.",
    source: "the state file",
    unit: "files",
  },
  stateDamaged: {
    name: "albatross_scaler_state_damaged_total",
    type: "counter",
    help: "State files found damaged at the start and set aside; the scaler then started afresh.",
    source: "the state file",
    unit: "files",
  },
} as const satisfies Record<string, RowHead>;

/** From a few groups' tenth of a millisecond to a machine that is short of everything. */
const TICK_SECONDS_BUCKETS = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

/** The scaler's instruments without group labels. */
export class Instruments implements StateFileCounts {
  readonly #registry = new Registry();
  readonly #tickSeconds = new Histogram({
    ...this.#about(instrumentRows.tickSeconds),
    buckets: TICK_SECONDS_BUCKETS,
  });
  readonly #tickLag = new Gauge(this.#about(instrumentRows.tickLag));
  readonly #lastTick = new Gauge(this.#about(instrumentRows.lastTick));
  readonly #stateWrites = new Counter(this.#about(instrumentRows.stateWrites));
  readonly #stateWriteFailures = new Counter(this.#about(instrumentRows.stateWriteFailures));
  readonly #stateDamaged = new Counter(this.#about(instrumentRows.stateDamaged));

  ticked({ seconds, lagSeconds, wallMs }: { seconds: number; lagSeconds: number; wallMs: number }): void {
    this.#tickSeconds.observe(seconds);
    this.#tickLag.set(lagSeconds);
    this.#lastTick.set(wallMs / 1000);
  }

  written(): void {
    this.#stateWrites.inc();
  }

  writeFailed(): void {
    this.#stateWriteFailures.inc();
  }

  damaged(): void {
    this.#stateDamaged.inc();
  }

  families(): Promise<Family[]> {
    return promClientFamilies(this.#registry);
  }

  #about({ name, help }: RowHead) {
    return { name, help, registers: [this.#registry] };
  }
}
