/** The fleet's samples as observations: each VM's rate since the previous tick. */
import { type Core, HostCores, isStarved } from "../../fleet/cores.ts";
import { clampPercent } from "../../fleet/counters.ts";
import type { Fleet } from "../../fleet/fleet.ts";
import { MOST_HOST_CPUS } from "../../fleet/hostVms.ts";
import type {
  CpuPoint,
  ExpectedVm,
  FleetSnapshot,
  Group,
  GroupMember,
  MemberState,
  VmIdentity,
  VmRecord,
} from "../../fleet/types.ts";
import { pinsOf } from "../../fleet/vm.ts";
import type { Name } from "../../wire/names.ts";
import type {
  GroupKey,
  GroupName,
  GroupState,
  MemberObservation,
  Observation,
  ObservedState,
  Source,
  Tick,
} from "../rules/types.ts";

export interface Reading extends CpuPoint {
  readonly cloneId: number;
}

/** What a tick leaves for the next one. */
export interface Bases {
  /** monotonic time of that tick; null before the first */
  readonly tickUs: number | null;
  /** where the next windows begin, by group */
  readonly readings: ReadonlyMap<GroupKey, readonly Reading[]>;
  /** by VM, how many ticks a clone that was decided to go has missed */
  readonly missedTicks: ReadonlyMap<string, number>;
}

export const NO_BASES: Bases = { tickUs: null, readings: new Map(), missedTicks: new Map() };

/** A clone that was decided to go is gone after so many ticks at which its primary was heard. */
export const MISSED_TICKS_UNTIL_GONE = 2;

export function vmKey({ host, fullName }: Pick<VmIdentity, "host" | "fullName">): string {
  return `${host}\n${fullName}`;
}

export function groupOfVm({ host, path, primary }: Pick<VmIdentity, "host" | "path" | "primary">): GroupName {
  return { host, path, group: primary };
}

/** A VM that was alive when the program last ran, as the state file knows it. */
export interface ExpectedMember {
  readonly host: string;
  readonly name: Name;
  readonly before: ExpectedVm;
  /** heard before the last tick: the others were missing, gone or never heard */
  readonly isAwaited: boolean;
}

/** What an earlier run of the program knew of the fleet. */
export interface FleetBefore {
  readonly bases: Bases;
  readonly expected: readonly ExpectedMember[];
  /** by host, when the last unikernel info that was answered was asked for */
  readonly infoAskedUs: ReadonlyMap<string, number>;
}

/** What the state file keeps of the fleet. Immutable. */
export interface FleetMemory {
  readonly bases: Bases;
  readonly snapshot: FleetSnapshot;
}

