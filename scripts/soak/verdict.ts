import type { LoopDelays } from "./programs.ts";
import type { Reading } from "./readings.ts";

/** Memory may grow by this share of its mean from the first half of what is judged to the second, by noise alone. */
const FLAT_SHARE = 0.05;
/** What is a few megabytes in all moves by more than that share; growth of less than this is no leak that a soak could tell. */
const NOISE_BYTES = 256 * 1024;
/** The heap is judged by its floor: the least of some readings in a row, for it goes up until it is collected. */
const FLOORS = 6;
const FEWEST_READINGS = 3 * FLOORS;
const LOOP_P99_LIMIT_MS = 20;
/** Of a run, at its beginning, is not judged: V8 is still finding the size that its heap needs. */
export const WARM_UP_SHARE = 0.3;

/** One thing that had to hold, and whether it did. */
export interface Finding {
  readonly holds: boolean;
  readonly text: string;
}

/** Holds a run to what is promised. `vms` is how many there were to be served. */
export function judge(readings: readonly Reading[], loop: LoopDelays | null, vms: number): Finding[] {
  const judged = readings.slice(Math.floor(readings.length * WARM_UP_SHARE));
  const first = judged[0];
  const last = judged.at(-1);
  if (first === undefined || last === undefined || judged.length < FEWEST_READINGS) {
    return [
      {
        holds: false,
        text: `${readings.length} scrapes are too few to judge: let it run longer, or scrape more often`,
      },
    ];
  }
  const minutes = (last.atSeconds - first.atSeconds) / 60;
  const half = Math.floor(judged.length / 2);
  const descriptors = (some: readonly Reading[]) => Math.min(...some.map((one) => one.openDescriptors));
  const [before, after] = [descriptors(judged.slice(0, half)), descriptors(judged.slice(half))];
  const least = Math.min(...judged.map((reading) => reading.vms));
  return [
    flat(
      "resident memory",
      judged.map(({ residentBytes }) => residentBytes),
      minutes,
    ),
    flat("heap after collection", floors(judged.map(({ heapUsedBytes }) => heapUsedBytes)), minutes),
    flat("memory outside the heap", floors(judged.map(({ externalBytes }) => externalBytes)), minutes),
    loopDelay(loop),
    { holds: after <= before, text: `open descriptors: ${before}, then ${after}` },
    { holds: least >= vms, text: `VMs served at each scrape: ${least} or more of ${vms}` },
  ];
}

function loopDelay(loop: LoopDelays | null): Finding {
  if (loop === null)
    return { holds: false, text: "event-loop delay: the exporter did not end in good order" };
  const { p50, p90, p99, p999, max } = loop;
  const figures = [p50, p90, p99, p999, max].map((ms) => ms.toFixed(1)).join(", ");
  return {
    holds: p99 < LOOP_P99_LIMIT_MS,
    text: `event-loop delay p50, p90, p99, p99.9, max: ${figures} ms (limit of p99 ${LOOP_P99_LIMIT_MS} ms; idle is 10 ms)`,
  };
}

function flat(what: string, bytes: readonly number[], minutes: number): Finding {
  const half = Math.floor(bytes.length / 2);
  const before = mean(bytes.slice(0, half));
  const after = mean(bytes.slice(-half));
  const growth = (after - before) / before;
  const slope = megabytes((after - before) / (minutes / 2));
  return {
    holds: growth < FLAT_SHARE || after - before < NOISE_BYTES,
    text: `${what}: ${megabytes(before).toFixed(1)} MB in the first half, ${megabytes(after).toFixed(1)} MB in the second (${percent(growth)}, ${slope.toFixed(2)} MB a minute; limit ${percent(FLAT_SHARE)} or 0.25 MB)`,
  };
}

function floors(bytes: readonly number[]): number[] {
  const size = Math.floor(bytes.length / FLOORS);
  return Array.from({ length: FLOORS }, (_, i) => Math.min(...bytes.slice(i * size, (i + 1) * size)));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function megabytes(bytes: number): number {
  return bytes / 1024 / 1024;
}

function percent(share: number): string {
  return `${share < 0 ? "" : "+"}${(100 * share).toFixed(1)} %`;
}
