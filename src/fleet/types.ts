import type { Int64, Stats } from "../albatross/messages.ts";

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
  readonly cpus: number;
  /** ms since the epoch */
  readonly startedMs: number | null;
}

/** All that is known about one VM now. A record is replaced by the next sample, never changed. */
export interface VmRecord {
  readonly host: string;
  /** `user:sub`, empty at the root */
  readonly path: string;
  /** the label: `web` */
  readonly vm: string;
  /** `user:sub:web`, `:web` at the root */
  readonly fullName: string;
  /** pre-escaped exposition labels, without braces: `host="h",path="user",vm="web"`; made once per VM */
  readonly labels: string;
  readonly stats: Stats;
  /** arrival of the last sample, monotonic and wall */
  readonly arrivalUs: number;
  readonly arrivalWallMs: number;
  /** utime + stime of the last sample in microseconds; null where it is no safe integer */
  readonly cpuUs: number | null;
  /** the rate over the last stats interval, 0..100; null while there is none */
  readonly usagePercent: number | null;
  /** counts lives: one more after each reset of the counters */
  readonly life: number;
  /** the first sample of this life */
  readonly lifeStart: CpuPoint | null;
  /** monotonic time of the first sample ever seen under this name */
  readonly firstSeenUs: number;
  readonly restarts: number;
  readonly info: VmInfo | null;
  /** unikernel infos in a row, asked for after the last sample arrived, that did not list this VM */
  readonly missedInfos: number;
}

/** A path's resource limits; null where there is no limit. */
export interface PolicyRecord {
  readonly host: string;
  readonly path: string;
  readonly unikernels: Int64 | null;
  readonly memoryBytes: Int64 | null;
  readonly blockBytes: Int64 | null;
}

export type MemberState = "fresh" | "warming" | "missing" | "silent";

export interface GroupMember {
  readonly record: VmRecord;
  readonly role: "primary" | "clone";
  /** 0 for the primary */
  readonly cloneId: number;
  readonly state: MemberState;
}

/** A primary and its clones, derived from the live VMs. */
export interface Group {
  readonly host: string;
  readonly path: string;
  /** the primary's label */
  readonly group: string;
  /** pre-escaped exposition labels: `host="h",path="user",group="web"` */
  readonly labels: string;
  readonly members: readonly GroupMember[];
  /** the primary is not alive */
  readonly orphaned: boolean;
  readonly clones: number;
  /** mean of the fresh members' gauges; null when no member is fresh */
  readonly usagePercent: number | null;
}
