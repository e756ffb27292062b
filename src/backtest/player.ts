/**
 * Groups as they would have been: demand goes in, decisions are carried out at once, and what came of it is counted. Time
 * is the trace's; whoever has a demand over time can play, and whatever decides by observations can be played.
 */
import type { ScalerConfig } from "../config/scaler.ts";
import { splitCloneName } from "../fleet/groups.ts";
import { policyLookup, Rules } from "../scaler/rules/tick.ts";
import {
  type GroupKey,
  type GroupName,
  type GroupPolicy,
  groupKey,
  type MemberObservation,
  type Observation,
} from "../scaler/rules/types.ts";

/** What a group had to carry for a while. */
export interface Load extends GroupName {
  /** CPUs that its members needed together or, where the policy asks for a load, that load */
  readonly demand: number;
  /** CPUs of each member or, then, its capacity_per_member */
  readonly cpus: number;
  /** ids of the clones that there were: those that a group begins with, at its first tick */
  readonly cloneIds: readonly number[];
}

/** Ids of the clones that a group gets or loses. */
export interface Change {
  readonly key: GroupKey;
  readonly add: readonly number[];
  readonly remove: readonly number[];
}

/** A group's demand is CPUs where it has no `load`. */
type PlayedSettings = Pick<GroupPolicy, "scaleUpThresholdPercent" | "warmupPeriodMs"> &
  Partial<Pick<GroupPolicy, "load">>;

/** What is played. */
export interface Decider {
  readonly pollIntervalMs: number;
  settingsOf(name: GroupName): PlayedSettings;
  /** At this monotonic time, the groups of one host. */
  decide(observations: readonly Observation[], nowUs: number): readonly Change[];
}

/** The scaler's own rules. Every clone is one that may be removed: the group is played from its first tick on. */
export function ownRules(config: ScalerConfig): Decider {
  const rules = new Rules({
    ...config,
    policies: config.policies.map((policy) => ({ ...policy, adoptClones: true })),
  });
  const policyOf = policyLookup(config);
  return {
    pollIntervalMs: config.pollIntervalMs,
    settingsOf: (name) => policyOf(name) ?? config.defaults,
    decide: (observations, nowUs) =>
      rules.tick(observations, nowUs).flatMap(({ observation: { key }, decision }): Change[] => {
        if (decision.decision === "hold") return [];
        const first = splitCloneName(decision.clone).cloneId;
        const ids = Array.from({ length: decision.step }, (_, i) => first + i);
        return [
          decision.decision === "scale_up" ? { key, add: ids, remove: [] } : { key, add: [], remove: ids },
        ];
      }),
  };
}

const REVERSAL_MS = 30 * 60_000;

/** What came of a group, added up. */
export class Meter {
  saturatedMs = 0;
  overloadMs = 0;
  cloneMs = 0;
  actions = 0;
  /** actions within half an hour after the one before, which was of the other direction */
  reversals = 0;
  mostClones = 0;
  /** from when on there was how much, in CPUs */
  readonly capacities: (readonly [ms: number, cpus: number])[] = [];
  /** how many clones came (or went, below 0) by each action */
  readonly steps: (readonly [ms: number, clones: number])[] = [];

  /** Counts time during which nothing changed. `capacity` is of the members that bear load. */
  pass(
    fromMs: number,
    untilMs: number,
    { demand, capacity, clones }: { demand: number; capacity: number; clones: number },
    upThresholdPercent: number,
  ): void {
    const ms = untilMs - fromMs;
    if (demand >= capacity) this.saturatedMs += ms;
    if (100 * demand > upThresholdPercent * capacity) this.overloadMs += ms;
    this.cloneMs += clones * ms;
    this.mostClones = Math.max(this.mostClones, clones);
    if (this.capacities.at(-1)?.[1] !== capacity) this.capacities.push([fromMs, capacity]);
  }

  /** Counts an action by which so many clones came (or went, below 0). */
  act(atMs: number, clones: number): void {
    this.actions += 1;
    const last = this.steps.at(-1);
    if (last !== undefined && last[1] > 0 !== clones > 0 && atMs - last[0] <= REVERSAL_MS)
      this.reversals += 1;
    this.steps.push([atMs, clones]);
  }

  add(other: Meter): void {
    this.saturatedMs += other.saturatedMs;
    this.overloadMs += other.overloadMs;
    this.cloneMs += other.cloneMs;
    this.actions += other.actions;
    this.reversals += other.reversals;
    this.mostClones = Math.max(this.mostClones, other.mostClones);
  }
}

export interface PlayerOptions {
  readonly decider: Decider;
  /** ticks are at this time and k poll intervals, k from 1 on */
  readonly startMs: number;
  /** from its decision until a clone bears load */
  readonly startDelayMs: number;
}

/** The groups of one host under what `decider` decides. */
export class Player {
  readonly #options: PlayerOptions;
  readonly #groups = new Map<GroupKey, PlayedGroup>();
  #nowMs: number;
  #nextTickMs: number;

  constructor(options: PlayerOptions) {
    this.#options = options;
    this.#nowMs = options.startMs;
    this.#nextTickMs = options.startMs + options.decider.pollIntervalMs;
  }

