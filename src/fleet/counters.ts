import type { Int64, Rusage, Stats } from "../wire/messages.ts";

const MICROSECONDS_PER_SECOND = 1_000_000;

/**
 * CPU time used so far, user and system, in microseconds. Null where it is above 2^53 (285 years, or a negative
 * field, which is a value above 2^63 on the wire): no rate can be taken from that.
 */
export function cpuTimeUs(rusage: Rusage): number | null {
  const { utimeSec, utimeUsec, stimeSec, stimeUsec } = rusage;
  if (
    !isSmallUnsigned(utimeSec) ||
    !isSmallUnsigned(utimeUsec) ||
    !isSmallUnsigned(stimeSec) ||
    !isSmallUnsigned(stimeUsec)
  ) {
    return null;
  }
  const total = (utimeSec + stimeSec) * MICROSECONDS_PER_SECOND + utimeUsec + stimeUsec;
  return Number.isSafeInteger(total) ? total : null;
}

/**
 * Whether the VM's process is another one than at the previous sample: its CPU time, minor faults or voluntary context
 * switches went down. These three are filled on every system and never decrease in one process.
 */
export function hasReset(previous: Stats, next: Stats): boolean {
  return (
    cpuWentDown(previous.rusage, next.rusage) ||
    isBelow(next.rusage.minflt, previous.rusage.minflt) ||
    isBelow(next.rusage.nvcsw, previous.rusage.nvcsw)
  );
}

/** `a < b` for 64-bit counters, which are unsigned: a negative value is one above 2^63. */
export function isBelow(a: Int64, b: Int64): boolean {
  if (a >= 0 === b >= 0) return a < b;
  return a >= 0;
}

function cpuWentDown(previous: Rusage, next: Rusage): boolean {
  const before = cpuTimeUs(previous);
  const after = cpuTimeUs(next);
  if (before !== null && after !== null) return after < before;
  return exactCpuUs(next) < exactCpuUs(previous);
}

function exactCpuUs(rusage: Rusage): bigint {
  const seconds = unsigned(rusage.utimeSec) + unsigned(rusage.stimeSec);
  return seconds * BigInt(MICROSECONDS_PER_SECOND) + unsigned(rusage.utimeUsec) + unsigned(rusage.stimeUsec);
}

function unsigned(value: Int64): bigint {
  return BigInt.asUintN(64, BigInt(value));
}

function isSmallUnsigned(value: Int64): value is number {
  return typeof value === "number" && value >= 0;
}
