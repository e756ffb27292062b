/** Undoes a timer. Calling it twice, or after the timer fired, does nothing. */
export type Cancel = () => void;

/**
 * The time, passed in wherever a rule depends on it. Rates and durations use `nowUs` (monotonic, integer
 * microseconds, arbitrary origin); only what is shown or written to disk uses `wallMs`.
 */
export interface Clock {
  /** Monotonic time in integer microseconds. */
  nowUs(): number;
  /** Wall time in milliseconds since the epoch. May jump. */
  wallMs(): number;
  /** Calls `callback` once after `delayMs`, however long that is. */
  after(delayMs: number, callback: () => void): Cancel;
}

/** Node fires a timer of more than this, 24.8 days, at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The machine's clock. Its timers do not keep a process alive by themselves when `unref` is true. */
export function systemClock({ unref = false }: { unref?: boolean } = {}): Clock {
  return {
    nowUs: () => Math.round(performance.now() * 1000),
    wallMs: () => Date.now(),
    after(delayMs, callback) {
      let timer: NodeJS.Timeout;
      const wait = (ms: number) => {
        const partMs = Math.min(ms, LONGEST_TIMER_MS);
        timer = setTimeout(() => (partMs < ms ? wait(ms - partMs) : callback()), partMs);
        if (unref) timer.unref();
      };
      wait(delayMs);
      return () => clearTimeout(timer);
    },
  };
}

const waiting: (() => void)[] = [];

/**
 * Resolves in a later iteration of the event loop, when everyone who asked before has had a turn: one turn per
 * iteration, first come first served. Whoever does long work waits for one before each slice of it. All of the program
 * waits in one queue, so that forty renderings at once are as gentle on the loop as one: with `setImmediate` alone,
 * forty slices would run in one iteration.
 */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(grantTurn);
  });
}

/** How long steps go on before others get their turn of the event loop. */
const SLICE_MS = 5;

/**
 * Runs the steps of long work to their end, the first few milliseconds of them at once. Resolves to what the work
 * returns; throws what a step throws.
 */
export async function inTurns<T>(steps: Iterator<unknown, T>): Promise<T> {
  for (let endMs = performance.now() + SLICE_MS; ; ) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() < endMs) continue;
    await yieldToEventLoop();
    endMs = performance.now() + SLICE_MS;
  }
}

function grantTurn(): void {
  const grant = waiting.shift();
  if (waiting.length > 0) setImmediate(grantTurn);
  grant?.();
}
