/** Hand-made records, snapshots and configurations for the tests of the metric tables. */

import { DECODE_ERROR_REASONS, type Sample, zeroCounts } from "../../src/client/receiver.ts";
import { DISCONNECT_REASONS, type SubscriptionSnapshot } from "../../src/client/subscription.ts";
import type { TargetSnapshot } from "../../src/client/target.ts";
import { VMMD_ERROR_REASONS } from "../../src/client/vmmd.ts";
import type { Config, ExporterConfig } from "../../src/config/sections.ts";
import type { TargetConfig } from "../../src/config/target.ts";
import { type CollectCounts, collectFamilies } from "../../src/exporter/collect.ts";
import type { ExpositionFormat, Family } from "../../src/exposition/family.ts";
import { renderExposition } from "../../src/exposition/writer.ts";
import type {
  FleetSnapshot,
  Group,
  GroupMember,
  HostRecord,
  MemberState,
  PolicyRecord,
  VmInfo,
  VmRecord,
} from "../../src/fleet/types.ts";
import type { IfData, KinfoMem, Rusage, Stats } from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { statsOfUsage } from "../../src/wire/stats.ts";

const WALL_MS = Date.parse("2026-01-01T00:01:40.250Z");

/** Each field has a value of its own, so that a metric which takes the wrong one is seen. */
export const DISTINCT_RUSAGE: Rusage = {
  utimeSec: 1234,
  utimeUsec: 567_890,
  stimeSec: 12,
  stimeUsec: 20_000,
  maxrss: 4097,
  ixrss: 101,
  idrss: 102,
  isrss: 103,
  minflt: 104,
  majflt: 105,
  nswap: 106,
  inblock: 107,
  outblock: 108,
  msgsnd: 109,
  msgrcv: 110,
  nsignals: 111,
  nvcsw: 112,
  nivcsw: 113,
};

export const DISTINCT_KINFO: KinfoMem = {
  vsize: 536_870_912,
  rss: 201,
  tsize: 202,
  dsize: 203,
  ssize: 204,
  runtime: 1_246_587_890,
  cow: 205,
  startSec: 1_767_225_600,
  startUsec: 123_456,
};

/** A device whose fields all differ. */
export function device(bridge: string, change: Partial<IfData> = {}): IfData {
  return {
    bridge,
    flags: 69_699,
    sendLength: 301,
    maxSendLength: 302,
    sendDrops: 303,
    mtu: 1500,
    baudrate: 10_000_000_000,
    inputPackets: 304,
    inputErrors: 305,
    outputPackets: 306,
    outputErrors: 307,
    collisions: 308,
    inputBytes: 309,
    outputBytes: 310,
    inputMcast: 311,
    outputMcast: 312,
    inputDropped: 313,
    outputDropped: 314,
    ...change,
  };
}

export function stats(change: Partial<Stats> = {}): Stats {
  return { ...statsOfUsage({}), ...change };
}

export const SOLO5_INFO: VmInfo = {
  type: "solo5",
  blockDevices: 0,
  digest: "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
  cpuids: "0,2",
  memoryLimitBytes: 33_554_432,
  cpus: 1,
  startedMs: Date.parse("2026-01-01T00:00:00.500Z"),
};

type RecordChange = Partial<VmRecord> & Partial<Pick<Sample, "stats" | "arrivalUs">>;

/** A VM as the fleet would know it; `path` is `user` or empty. */
export function record(
  host: string,
  path: string,
  vm: string,
  { stats: sent = stats(), arrivalUs = 100_000_000, ...change }: RecordChange = {},
): VmRecord {
  const [primary = vm, cloneId = "0"] = vm.split("-clone-");
  const identity = { host, path, vm, fullName: `${path}:${vm}`, primary, cloneId: Number(cloneId) };
  return {
    ...identity,
    identity,
    sample: {
      host,
      name: parseName(identity.fullName),
      stats: sent,
      arrivalUs,
      arrivalWallMs: WALL_MS,
      intervalUs: 10_000_000,
    },
    cpuUs: 0,
    usagePercent: null,
    cpus: 1,
    rateStart: null,
    isResumed: false,
    firstSeenUs: 0,
    startSeen: false,
    pinsBefore: null,
    startedMs: change.info?.startedMs ?? null,
    restarts: 0,
    info: null,
    listed: false,
    missedInfos: 0,
    unlistedPolls: 0,
    ...change,
  };
}

export function hostRecord(host: string, change: Partial<HostRecord> = {}): HostRecord {
  return { host, live: true, infoAskedUs: 0, vanished: 0, implausible: { usage: 0, decrease: 0 }, ...change };
}

export interface SnapshotParts {
  readonly vms?: readonly VmRecord[];
  /** VMs that are known but not served: missing, silent, or on a host that is not live */
  readonly unserved?: readonly { readonly vm: VmRecord; readonly state: MemberState }[];
  readonly policies?: readonly PolicyRecord[];
}

/** A fleet at a moment: `vms` are served, fresh where they have a usage and warming otherwise. */
export function snapshot({ vms = [], unserved = [], policies = [] }: SnapshotParts): FleetSnapshot {
  const all = [...vms, ...unserved.map(({ vm }) => vm)];
  const states: MemberState[] = [
    ...vms.map(({ usagePercent }): MemberState => (usagePercent === null ? "warming" : "fresh")),
    ...unserved.map(({ state }) => state),
  ];
  const groups = groupsOf(all.map((vm, index) => ({ record: vm, state: states[index] ?? "missing" })));
  return {
    nowUs: 100_000_000,
    wallMs: WALL_MS,
    hosts: [],
    vms: all,
    states,
    served: vms,
    policies,
    unheard: [],
    groups: () => groups,
    servedGroups: () => groups,
  };
}

