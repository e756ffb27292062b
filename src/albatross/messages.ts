/**
 * The messages of wire version 5 as values. Field names are the wire's own (see the albatross protocol text);
 * what a field means, and in which unit, is the business of the exporter's metric tables.
 */
import type { Name } from "./names.ts";

/** A signed 64-bit integer: a number where it is a safe integer, a bigint beyond 2^53. No bit is ever lost. */
export type Int64 = number | bigint;

export interface Header {
  readonly version: 5;
  readonly sequence: Int64;
  readonly name: Name;
}

/** getrusage(2) of the unikernel's process. Times are seconds plus microseconds. */
export interface Rusage {
  readonly utimeSec: Int64;
  readonly utimeUsec: Int64;
  readonly stimeSec: Int64;
  readonly stimeUsec: Int64;
  readonly maxrss: Int64;
  readonly ixrss: Int64;
  readonly idrss: Int64;
  readonly isrss: Int64;
  readonly minflt: Int64;
  readonly majflt: Int64;
  readonly nswap: Int64;
  readonly inblock: Int64;
  readonly outblock: Int64;
  readonly msgsnd: Int64;
  readonly msgrcv: Int64;
  readonly nsignals: Int64;
  readonly nvcsw: Int64;
  readonly nivcsw: Int64;
}

/** FreeBSD's kinfo_proc memory fields (Linux: filled from /proc). */
export interface KinfoMem {
  readonly vsize: Int64;
  readonly rss: Int64;
  readonly tsize: Int64;
  readonly dsize: Int64;
  readonly ssize: Int64;
  readonly runtime: Int64;
  readonly cow: Int64;
  readonly startSec: Int64;
  readonly startUsec: Int64;
}

/** One network interface, seen from the host's side of the tap. `bridge` is the unikernel's device name. */
export interface IfData {
  readonly bridge: string;
  readonly flags: Int64;
  readonly sendLength: Int64;
  readonly maxSendLength: Int64;
  readonly sendDrops: Int64;
  readonly mtu: Int64;
  readonly baudrate: Int64;
  readonly inputPackets: Int64;
  readonly inputErrors: Int64;
  readonly outputPackets: Int64;
  readonly outputErrors: Int64;
  readonly collisions: Int64;
  readonly inputBytes: Int64;
  readonly outputBytes: Int64;
  readonly inputMcast: Int64;
  readonly outputMcast: Int64;
  readonly inputDropped: Int64;
  readonly outputDropped: Int64;
}

export interface VmmStat {
  readonly key: string;
  readonly value: Int64;
}

/** One statistics message: everything albatross-stats says about one unikernel at one tick. */
export interface Stats {
  readonly rusage: Rusage;
  readonly kinfoMem: KinfoMem | null;
  readonly vmm: readonly VmmStat[] | null;
  readonly ifdata: readonly IfData[];
}

/**
 * What albatrossd says about one unikernel. Arguments are decoded only for `decode`: whoever polls info drops them
 * at once, because they hold secrets.
 */
export interface UnikernelInfo {
  readonly typ: "solo5" | "bhyve";
  readonly startup: Int64 | null;
  readonly failBehaviour:
    | { readonly type: "quit" }
    | { readonly type: "restart"; readonly exitCodes: readonly Int64[] | null };
  readonly cpuids: readonly Int64[];
  /** MB */
  readonly memory: Int64;
  readonly digest: Uint8Array;
  readonly blockDevices: readonly {
    readonly unikernelDevice: string;
    readonly hostDevice: string;
    readonly sectorSize: Int64;
    readonly size: Int64;
  }[];
  readonly bridges: readonly {
    readonly unikernelDevice: string;
    readonly hostDevice: string;
    /** six lower-case hex pairs joined by colons */
    readonly mac: string;
  }[];
  readonly argv: readonly string[] | null;
  /** milliseconds since the epoch; null where albatrossd does not say */
  readonly startedMs: number | null;
  readonly numcpus: Int64;
  readonly linuxBootPartition: string | null;
}

/** Limits that hold for one path. `memory` and `block` are MB. A value of 2^62-1 means no limit. */
export interface Policy {
  readonly cpuids: readonly Int64[];
  readonly unikernels: Int64;
  readonly memory: Int64;
  readonly block: Int64 | null;
  readonly bridges: readonly string[];
}
