/** A trace through the fleet and the scaler's rules, on a clock that the trace moves. */
import { StatsInterval } from "../client/interval.ts";
import type { Clock } from "../clock.ts";
import { Fleet } from "../fleet/fleet.ts";
import { type DecisionJson, decisionJson } from "../scaler/report/json.ts";
import { Transitions } from "../scaler/report/log.ts";
import { Rules } from "../scaler/rules/tick.ts";
import { type GroupKey, groupKey, type LoadAnswer, type Observation } from "../scaler/rules/types.ts";
import { FleetSource } from "../scaler/sources/fleet.ts";
import { asksForLoad } from "../scaler/sources/promql.ts";
import type { TraceEvent } from "../trace/reader.ts";
import { formatName, type Name } from "../wire/names.ts";
import { type RunResult, Summariser } from "./output.ts";
import type { Variant } from "./variants.ts";

export interface ReplayOptions {
  /** `poll`: at the first sample's time + k x poll_interval; `trace`: where the trace says that the scaler ticked */
  readonly ticks: "poll" | "trace";
  /** every evaluation, not only scale decisions and changes of hold */
  readonly all: boolean;
}

/** One run of the rules over the events of a trace, from an empty state. Touches no file. */
export class Replay {
  readonly #variant: Variant;
  readonly #options: ReplayOptions;
  readonly #onDecision: (decision: DecisionJson) => void;
  readonly #fleet: Fleet;
  readonly #source: FleetSource;
  readonly #rules: Rules;
  readonly #intervals = new HostIntervals();
  readonly #transitions = new Transitions();
  readonly #summariser = new Summariser();
  readonly #loads = new RecordedLoads();
  readonly #withoutLoad = new Set<string>();
  readonly #clock: Clock = {
    nowUs: () => this.#nowUs,
    wallMs: () => (this.#startMs ?? 0) + this.#nowUs / 1000,
    after: () => () => undefined,
  };
  /** monotonic time begins with the trace */
  #nowUs = 0;
  #startMs: number | null = null;
  #firstSampleMs: number | null = null;
  #lastSampleMs = 0;
  #lastTickMs: number | null = null;
  #nextPollMs = Number.POSITIVE_INFINITY;
  #dueTicks: number[] = [];
  #ticks = 0;
  #skippedTicks = 0;
  #evaluations = 0;
  samples = 0;

  /** `onDecision` is told of each decision as the trace reaches it. */
  constructor(variant: Variant, options: ReplayOptions, onDecision: (decision: DecisionJson) => void) {
    this.#variant = variant;
    this.#options = options;
    this.#onDecision = onDecision;
    this.#fleet = new Fleet({ clock: this.#clock, deathTimeoutMs: variant.config.defaults.deathTimeoutMs });
    this.#source = new FleetSource(this.#fleet);
    this.#rules = new Rules(variant.config);
  }