  /**
   * Plays on until this time, under loads that hold all the while; `untilMs` itself belongs to it. For a group without a
   * load nothing is known of that time, and none of it is counted.
   */
  play(untilMs: number, loads: readonly Load[]): void {
    const loaded = loads.map((load) => ({ load, group: this.#group(load) }));
    while (this.#nowMs < untilMs) {
      const endMs = Math.min(untilMs, this.#nextTickMs);
      for (const { load, group } of loaded) group.pass(this.#nowMs, endMs, load);
      this.#nowMs = endMs;
      if (endMs < this.#nextTickMs) continue;
      this.#tick();
      this.#nextTickMs += this.#options.decider.pollIntervalMs;
      if (loads.length > 0) continue;
      // one tick without any data stands for all until there are some again
      const { pollIntervalMs } = this.#options.decider;
      const skipped = Math.max(0, Math.floor((untilMs - this.#nextTickMs) / pollIntervalMs));
      this.#nextTickMs += skipped * pollIntervalMs;
      this.#nowMs = Math.max(this.#nowMs, this.#nextTickMs - pollIntervalMs);
    }
  }

  /** What came of each group so far. */
  *meters(): Generator<readonly [GroupKey, Meter]> {
    for (const [key, { meter }] of this.#groups) yield [key, meter];
  }

  #tick(): void {
    const { decider, startMs, startDelayMs } = this.#options;
    const nowMs = this.#nowMs;
    const observations = Array.from(this.#groups.values(), (group) => group.observe(nowMs));
    for (const change of decider.decide(observations, Math.round((nowMs - startMs) * 1000))) {
      this.#groups.get(change.key)?.carryOut(change, nowMs, nowMs + startDelayMs);
    }
  }

  #group(name: GroupName): PlayedGroup {
    const key = groupKey(name);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const group = new PlayedGroup(key, name, this.#options.decider.settingsOf(name));
    this.#groups.set(key, group);
    return group;
  }
}

class PlayedGroup {
  readonly meter = new Meter();
  readonly #key: GroupKey;
  readonly #name: GroupName;
  readonly #settings: PlayedSettings;
  #cpus = 1;
  /** before its first tick it has the clones that there were */
  #hasBegun = false;
  /** since when each clone bears load, by id, ascending */
  #clones: { readonly id: number; readonly servesFromMs: number }[] = [];
  /** since the last tick, while the demand was known */
  #demandMs = 0;
  #knownMs = 0;

  constructor(key: GroupKey, { host, path, group }: GroupName, settings: PlayedSettings) {
    this.#key = key;
    this.#name = { host, path, group };
    this.#settings = settings;
  }

  pass(fromMs: number, untilMs: number, { demand, cpus, cloneIds }: Load): void {
    this.#cpus = cpus;
    this.#demandMs += demand * (untilMs - fromMs);
    this.#knownMs += untilMs - fromMs;
    if (!this.#hasBegun) this.#clones = cloneIds.map((id) => ({ id, servesFromMs: fromMs }));
    const clones = this.#clones.length;
    for (let atMs = fromMs; atMs < untilMs; ) {
      const starts = this.#clones.flatMap(({ servesFromMs: ms }) => (ms > atMs && ms < untilMs ? [ms] : []));
      const endMs = Math.min(untilMs, ...starts);
      const capacity = this.#serving(atMs) * cpus;
      this.meter.pass(atMs, endMs, { demand, capacity, clones }, this.#settings.scaleUpThresholdPercent);
      atMs = endMs;
    }
  }

  /** What a source would tell at this tick; the demand is the mean of the time since the last one. */
  observe(nowMs: number): Observation {
    const { path, host, group } = this.#name;
    const { warmupPeriodMs } = this.#settings;
    const isKnown = this.#knownMs > 0;
    if (isKnown && !this.#hasBegun) {
      this.#hasBegun = true;
      // those that were there when it began have long been warm
      this.#clones = this.#clones.map(({ id }) => ({ id, servesFromMs: Number.NEGATIVE_INFINITY }));
    }
    const percent = (100 * this.#demandMs) / this.#knownMs / this.#cpus / this.#serving(nowMs);
    const member = (vm: string, cloneId: number, servesFromMs: number): MemberObservation => {
      const isWarm = nowMs >= servesFromMs + warmupPeriodMs;
      return isKnown && isWarm
        ? { vm, cloneId, state: "fresh", usagePercent: Math.min(100, percent), starved: false }
        : { vm, cloneId, state: isKnown ? "warming" : "missing", usagePercent: null, starved: false };
    };
    const members = [
      member(group, 0, Number.NEGATIVE_INFINITY),
      ...this.#clones.map(({ id, servesFromMs }) => member(`${group}-clone-${id}`, id, servesFromMs)),
    ];
    const load =
      this.#settings.load && isKnown
        ? { outcome: "ok" as const, value: this.#demandMs / this.#knownMs }
        : null;
    const info = { highestListedId: 0, primary: null, leastUsedCpu: null, load };
    this.#demandMs = 0;
    this.#knownMs = 0;
    return { key: this.#key, host, path, group, hostLive: true, members, ...info };
  }

  carryOut({ add, remove }: Change, nowMs: number, servesFromMs: number): void {
    const stay = this.#clones.filter(({ id }) => !remove.includes(id));
    this.#clones = [...stay, ...add.map((id) => ({ id, servesFromMs }))].sort((a, b) => a.id - b.id);
    if (add.length !== remove.length) this.meter.act(nowMs, add.length - remove.length);
  }

  /** The primary and the clones that bear load at this time. */
  #serving(atMs: number): number {
    let count = 1;
    for (const { servesFromMs } of this.#clones) if (servesFromMs <= atMs) count += 1;
    return count;
  }
}