/** The fleet as a source of observations, and what of it outlives the process. */
export class FleetSource implements Source {
  readonly #fleet: Fleet;
  #bases = NO_BASES;
  #snapshot: FleetSnapshot;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    this.#snapshot = this.#now();
  }

  /** Puts to use what an earlier run of the program knew, before the first tick. */
  restore({ bases, expected, infoAskedUs }: FleetBefore): void {
    this.#bases = bases;
    for (const [host, askedUs] of infoAskedUs) this.#fleet.expectInfo(host, askedUs);
    for (const { host, name, before } of expected) this.#fleet.expect(host, name, before);
  }

  /** Drops the readings of a host that the fleet has forgotten. */
  forgetHost(host: string): void {
    const { tickUs, readings, missedTicks } = this.#bases;
    const isKept = ([key]: readonly [string, unknown]) => !key.startsWith(`${host}\n`);
    this.#bases = {
      tickUs,
      readings: new Map([...readings].filter(isKept)),
      missedTicks: new Map([...missedTicks].filter(isKept)),
    };
    this.#snapshot = this.#now();
  }

  /** All groups, where VMs have come since the last tick; none otherwise. */
  newGroups(): readonly GroupName[] {
    return this.#fleet.sizes.vms === this.#snapshot.vms.length ? [] : this.groups();
  }

  groups(): readonly Group[] {
    return this.#now().groups();
  }

  /** VMs that an earlier run heard and that are neither heard nor found gone. */
  get unheard(): number {
    return this.#fleet.sizes.unheard;
  }

  get memory(): FleetMemory {
    return { bases: this.#bases, snapshot: this.#snapshot };
  }

  /** With what has been heard since the last tick. */
  get newestMemory(): FleetMemory {
    return { bases: this.#bases, snapshot: this.#now() };
  }

  isLive(host: string): boolean {
    return this.#fleet.isLive(host);
  }

  /** The VMs of a host that were heard by the last tick. */
  vmsOf(host: string): readonly VmRecord[] {
    return this.#snapshot.vms.filter((vm) => vm.host === host);
  }

  async observe(tick: Tick): Promise<readonly Observation[]> {
    return this.observeNow(tick);
  }

  /** The same at once, for a clock that does not wait. */
  observeNow(tick: Tick): readonly Observation[] {
    this.#snapshot = this.#now(tick);
    const input = { snapshot: this.#snapshot, bases: this.#bases, ...tick };
    const { observations, gone, bases } = observeFleet(input);
    this.#bases = bases;
    if (gone.length > 0) {
      this.#fleet.letGo(gone, tick.nowUs);
      this.#snapshot = this.#now(tick);
    }
    return observations;
  }

  /** The scaler shows no stale VMs, so nothing is stale in its snapshots. */
  #now(at?: Tick): FleetSnapshot {
    return this.#fleet.snapshot({ staleAfterUs: () => Number.POSITIVE_INFINITY, ...(at && { at }) });
  }
}

export interface ObserveInput extends Pick<Tick, "firstSampleUs" | "groupOf"> {
  readonly snapshot: FleetSnapshot;
  readonly bases: Bases;
}

/** What holds for all members of a group at one tick. */
interface TickFacts {
  readonly snapshot: FleetSnapshot;
  readonly bases: Bases;
  readonly windowUs: number;
  readonly warmupMs: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** One observation per group of the snapshot, at the snapshot's time. Pure. */
export function observeFleet({ snapshot, bases, firstSampleUs, groupOf }: ObserveInput) {
  const { nowUs } = snapshot;
  const windowUs = nowUs - (bases.tickUs ?? firstSampleUs);
  const hosts = new Map(snapshot.hosts.map(({ host, live }) => [host, { live, cores: new HostCores() }]));
  const readings = new Map<GroupKey, readonly Reading[]>();
  const missedTicks = new Map<string, number>();
  // clones on the way out: what is heard of them from now on is of other incarnations
  const gone: VmIdentity[] = [];
  const observations: Mutable<Observation>[] = [];
  const pinned: { readonly member: Mutable<MemberObservation>; readonly cores: readonly Core[] }[] = [];

  for (const { host, path, group, members: known } of snapshot.groups()) {
    const { key, policy, state } = groupOf({ host, path, group });
    const { live = false, cores } = hosts.get(host) ?? {};
    const facts = { snapshot, bases, windowUs, warmupMs: policy?.warmupPeriodMs ?? 0 };
    const leaving = clonesLeaving(state, Math.floor(nowUs / 1000));
    const readingsBefore = bases.readings.get(key);
    const after: Reading[] = [];
    const members: MemberObservation[] = [];
    let isPrimaryHeard = false;
    let highestListedId = 0;
    let primary: Observation["primary"] = null;
    for (const { record, state, cloneId } of known) {
      const base = readingsBefore?.find((reading) => reading.cloneId === cloneId);
      const usagePercent = usageOf(record, state, base, facts);
      const observed = stateOf(record, state, usagePercent, facts);
      const member: Mutable<MemberObservation> = {
        vm: record.vm,
        cloneId,
        state: observed,
        usagePercent: observed === "fresh" ? usagePercent : null,
        starved: false,
      };
      const reading = newestReading(record, base);
      if (reading !== undefined) after.push(reading);
      if (cloneId === 0 && record.sample !== null) primary = record.info;
      if (record.listed && cloneId > highestListedId) highestListedId = cloneId;
      const pins = record.sample === null ? record.pins : pinsOf(record);
      if (pins !== null && cores !== undefined) {
        // what a VM takes in its warm-up is taken, too
        const own = cores.take(pins, usagePercent);
        if (member.usagePercent !== null) pinned.push({ member, cores: own });
      }
      const isHeard = record.sample !== null && (member.state === "fresh" || member.state === "warming");
      if (isHeard) {
        // the primary comes first
        if (cloneId === 0) isPrimaryHeard = true;
        members.push(member);
        continue;
      }
      const isLeaving = leaving.includes(cloneId);
      // one that only info knows of is warming, too: it is not missed yet
      const isMissed = isLeaving && isPrimaryHeard && member.state !== "warming";
      const before = bases.missedTicks.get(vmKey(record)) ?? 0;
      const missed = before + (isMissed ? 1 : 0);
      // it stays gone until it is heard again or only info still knows it
      const isGone = missed >= MISSED_TICKS_UNTIL_GONE && (isLeaving || member.state !== "silent");
      if (!isGone) members.push(member);
      else if (record.sample !== null || record.heardUs !== null) gone.push(record);
      // of one that info does not list either nothing is left
      if (isGone ? record.listed : isLeaving && missed > 0) missedTicks.set(vmKey(record), missed);
    }
    readings.set(key, after);
    if (members.length === 0) continue;
    observations.push({
      key,
      host,
      path,
      group,
      hostLive: live,
      members,
      highestListedId,
      primary,
      leastUsedCpu: null,
      load: null,
    });
  }

  // what a core's VMs use of it together is known now
  for (const { member, cores } of pinned) member.starved = isStarved(cores);
  const leastUsed = new Map(Array.from(hosts, ([host, { cores }]) => [host, cores.leastUsed()]));
  for (const observation of observations) observation.leastUsedCpu = leastUsed.get(observation.host) ?? null;
  return { observations, gone, bases: { tickUs: nowUs, readings, missedTicks } };
}

/** Ids of the clones that were decided to go. */
function clonesLeaving({ tombstones, outstanding }: GroupState, nowMs: number): readonly number[] {
  const ids = tombstones.filter(({ untilMs }) => nowMs < untilMs).map(({ cloneId }) => cloneId);
  return outstanding?.decision === "scale_down" ? [...ids, outstanding.cloneId] : ids;
}

/** Percent of its CPUs that a VM used over its window; null where there is none. */
function usageOf(
  record: GroupMember["record"],
  state: MemberState,
  base: CpuPoint | undefined,
  { bases, windowUs }: TickFacts,
): number | null {
  if (record.sample === null || state === "silent") return null;
  const { cpuUs, cpus } = record;
  const { arrivalUs } = record.sample;
  const isMissing = bases.tickUs !== null && arrivalUs <= bases.tickUs;
  const start = windowStart(record, base);
  if (isMissing || start === null || cpuUs === null || cpus === null) return null;
  const elapsedUs = arrivalUs - start.arrivalUs;
  if (elapsedUs <= 0 || elapsedUs * 2 < windowUs) return null;
  return clampPercent((100 * (cpuUs - start.cpuUs)) / elapsedUs / cpus);
}

function stateOf(
  record: GroupMember["record"],
  state: MemberState,
  usagePercent: number | null,
  { snapshot, bases, warmupMs }: TickFacts,
): ObservedState {
  if (record.sample === null || state === "silent") return state;
  if (bases.tickUs !== null && record.sample.arrivalUs <= bases.tickUs) return "missing";
  const isYoung = warmupMs > 0 && ageMs(record, snapshot) < warmupMs;
  return usagePercent === null || isYoung ? "warming" : "fresh";
}

/** The VM's reading at the previous tick, or the first sample that rates may begin at. */
export function windowStart(record: VmRecord, base: CpuPoint | undefined): CpuPoint | null {
  const { rateStart } = record;
  if (base === undefined || rateStart === null) return rateStart;
  if (base.arrivalUs >= rateStart.arrivalUs) return base;
  return record.isResumed && canFollow(base, rateStart, pinsOf(record)?.cpus ?? null) ? base : rateStart;
}

/** Whether one VM can have got from one reading to the next; samples come unevenly. */
function canFollow(base: CpuPoint, next: CpuPoint, cpus: number | null): boolean {
  const usedUs = next.cpuUs - base.cpuUs;
  const most = cpus === null ? MOST_HOST_CPUS : 2 * cpus;
  return usedUs >= 0 && usedUs <= most * (next.arrivalUs - base.arrivalUs);
}

/** Info's `started` may be so far from the first sample of a VM that was seen to start. */
const MAX_UNSEEN_MS = 3_600_000;

/** By the samples, or by info's `started` if that is longer ago and can be. */
export function ageMs(
  { startedMs, firstSeenUs, startSeen }: Pick<VmRecord, "startedMs" | "firstSeenUs" | "startSeen">,
  { nowUs, wallMs }: Pick<FleetSnapshot, "nowUs" | "wallMs">,
): number {
  const seenMs = (nowUs - firstSeenUs) / 1000;
  const startedAgoMs = wallMs - (startedMs ?? wallMs);
  return startSeen && startedAgoMs > seenMs + MAX_UNSEEN_MS ? seenMs : Math.max(seenMs, startedAgoMs);
}

/** The newest usable sample of its incarnation. */
function newestReading(record: GroupMember["record"], before: Reading | undefined): Reading | undefined {
  if (record.sample === null) return before;
  const { cloneId, cpuUs, rateStart, sample } = record;
  return cpuUs !== null && rateStart !== null ? { cloneId, cpuUs, arrivalUs: sample.arrivalUs } : before;
}
