/** What the groups of a trace needed, read from their members' samples. */
import { Fleet } from "../fleet/fleet.ts";
import type { Group } from "../fleet/types.ts";
import type { TraceEvent } from "../trace/reader.ts";
import type { Load } from "./player.ts";
import { HostIntervals } from "./replay.ts";

/** A group's load as it was recorded. */
export interface RecordedLoad extends Load {
  /** CPUs of all members that there were */
  readonly capacity: number;
}

/** Loads that hold from the step before until this time; of a group without one nothing is known. */
export interface DemandStep {
  readonly untilMs: number;
  readonly loads: readonly RecordedLoad[];
}

/**
 * Members that use this much of what they have could not get more: on Linux CPU time comes in steps of 10 ms, and samples
 * arrive some milliseconds early or late.
 */
const FULL_PERCENT = 99;

/** albatross-stats sends all VMs of a host one after the other; what follows later than this is the next round. */
const ROUND_INTERVALS = 0.75;

/** The demand of one host's groups, step by step: a step is a round of samples, and ends with its last one. */
export class HostDemand {
  readonly #fleet: Fleet;
  readonly #intervals = new HostIntervals();
  readonly #onStep: (step: DemandStep) => void;
  readonly #startMs: number;
  #nowMs: number;
  #roundMs: number | null = null;
  #lastMs = 0;

  constructor(startMs: number, deathTimeoutMs: number, onStep: (step: DemandStep) => void) {
    this.#startMs = startMs;
    this.#nowMs = startMs;
    this.#onStep = onStep;
    const clock = {
      nowUs: () => this.#usAt(this.#nowMs),
      wallMs: () => this.#nowMs,
      after: () => () => undefined,
    };
    this.#fleet = new Fleet({ clock, deathTimeoutMs });
  }

  /** Takes in the next event of the host. */
  take(event: TraceEvent): void {
    const { timeMs } = event;
    switch (event.kind) {
      case "sample": {
        const { host, name, stats } = event;
        const arrivalUs = this.#usAt(timeMs);
        const intervalUs = this.#intervals.sample(host, name, arrivalUs);
        if (this.#roundMs !== null && timeMs - this.#roundMs >= (ROUND_INTERVALS * intervalUs) / 1000)
          this.end();
        this.#nowMs = timeMs;
        this.#roundMs ??= timeMs;
        this.#lastMs = timeMs;
        this.#fleet.record({ host, name, stats, arrivalUs, arrivalWallMs: timeMs, intervalUs });
        break;
      }
      case "info":
        this.#nowMs = timeMs;
        this.#fleet.recordInfo(event.host, event.entries, this.#usAt(timeMs));
        break;
      case "connection":
        if (event.up) this.#intervals.reconnected(event.host);
        break;
      case "tick":
        break;
    }
  }

  /** Ends the round that has begun. */
  end(): void {
    if (this.#roundMs === null) return;
    const roundUs = this.#usAt(this.#roundMs);
    this.#roundMs = null;
    const at = { nowUs: this.#usAt(this.#lastMs), wallMs: this.#lastMs };
    const groups = this.#fleet.snapshot({ staleAfterUs: () => Number.POSITIVE_INFINITY, at }).groups();
    const loads = groups.flatMap((group) => loadOf(group, roundUs) ?? []);
    this.#onStep({ untilMs: this.#lastMs, loads });
  }

  #usAt(timeMs: number): number {
    return Math.round((timeMs - this.#startMs) * 1000);
  }
}

/** By the members heard in a round; null while the primary is not measured: what its clones use then is not all. */
function loadOf({ host, path, group, members }: Group, roundUs: number): RecordedLoad | null {
  const heard = members.flatMap(({ record }) =>
    record.sample !== null && record.sample.arrivalUs >= roundUs ? [record] : [],
  );
  const primary = heard.find(({ cloneId }) => cloneId === 0);
  if (primary === undefined || primary.usagePercent === null || primary.cpus === null) return null;
  let demand = 0;
  let capacity = 0;
  let isFull = true;
  for (const record of heard) {
    const cpus = record.cpus ?? primary.cpus;
    capacity += cpus;
    demand += (cpus * (record.usagePercent ?? 0)) / 100;
    if (record.usagePercent === null || record.usagePercent < FULL_PERCENT) isFull = false;
  }
  const cloneIds = heard.flatMap(({ cloneId }) => (cloneId > 0 ? [cloneId] : []));
  return { host, path, group, demand: isFull ? capacity : demand, capacity, cpus: primary.cpus, cloneIds };
}
