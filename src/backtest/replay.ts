/** A trace through the fleet and the scaler's rules, on a clock that the trace moves. */
import type { Stats, UnikernelInfo } from "../albatross/messages.ts";
import type { Clock } from "../clock.ts";
import type { ScalerConfig } from "../config/types.ts";
import { Fleet } from "../fleet/fleet.ts";
import type { FleetSnapshot } from "../fleet/types.ts";
import { Engine } from "../scaler/engine.ts";
import type { Evaluation } from "../scaler/types.ts";
import type { InfoEvent, SampleEvent, TraceEvent } from "./traceLine.ts";

/** `poll`: at the first sample's time + k x poll_interval; `trace`: where the trace says that the scaler ticked. */
export type TickMode = "poll" | "trace";

export interface ReplayTick {
  /** wall time of the tick */
  readonly timeMs: number;
  readonly evaluations: readonly Evaluation[];
}

/** The scaler never shows stale VMs, so nothing is ever stale for its snapshots. */
const NEVER_STALE = { staleAfterUs: () => Number.POSITIVE_INFINITY };
/** Only the gauge, which the scaler does not read, depends on it. */
const ANY_INTERVAL_US = 10_000_000;

/** One run of the rules over the events of a trace, from an empty state. Touches no file. */
export class Replay {
  readonly #config: ScalerConfig;
  readonly #mode: TickMode;
  readonly #fleet: Fleet;
  readonly #engine: Engine;
  readonly #clock: { nowUs: number; startMs: number | null } = { nowUs: 0, startMs: null };
  #firstSampleMs: number | null = null;
  #lastSampleMs = 0;
  #nextPollMs = Number.POSITIVE_INFINITY;
  #dueTicks: number[] = [];
  #samples = 0;

  constructor(config: ScalerConfig, mode: TickMode) {
    this.#config = config;
    this.#mode = mode;
    const clock: Clock = {
      nowUs: () => this.#clock.nowUs,
      wallMs: () => (this.#clock.startMs ?? 0) + this.#clock.nowUs / 1000,
      after: () => () => undefined,
    };
    this.#fleet = new Fleet({ clock, deathTimeoutMs: config.defaults.deathTimeoutMs });
    this.#engine = new Engine(config);
  }

  get samples(): number {
    return this.#samples;
  }

  /** Wall times of the first and the last sample; null before the first. */
  get span(): { readonly fromMs: number; readonly toMs: number } | null {
    return this.#firstSampleMs === null ? null : { fromMs: this.#firstSampleMs, toMs: this.#lastSampleMs };
  }

  /** Takes in the next event of the trace; gives the ticks that fell before it. A sample at a tick's very time belongs to it. */
  *take(event: TraceEvent): Generator<ReplayTick> {
    yield* this.#ticksBefore(event.timeMs);
    switch (event.kind) {
      case "sample":
        this.#sample(event);
        break;
      case "info":
        this.#info(event);
        break;
      case "tick":
        if (this.#mode === "trace" && this.#dueTicks.at(-1) !== event.timeMs)
          this.#dueTicks.push(event.timeMs);
        break;
    }
  }

  /** The ticks that are left once the trace has ended: up to the last sample's time, or all that the trace recorded. */
  *end(): Generator<ReplayTick> {
    if (this.#firstSampleMs === null) return;
    yield* this.#ticksBefore(this.#mode === "trace" ? Number.POSITIVE_INFINITY : this.#lastSampleMs + 1);
  }

  *#ticksBefore(timeMs: number): Generator<ReplayTick> {
    if (this.#mode === "trace") {
      for (const tickMs of this.#dueTicks.filter((t) => t < timeMs)) yield this.#tick(tickMs);
      this.#dueTicks = this.#dueTicks.filter((t) => t >= timeMs);
      return;
    }
    while (this.#nextPollMs < timeMs) {
      yield this.#tick(this.#nextPollMs);
      this.#nextPollMs += this.#config.pollIntervalMs;
    }
  }

  #tick(timeMs: number): ReplayTick {
    this.#moveTo(timeMs);
    const snapshot: FleetSnapshot = this.#fleet.snapshot(NEVER_STALE);
    return { timeMs, evaluations: this.#engine.tick(snapshot, this.#usAt(this.#firstSampleMs ?? timeMs)) };
  }

  #sample(event: SampleEvent): void {
    if (this.#firstSampleMs === null) {
      this.#start(event.timeMs);
      this.#firstSampleMs = event.timeMs;
      this.#nextPollMs = event.timeMs + this.#config.pollIntervalMs;
    }
    this.#samples += 1;
    this.#lastSampleMs = event.timeMs;
    this.#moveTo(event.timeMs);
    const { host, name, timeMs } = event;
    this.#fleet.record(host, name, statsOf(event), this.#clock.nowUs, timeMs, ANY_INTERVAL_US);
  }

  #info({ timeMs, host, vms }: InfoEvent): void {
    this.#start(timeMs);
    this.#moveTo(timeMs);
    const entries = vms.map(({ name, cpus, startedMs }) => ({ name, info: infoOf(cpus, startedMs) }));
    this.#fleet.recordInfo(host, entries, this.#clock.nowUs);
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

const NO_COUNTERS = {
  maxrss: 0,
  ixrss: 0,
  idrss: 0,
  isrss: 0,
  majflt: 0,
  nswap: 0,
  inblock: 0,
  outblock: 0,
  msgsnd: 0,
  msgrcv: 0,
  nsignals: 0,
  nivcsw: 0,
};

/** What the fleet needs of a sample to tell CPU usage and restarts. */
function statsOf({ utimeSec, utimeUsec, stimeSec, stimeUsec, minflt, nvcsw }: SampleEvent): Stats {
  return {
    rusage: { utimeSec, utimeUsec, stimeSec, stimeUsec, ...NO_COUNTERS, minflt, nvcsw },
    kinfoMem: null,
    vmm: null,
    ifdata: [],
  };
}

function infoOf(numcpus: number, startedMs: number | null): UnikernelInfo {
  return {
    typ: "solo5",
    startup: null,
    failBehaviour: { type: "quit" },
    cpuids: [],
    memory: 0,
    digest: new Uint8Array(),
    blockDevices: [],
    bridges: [],
    argv: null,
    startedMs,
    numcpus,
    linuxBootPartition: null,
  };
}
