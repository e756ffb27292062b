import type { Int64, Rusage, Stats } from "../wire/messages.ts";
import type { CpuPoint } from "./types.ts";

const MICROSECONDS_PER_SECOND = 1_000_000;

/** User and system time used so far, in microseconds. Null above 2^53: no rate can be taken from that. */
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

/** Whether a counter that every system fills went down: CPU time, minor faults or voluntary context switches. */
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

/** A longer burst is no queue being drained: the daemon sends faster than its interval is believed to be. */
const MAX_BURST_INTERVALS = 2;

/** What a VM's gauge is taken from. All of one incarnation. */
export interface RateWindow {
  /** the newest sample before the current burst; null while this incarnation has none */
  readonly base: CpuPoint | null;
  /** the first sample of the current burst */
  readonly burstStart: CpuPoint;
  readonly latest: CpuPoint;
}

export function startWindow(point: CpuPoint): RateWindow {
  return { base: null, burstStart: point, latest: point };
}

/** A sample within half a stats interval is of its burst (queued for a slow reader): it replaces it, the base stays. */
export function extendWindow(window: RateWindow, point: CpuPoint, intervalUs: number): RateWindow {
  const gapUs = point.arrivalUs - window.latest.arrivalUs;
  if (gapUs > 0 && gapUs * 2 >= intervalUs) return { base: window.latest, burstStart: point, latest: point };

  const burstUs = point.arrivalUs - window.burstStart.arrivalUs;
  if (burstUs > 0 && burstUs >= MAX_BURST_INTERVALS * intervalUs) {
    return { base: window.burstStart, burstStart: point, latest: point };
  }
  return { base: window.base, burstStart: window.burstStart, latest: point };
}

/** Percent of `cpus` CPUs over the window, above 100 where samples arrived unevenly or `cpus` is too small; null without a rate. */
export function measuredPercent(window: RateWindow, cpus: number): number | null {
  if (window.base === null) return null;
  const elapsedUs = window.latest.arrivalUs - window.base.arrivalUs;
  if (elapsedUs <= 0) return null;
  return (100 * (window.latest.cpuUs - window.base.cpuUs)) / (elapsedUs * cpus);
}

export function clampPercent(percent: number): number {
  return Math.min(100, Math.max(0, percent));
}
