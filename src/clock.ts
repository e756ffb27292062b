/** Undoes a timer. Calling it twice, or after the timer fired, does nothing. */
export type Cancel = () => void;

/** The time, passed in wherever a rule depends on it. */
export interface Clock {
  /** Monotonic, in integer microseconds from an arbitrary origin: for rates and durations. */
  nowUs(): number;
  /** Milliseconds since the epoch, for what is shown or written to disk. May jump. */
  wallMs(): number;
  /** Calls `callback` once after `delayMs`, however long that is. */
  after(delayMs: number, callback: () => void): Cancel;
}

/** Node fires a timer of more than this, 24.8 days, at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The machine's clock. With `unref` its timers do not keep the process alive. */
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

/** Resolves after this time, or when the signal is aborted. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      cancel();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const cancel = clock.after(Math.max(0, ms), end);
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();
  });
}

const waiting: (() => void)[] = [];

/**
 * Resolves in a later iteration of the event loop, one caller per iteration, first come first served:
 * with `setImmediate` alone, the slices of forty renderings would run in one.
 */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(grantTurn);
  });
}

/** How long steps go on before others get their turn. */
const SLICE_MS = 5;
/** Steps of some microseconds each between two looks at the clock. */
const STEPS_PER_LOOK = 64;

/** Runs the steps of long work in slices, the first one at once. Resolves to what the work returns. */
export async function inTurns<T>(steps: Iterator<unknown, T>): Promise<T> {
  for (let endMs = performance.now() + SLICE_MS; ; ) {
    for (let i = 0; i < STEPS_PER_LOOK; i++) {
      const step = steps.next();
      if (step.done) return step.value;
    }
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

/**
 * Work that may be asked for at any time and is done once at a time, after the caller's turn. For what
 * is asked for while it is being done it is done once more.
 */
export class OneAtATime {
  readonly #work: () => Promise<void>;
  #isWanted = false;
  #running: Promise<void> | null = null;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  request(): void {
    this.#isWanted = true;
    this.#running ??= this.#run();
  }

  /** Resolves when all that was asked for is done. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    // a tick does not wait for disks
    await Promise.resolve();
    while (this.#isWanted) {
      this.#isWanted = false;
      await this.#work();
    }
    this.#running = null;
  }
}
