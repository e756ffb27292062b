/** What the groups of a trace needed, read from their members' samples. */
import type { ScalerConfig } from "../config/scaler.ts";
import type { Group } from "../fleet/types.ts";
import { type GroupName, type GroupPolicy, groupKey } from "../scaler/rules/types.ts";
import { asksForLoad } from "../scaler/sources/promql.ts";
import type { TraceEvent } from "../trace/reader.ts";
import type { Load } from "./player.ts";
import { monotonicUs, TraceFleet } from "./traceFleet.ts";

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

export interface HostDemandOptions {
  readonly config: ScalerConfig;
  /** by which a group's demand is CPU usage or the answer of a query */
  readonly policyOf: (group: GroupName) => GroupPolicy | null;
  readonly onStep: (step: DemandStep) => void;
  /** told of groups whose policy asks for a load of which there is no answer yet */
  readonly onWithoutLoad: (group: GroupName) => void;
}

/** The demand of one host's groups, step by step: a step is a round of samples, and ends with its last one. */
export class HostDemand {
  readonly #trace: TraceFleet;
  readonly #options: HostDemandOptions;
  #roundMs: number | null = null;
  #lastMs = 0;

  constructor(options: HostDemandOptions) {
    this.#options = options;
    this.#trace = new TraceFleet(options.config);
  }

  /** Takes in the next event of the host. */
  take(event: TraceEvent): void {
    const { timeMs } = event;
    this.#trace.take(event, (intervalUs) => {
      const isOver =
        this.#roundMs !== null && timeMs - this.#roundMs >= (ROUND_INTERVALS * intervalUs) / 1000;
      if (isOver) this.end();
      this.#roundMs ??= timeMs;
      this.#lastMs = timeMs;
    });
  }

  /** Ends the round that has begun. */
  end(): void {
    if (this.#roundMs === null) return;
    const roundUs = monotonicUs(this.#roundMs);
    this.#roundMs = null;
    const at = { nowUs: monotonicUs(this.#lastMs), wallMs: this.#lastMs };
    const groups = this.#trace.fleet.snapshot({ staleAfterUs: () => Number.POSITIVE_INFINITY, at }).groups();
    const loads = groups.flatMap((group) => this.#loadOf(group, roundUs) ?? []);
    this.#options.onStep({ untilMs: this.#lastMs, loads });
  }

  /** Of a group that asks for its load what was answered, in the query's unit, as its members' capacity is then. */
  #loadOf(group: Group, roundUs: number): RecordedLoad | null {
    const policy = this.#options.policyOf(group);
    if (!asksForLoad(policy)) return loadOf(group, roundUs);
    const answer = this.#trace.loadAt(groupKey(group), this.#lastMs);
    if (answer === null) this.#options.onWithoutLoad(group);
    if (answer?.outcome !== "ok") return null;
    const { host, path, group: name } = group;
    const { cloneIds, members } = heardIn(group, roundUs);
    const cpus = policy.load.capacityPerMember;
    return { host, path, group: name, demand: answer.value, capacity: members.length * cpus, cpus, cloneIds };
  }
}

function heardIn({ members }: Group, roundUs: number) {
  const heard = members.flatMap(({ record }) =>
    record.sample !== null && record.sample.arrivalUs >= roundUs ? [record] : [],
  );
  return { members: heard, cloneIds: heard.flatMap(({ cloneId }) => (cloneId > 0 ? [cloneId] : [])) };
}

/** By the members heard in a round; null while the primary is not measured: what its clones use then is not all. */
function loadOf(known: Group, roundUs: number): RecordedLoad | null {
  const { host, path, group } = known;
  const { members: heard, cloneIds } = heardIn(known, roundUs);
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
  return { host, path, group, demand: isFull ? capacity : demand, capacity, cpus: primary.cpus, cloneIds };
}
