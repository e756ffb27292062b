/**
 * The fleet's samples as observations: each VM's rate over the window since the previous tick, taken from its own
 * counters. What it remembers of a tick is one counter reading per VM.
 */
import type { CpuPoint, FleetSnapshot, MemberState, UnheardVm, VmRecord } from "../../fleet/types.ts";
import type {
  GroupName,
  GroupPolicy,
  GroupState,
  MemberObservation,
  Observation,
  ObservedState,
} from "../rules/types.ts";

/** Where the windows of the next tick begin. */
export interface Bases {
  /** monotonic time of that tick; null before the first, when windows begin at the first samples */
  readonly tickUs: number | null;
  readonly points: Readings;
}

export interface ObserveInput {
  readonly snapshot: FleetSnapshot;
  readonly bases: Bases;
  /** monotonic arrival of the first samples: where the first window begins */
  readonly firstSampleUs: number;
  readonly policyOf: (group: GroupName) => GroupPolicy | null;
  readonly stateOf: (group: GroupName) => GroupState | null;
}

export interface Observed {
  readonly observations: readonly Observation[];
  /** of the groups observed, in their order */
  readonly policies: readonly (GroupPolicy | null)[];
  /** for the next tick */
  readonly bases: Bases;
}

/** What holds for all members at one tick. */
interface TickFacts {
  readonly snapshot: FleetSnapshot;
  readonly nowMs: number;
  readonly bases: Bases;
  /** since the previous tick */
  readonly windowUs: number;
}

const NONE: readonly UnheardVm[] = [];

/** The snapshot's time on the clock of group states, in whole milliseconds. */
export function monotonicMs(snapshot: FleetSnapshot): number {
  return Math.floor(snapshot.nowUs / 1000);
}

/** One observation per group of the snapshot, at the snapshot's time. */
export function observe(input: ObserveInput): Observed {
  const { snapshot, bases } = input;
  const live = new Map(snapshot.hosts.map((h) => [h.host, h.live]));
  const facts: TickFacts = {
    snapshot,
    nowMs: monotonicMs(snapshot),
    bases,
    windowUs: snapshot.nowUs - (bases.tickUs ?? input.firstSampleUs),
  };
  const unheard = byGroup(snapshot.unheard);
  const observations: Observation[] = [];
  const policies: (GroupPolicy | null)[] = [];
  const points = new TickReadings(snapshot.nowUs, snapshot.vms.length + snapshot.unheard.length);

  let start = 0;
  for (let first = snapshot.vms[start]; first !== undefined; first = snapshot.vms[start]) {
    const { host, path, primary, groupLabels: labels } = first;
    const group: GroupName = { host, path, group: primary, labels };
    const leaving = clonesLeaving(input.stateOf(group), facts.nowMs);
    const policy = input.policyOf(group);
    const members: MemberObservation[] = [];
    start = observeGroup({ start, leaving, warmupMs: policy?.warmupPeriodMs ?? 0 }, facts, points, members);
    if (unheard.size > 0) {
      members.push(...observeUnheard(unheard.get(labels) ?? NONE, leaving, facts, points));
      unheard.delete(labels);
    }
    if (members.length === 0) continue;
    policies.push(policy);
    observations.push({ host, path, group: primary, labels, hostLive: live.get(host) === true, members });
  }
  // groups of which no member has been heard since the program started
  for (const vms of unheard.values()) {
    const [first] = vms;
    if (first === undefined) continue;
    const { host, path, primary: group, groupLabels: labels } = first;
    const leaving = clonesLeaving(input.stateOf({ host, path, group, labels }), facts.nowMs);
    const members = observeUnheard(vms, leaving, facts, points);
    if (members.length > 0) {
      policies.push(input.policyOf({ host, path, group, labels }));
      observations.push({ host, path, group, labels, hostLive: live.get(host) === true, members });
    }
  }
  return { observations, policies, bases: { tickUs: snapshot.nowUs, points } };
}

function byGroup(vms: readonly UnheardVm[]): Map<string, UnheardVm[]> {
  const groups = new Map<string, UnheardVm[]>();
  for (const vm of vms) {
    const members = groups.get(vm.groupLabels);
    if (members === undefined) groups.set(vm.groupLabels, [vm]);
    else members.push(vm);
  }
  return groups;
}

/**
 * Observes the VMs from `start` on that are of one group; returns where the next group begins. Members that are not gone
 * go into `members`, the readings for the next tick into `points`. (The fleet's own groups would have to be made first.)
 */
