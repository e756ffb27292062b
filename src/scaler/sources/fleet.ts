/**
 * The fleet's samples as observations: each VM's rate over the window since the previous tick, taken from its own
 * counters. What it remembers of a tick is one counter reading per VM.
 */
import type { Fleet } from "../../fleet/fleet.ts";
import { MOST_HOST_CPUS } from "../../fleet/hostVms.ts";
import type {
  CpuPoint,
  ExpectedVm,
  FleetSnapshot,
  GroupMember,
  MemberState,
  UnheardVm,
  VmIdentity,
  VmRecord,
} from "../../fleet/types.ts";
import { cpusGiven } from "../../fleet/vm.ts";
import type { Name } from "../../wire/names.ts";
import {
  type GroupKey,
  type GroupName,
  type GroupState,
  groupKey,
  type MemberObservation,
  type Observation,
  type ObservedState,
  type Source,
  type Tick,
} from "../rules/types.ts";

/** A VM's newest counter reading at a tick. */
export interface Base extends CpuPoint {
  /** it was taken for gone at that tick (see `isGone`) */
  readonly gone: boolean;
  /** of a reading from the state file only: when that process of the VM had started, null where info did not say */
  readonly startedMs?: number | null;
}

/** Where the windows of the next tick begin. */
export interface Bases {
  /** monotonic time of that tick; null before the first, when windows begin at the first samples */
  readonly tickUs: number | null;
  readonly readings: Readings;
}

/** Readings by group and clone id. */
export type Readings = ReadonlyMap<GroupKey, ReadonlyMap<number, Base>>;

export const NO_BASES: Bases = { tickUs: null, readings: new Map() };

/** The group that a VM is a member of. */
export function groupOfVm({ host, path, primary }: Pick<VmIdentity, "host" | "path" | "primary">): GroupName {
  return { host, path, group: primary };
}

/** A VM that was alive when the program last ran, as the state file knows it. */
export interface ExpectedMember {
  readonly host: string;
  readonly name: Name;
  readonly before: ExpectedVm;
  /** it was heard before the last tick: the others were missing already, or taken for gone */
  readonly isAwaited: boolean;
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
  restore(bases: Bases, expected: readonly ExpectedMember[]): void {
    this.#bases = bases;
    for (const { host, name, before } of expected) this.#fleet.expect(host, name, before);
  }

  /** Drops the readings of a host that the fleet has forgotten. */
  forgetHost(host: string): void {
    const { tickUs, readings } = this.#bases;
    const others = [...readings].filter(([key]) => !key.startsWith(`${host}\n`));
    this.#bases = { tickUs, readings: new Map(others) };
    this.#snapshot = this.#now();
  }

