/** Bounds of the wait between two attempts to connect. */
export const MIN_BACKOFF_MS = 1_000;
export const MAX_BACKOFF_MS = 60_000;

/**
 * Exponential backoff with jitter: the n-th wait is between half and all of 2 s, 4 s, 8 s, ... 60 s, so never shorter
 * than 1 s, and several exporters that lost the same daemon do not come back in step. `random` gives 0 to 1.
 */
export class Backoff {
  readonly #random: () => number;
  #ceilingMs = 2 * MIN_BACKOFF_MS;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** How long to wait now, in ms; the wait after it is longer. */
  nextMs(): number {
    const ceilingMs = this.#ceilingMs;
    this.#ceilingMs = Math.min(2 * ceilingMs, MAX_BACKOFF_MS);
    return Math.round((ceilingMs / 2) * (1 + this.#random()));
  }

  /** Starts again at the shortest wait: the last connection proved good. */
  reset(): void {
    this.#ceilingMs = 2 * MIN_BACKOFF_MS;
  }
}
