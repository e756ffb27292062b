/**
 * Hands out turns of the event loop, one per iteration, first come first served. Whoever does long work takes a turn
 * before each slice of it. One `Turns` for everybody keeps forty renderings at once as gentle on the loop as one:
 * with `setImmediate` alone, forty slices would run in one iteration.
 */
export class Turns {
  #waiting: (() => void)[] = [];

  /** Resolves in a later iteration of the event loop, when everyone who asked before has had a turn. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) setImmediate(this.#grant);
    });
  }

  #grant = (): void => {
    const grant = this.#waiting.shift();
    if (this.#waiting.length > 0) setImmediate(this.#grant);
    grant?.();
  };
}
