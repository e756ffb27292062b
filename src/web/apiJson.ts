/** What /api/v1 tells of VMs, groups and targets: one plain value each, made as it is pulled. */
import type { TargetSnapshot } from "../client/target.ts";
import type { Config } from "../config/types.ts";
import { factsFrom } from "../exporter/row.ts";
import { residentBytes } from "../exporter/vmMemory.ts";
import type { FleetSnapshot, Group, MemberState, VmRecord } from "../fleet/types.ts";
import type { Scaler } from "../scaler/scaler.ts";

/** Every VM that is not gone, whether `/metrics` serves it or not; filters do not apply. Integers may be bigints. */
export function* vmsJson(snapshot: FleetSnapshot, { targets }: Pick<Config, "targets">): Generator<object> {
  const facts = factsFrom(targets);
  const liveHosts = new Set(snapshot.hosts.filter(({ live }) => live).map(({ host }) => host));
  for (const [index, vm] of snapshot.vms.entries()) {
    const state = snapshot.states[index] ?? "missing";
    yield {
      ...vmJson(vm, state),
      served: liveHosts.has(vm.host) && (state === "fresh" || state === "warming"),
      memory_resident_bytes: residentBytes(vm, facts(vm.host)),
    };
  }
}

function vmJson(vm: VmRecord, state: MemberState): object {
  const { info } = vm;
  return {
    host: vm.host,
    path: vm.path,
    vm: vm.vm,
    name: vm.fullName,
    group: vm.primary,
    role: vm.cloneId === 0 ? "primary" : "clone",
    state,
    cpu_usage_percent: vm.usagePercent,
    cpu_seconds: vm.cpuUs === null ? null : vm.cpuUs / 1e6,
    restarts: vm.restarts,
    last_sample: rfc3339(vm.arrivalWallMs),
    stats_interval_seconds: vm.intervalUs / 1e6,
    devices: vm.stats.ifdata.map(({ bridge }) => bridge),
    info:
      info === null
        ? null
        : {
            type: info.type,
            digest: info.digest,
            cpuids: info.cpuids,
            cpus: info.cpus,
            memory_limit_bytes: info.memoryLimitBytes,
            started: rfc3339(info.startedMs),
          },
  };
}

/** Every group, those of hosts that are not live included, and why the scaler decides about it as it does. */
export function* groupsJson(snapshot: FleetSnapshot, scaler: Pick<Scaler, "explain">): Generator<object> {
  for (const group of snapshot.groups()) yield { ...groupJson(group), scaler: scaler.explain(group) };
}

function groupJson({ host, path, group, orphaned, clones, usagePercent, members }: Group): object {
  return {
    host,
    path,
    group,
    orphaned,
    clones,
    cpu_usage_percent: usagePercent,
    members: members.map(({ record, role, cloneId, state }) => ({
      vm: record.vm,
      role,
      clone_id: cloneId,
      state,
      cpu_usage_percent: record.usagePercent,
    })),
  };
}

/** Every target with its subscriptions. */
export function targetsJson(targets: readonly TargetSnapshot[]): object[] {
  return targets.map(({ name, up, infoReadable, infoError, infoErrors, subscriptions }) => ({
    name,
    up,
    info_readable: infoReadable,
    info_error: infoError,
    info_errors: infoErrors,
    subscriptions: subscriptions.map((snapshot) => ({
      subscription: snapshot.subscription,
      state: snapshot.state,
      messages: snapshot.messages,
      bytes: snapshot.bytes,
      connects: snapshot.connects,
      decode_errors: snapshot.decodeErrors,
      disconnects: snapshot.disconnects,
      last_message: rfc3339(snapshot.lastMessageWallMs),
      stats_interval_seconds: snapshot.intervalUs / 1e6,
      last_error: snapshot.lastError,
    })),
  }));
}

function rfc3339(wallMs: number | null): string | null {
  return wallMs === null ? null : new Date(wallMs).toISOString();
}
