/** Bounds how many requests of one kind are served at once. */
export class Slots {
  readonly #limit: () => number;
  #taken = 0;

  /** A `limit` of 0 is none; it is asked for with each request. */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Takes a slot and returns how to give it back (once; again does nothing), or null when all are taken. */
  take(): (() => void) | null {
    const limit = this.#limit();
    if (limit > 0 && this.#taken >= limit) return null;
    this.#taken++;
    let isHeld = true;
    return () => {
      if (isHeld) this.#taken--;
      isHeld = false;
    };
  }
}
