import type { Int64, Policy, UnikernelInfo } from "../albatross/messages.ts";
import type { Name } from "../albatross/names.ts";
import { labelPairs } from "../exposition/labels.ts";
import type { PolicyRecord, VmInfo } from "./types.ts";

/** albatrossd counts memory and block space in MB of 2^20 bytes. */
const BYTES_PER_MB = 1_048_576;
/** OCaml's max_int: how albatrossd writes "no limit". */
const NO_LIMIT = 2n ** 62n - 1n;

/** What is kept of a unikernel's info. Its arguments are not: they hold secrets. */
export function vmInfoFrom(info: UnikernelInfo): VmInfo {
  return {
    type: info.typ,
    digest: digestText(info),
    cpuids: [...info.cpuids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)).join(","),
    memoryLimitBytes: megabytes(info.memory),
    cpus: typeof info.numcpus === "number" && info.numcpus >= 1 ? info.numcpus : 1,
    startedMs: info.startedMs,
  };
}

/** Whether two infos say the same: then the older object is kept, and records that hold it stay as they are. */
export function isSameInfo(a: VmInfo, b: VmInfo): boolean {
  return (
    a.type === b.type &&
    a.digest === b.digest &&
    a.cpuids === b.cpuids &&
    a.memoryLimitBytes === b.memoryLimitBytes &&
    a.cpus === b.cpus &&
    a.startedMs === b.startedMs
  );
}

/** A path's policy as limits in base units, null where there is none. */
export function policyRecordFrom(host: string, name: Name, policy: Policy): PolicyRecord {
  const path = (name.label === null ? name.path : [...name.path, name.label]).join(":");
  return {
    host,
    path,
    labels: labelPairs({ host, path }),
    unikernels: isNoLimit(policy.unikernels) ? null : policy.unikernels,
    memoryBytes: isNoLimit(policy.memory) ? null : megabytes(policy.memory),
    blockBytes: policy.block === null || isNoLimit(policy.block) ? null : megabytes(policy.block),
  };
}

function digestText({ typ, digest }: UnikernelInfo): string {
  const bytes = Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength);
  return bytes.toString(typ === "solo5" ? "hex" : "utf8");
}

function isNoLimit(limit: Int64): boolean {
  return BigInt(limit) === NO_LIMIT;
}

function megabytes(count: Int64): Int64 {
  const bytes = Number(count) * BYTES_PER_MB;
  return Number.isSafeInteger(bytes) ? bytes : BigInt(count) * BigInt(BYTES_PER_MB);
}
