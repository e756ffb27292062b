const WINDOW_US = 5 * 60 * 1_000_000;
const CLOSES_OF_A_RIVAL = 3;

/**
 * Tells a rival from an accident. albatross-stats keeps one subscriber per slot and closes the old one when another
 * subscribes; a client that reconnects at once fights the other for ever. Three closes of acknowledged subscriptions
 * within five minutes mean that somebody else wants the slot: from then on, and until a subscription holds, it is
 * displaced.
 */
export class Displacement {
  #closesUs: number[] = [];
  #displaced = false;

  get displaced(): boolean {
    return this.#displaced;
  }

  /** The daemon closed an acknowledged subscription. Returns true when that is what displaced it. */
  closed(nowUs: number): boolean {
    this.#closesUs.push(nowUs);
    this.#closesUs = this.#closesUs.filter((atUs) => nowUs - atUs < WINDOW_US).slice(-CLOSES_OF_A_RIVAL);
    if (this.#displaced || this.#closesUs.length < CLOSES_OF_A_RIVAL) return false;
    this.#displaced = true;
    return true;
  }

  /** A subscription holds: nobody takes the slot any more. */
  held(): void {
    this.#displaced = false;
  }

  /** The daemon is gone: what closed the subscriptions before was its end, not a rival. */
  daemonGone(): void {
    this.#displaced = false;
    this.#closesUs = [];
  }
}

/** Says what is the matter with a displaced slot, and the way out. */
export function describeDisplacement(slot: string, retryMs: number): string {
  return (
    `displaced: another client keeps taking the slot ${slot} (usually albatross-influx or mollymawk, which both take ` +
    `the root); subscribe to path slots such as "user:", which live beside others; trying again every ${retryMs / 1000} s`
  );
}
