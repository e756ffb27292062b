import type { FleetSnapshot, Group, GroupMember, MemberState, VmRecord } from "../fleet/types.ts";

/** Every VM that is not gone, as `/api/v1/vms` tells of it; made as it is pulled. */
export function* vmViews(snapshot: FleetSnapshot): Generator<unknown> {
  for (const [index, record] of snapshot.vms.entries())
    yield vmView(record, snapshot.states[index] ?? "missing");
}

/** Every group, as `/api/v1/groups` tells of it; made as it is pulled. */
export function* groupViews(snapshot: FleetSnapshot): Generator<unknown> {
  for (const group of snapshot.groups()) yield groupView(group);
}

function vmView(record: VmRecord, state: MemberState): unknown {
  const { info } = record;
  return {
    host: record.host,
    path: record.path,
    vm: record.vm,
    name: record.fullName,
    state,
    cpuUsagePercent: record.usagePercent,
    lastSample: time(record.arrivalWallMs),
    restarts: record.restarts,
    info: info && {
      type: info.type,
      digest: info.digest,
      cpuids: info.cpuids,
      cpus: info.cpus,
      memoryLimitBytes: info.memoryLimitBytes,
      started: info.startedMs === null ? null : time(info.startedMs),
    },
  };
}

function groupView(group: Group): unknown {
  return {
    host: group.host,
    path: group.path,
    group: group.group,
    orphaned: group.orphaned,
    clones: group.clones,
    cpuUsagePercent: group.usagePercent,
    members: group.members.map(memberView),
  };
}

function memberView({ record, role, cloneId, state }: GroupMember): unknown {
  return { vm: record.vm, role, cloneId, state, cpuUsagePercent: record.usagePercent };
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