function observeGroup(
  { start, leaving, warmupMs }: { start: number; leaving: ReadonlySet<number> | null; warmupMs: number },
  facts: TickFacts,
  points: TickReadings,
  members: MemberObservation[],
): number {
  const { vms, states } = facts.snapshot;
  const labels = vms[start]?.groupLabels;
  let at = start;
  for (let record = vms[at]; record?.groupLabels === labels && record !== undefined; record = vms[++at]) {
    const base = readingAt(facts.bases, record);
    const observed = observeMember(record, states[at] ?? "missing", base, facts, warmupMs);
    const gone = isGone(record.cloneId, observed.state, base, leaving);
    keepReading(points, record, base, gone);
    if (!gone) members.push(observed);
  }
  return at;
}

/** The same for VMs that have not been heard since the program started. */
function observeUnheard(
  vms: readonly UnheardVm[],
  leaving: ReadonlySet<number> | null,
  { bases }: TickFacts,
  points: TickReadings,
): MemberObservation[] {
  const members: MemberObservation[] = [];
  for (const { vm, cloneId, state, labels } of vms) {
    const base = bases.points.get(labels);
    const gone = isGone(cloneId, state, base, leaving);
    if (!gone) members.push(observation(vm, cloneId, state, null));
    if (base !== undefined) points.keep(labels, base, gone);
  }
  return members;
}

/** Ids of the clones that were decided to go: the one that is asked to, and those with a tombstone. */
function clonesLeaving(state: GroupState | null, nowMs: number): ReadonlySet<number> | null {
  if (state === null) return null;
  const { tombstones, outstanding } = state;
  const isLeaving = outstanding?.decision === "scale_down";
  if (tombstones.length === 0 && !isLeaving) return null;
  const ids = new Set<number>();
  for (const { cloneId, untilMs } of tombstones) if (nowMs < untilMs) ids.add(cloneId);
  if (isLeaving) ids.add(outstanding.cloneId);
  return ids;
}

/**
 * A clone that was decided to go is gone when it misses one tick, without waiting for death_timeout. It stays so when the
 * decision is over, until it is heard again or has been silent for so long that only info still knows it.
 */
function isGone(
  cloneId: number,
  state: ObservedState,
  base: Base | undefined,
  leaving: ReadonlySet<number> | null,
): boolean {
  if (state === "fresh" || state === "warming") return false;
  return leaving?.has(cloneId) === true || (state === "missing" && base?.gone === true);
}

function observeMember(
  record: VmRecord,
  state: MemberState,
  base: Base | undefined,
  { snapshot, bases, windowUs }: TickFacts,
  warmupMs: number,
): MemberObservation {
  const { vm, cloneId, arrivalUs, cpuUs, cpus } = record;
  if (state === "silent") return observation(vm, cloneId, "silent", null);
  if (bases.tickUs !== null && arrivalUs <= bases.tickUs) return observation(vm, cloneId, "missing", null);
  const start = windowStart(record, base);
  if (start === null || cpuUs === null || cpus === null) return observation(vm, cloneId, "warming", null);
  const elapsedUs = arrivalUs - start.arrivalUs;
  const isYoung = warmupMs > 0 && ageMs(record, snapshot) < warmupMs;
  if (elapsedUs <= 0 || elapsedUs * 2 < windowUs || isYoung) return observation(vm, cloneId, "warming", null);
  const percent = (100 * (cpuUs - start.cpuUs)) / elapsedUs / cpus;
  return observation(vm, cloneId, "fresh", Math.min(100, Math.max(0, percent)));
}

function observation(
  vm: string,
  cloneId: number,
  state: ObservedState,
  usagePercent: number | null,
): MemberObservation {
  return { vm, cloneId, state, usagePercent };
}

/** The VM's reading at the previous tick or, in a new incarnation, that incarnation's first sample; null while it has none. */
export function windowStart(record: VmRecord, base: Base | undefined): CpuPoint | null {
  // Readings are kept once an incarnation has a first sample, so that one of the same number is of the same incarnation.
  if (base !== undefined && base.incarnation === record.incarnation) return base;
  const { incarnationStart } = record;
  if (base === undefined || base.incarnation !== null || incarnationStart === null) return incarnationStart;
  return isSameIncarnation(record, incarnationStart, base) ? base : incarnationStart;
}

/** A reading from the state file is of this incarnation when nothing shows a restart since. */
function isSameIncarnation(record: VmRecord, incarnationStart: CpuPoint, base: Base): boolean {
  const startedMs = record.info?.startedMs ?? null;
  const startedBeforeMs = base.startedMs ?? null;
  if (startedMs !== null && startedBeforeMs !== null && startedMs !== startedBeforeMs) return false;
  return record.restarts === 0 && incarnationStart.cpuUs >= base.cpuUs;
}

