import { knownLoad } from "../rules/averages.ts";
import type { Evaluation, GroupKey } from "../rules/types.ts";

/** What is kept: an hour, a point for each of its quarter minutes at most. */
const HISTORY_MS = 3_600_000;
const POINT_MS = 15_000;
const POINTS = HISTORY_MS / POINT_MS;
/** 240 points of three numbers of four bytes for each: three megabytes. */
export const HISTORY_GROUPS = 1_000;
const NUMBERS = 3;

/** A group's load at one evaluation: CPU usage in percent, or in its query's unit. */
export interface HistoryPoint {
  readonly agoMs: number;
  /** CPU usage as the average over the fresh members; null where nothing was measured */
  readonly load: number | null;
  /** which load is 100 % against the upper threshold, and against the lower one */
  readonly fullForUp: number;
  readonly fullForDown: number;
}

interface Line {
  readonly query: string | null;
  /** load, fullForUp and fullForDown of each point; NaN where nothing was measured */
  readonly numbers: Float32Array;
}

/** The last hour's loads of the groups that a policy matches, in memory and bounded. */
export class History {
  /** when each point was taken, by place in the ring; the lines have the same places */
  readonly #times = new Float64Array(POINTS).fill(Number.NEGATIVE_INFINITY);
  readonly #lines = new Map<GroupKey, Line>();
  #place = 0;

  /** One tick's loads. Within a quarter minute the last ones count. */
  add(evaluations: readonly Evaluation[], nowMs: number): void {
    const before = this.#times[this.#place] ?? 0;
    if (Math.floor(before / POINT_MS) !== Math.floor(nowMs / POINT_MS)) this.#advance();
    this.#times[this.#place] = nowMs;
    for (const evaluation of evaluations) {
      const { observation, policy } = evaluation;
      if (policy === null) continue;
      const query = policy.load?.query.text ?? null;
      let line = this.#lines.get(observation.key);
      if (line === undefined || line.query !== query) {
        if (line === undefined && this.#lines.size === HISTORY_GROUPS) continue;
        line = { query, numbers: new Float32Array(NUMBERS * POINTS).fill(Number.NaN) };
        this.#lines.set(observation.key, line);
      }
      line.numbers.set(numbersOf(evaluation), NUMBERS * this.#place);
    }
  }

  /** A group's points within the hour, the oldest first; null where none are kept. */
  of(key: GroupKey, nowMs: number): readonly HistoryPoint[] | null {
    const line = this.#lines.get(key);
    if (line === undefined) return null;
    const points: HistoryPoint[] = [];
    for (let step = 1; step <= POINTS; step++) {
      const place = (this.#place + step) % POINTS;
      const agoMs = nowMs - (this.#times[place] ?? 0);
      if (agoMs > HISTORY_MS) continue;
      const [load = 0, fullForUp = 0, fullForDown = 0] = line.numbers.subarray(NUMBERS * place);
      // what four bytes cannot hold is 0 or Infinity
      const isMeasured = Number.isFinite(load) && Number.isFinite(fullForUp) && fullForUp > 0;
      if (isMeasured || points.length > 0)
        points.push({ agoMs, load: isMeasured ? load : null, fullForUp, fullForDown });
    }
    return points;
  }

  /** To the next place; whoever has not been measured for an hour makes room. */
  #advance(): void {
    this.#place = (this.#place + 1) % POINTS;
    for (const [key, line] of this.#lines) {
      line.numbers.fill(Number.NaN, NUMBERS * this.#place, NUMBERS * (this.#place + 1));
      if (line.numbers.every(Number.isNaN)) this.#lines.delete(key);
    }
  }
}

function numbersOf({ observation, policy, averages }: Evaluation): readonly number[] {
  if (averages.fresh === null) return [Number.NaN, Number.NaN, Number.NaN];
  if (!policy?.load) return [averages.fresh, 100, 100];
  const { capacityPerMember } = policy.load;
  const full = [averages.members, averages.membersForDown].map((count) => count * capacityPerMember);
  return [knownLoad(observation) ?? Number.NaN, ...full];
}
