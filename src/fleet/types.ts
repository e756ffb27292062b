import type { Sample } from "../client/receiver.ts";
import type { Int64 } from "../wire/messages.ts";

/** A VM's CPU counter in integer microseconds, at a monotonic arrival time. */
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
  readonly blockDevices: number;
  /** ms since the epoch */
  readonly startedMs: number | null;
}

/** How many CPUs a VM has, and which of the host's. */
export type Pins = Pick<VmInfo, "cpus" | "cpuids">;

/** Made once for each VM and shared by all of its records. */
export interface VmIdentity {
  readonly host: string;
  /** `user:sub`, empty at the root */
  readonly path: string;
  readonly vm: string;
  /** `user:sub:web`, `:web` at the root */
  readonly fullName: string;
  /** label of the group's primary: `web` for `web` and for `web-clone-2` */
  readonly primary: string;
  /** 0 for a primary */
  readonly cloneId: number;
}

/** What is known about one VM. Replaced by the next sample or info, never changed. */
export interface VmRecord extends VmIdentity {
  readonly identity: VmIdentity;
  readonly sample: Sample;
  /** utime + stime of it in microseconds; null where that is no safe integer */
  readonly cpuUs: number | null;
  /** the rate over the last stats interval, 0..100; null while there is none */
  readonly usagePercent: number | null;
  /** what rates are divided by; null while unikernel info is expected to say */
  readonly cpus: number | null;
  /** where rates begin at the earliest: the incarnation's first usable sample, or the last with an implausible step */
  readonly rateStart: CpuPoint | null;
  /** an earlier run of the program knew this incarnation, as far as is known */
  readonly isResumed: boolean;
  /** monotonic time of the first sample of this incarnation */
  readonly firstSeenUs: number;
  /** the incarnation began while its host was heard */
  readonly startSeen: boolean;
  /** restarts seen, the same one never twice */
  readonly restarts: number;
  readonly info: VmInfo | null;
  /** what info said in an earlier run of the program */
  readonly pinsBefore: Pins | null;
  /** start of this incarnation as info gave it, in this run of the program or before */
  readonly startedMs: number | null;
  /** the host's last unikernel info listed this VM */
  readonly listed: boolean;
  /** infos in a row without it, all asked for after its last sample arrived */
  readonly missedInfos: number;
  /** infos without it since it was first seen, as long as none ever had it */
  readonly unlistedPolls: number;
}

/** What an earlier run of the program knew of a VM. Times are monotonic, of this process. */
export interface ExpectedVm
  extends Pick<VmRecord, "startSeen" | "startedMs" | "listed" | "missedInfos" | "unlistedPolls"> {
  /** arrival of its last sample; null where only info has told of it so far */
  readonly heardUs: number | null;
  /** of a VM that was never heard: when info first listed it */
  readonly firstSeenUs: number;
  /** a reading of its counter, if there was a usable one */
  readonly cpuUs: number | null;
  /** null where info never listed it */
  readonly pins: Pins | null;
}

/** Not heard in this run of the program: `missing` if it was in an earlier one, `warming` if only info has told of it so far. */
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

/** A path's resource limits, null where there is no limit, and what VMs there and below use of them. */
export interface PolicyRecord {
  readonly host: string;
  readonly path: string;
  readonly unikernels: Int64 | null;
  readonly memoryBytes: Int64 | null;
  readonly blockBytes: Int64 | null;
  /** as unikernel info lists them; null as long as it has not answered */
  readonly used: PolicyUse | null;
}

/** VMs, and the memory that they may use. */
export interface PolicyUse {
  unikernels: number;
  memoryBytes: number;
}

/** `fresh` has a gauge, `warming` none yet; `missing` is silent for stale_after, `silent` for death_timeout but listed. */
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

/** Why a step counts as no measurement: more CPU than the VM has; a decrease although info shows no restart. */
export type ImplausibleKind = "usage" | "decrease";

/** What the fleet knows about a host as a whole. */
export interface HostRecord {
  readonly host: string;
  /** its statistics are arriving: else its VMs are not served */
  readonly live: boolean;
  /** when the last answered info was asked for, monotonic; null if none ever was */
  readonly infoAskedUs: number | null;
  /** VMs so far that info listed and then left out, though nobody meant them to go */
  readonly vanished: number;
  /** steps of counters so far that cannot be */
  readonly implausible: Readonly<Record<ImplausibleKind, number>>;
}

/** The fleet at one moment, in order of host, path, primary and clone id: `web`, `web-clone-2`, `web-server`. */
export interface FleetSnapshot {
  readonly nowUs: number;
  readonly wallMs: number;
  readonly hosts: readonly HostRecord[];
  /** every VM that has been heard and is not gone */
  readonly vms: readonly VmRecord[];
  /** the state of the VM at the same index of `vms` */
  readonly states: readonly MemberState[];
  /** fresh and warming VMs of live hosts: those that `/metrics` shows */
  readonly served: readonly VmRecord[];
  /** the policies of live hosts */
  readonly policies: readonly PolicyRecord[];
  /** VMs that are not gone and that this run of the program has not heard; in no other list here */
  readonly unheard: readonly UnheardVm[];
  /** groups over `vms` and `unheard`; derived at the first call */
  groups(): readonly Group[];
  /** those of live hosts */
  servedGroups(): readonly Group[];
}

/** The lists of a snapshot while it is put together, host by host. */
export type SnapshotParts = {
  readonly [L in "vms" | "states" | "policies" | "unheard"]: FleetSnapshot[L][number][];
} & {
  /** null as long as every VM is served */
  served: VmRecord[] | null;
  /** indices into `vms` at which a group begins */
  readonly groupStarts: number[];
};

export interface SnapshotOptions {
  /** Silence after which a VM is not served, in microseconds. `intervalUs` is the host's stats interval now. */
  staleAfterUs(host: string, intervalUs: number): number;
  /** now, unless given */
  readonly at?: { readonly nowUs: number; readonly wallMs: number };
}
