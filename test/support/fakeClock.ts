import type { Cancel, Clock } from "../../src/clock.ts";

/** A clock that moves only when told to; timers fire in order of their time while it moves. */
export class FakeClock implements Clock {
  #nowUs = 0;
  #wallOffsetMs: number;
  #timers: { atUs: number; callback: () => void }[] = [];

  constructor(wallMs = Date.parse("2026-01-01T00:00:00Z")) {
    this.#wallOffsetMs = wallMs;
  }

  nowUs(): number {
    return this.#nowUs;
  }

  wallMs(): number {
    return this.#wallOffsetMs + Math.floor(this.#nowUs / 1000);
  }

  /** Moves wall time without moving monotonic time, as an operator or ntpd would. */
  setWall(ms: number): void {
    this.#wallOffsetMs = ms - Math.floor(this.#nowUs / 1000);
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer = { atUs: this.#nowUs + Math.round(delayMs * 1000), callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer);
    };
  }

  /** How many timers are waiting: a test's way to see that nothing leaked. */
  get pendingTimers(): number {
    return this.#timers.length;
  }

  /** Moves both clocks forward and fires what falls due on the way. */
  advance(ms: number): void {
    const end = this.#nowUs + Math.round(ms * 1000);
    while (this.#fireNext(end));
    this.#nowUs = end;
  }

  /** The same, and what a timer sets off is awaited before the clocks move on. */
  async advanceAndSettle(ms: number): Promise<void> {
    const end = this.#nowUs + Math.round(ms * 1000);
    while (this.#fireNext(end)) await new Promise((resolve) => setImmediate(resolve));
    this.#nowUs = end;
  }

  /** Whether one fell due until `end`. */
  #fireNext(end: number): boolean {
    // they stand in the order in which they were set
    const [first, ...others] = this.#timers;
    if (first === undefined) return false;
    const due = others.reduce((soonest, timer) => (timer.atUs < soonest.atUs ? timer : soonest), first);
    if (due.atUs > end) return false;
    this.#timers = this.#timers.filter((t) => t !== due);
    this.#nowUs = Math.max(this.#nowUs, due.atUs);
    due.callback();
    return true;
  }
}
