import { StatsInterval } from "../client/interval.ts";
import type { ScalerConfig } from "../config/scaler.ts";
import { Fleet } from "../fleet/fleet.ts";
import { type GroupKey, groupKey, type LoadAnswer } from "../scaler/rules/types.ts";
import type { TraceEvent } from "../trace/reader.ts";
import { formatName, type Name } from "../wire/names.ts";

/** So long an answer stands for those that were not recorded: as a sample does for Prometheus, and until the next. */
const LOAD_HOLDS_MS = 5 * 60_000;

interface HostInterval {
  readonly interval: StatsInterval;
  /** when it was last asked for, and what it was then */
  atUs: number;
  us: number;
}

/** What a trace has told of its hosts up to now, on a clock that the trace moves. */
export class TraceFleet {
  readonly fleet: Fleet;
  /** wall time; monotonic time is the same */
  nowMs = 0;
  /** learnt from each host's samples, as the running program learns it */
  readonly #intervals = new Map<string, HostInterval>();
  /** the last answer for each group */
  readonly #loads = new Map<GroupKey, TraceEvent & { kind: "load" }>();

  readonly #loadHoldsMs: number;

  constructor({ pollIntervalMs, defaults: { deathTimeoutMs } }: ScalerConfig) {
    this.#loadHoldsMs = Math.max(LOAD_HOLDS_MS, pollIntervalMs);
    const clock = {
      nowUs: () => monotonicUs(this.nowMs),
      wallMs: () => this.nowMs,
      after: () => () => undefined,
    };
    this.fleet = new Fleet({ clock, deathTimeoutMs });
  }

  /** Takes in the next event. `beforeSample` is told of the stats interval that a sample is judged by, in µs. */
  take(event: TraceEvent, beforeSample: (intervalUs: number) => void = () => undefined): void {
    const { timeMs } = event;
    const nowUs = monotonicUs(timeMs);
    this.nowMs = timeMs;
    switch (event.kind) {
      case "sample": {
        const { host, name, stats } = event;
        const intervalUs = this.#interval(host, name, nowUs);
        beforeSample(intervalUs);
        this.fleet.record({ host, name, stats, arrivalUs: nowUs, arrivalWallMs: timeMs, intervalUs });
        break;
      }
      case "info":
        this.fleet.recordInfo(event.host, event.entries, nowUs);
        break;
      case "connection":
        this.fleet.setLive(event.host, event.up);
        // another connection may lead to a daemon with another interval
        if (event.up) this.#intervals.delete(event.host);
        break;
      case "load":
        this.#loads.set(groupKey(event), event);
        break;
      case "tick":
        break;
    }
  }

  /** The last answer for a group, also at times that were not recorded; null where there has been none. */
  loadAt(key: GroupKey, timeMs: number): LoadAnswer | null {
    const newest = this.#loads.get(key);
    if (newest === undefined) return null;
    if (newest.value === null) return { outcome: "no_sample", text: "no load was recorded" };
    if (timeMs - newest.timeMs <= this.#loadHoldsMs) return { outcome: "ok", value: newest.value };
    return { outcome: "stale", text: "no load was recorded for long" };
  }

  #interval(host: string, name: Name, arrivalUs: number): number {
    let known = this.#intervals.get(host);
    if (known === undefined) {
      known = { interval: new StatsInterval("auto"), atUs: Number.NEGATIVE_INFINITY, us: 0 };
      this.#intervals.set(host, known);
    }
    known.interval.message(formatName(name), arrivalUs);
    // samples of one time are of one burst: the first of them ends the burst before
    if (known.atUs !== arrivalUs) {
      known.atUs = arrivalUs;
      known.us = known.interval.sampleUs;
    }
    return known.us;
  }
}

/** Of a time of the trace. */
export function monotonicUs(timeMs: number): number {
  return timeMs * 1000;
}
