/**
 * The messages of wire version 5 as values. Field names are the wire's own (see the albatross protocol text);
 * what a field means, and in which unit, is the business of the exporter's metric tables.
 */
import type { Name } from "./names.ts";

export * from "./codec.ts";
export * from "./json.ts";
export { statsToJson } from "./statsJson.ts";

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

/** What albatrossd does when the unikernel's process exits. `exitCodes` null stands for any code. */
export type FailBehaviour =
  | { readonly type: "quit" }
  | { readonly type: "restart"; readonly exitCodes: readonly Int64[] | null };

/**
 * What albatrossd says about one unikernel. Arguments are decoded only for `decode`: whoever polls info drops them
 * at once, because they hold secrets.
 */
export interface UnikernelInfo {
  readonly typ: "solo5" | "bhyve";
  readonly startup: Int64 | null;
  readonly failBehaviour: FailBehaviour;
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

/** What a new unikernel is made of. `memory` is MB; a null device or bridge means the host's of the same name. */
export interface UnikernelConfig {
  readonly typ: "solo5" | "bhyve";
  readonly compressed: boolean;
  readonly image: Uint8Array;
  readonly startup: Int64 | null;
  readonly addName: boolean;
  readonly failBehaviour: FailBehaviour;
  readonly cpuids: readonly Int64[];
  readonly memory: Int64;
  readonly blockDevices: readonly {
    readonly name: string;
    readonly device: string | null;
    readonly sectorSize: Int64 | null;
  }[];
  readonly bridges: readonly {
    readonly name: string;
    readonly bridge: string | null;
    readonly mac: string | null;
  }[];
  readonly argv: readonly string[] | null;
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

export type StatsCommand =
  | { readonly class: "stats"; readonly command: "subscribe" | "remove" | "initial" }
  | {
      readonly class: "stats";
      readonly command: "add";
      readonly vmmdev: string;
      readonly pid: Int64;
      readonly taps: readonly { readonly bridge: string; readonly tap: string }[];
    };

export type UnikernelCommand =
  | { readonly class: "unikernel"; readonly command: InfoCommand | "destroy" }
  | { readonly class: "unikernel"; readonly command: "get"; readonly compressionLevel: Int64 }
  /** `arguments`: what to start it with instead, as the DER it came in; null starts it as it was. */
  | { readonly class: "unikernel"; readonly command: "restart"; readonly arguments: Uint8Array | null }
  | {
      readonly class: "unikernel";
      readonly command: "create" | "force_create";
      readonly config: UnikernelConfig;
    };

/** `old_info5` is Albatross 2.6's, `old_info4` that of 2.4 and 2.5. */
export type InfoCommand = "info" | "old_info5" | "old_info4";

export type PolicyCommand =
  | { readonly class: "policy"; readonly command: "info" | "remove" }
  | { readonly class: "policy"; readonly command: "add"; readonly policy: Policy };

/** Sizes are MB. */
export type BlockCommand =
  | { readonly class: "block"; readonly command: "info" | "remove" }
  | { readonly class: "block"; readonly command: "add"; readonly size: Int64 }
  | { readonly class: "block"; readonly command: "dump" | "old_dump"; readonly compressionLevel: Int64 }
  | { readonly class: "block"; readonly command: "set"; readonly compressed: boolean }
  | {
      readonly class: "block";
      readonly command: "old_add";
      readonly size: Int64;
      readonly compressed: boolean;
      readonly data: Uint8Array | null;
    }
  | {
      readonly class: "block";
      readonly command: "old_set";
      readonly compressed: boolean;
      readonly data: Uint8Array;
    };

export type ConsoleCommand =
  | { readonly class: "console"; readonly command: "add"; readonly maxUnikernels: Int64 }
  | { readonly class: "console"; readonly command: "subscribe"; readonly count: Int64 }
  | { readonly class: "console"; readonly command: "subscribe"; readonly sinceMs: number }
  | { readonly class: "console"; readonly command: "list_inactive" };

export type Command = StatsCommand | UnikernelCommand | PolicyCommand | BlockCommand | ConsoleCommand;

export interface NamedInfo {
  readonly name: Name;
  readonly info: UnikernelInfo;
}

export interface NamedPolicy {
  readonly name: Name;
  readonly policy: Policy;
}

/** Which of the info replies: the answers to `info`, `old_info5` and `old_info4`. */
export type InfoResult = "unikernel_info" | "old_unikernel_info5" | "old_unikernel_info4";

export type Success =
  | { readonly type: "success"; readonly result: "empty" }
  | { readonly type: "success"; readonly result: "string"; readonly string: string }
  | { readonly type: "success"; readonly result: "policies"; readonly policies: readonly NamedPolicy[] }
  | { readonly type: "success"; readonly result: InfoResult; readonly unikernels: readonly NamedInfo[] }
  /** `image` is a view of the message. */
  | {
      readonly type: "success";
      readonly result: "unikernel_image" | "old_block_device_image";
      readonly compressed: boolean;
      readonly image: Uint8Array;
    }
  | { readonly type: "success"; readonly result: "block_device_image"; readonly compressed: boolean }
  /** `size` is MB. */
  | {
      readonly type: "success";
      readonly result: "block_devices";
      readonly blockDevices: readonly {
        readonly name: Name;
        readonly size: Int64;
        readonly active: boolean;
      }[];
    }
  | { readonly type: "success"; readonly result: "consoles"; readonly names: readonly Name[] };

export type Data =
  | { readonly type: "data"; readonly data: "stats"; readonly stats: Stats }
  | { readonly type: "data"; readonly data: "console"; readonly timestampMs: number; readonly line: string }
  /** A part of a block device's content (a view of the message); null ends it. */
  | { readonly type: "data"; readonly data: "block"; readonly block: Uint8Array | null }
  /** A data message of a newer Albatross, which is to be skipped and counted. */
  | { readonly type: "data"; readonly data: "unknown"; readonly tag: number };

export type Payload =
  | { readonly type: "command"; readonly command: Command }
  | Success
  | { readonly type: "failure"; readonly message: string }
  | Data;

export interface Message {
  readonly header: Header;
  readonly payload: Payload;
}