function ageMs(record: VmRecord, snapshot: FleetSnapshot): number {
  const startedMs = record.info?.startedMs ?? null;
  return startedMs === null ? (snapshot.nowUs - record.firstSeenUs) / 1000 : snapshot.wallMs - startedMs;
}

function readingAt({ points }: Bases, record: VmRecord): Base | undefined {
  return points instanceof TickReadings ? points.of(record) : points.get(record.labels);
}

/** Where the VM's next window begins: the newest usable sample of its incarnation; nowhere while it has had none. */
function keepReading(
  points: TickReadings,
  { labels, cpuUs, arrivalUs, incarnation, incarnationStart }: VmRecord,
  before: Base | undefined,
  gone: boolean,
): void {
  if (cpuUs !== null && incarnationStart !== null) points.add(labels, cpuUs, arrivalUs, incarnation, gone);
  else if (before !== undefined) points.keep(labels, before, gone);
}

/** A VM's newest counter reading at a tick. `incarnation` is null when it was read back from the state file. */
export interface Base extends CpuPoint {
  readonly incarnation: number | null;
  /** it was taken for gone at that tick (see `isGone`) */
  readonly gone: boolean;
  /** of a reading from the state file: when that process of the VM had started, where info said so */
  readonly startedMs?: number | null;
}

/** Readings by the VMs' exposition labels. */
export interface Readings {
  get(labels: string): Base | undefined;
}

/** How many VMs that are not there any more may stand between two that are, before the index is asked. */
const MAX_SKIPPED = 8;

/**
 * The readings of one tick. They are asked for at the next one, in the same order but for the VMs that came and went: so
 * they stand in columns with a cursor, where filling a map and asking it would take half of the tick.
 */
export class TickReadings implements Readings {
  readonly #tickUs: number;
  readonly #labels: string[] = [];
  readonly #cpuUs: Float64Array;
  readonly #arrivalUs: Float64Array;
  readonly #incarnation: Float64Array;
  readonly #gone: Uint8Array;
  /** those that were read back from the state file and have not been replaced yet */
  readonly #restored = new Map<string, Base>();
  /** where the VM after the last one that was asked for is expected */
  #cursor = 0;
  /** made when something is asked for that is not where it is expected */
  #index: Map<string, number> | null = null;

  /** Of the tick at this monotonic time, for `vms` VMs at most. */
  constructor(tickUs: number, vms: number) {
    this.#tickUs = tickUs;
    this.#cpuUs = new Float64Array(vms);
    this.#arrivalUs = new Float64Array(vms);
    this.#incarnation = new Float64Array(vms);
    this.#gone = new Uint8Array(vms);
  }

  /** The reading of one more VM. To be called while the tick is observed, not after. */
  add(labels: string, cpuUs: number, arrivalUs: number, incarnation: number, gone: boolean): void {
    const at = this.#labels.length;
    this.#labels.push(labels);
    this.#cpuUs[at] = cpuUs;
    this.#arrivalUs[at] = arrivalUs;
    this.#incarnation[at] = incarnation;
    this.#gone[at] = gone ? 1 : 0;
  }

  /** Keeps a reading that an earlier tick had, as there is no newer one. */
  keep(labels: string, base: Base, gone: boolean): void {
    const { cpuUs, arrivalUs, incarnation } = base;
    if (incarnation === null) this.#restored.set(labels, base.gone === gone ? base : { ...base, gone });
    else this.add(labels, cpuUs, arrivalUs, incarnation, gone);
  }

  /** The reading of a VM that the fleet knows now. */
  of(record: VmRecord): Base | undefined {
    const { labels } = record;
    // who came since then has none, and would only be looked for in vain
    if (this.#labels[this.#cursor] !== labels && record.firstSeenUs > this.#tickUs) return undefined;
    return this.get(labels);
  }

  get(labels: string): Base | undefined {
    const at = this.#find(labels);
    if (at === undefined) return this.#restored.get(labels);
    this.#cursor = at + 1;
    return {
      cpuUs: this.#cpuUs[at] ?? 0,
      arrivalUs: this.#arrivalUs[at] ?? 0,
      incarnation: this.#incarnation[at] ?? 0,
      gone: this.#gone[at] === 1,
    };
  }

  #find(labels: string): number | undefined {
    const { length } = this.#labels;
    if (this.#cursor >= length) this.#cursor = 0;
    const end = Math.min(this.#cursor + MAX_SKIPPED, length);
    for (let at = this.#cursor; at < end; at++) if (this.#labels[at] === labels) return at;
    this.#index ??= new Map(this.#labels.map((known, at) => [known, at]));
    return this.#index.get(labels);
  }
}