  /** Takes in the next event of the trace, after the ticks that fell before it. A sample at a tick's very time belongs to it. */
  take(event: TraceEvent): void {
    const { timeMs } = event;
    this.#ticksBefore(timeMs);
    switch (event.kind) {
      case "sample":
        this.#sample(event);
        break;
      case "info":
        this.#moveTo(timeMs);
        this.#fleet.recordInfo(event.host, event.entries, this.#nowUs);
        break;
      case "connection":
        this.#fleet.setLive(event.host, event.up);
        if (event.up) this.#intervals.reconnected(event.host);
        break;
      case "load":
        this.#loads.take(event);
        break;
      case "tick":
        if (this.#options.ticks === "trace" && this.#dueTicks.at(-1) !== timeMs) this.#dueTicks.push(timeMs);
        break;
    }
  }

  /** Runs the ticks that are left once the trace has ended: up to the last sample's time, or all that the trace recorded. */
  end(skippedLines: number): RunResult {
    const isEmpty = this.#firstSampleMs === null;
    if (!isEmpty) {
      this.#ticksBefore(this.#options.ticks === "trace" ? Number.POSITIVE_INFINITY : this.#lastSampleMs + 1);
    }
    const summary = this.#summariser.summary({
      from: this.#firstSampleMs === null ? null : new Date(this.#firstSampleMs).toISOString(),
      to: isEmpty ? null : new Date(this.#lastSampleMs).toISOString(),
      samples: this.samples,
      skipped_lines: skippedLines,
    });
    return {
      set: this.#variant.set,
      ticks: this.#ticks,
      skippedTicks: this.#skippedTicks,
      withoutLoad: [...this.#withoutLoad],
      evaluations: this.#evaluations,
      summary,
    };
  }

  #ticksBefore(timeMs: number): void {
    if (this.#options.ticks === "trace") {
      for (let next = this.#dueTicks[0]; next !== undefined && next < timeMs; next = this.#dueTicks[0]) {
        this.#dueTicks.shift();
        this.#tick(next);
      }
      return;
    }
    const { pollIntervalMs } = this.#variant.config;
    while (this.#nextPollMs < timeMs) {
      const isAnyone = this.#tick(this.#nextPollMs);
      this.#nextPollMs += pollIntervalMs;
      if (isAnyone) continue;
      // nobody will be there before the next event: the last tick before it stands for all until then
      const between = Math.max(0, Math.ceil((timeMs - this.#nextPollMs) / pollIntervalMs) - 1);
      this.#skippedTicks += between;
      this.#nextPollMs += between * pollIntervalMs;
    }
  }

  /** Evaluates all groups. False when there is none. */
  #tick(timeMs: number): boolean {
    // a recorded tick before the first sample had VMs to look at that the trace does not know
    if (this.#firstSampleMs === null) return false;
    this.#moveTo(timeMs);
    const observations = this.#source.observeNow({
      nowUs: this.#nowUs,
      wallMs: this.#clock.wallMs(),
      firstSampleUs: this.#usAt(this.#firstSampleMs),
      groupOf: (name) => this.#rules.groupOf(name),
    });
    const windowMs = timeMs - (this.#lastTickMs ?? this.#firstSampleMs);
    this.#lastTickMs = timeMs;
    const isAnyone = observations.length > 0;
    if (isAnyone) this.#ticks += 1;
    else this.#skippedTicks += 1;
    const known = observations.flatMap((observation) => this.#withLoad(observation, timeMs));
    for (const evaluation of this.#rules.tick(known, this.#nowUs)) {
      this.#evaluations += 1;
      this.#summariser.add(evaluation, windowMs);
      const isTransition = this.#transitions.isTransition(evaluation);
      if (isTransition || this.#options.all) this.#onDecision(decisionJson(evaluation, timeMs));
    }
    return isAnyone;
  }

  /** A group that asks for its load as it was answered; left out while the trace has no answer. */
  #withLoad(observation: Observation, timeMs: number): Observation[] {
    if (!asksForLoad(this.#rules.groupOf(observation, observation.key).policy)) return [observation];
    const load = this.#loads.at(observation.key, timeMs);
    if (load !== null) return [{ ...observation, load }];
    const { host, path, group } = observation;
    this.#withoutLoad.add(`${host} ${path}:${group}`);
    return [];
  }

  #sample({ timeMs, host, name, stats }: TraceEvent & { kind: "sample" }): void {
    if (this.#firstSampleMs === null) {
      this.#firstSampleMs = timeMs;
      this.#nextPollMs = timeMs + this.#variant.config.pollIntervalMs;
    }
    this.samples += 1;
    this.#lastSampleMs = timeMs;
    this.#moveTo(timeMs);
    const arrivalUs = this.#nowUs;
    const intervalUs = this.#intervals.sample(host, name, arrivalUs);
    this.#fleet.record({ host, name, stats, arrivalUs, arrivalWallMs: timeMs, intervalUs });
  }

  #moveTo(timeMs: number): void {
    this.#startMs ??= timeMs;
    this.#nowUs = this.#usAt(timeMs);
  }

  #usAt(timeMs: number): number {
    return Math.round((timeMs - (this.#startMs ?? timeMs)) * 1000);
  }
}

/** So long an answer stands for those that were not recorded: as a sample does for Prometheus. */
const LOAD_HOLDS_MS = 5 * 60_000;

/** The answers of a trace, for ticks at other times than the recorded ones, too. */
export class RecordedLoads {
  readonly #newest = new Map<GroupKey, TraceEvent & { kind: "load" }>();

  take(event: TraceEvent & { kind: "load" }): void {
    this.#newest.set(groupKey(event), event);
  }

  /** The last answer for a group up to now; null where there has been none. */
  at(key: GroupKey, timeMs: number): LoadAnswer | null {
    const newest = this.#newest.get(key);
    if (newest === undefined) return null;
    if (newest.value === null) return { outcome: "no_sample", text: "no load was recorded" };
    if (timeMs - newest.timeMs <= LOAD_HOLDS_MS) return { outcome: "ok", value: newest.value };
    return { outcome: "stale", text: "no load was recorded for long" };
  }
}

interface HostInterval {
  readonly interval: StatsInterval;
  /** when it was last asked for, and what it was then */
  atUs: number;
  us: number;
}

/** The stats interval of each host, learnt from its samples as the running program learns it. */
export class HostIntervals {
  readonly #hosts = new Map<string, HostInterval>();

  /** Takes note of a sample. What comes back is the interval to judge it by, in µs. */
  sample(host: string, name: Name, arrivalUs: number): number {
    let known = this.#hosts.get(host);
    if (known === undefined) {
      known = { interval: new StatsInterval("auto"), atUs: Number.NEGATIVE_INFINITY, us: 0 };
      this.#hosts.set(host, known);
    }
    known.interval.message(formatName(name), arrivalUs);
    // samples of one time are of one burst: the first of them ends the burst before
    if (known.atUs !== arrivalUs) {
      known.atUs = arrivalUs;
      known.us = known.interval.sampleUs;
    }
    return known.us;
  }

  /** Another connection may lead to a daemon with another interval. */
  reconnected(host: string): void {
    this.#hosts.delete(host);
  }
}
