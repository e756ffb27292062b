import type { CpuPoint } from "./types.ts";

/**
 * A burst longer than this many stats intervals is no queue being drained: the daemon sends faster than its interval is
 * believed to be (an override in the configuration, say). Going on would stretch the gauge over an ever longer time.
 */
const MAX_BURST_INTERVALS = 2;

/** The two points of a VM's gauge, and what is needed to move on from them. All of one incarnation. */
export interface RateWindow {
  /** the newest sample before the current burst; null while this incarnation has none */
  readonly base: CpuPoint | null;
  /** the first sample of the current burst: `latest` itself unless samples came almost together */
  readonly burstStart: CpuPoint;
  readonly latest: CpuPoint;
}

/** The window at the first sample of an incarnation: no rate yet. */
export function startWindow(point: CpuPoint): RateWindow {
  return { base: null, burstStart: point, latest: point };
}

/**
 * The window after one more sample of the same incarnation. Samples less than half a stats interval after the one before belong
 * to its burst (albatross-stats queues samples for a slow reader): they replace it, and the base stays.
 */
export function extendWindow(window: RateWindow, point: CpuPoint, intervalUs: number): RateWindow {
  const gapUs = point.arrivalUs - window.latest.arrivalUs;
  if (gapUs > 0 && gapUs * 2 >= intervalUs) return { base: window.latest, burstStart: point, latest: point };

  const burstUs = point.arrivalUs - window.burstStart.arrivalUs;
  if (burstUs > 0 && burstUs >= MAX_BURST_INTERVALS * intervalUs) {
    return { base: window.burstStart, burstStart: point, latest: point };
  }
  return { base: window.base, burstStart: window.burstStart, latest: point };
}

/**
 * Percent of `cpus` CPUs used over the window, as measured: above 100 where samples arrived unevenly or `cpus` is too
 * small. Null while there is no base, or no time between the two points.
 */
export function measuredPercent(window: RateWindow, cpus: number): number | null {
  if (window.base === null) return null;
  const elapsedUs = window.latest.arrivalUs - window.base.arrivalUs;
  if (elapsedUs <= 0) return null;
  return (100 * (window.latest.cpuUs - window.base.cpuUs)) / (elapsedUs * cpus);
}

/** A percentage as it is shown: 0..100. */
export function clampPercent(percent: number): number {
  return Math.min(100, Math.max(0, percent));
}
