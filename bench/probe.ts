import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as nextIteration, setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Frees what preparations left, so that what is measured does not pay for it. */
export const collectYoung = youngCollector();

function youngCollector(): () => void {
  setFlagsFromString("--expose-gc");
  const collect: (options: { readonly type: "minor" }) => void = runInNewContext("gc");
  return () => collect({ type: "minor" });
}

const NS_PER_MS = 1e6;
const BYTES_PER_MB = 1e6;
const LOOK_EVERY_MS = 2;

export interface Probed<T> {
  readonly result: T;
  readonly durationMs: number;
  /** The longest time that the event loop did not come round. */
  readonly longestBlockMs: number;
  /** Resident memory at its highest, above what it was before the work began. */
  readonly memoryAboveIdleMb: number;
}

/** Does `work` once and says how long it took, how long it held up the event loop, and how much memory it took. */
export async function probe<T>(work: () => Promise<T>): Promise<Probed<T>> {
  collectGarbage();
  await sleep(20);
  const idleRss = process.memoryUsage.rss();
  let peakRss = idleRss;
  const look = setInterval(() => {
    peakRss = Math.max(peakRss, process.memoryUsage.rss());
  }, LOOK_EVERY_MS);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await nextIteration();
  const start = performance.now();
  try {
    const result = await work();
    const durationMs = performance.now() - start;
    peakRss = Math.max(peakRss, process.memoryUsage.rss());
    await sleep(5);
    delay.disable();
    return {
      result,
      durationMs,
      longestBlockMs: delay.max / NS_PER_MS,
      memoryAboveIdleMb: (peakRss - idleRss) / BYTES_PER_MB,
    };
  } finally {
    clearInterval(look);
    delay.disable();
  }
}

/** Probes `work` several times; the first rounds warm the compiler up and do not count. */
export async function probeRounds<T>(
  work: () => Promise<T>,
  { warmUp = 2, rounds = 5 } = {},
): Promise<Probed<T>[]> {
  for (let i = 0; i < warmUp; i++) await work();
  const probed: Probed<T>[] = [];
  for (let i = 0; i < rounds; i++) probed.push(await probe(work));
  return probed;
}

/**
 * One figure of each kind from several rounds. The block is that of the calmest round: work that really holds the
 * event loop up does so in every one, while a busy machine that takes the processor away only ever adds.
 */
export function sumUp(rounds: readonly Probed<unknown>[]): Omit<Probed<unknown>, "result"> {
  return {
    durationMs: median(rounds.map((round) => round.durationMs)),
    longestBlockMs: Math.min(...rounds.map((round) => round.longestBlockMs)),
    memoryAboveIdleMb: Math.max(...rounds.map((round) => round.memoryAboveIdleMb)),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** The same numbers in every run. */
export function lehmer(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** With `node --expose-gc` the memory figures start from a clean heap; without, they are a little higher. */
function collectGarbage(): void {
  if (typeof globalThis.gc === "function") globalThis.gc();
}
