import type { Sample } from "../client/receiver.ts";
import type { Int64 } from "../wire/messages.ts";

/** One point of a VM's CPU counter: integer microseconds used, at a monotonic arrival time. */
export interface CpuPoint {
  readonly cpuUs: number;
  readonly arrivalUs: number;
}

/** What unikernel info last said about a VM, without its arguments. */
export interface VmInfo {
  readonly type: "solo5" | "bhyve";
  /** hex for solo5; for bhyve the VM's name, as text */
  readonly digest: string;
  /** comma-separated, ascending: "0,2,5" */
  readonly cpuids: string;
  readonly memoryLimitBytes: Int64;
  /** at least 1 */
  readonly cpus: number;
  /** ms since the epoch */
  readonly startedMs: number | null;
}

/** The CPUs of a VM: how many it has, and which of the host's they are. */
export type Pins = Pick<VmInfo, "cpus" | "cpuids">;

/** What stays the same as long as a VM is known; made once, shared by all of its records. */
export interface VmIdentity {
  readonly host: string;
  /** `user:sub`, empty at the root */
  readonly path: string;
  /** the label: `web` */
  readonly vm: string;
  /** `user:sub:web`, `:web` at the root */
  readonly fullName: string;
  /** the label of the group's primary, by the name rule: `web` for `web` and for `web-clone-2` */
  readonly primary: string;
  /** 0 for a primary */
  readonly cloneId: number;
}

/** All that is known about one VM now. A record is replaced by the next sample or info, never changed. */
export interface VmRecord extends VmIdentity {
  /** the same object in all records of this VM */
  readonly identity: VmIdentity;
  /** the last one, as it was received */
  readonly sample: Sample;
  /** utime + stime of the last sample in microseconds; null where it is no safe integer */
  readonly cpuUs: number | null;
  /** the rate over the last stats interval, 0..100; null while there is none */
  readonly usagePercent: number | null;
  /** what rates are divided by; null while unikernel info is still expected to say (then there is no rate) */
  readonly cpus: number | null;
  /**
   * Where rates of this incarnation may begin at the earliest: its first usable sample, or the last one that came with a
   * step that cannot be. Null while there is none. What arrived before it belongs to something else.
   */
  readonly rateStart: CpuPoint | null;
  /** it was alive when the program last ran, and nothing tells of another incarnation since */
  readonly isResumed: boolean;
  /** monotonic time of the first sample of this incarnation */
  readonly firstSeenUs: number;
  /** it began while this program heard its host: it is no older than it has been seen */
  readonly startSeen: boolean;
  /** restarts seen, the same one never twice */
  readonly restarts: number;
  readonly info: VmInfo | null;
  /** the CPUs that info gave before the program was restarted; they hold until info says otherwise */
  readonly pinsBefore: Pins | null;
  /** when info says that this incarnation was started, in this run of the program or before; null where it has not said */
  readonly startedMs: number | null;
  /** the host's last unikernel info listed this VM */
  readonly listed: boolean;
  /** unikernel infos in a row, asked for after the last sample arrived, that did not list this VM */
  readonly missedInfos: number;
  /** infos asked for since the VM was first seen that did not list it, as long as none ever did */
  readonly unlistedPolls: number;
}

/** What the program's last run remembered of a VM. Times are monotonic, of this process. */
export interface ExpectedVm extends Pick<VmRecord, "startSeen" | "startedMs"> {
  /** arrival of its last sample; null where only unikernel info has told of it so far */
  readonly heardUs: number | null;
  /** of a VM that was never heard: when info first listed it */
  readonly firstSeenUs: number;
  /** a reading of its counter; null where there was no usable one */
  readonly cpuUs: number | null;
  /** as unikernel info gave them; null where info never listed the VM */
  readonly pins: Pins | null;
  readonly listed: boolean;
  /** infos in a row that did not list it */
  readonly missedInfos: number;
  readonly unlistedPolls: number;
}

/**
 * A VM that has not been heard in this run of the program. One that was heard in an earlier run is `missing`, and one that
 * info lists and that has never sent anything is `warming`; both are `silent` after death_timeout, if info lists them.
 */
export interface UnheardVm extends VmIdentity, ExpectedVm {
  readonly state: Exclude<MemberState, "fresh">;
  readonly sample: null;
  readonly usagePercent: null;
}

