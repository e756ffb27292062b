import type { Evaluation, GroupKey } from "../rules/types.ts";

/** What is kept: an hour, a point for each of its quarter minutes at most. */
export const HISTORY_MS = 3_600_000;
const POINT_MS = 15_000;
const POINTS = HISTORY_MS / POINT_MS;
/** 240 points of four bytes for each: a megabyte. */
export const HISTORY_GROUPS = 1_000;

/** A group's average at one evaluation. */
export interface HistoryPoint {
  readonly agoMs: number;
  /** over the fresh members; null where there was none */
  readonly percent: number | null;
}

/** The last hour's averages of the groups that a policy matches, in memory and bounded. */
export class History {
  /** when each point was taken, by place in the ring; the lines have the same places */
  readonly #times = new Float64Array(POINTS).fill(Number.NEGATIVE_INFINITY);
  readonly #lines = new Map<GroupKey, Float32Array>();
  #place = 0;

  /** One tick's averages, at this time of the scaler's clock. Within a quarter minute the last ones count. */
  add(evaluations: readonly Evaluation[], nowMs: number): void {
    const before = this.#times[this.#place] ?? 0;
    if (Math.floor(before / POINT_MS) !== Math.floor(nowMs / POINT_MS)) this.#advance();
    this.#times[this.#place] = nowMs;
    for (const { observation, policy, averages } of evaluations) {
      if (policy === null) continue;
      let line = this.#lines.get(observation.key);
      if (line === undefined) {
        if (this.#lines.size === HISTORY_GROUPS) continue;
        line = new Float32Array(POINTS).fill(Number.NaN);
        this.#lines.set(observation.key, line);
      }
      line[this.#place] = averages.fresh ?? Number.NaN;
    }
  }

  /** A group's points, the oldest first, from its first measurement within the hour on; null where none are kept. */
  of(key: GroupKey, nowMs: number): readonly HistoryPoint[] | null {
    const line = this.#lines.get(key);
    if (line === undefined) return null;
    const points: HistoryPoint[] = [];
    for (let step = 1; step <= POINTS; step++) {
      const place = (this.#place + step) % POINTS;
      const agoMs = nowMs - (this.#times[place] ?? 0);
      const percent = line[place] ?? Number.NaN;
      if (agoMs > HISTORY_MS || (points.length === 0 && Number.isNaN(percent))) continue;
      points.push({ agoMs, percent: Number.isNaN(percent) ? null : percent });
    }
    return points;
  }

  /** To the next place; whoever has not been measured for an hour makes room. */
  #advance(): void {
    this.#place = (this.#place + 1) % POINTS;
    for (const [key, line] of this.#lines) {
      line[this.#place] = Number.NaN;
      if (line.every(Number.isNaN)) this.#lines.delete(key);
    }
  }
}