  /** All groups, where VMs have come since the last tick; none otherwise. */
  newGroups(): readonly GroupName[] {
    if (this.#fleet.sizes.vms === this.#snapshot.vms.length) return [];
    return this.#now().groups();
  }

  /** How many of the expected VMs have neither been heard nor been found gone. */
  get unheard(): number {
    return this.#fleet.sizes.unheard;
  }

  /** As of the last tick. */
  get memory(): FleetMemory {
    return { bases: this.#bases, snapshot: this.#snapshot };
  }

  /** With what has been heard since the last tick: VMs that are new, and incarnations that began. */
  get newestMemory(): FleetMemory {
    return { bases: this.#bases, snapshot: this.#now() };
  }

  async observe(tick: Tick): Promise<readonly Observation[]> {
    return this.observeNow(tick);
  }

  /** The same at once, for a clock that does not wait. */
  observeNow(tick: Tick): readonly Observation[] {
    this.#snapshot = this.#now(tick);
    const input = { snapshot: this.#snapshot, bases: this.#bases, ...tick };
    const { observations, bases } = observeFleet(input);
    this.#bases = bases;
    return observations;
  }

  /** The scaler shows no stale VMs, so nothing is stale in its snapshots. */
  #now(at?: Tick): FleetSnapshot {
    return this.#fleet.snapshot({ staleAfterUs: () => Number.POSITIVE_INFINITY, ...(at && { at }) });
  }
}

export interface ObserveInput extends Pick<Tick, "firstSampleUs" | "groupOf"> {
  /** of the tick's time */
  readonly snapshot: FleetSnapshot;
  readonly bases: Bases;
}

export interface Observed {
  readonly observations: readonly Observation[];
  /** for the next tick */
  readonly bases: Bases;
}

/** What holds for all members of a group at one tick. */
interface TickFacts {
  readonly snapshot: FleetSnapshot;
  readonly bases: Bases;
  /** since the previous tick */
  readonly windowUs: number;
  readonly warmupMs: number;
  /** ids of the clones that were decided to go */
  readonly leaving: ReadonlySet<number>;
}

/** One observation per group of the snapshot, at the snapshot's time. Pure. */
export function observeFleet({ snapshot, bases, firstSampleUs, groupOf }: ObserveInput): Observed {
  const live = new Set(snapshot.hosts.filter((host) => host.live).map(({ host }) => host));
  const windowUs = snapshot.nowUs - (bases.tickUs ?? firstSampleUs);
  const readings = new Map<GroupKey, ReadonlyMap<number, Base>>();
  const observations: Observation[] = [];

  const observe = (name: GroupName, heard: readonly GroupMember[], unheard: readonly UnheardVm[]) => {
    const { key, policy, state } = groupOf(name);
    const leaving = clonesLeaving(state, Math.floor(snapshot.nowUs / 1000));
    const facts = { snapshot, bases, windowUs, leaving, warmupMs: policy?.warmupPeriodMs ?? 0 };
    const before = bases.readings.get(key);
    const after = new Map<number, Base>();
    const members: MemberObservation[] = [];
    for (const { record, state } of heard) {
      const base = before?.get(record.cloneId);
      const member = observeMember(record, state, base, facts);
      const gone = isGone(member, base, facts);
      const reading = readingOf(record, base, gone);
      if (reading !== undefined) after.set(record.cloneId, reading);
      if (!gone) members.push(member);
    }
    for (const vm of unheard) {
      const base = before?.get(vm.cloneId);
      const member = unmeasured(vm, vm.state);
      const gone = isGone(member, base, facts);
      if (base !== undefined) after.set(vm.cloneId, marked(base, gone));
      if (!gone) members.push(member);
    }
    readings.set(key, after);
    const { host, path, group } = name;
    if (members.length > 0) {
      const hostLive = live.has(host);
      const observation = {
        key,
        host,
        path,
        group,
        hostLive,
        members,
        highestListedId: 0,
        leastUsedCpu: null,
      };
      observations.push(observation);
    }
  };

  const unheard = byGroup(snapshot.unheard);
  for (const { host, path, group, members } of snapshot.groups()) {
    const name = { host, path, group };
    const key = unheard.size === 0 ? "" : groupKey(name);
    observe(name, members, unheard.get(key) ?? []);
    unheard.delete(key);
  }
  // groups of which no member has been heard since the program started
  for (const vms of unheard.values()) {
    const [first] = vms;
    if (first !== undefined) observe(groupOfVm(first), [], vms);
  }
  return { observations, bases: { tickUs: snapshot.nowUs, readings } };
}

function byGroup(vms: readonly UnheardVm[]): Map<GroupKey, UnheardVm[]> {
  const groups = new Map<GroupKey, UnheardVm[]>();
  for (const vm of vms) {
    const key = groupKey(groupOfVm(vm));
    const members = groups.get(key);
    if (members === undefined) groups.set(key, [vm]);
    else members.push(vm);
  }
  return groups;
}

const NO_CLONES: ReadonlySet<number> = new Set();

/** Ids of the clones that were decided to go: the one that is asked to, and those with a tombstone. */
function clonesLeaving({ tombstones, outstanding }: GroupState, nowMs: number): ReadonlySet<number> {
  const isLeaving = outstanding?.decision === "scale_down";
  if (tombstones.length === 0 && !isLeaving) return NO_CLONES;
  const ids = new Set<number>();
  for (const { cloneId, untilMs } of tombstones) if (nowMs < untilMs) ids.add(cloneId);
  if (isLeaving) ids.add(outstanding.cloneId);
  return ids;
}

/**
 * A clone that was decided to go is gone when it misses one tick, without waiting for death_timeout. It stays so when the
 * decision is over, until it is heard again or has been silent for so long that only info still knows it.
 */
function isGone({ cloneId, state }: MemberObservation, base: Base | undefined, facts: TickFacts): boolean {
  if (state === "fresh" || state === "warming") return false;
  return facts.leaving.has(cloneId) || (state === "missing" && base?.gone === true);
}

function observeMember(
  record: VmRecord,
  state: MemberState,
  base: Base | undefined,
  { snapshot, bases, windowUs, warmupMs }: TickFacts,
): MemberObservation {
  const { cpuUs, cpus } = record;
  const { arrivalUs } = record.sample;
  if (state === "silent") return unmeasured(record, "silent");
  if (bases.tickUs !== null && arrivalUs <= bases.tickUs) return unmeasured(record, "missing");
  const start = windowStart(record, base);
  if (start === null || cpuUs === null || cpus === null) return unmeasured(record, "warming");
  const elapsedUs = arrivalUs - start.arrivalUs;
  const isYoung = warmupMs > 0 && ageMs(record, snapshot) < warmupMs;
  if (elapsedUs <= 0 || elapsedUs * 2 < windowUs || isYoung) return unmeasured(record, "warming");
  const percent = (100 * (cpuUs - start.cpuUs)) / elapsedUs / cpus;
  const usagePercent = Math.min(100, Math.max(0, percent));
  return { vm: record.vm, cloneId: record.cloneId, state: "fresh", usagePercent, starved: false };
}

function unmeasured({ vm, cloneId }: VmIdentity, state: ObservedState): MemberObservation {
  return { vm, cloneId, state, usagePercent: null, starved: false };
}

/**
 * The VM's reading at the previous tick or, where that belongs to another incarnation or another VM of its name, the first
 * sample that rates may begin at; null while there is none.
 */
export function windowStart(record: VmRecord, base: Base | undefined): CpuPoint | null {
  const { rateStart } = record;
  if (base === undefined || rateStart === null) return rateStart;
  const { startedMs } = base;
  const isOfNow =
    startedMs === undefined
      ? base.arrivalUs >= rateStart.arrivalUs
      : record.isResumed && canFollow(base, rateStart, cpusGiven(record)) && !isOtherStart(record, startedMs);
  return isOfNow ? base : rateStart;
}

/** Whether one VM of so many CPUs, if that is known, can have got from one reading to the next; samples come unevenly. */
function canFollow(base: CpuPoint, next: CpuPoint, cpus: number | null): boolean {
  const usedUs = next.cpuUs - base.cpuUs;
  const most = cpus === null ? MOST_HOST_CPUS : 2 * cpus;
  return usedUs >= 0 && usedUs <= most * (next.arrivalUs - base.arrivalUs);
}

/** Whether info shows that the VM was started at another time than the one of the state file. */
function isOtherStart({ info }: VmRecord, beforeMs: number | null): boolean {
  const startedMs = info?.startedMs ?? null;
  return startedMs !== null && beforeMs !== null && startedMs !== beforeMs;
}

/** How far info's `started` may be from the first sample of a VM that was seen to start, before a clock must be wrong. */
const MAX_UNSEEN_MS = 3_600_000;

/**
 * How old a VM is: by the samples, or by info's `started` if that is longer ago and can be: the clocks of host and program
 * may have been wrong when the VM started.
 */
export function ageMs(
  { info, firstSeenUs, startSeen }: Pick<VmRecord, "info" | "firstSeenUs" | "startSeen">,
  { nowUs, wallMs }: Pick<FleetSnapshot, "nowUs" | "wallMs">,
): number {
  const seenMs = (nowUs - firstSeenUs) / 1000;
  const startedAgoMs = wallMs - (info?.startedMs ?? wallMs);
  return startSeen && startedAgoMs > seenMs + MAX_UNSEEN_MS ? seenMs : Math.max(seenMs, startedAgoMs);
}

/** Where the VM's next window begins: the newest usable sample of its incarnation; nowhere while it has had none. */
function readingOf(record: VmRecord, before: Base | undefined, gone: boolean): Base | undefined {
  const { cpuUs, rateStart } = record;
  const { arrivalUs } = record.sample;
  if (cpuUs !== null && rateStart !== null) return { cpuUs, arrivalUs, gone };
  return before === undefined ? undefined : marked(before, gone);
}

function marked(base: Base, gone: boolean): Base {
  return base.gone === gone ? base : { ...base, gone };
}
