import { type Int64, NO_LIMIT, type Policy, type UnikernelInfo } from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";
import type { PolicyRecord, PolicyUse, VmInfo } from "./types.ts";

/** albatrossd counts memory and block space in MB of 2^20 bytes. */
const BYTES_PER_MB = 1_048_576;

/** What is kept of info, without its arguments, which hold secrets; `known` itself where it says the same, made of nothing. */
export function vmInfoFrom(info: UnikernelInfo, known?: VmInfo): VmInfo {
  if (known !== undefined && saysTheSame(info, known)) return known;
  return {
    type: info.typ,
    digest: digestText(info),
    cpuids: cpuidsText(info),
    memoryLimitBytes: megabytes(info.memory),
    cpus: cpuCount(info),
    blockDevices: info.blockDevices.length,
    startedMs: info.startedMs,
  };
}

function saysTheSame(info: UnikernelInfo, known: VmInfo): boolean {
  return (
    info.typ === known.type &&
    info.startedMs === known.startedMs &&
    cpuCount(info) === known.cpus &&
    info.blockDevices.length === known.blockDevices &&
    megabytes(info.memory) === known.memoryLimitBytes &&
    cpuidsText(info) === known.cpuids &&
    (info.typ === "solo5" ? isHexOf(info.digest, known.digest) : digestText(info) === known.digest)
  );
}

function cpuCount({ numcpus }: UnikernelInfo): number {
  return typeof numcpus === "number" && numcpus >= 1 ? numcpus : 1;
}

function cpuidsText({ cpuids }: UnikernelInfo): string {
  if (cpuids.length === 1) return String(cpuids[0]);
  return [...cpuids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)).join(",");
}

const HEX_DIGITS = Buffer.from("0123456789abcdef");

function isHexOf(bytes: Uint8Array, text: string): boolean {
  if (text.length !== bytes.length * 2) return false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (text.charCodeAt(2 * i) !== HEX_DIGITS[byte >> 4]) return false;
    if (text.charCodeAt(2 * i + 1) !== HEX_DIGITS[byte & 15]) return false;
  }
  return true;
}

/** A path's policy as limits in base units, null where there is none. */
export function policyRecordFrom(host: string, name: Name, policy: Policy): Omit<PolicyRecord, "used"> {
  const path = (name.label === null ? name.path : [...name.path, name.label]).join(":");
  return {
    host,
    path,
    unikernels: isNoLimit(policy.unikernels) ? null : policy.unikernels,
    memoryBytes: isNoLimit(policy.memory) ? null : megabytes(policy.memory),
    blockBytes: policy.block === null || isNoLimit(policy.block) ? null : megabytes(policy.block),
  };
}

/** What these VMs use together, by path: a path's policy counts those of the paths below, too. */
export function useByPath(infos: ReadonlyMap<string, VmInfo>): Map<string, PolicyUse> {
  const byPath = new Map<string, PolicyUse>();
  for (const [fullName, { memoryLimitBytes }] of infos) {
    if (fullName.endsWith(":")) continue;
    let end = fullName.length;
    do {
      end = Math.max(0, fullName.lastIndexOf(":", end - 1));
      const path = fullName.slice(0, end);
      const used = byPath.get(path) ?? { unikernels: 0, memoryBytes: 0 };
      used.unikernels++;
      used.memoryBytes += Number(memoryLimitBytes);
      byPath.set(path, used);
    } while (end > 0);
  }
  return byPath;
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
