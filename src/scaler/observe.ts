/**
 * The fleet's samples as observations: each VM's rate over the window since the previous tick, taken from its own
 * counters. What it remembers of a tick is one counter reading per VM.
 */
import type { CpuPoint, FleetSnapshot, Group, GroupMember, VmRecord } from "../fleet/types.ts";
import type { GroupPolicy, GroupState, MemberObservation, Observation } from "./types.ts";

/** A VM's newest counter reading at a tick. `life` is null when it was read back from the state file. */
export interface Base extends CpuPoint {
  readonly life: number | null;
  /** it was taken for gone at that tick, and stays so until it is heard again */
  readonly gone: boolean;
}

/** The readings of one tick, by host and full name. */
export interface Bases {
  /** monotonic time of that tick; null before the first, when windows begin at the first samples */
  readonly tickUs: number | null;
  readonly points: ReadonlyMap<string, Base>;
}

export interface ObserveInput {
  readonly snapshot: FleetSnapshot;
  readonly bases: Bases;
  /** monotonic arrival of the first samples: where the first window begins */
  readonly firstSampleUs: number;
  readonly policyOf: (group: Group) => GroupPolicy | null;
  readonly stateOf: (group: Group) => GroupState | null;
}

export interface Observed {
  readonly observations: readonly Observation[];
  /** for the next tick */
  readonly bases: Bases;
}

/** One observation per group of the snapshot, at the snapshot's time. */
export function observe(input: ObserveInput): Observed {
  const { snapshot, bases } = input;
  const live = new Map(snapshot.hosts.map((h) => [h.host, h.live]));
  const windowUs = snapshot.nowUs - (bases.tickUs ?? input.firstSampleUs);
  const gone = new Set<string>();
  const observations = snapshot.groups().flatMap((group) => {
    const policy = input.policyOf(group);
    const leaving = clonesLeaving(input.stateOf(group));
    const members = group.members.flatMap((member) => {
      const observed = observeMember(member, bases, snapshot, windowUs, policy?.warmupPeriodMs ?? 0);
      const heard = observed.state === "fresh" || observed.state === "warming";
      const key = keyOf(member.record);
      if (heard || !(leaving.has(member.cloneId) || bases.points.get(key)?.gone === true)) return [observed];
      gone.add(key);
      return [];
    });
    if (members.length === 0) return [];
    const { host, path } = group;
    return [{ host, path, group: group.group, hostLive: live.get(host) === true, members }];
  });
  return { observations, bases: { tickUs: snapshot.nowUs, points: readings(snapshot.vms, bases, gone) } };
}

/** Ids of clones that were decided to go: one missed tick and they are gone, without waiting for death_timeout. */
function clonesLeaving(state: GroupState | null): ReadonlySet<number> {
  if (state === null) return new Set();
  const ids = new Set(state.tombstones.map((t) => t.cloneId));
  if (state.outstanding?.decision === "scale_down") ids.add(state.outstanding.cloneId);
  return ids;
}

function observeMember(
  { record, cloneId, state }: GroupMember,
  bases: Bases,
  snapshot: FleetSnapshot,
  tickWindowUs: number,
  warmupMs: number,
): MemberObservation {
  const seen = (
    state: MemberObservation["state"],
    usagePercent: number | null = null,
  ): MemberObservation => ({
    vm: record.vm,
    cloneId,
    state,
    usagePercent,
  });
  if (state === "silent") return seen("silent");
  const base = baseOf(record, bases.points.get(keyOf(record)));
  if (bases.tickUs !== null && record.arrivalUs <= bases.tickUs) return seen("missing");
  if (base === null || record.cpuUs === null || record.cpus === null) return seen("warming");
  if (ageMs(record, snapshot) < warmupMs) return seen("warming");
  const elapsedUs = record.arrivalUs - base.arrivalUs;
  if (elapsedUs <= 0 || elapsedUs * 2 < tickWindowUs) return seen("warming");
  const percent = (100 * (record.cpuUs - base.cpuUs)) / elapsedUs / record.cpus;
  return seen("fresh", Math.min(100, Math.max(0, percent)));
}

/** Where the VM's window begins: its reading at the previous tick or, in a new life, that life's first sample. */
function baseOf(record: VmRecord, base: Base | undefined): CpuPoint | null {
  if (base !== undefined && isSameLife(record, base)) return base;
  return record.lifeStart;
}

/** A reading from the state file is of this life when no counter went down since, as far as one can tell. */
function isSameLife(record: VmRecord, base: Base): boolean {
  if (base.life !== null) return base.life === record.life;
  return record.restarts === 0 && record.lifeStart !== null && record.lifeStart.cpuUs >= base.cpuUs;
}

function ageMs(record: VmRecord, snapshot: FleetSnapshot): number {
  const startedMs = record.info?.startedMs ?? null;
  return startedMs === null ? (snapshot.nowUs - record.firstSeenUs) / 1000 : snapshot.wallMs - startedMs;
}

function readings(vms: readonly VmRecord[], before: Bases, gone: ReadonlySet<string>): Map<string, Base> {
  const points = new Map<string, Base>();
  for (const vm of vms) {
    const key = keyOf(vm);
    const { cpuUs, arrivalUs, life } = vm;
    if (cpuUs !== null) points.set(key, { cpuUs, arrivalUs, life, gone: gone.has(key) });
    else {
      const kept = before.points.get(key);
      if (kept !== undefined) points.set(key, { ...kept, gone: gone.has(key) });
    }
  }
  return points;
}

/** Identifies a VM across ticks and restarts. */
export function keyOf(vm: { host: string; fullName: string }): string {
  return `${vm.host}/${vm.fullName}`;
}
