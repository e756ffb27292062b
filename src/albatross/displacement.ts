const WINDOW_US = 5 * 60 * 1_000_000;
const CLOSES_OF_A_RIVAL = 3;

/**
 * Tells a rival from an accident. albatross-stats keeps one subscriber per slot and closes the old one when another
 * subscribes; a client that reconnects at once fights the other for ever. Three closes of acknowledged subscriptions
 * within five minutes mean that somebody else wants the slot.
 */
export class Displacement {
  #closesUs: number[] = [];

  /** Notes that the daemon closed an acknowledged subscription; true when this makes three within five minutes. */
  closed(nowUs: number): boolean {
    this.#closesUs.push(nowUs);
    this.#closesUs = this.#closesUs.filter((atUs) => nowUs - atUs < WINDOW_US).slice(-CLOSES_OF_A_RIVAL);
    return this.#closesUs.length === CLOSES_OF_A_RIVAL;
  }

  /** Forgets the closes so far: the daemon itself had gone, nobody took the slot. */
  reset(): void {
    this.#closesUs = [];
  }
}
