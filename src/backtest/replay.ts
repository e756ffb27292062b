/** A trace through the fleet and the scaler's rules, on a clock that the trace moves. */
import { type DecisionJson, decisionJson } from "../scaler/report/json.ts";
import { Transitions } from "../scaler/report/log.ts";
import { Rules } from "../scaler/rules/tick.ts";
import type { Observation } from "../scaler/rules/types.ts";
import { FleetSource } from "../scaler/sources/fleet.ts";
import { asksForLoad } from "../scaler/sources/promql.ts";
import type { TraceEvent } from "../trace/reader.ts";
import { nameOf, type RunResult, Summariser } from "./output.ts";
import { monotonicUs, TraceFleet } from "./traceFleet.ts";
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
  readonly #trace: TraceFleet;
  readonly #source: FleetSource;
  readonly #rules: Rules;
  readonly #transitions = new Transitions();
  readonly #summariser = new Summariser();
  readonly #withoutLoad = new Set<string>();
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
    this.#trace = new TraceFleet(variant.config);
    this.#source = new FleetSource(this.#trace.fleet);
    this.#rules = new Rules(variant.config);
  }

  /** Takes in the next event of the trace, after the ticks that fell before it. A sample at a tick's very time belongs to it. */
  take(event: TraceEvent): void {
    const { timeMs } = event;
    this.#ticksBefore(timeMs);
    this.#trace.take(event);
    if (event.kind === "sample") {
      if (this.#firstSampleMs === null) this.#nextPollMs = timeMs + this.#variant.config.pollIntervalMs;
      this.#firstSampleMs ??= timeMs;
      this.#lastSampleMs = timeMs;
      this.samples += 1;
    }
    const isDue = event.kind === "tick" && this.#options.ticks === "trace";
    if (isDue && this.#dueTicks.at(-1) !== timeMs) this.#dueTicks.push(timeMs);
  }

  /** Runs the ticks that are left once the trace has ended: up to the last sample's time, or all that the trace recorded. */
  end(skippedLines: number): RunResult {
    const first = this.#firstSampleMs;
    if (first !== null)
      this.#ticksBefore(this.#options.ticks === "trace" ? Number.POSITIVE_INFINITY : this.#lastSampleMs + 1);
    const summary = this.#summariser.summary({
      from: first === null ? null : new Date(first).toISOString(),
      to: first === null ? null : new Date(this.#lastSampleMs).toISOString(),
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
    this.#trace.nowMs = timeMs;
    const nowUs = monotonicUs(timeMs);
    const observations = this.#source.observeNow({
      nowUs,
      wallMs: timeMs,
      firstSampleUs: monotonicUs(this.#firstSampleMs),
      groupOf: (name) => this.#rules.groupOf(name),
    });
    const windowMs = timeMs - (this.#lastTickMs ?? this.#firstSampleMs);
    this.#lastTickMs = timeMs;
    const isAnyone = observations.length > 0;
    if (isAnyone) this.#ticks += 1;
    else this.#skippedTicks += 1;
    const known = observations.flatMap((observation) => this.#withLoad(observation, timeMs));
    for (const evaluation of this.#rules.tick(known, nowUs)) {
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
    const load = this.#trace.loadAt(observation.key, timeMs);
    if (load !== null) return [{ ...observation, load }];
    this.#withoutLoad.add(nameOf(observation));
    return [];
  }
}