/** The VMs that a host's albatrossd listed last, by full name. */
export interface ListedVms {
  readonly host: string;
  readonly vms: ReadonlyMap<string, VmInfo>;
}

/** A path's resource limits; null where there is no limit. */
export interface PolicyRecord {
  readonly host: string;
  readonly path: string;
  readonly unikernels: Int64 | null;
  readonly memoryBytes: Int64 | null;
  readonly blockBytes: Int64 | null;
}

/**
 * What `/metrics` says about a VM that is not gone: `fresh` has a gauge and was heard within stale_after; `warming` was
 * heard, but has no gauge yet; `missing` is silent for stale_after or longer; `silent` for death_timeout or longer, and
 * only unikernel info still lists it.
 */
export type MemberState = "fresh" | "warming" | "missing" | "silent";

export interface GroupMember {
  readonly record: VmRecord | UnheardVm;
  readonly role: "primary" | "clone";
  /** 0 for the primary */
  readonly cloneId: number;
  readonly state: MemberState;
}

/** A primary and its clones, derived from the VMs that are not gone. */
export interface Group {
  readonly host: string;
  readonly path: string;
  /** the primary's label */
  readonly group: string;
  /** the primary first, then the clones by id; after them those that have not been heard */
  readonly members: readonly GroupMember[];
  /** the primary is not alive */
  readonly orphaned: boolean;
  readonly clones: number;
  /** mean of the fresh members' gauges; null when no member is fresh */
  readonly usagePercent: number | null;
}

/**
 * Why a step of a VM's counters counts as no measurement: `usage`, more CPU than the VM has; `decrease`, counters that went
 * down although info shows that the VM was not restarted.
 */
export type ImplausibleKind = "usage" | "decrease";

/** What the fleet knows about a host as a whole. */
export interface HostRecord {
  readonly host: string;
  /** its statistics are arriving; the VMs of a host that is not live are not served */
  readonly live: boolean;
  /** when the last unikernel info that its albatrossd answered was asked for, monotonic; null if it never did */
  readonly infoAskedUs: number | null;
  /** steps of counters so far that cannot be */
  readonly implausible: Readonly<Record<ImplausibleKind, number>>;
}

/**
 * The fleet at one moment: plain references to immutable records, so nothing that arrives later changes it. VMs are
 * ordered by host, path, primary and clone id (`web`, `web-clone-2`, `web-clone-10`, `web-server`), groups likewise.
 */
export interface FleetSnapshot {
  readonly nowUs: number;
  readonly wallMs: number;
  readonly hosts: readonly HostRecord[];
  /** every VM that is not gone, on live hosts and others, stale or not: what groups and decisions see */
  readonly vms: readonly VmRecord[];
  /** the state of the VM at the same index of `vms` */
  readonly states: readonly MemberState[];
  /** the VMs that `/metrics` shows: on a live host and heard within stale_after (fresh and warming ones) */
  readonly served: readonly VmRecord[];
  /** the policies of live hosts */
  readonly policies: readonly PolicyRecord[];
  /** VMs that are not gone and that this run of the program has not heard; in no other list here */
  readonly unheard: readonly UnheardVm[];
  /** groups over `vms` and `unheard`; derived at the first call */
  groups(): readonly Group[];
  /** the groups that `/metrics` shows: those of live hosts */
  servedGroups(): readonly Group[];
}

/** The lists of a snapshot while it is put together, host by host. */
export type SnapshotParts = {
  readonly [L in "vms" | "states" | "policies" | "unheard"]: FleetSnapshot[L][number][];
} & {
  /** null as long as every VM is served: most of the time, and then `vms` is that list already */
  served: VmRecord[] | null;
  /** indices into `vms` at which a group begins */
  readonly groupStarts: number[];
};

export interface SnapshotOptions {
  /**
   * Silence after which a VM is not served, in microseconds. `intervalUs` is the host's stats interval as
   * it is known now, for a stale_after given in intervals.
   */
  staleAfterUs(host: string, intervalUs: number): number;
  /** the moment that it is of, on both clocks: now, unless given */
  readonly at?: { readonly nowUs: number; readonly wallMs: number };
}