/** VMs of the same host, path and primary are a group; the first of them may be its primary. */
function groupsOf(members: readonly { record: VmRecord; state: MemberState }[]): Group[] {
  const groups: Group[] = [];
  const keyOf = ({ host, path, primary }: VmRecord) => [host, path, primary].join("\n");
  for (const key of new Set(members.map(({ record: vm }) => keyOf(vm)))) {
    const own = members
      .filter(({ record: vm }) => keyOf(vm) === key)
      .map(({ record: vm, state }): GroupMember => {
        return { record: vm, state, cloneId: vm.cloneId, role: vm.cloneId === 0 ? "primary" : "clone" };
      });
    const rates = own.flatMap(({ record: vm, state }) => (state === "fresh" ? (vm.usagePercent ?? []) : []));
    const [first] = own;
    if (first === undefined) continue;
    groups.push({
      host: first.record.host,
      path: first.record.path,
      group: first.record.primary,
      members: own,
      orphaned: first.role === "clone",
      clones: own.filter(({ role }) => role === "clone").length,
      usagePercent: rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0) / rates.length,
    });
  }
  return groups;
}

export function policy(host: string, path: string, limits: Partial<PolicyRecord>): PolicyRecord {
  return {
    host,
    path,
    unikernels: null,
    memoryBytes: null,
    blockBytes: null,
    used: null,
    ...limits,
  };
}

export function subscriptionSnapshot(
  subscription: string,
  change: Partial<SubscriptionSnapshot> = {},
): SubscriptionSnapshot {
  return {
    subscription,
    state: "receiving",
    messages: 0,
    bytes: 0,
    connects: 0,
    decodeErrors: zeroCounts(DECODE_ERROR_REASONS),
    disconnects: zeroCounts(DISCONNECT_REASONS),
    lastMessageWallMs: null,
    intervalUs: 10_000_000,
    lastError: null,
    ...change,
  };
}

export function targetSnapshot(name: string, change: Partial<TargetSnapshot> = {}): TargetSnapshot {
  return {
    name,
    up: true,
    infoReadable: true,
    infoError: null,
    certificates: [],
    certificateError: null,
    policyDifference: null,
    infoErrors: zeroCounts(VMMD_ERROR_REASONS),
    subscriptions: [subscriptionSnapshot(":")],
    ...change,
  };
}

export const EXPORTER: ExporterConfig = {
  collectors: { cpu: true, memory: true, process: true, network: true, vmm: true, info: true, policy: true },
  include: [],
  exclude: [],
  maxVms: 0,
  staleAfter: { intervals: 3.5 },
  unfilledFields: false,
};

export function target(name: string, os: TargetConfig["os"], pageSizeBytes = 4096): TargetConfig {
  return {
    name,
    socketDir: "/run/albatross/util",
    subscribe: [":"],
    statsIntervalMs: "auto",
    os,
    pageSizeBytes,
    allowUncheckedPath: false,
    tls: null,
    enforcesPolicy: false,
    allowRoot: false,
    displacedRetryMs: 300_000,
    maxFrameBytes: { stat: 1 << 20, vmmd: 1 << 26 },
  };
}

export function config(
  targets: readonly TargetConfig[],
  exporter: Partial<ExporterConfig> = {},
): Pick<Config, "targets" | "exporter"> {
  return { targets, exporter: { ...EXPORTER, ...exporter } };
}

/** Adds up what scrapes leave out. */
export class Counts implements CollectCounts {
  dropped = -1;
  duplicates = 0;
  vmsDropped(vms: number): void {
    this.dropped = vms;
  }
  duplicateSeries(series: number): void {
    this.duplicates += series;
  }
}

export async function render(
  families: readonly Family[],
  format: ExpositionFormat = "text",
): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of renderExposition(families, format)) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** The whole exposition of `parts` under a configuration. */
export async function exposition(
  parts: SnapshotParts & { readonly targets?: readonly TargetSnapshot[] },
  configuration: Pick<Config, "targets" | "exporter">,
  { format = "text", counts = new Counts() }: { format?: ExpositionFormat; counts?: Counts } = {},
): Promise<string> {
  const input = { snapshot: snapshot(parts), targets: parts.targets ?? [], config: configuration, counts };
  return render(collectFamilies(input), format);
}

/** The series of an exposition whose text starts with `prefix`, in order. */
export function seriesOf(text: string, prefix: string): string[] {
  return text.split("\n").filter((line) => line.startsWith(prefix));
}

/** Every field is filled and has a value of its own: nothing may be left out, nothing taken for something else. */
export const everyField = stats({
  rusage: DISTINCT_RUSAGE,
  kinfoMem: DISTINCT_KINFO,
  vmm: [
    { key: "vm exits due to external interrupt", value: 12_345 },
    { key: "Resident memory", value: 33_554_432 },
  ],
  ifdata: [device("service"), device("management", { inputBytes: 401, outputBytes: 402, mtu: 9000 })],
});
