/** A trace through the fleet and the scaler's rules, on a clock that the trace moves. */

import type { Clock } from "../clock.ts";
import type { ScalerConfig } from "../config/types.ts";
import { Fleet } from "../fleet/fleet.ts";
import { Rules } from "../scaler/rules/tick.ts";
import type { Evaluation } from "../scaler/rules/types.ts";
import { FleetSource } from "../scaler/sources/fleet.ts";
import type { TraceEvent } from "../trace/reader.ts";
import { HostIntervals } from "./intervals.ts";

/** `poll`: at the first sample's time + k x poll_interval; `trace`: where the trace says that the scaler ticked. */
export type TickMode = "poll" | "trace";

export interface ReplayTick {
  /** wall time of the tick */
  readonly timeMs: number;
  readonly evaluations: readonly Evaluation[];
}

/** One run of the rules over the events of a trace, from an empty state. Touches no file. */
export class Replay {
  readonly #config: ScalerConfig;
  readonly #mode: TickMode;
  readonly #onTick: (tick: ReplayTick) => void;
  readonly #fleet: Fleet;
  readonly #source: FleetSource;
  readonly #rules: Rules;
  readonly #intervals = new HostIntervals();
  readonly #clock: { nowUs: number; startMs: number | null } = { nowUs: 0, startMs: null };
  #firstSampleMs: number | null = null;
  #lastSampleMs = 0;
  #nextPollMs = Number.POSITIVE_INFINITY;
  #dueTicks: number[] = [];
  #samples = 0;

  /** `onTick` is told of each tick as the trace reaches it. */
  constructor(config: ScalerConfig, mode: TickMode, onTick: (tick: ReplayTick) => void) {
    this.#config = config;
    this.#mode = mode;
    this.#onTick = onTick;
    const clock: Clock = {
      nowUs: () => this.#clock.nowUs,
      wallMs: () => (this.#clock.startMs ?? 0) + this.#clock.nowUs / 1000,
      after: () => () => undefined,
    };
    this.#fleet = new Fleet({ clock, deathTimeoutMs: config.defaults.deathTimeoutMs });
    this.#source = new FleetSource(this.#fleet);
    this.#rules = new Rules(config);
  }

  get samples(): number {
    return this.#samples;
  }

  /** Wall times of the first and the last sample; null before the first. */
  get span(): { readonly fromMs: number; readonly toMs: number } | null {
    return this.#firstSampleMs === null ? null : { fromMs: this.#firstSampleMs, toMs: this.#lastSampleMs };
  }

  /** Takes in the next event of the trace, after the ticks that fell before it. A sample at a tick's very time belongs to it. */
  take(event: TraceEvent): void {
    this.#ticksBefore(event.timeMs);
    switch (event.kind) {
      case "sample":
        this.#sample(event);
        break;
      case "info":
        this.#start(event.timeMs);
        this.#moveTo(event.timeMs);
        this.#fleet.recordInfo(event.host, event.entries, this.#clock.nowUs);
        break;
      case "connection":
        this.#fleet.setLive(event.host, event.up);
        if (event.up) this.#intervals.reconnected(event.host);
        break;
      case "tick":
        if (this.#mode === "trace" && this.#dueTicks.at(-1) !== event.timeMs)
          this.#dueTicks.push(event.timeMs);
        break;
    }
  }

  /** Runs the ticks that are left once the trace has ended: up to the last sample's time, or all that the trace recorded. */
  end(): void {
    if (this.#firstSampleMs === null) return;
    this.#ticksBefore(this.#mode === "trace" ? Number.POSITIVE_INFINITY : this.#lastSampleMs + 1);
  }

  #ticksBefore(timeMs: number): void {
    if (this.#mode === "trace") {
      for (let next = this.#dueTicks[0]; next !== undefined && next < timeMs; next = this.#dueTicks[0]) {
        this.#dueTicks.shift();
        this.#tick(next);
      }
      return;
    }
    while (this.#nextPollMs < timeMs) {
      this.#tick(this.#nextPollMs);
      this.#nextPollMs += this.#config.pollIntervalMs;
    }
  }

  #tick(timeMs: number): void {
    // a recorded tick before the first sample had VMs to look at that the trace does not know
    if (this.#firstSampleMs === null) return;
    this.#moveTo(timeMs);
    const { nowUs } = this.#clock;
    const observations = this.#source.observeNow({
      nowUs,
      wallMs: (this.#clock.startMs ?? 0) + nowUs / 1000,
      firstSampleUs: this.#usAt(this.#firstSampleMs),
      groupOf: (name) => this.#rules.groupOf(name),
    });
    const evaluations = this.#rules.tick(observations, nowUs);
    this.#onTick({ timeMs, evaluations });
  }

  #sample(event: TraceEvent & { kind: "sample" }): void {
    if (this.#firstSampleMs === null) {
      this.#start(event.timeMs);
      this.#firstSampleMs = event.timeMs;
      this.#nextPollMs = event.timeMs + this.#config.pollIntervalMs;
    }
    this.#samples += 1;
    this.#lastSampleMs = event.timeMs;
    this.#moveTo(event.timeMs);
    const { host, name, stats, timeMs } = event;
    const { nowUs } = this.#clock;
    const intervalUs = this.#intervals.sample(host, name, nowUs);
    this.#fleet.record({ host, name, stats, arrivalUs: nowUs, arrivalWallMs: timeMs, intervalUs });
  }

  /** Monotonic time begins with the trace. */
  #start(timeMs: number): void {
    this.#clock.startMs ??= timeMs;
  }

  #moveTo(timeMs: number): void {
    this.#clock.nowUs = this.#usAt(timeMs);
  }

  #usAt(timeMs: number): number {
    return Math.round((timeMs - (this.#clock.startMs ?? timeMs)) * 1000);
  }
}
