import type { Cancel, Clock } from "../clock.ts";

export interface TickerOptions {
  readonly clock: Clock;
  readonly intervalMs: number;
  /** One tick, `lagUs` after the time it was meant for. Must not throw. */
  readonly tick: (lagUs: number) => void;
  /** When the last tick was before a restart: ticks go on at their times. */
  readonly lastTickUs?: number | null;
  /** The first tick after a restart is put off until then, by one interval at most. */
  readonly caughtUp?: () => boolean;
  /** Called so long before each tick; not while that is 0. */
  readonly ahead?: { leadMs(): number; prepare(): void };
}

/**
 * Ticks once per interval, first one interval after the first samples. Times are counted from the ideal one, so lateness
 * does not add up. A late tick is followed by half an interval at least: a shorter window gives no rates.
 */
export class Ticker {
  readonly #options: TickerOptions;
  #intervalUs: number;
  #firstSampleUs: number | null = null;
  /** the last ideal time, or the first samples; null before them */
  #originUs: number | null;
  #nextUs: number | null = null;
  #isCatchingUp: boolean;
  #cancel: Cancel = () => undefined;
  #cancelAhead: Cancel = () => undefined;
  #stopped = true;

  constructor(options: TickerOptions) {
    this.#options = options;
    this.#intervalUs = options.intervalMs * 1000;
    this.#originUs = options.lastTickUs ?? null;
    this.#isCatchingUp = this.#originUs !== null;
  }

  start(): void {
    this.#stopped = false;
    this.#schedule();
  }

  /** Monotonic arrival of the first samples; null before. */
  get firstSampleUs(): number | null {
    return this.#firstSampleUs;
  }

  /** To be called as samples arrive, at `arrivalUs`. */
  samplesArrived(arrivalUs: number): void {
    if (this.#firstSampleUs === null) {
      this.#firstSampleUs = arrivalUs;
      this.#originUs ??= arrivalUs;
      if (this.#nextUs === null) this.#schedule();
    }
    if (!this.#isCatchingUp || this.#stopped || this.#nextUs === null) return;
    const isPutOff = this.#options.clock.nowUs() >= this.#nextUs;
    if (isPutOff && this.#hasCaughtUp) this.#waitUntil(this.#nextUs);
  }

  /** Another interval, counted from the last ideal time; or what `ahead` says has changed. */
  setInterval(intervalMs: number): void {
    if (intervalMs * 1000 === this.#intervalUs) {
      if (this.#nextUs !== null) this.#prepareFor(this.#nextUs, true);
      return;
    }
    this.#intervalUs = intervalMs * 1000;
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
    this.#cancelAhead();
  }

  /** Sets the next tick to the first ideal time that has not passed. */
  #schedule(): void {
    if (this.#originUs === null || this.#stopped) return;
    const passed = Math.ceil((this.#options.clock.nowUs() - this.#originUs) / this.#intervalUs);
    this.#nextUs = this.#originUs + Math.max(1, passed) * this.#intervalUs;
    this.#waitUntil(this.#nextUs);
    this.#prepareFor(this.#nextUs);
  }

  get #hasCaughtUp(): boolean {
    return this.#options.caughtUp?.() ?? true;
  }

  #prepareFor(us: number, isAgain = false): void {
    const leadMs = this.#options.ahead?.leadMs() ?? 0;
    const waitMs = Math.ceil((us - this.#options.clock.nowUs()) / 1000 - leadMs);
    // what may have begun goes on
    if (isAgain && waitMs < 0) return;
    this.#cancelAhead();
    if (leadMs === 0 || this.#stopped) return;
    this.#cancelAhead = this.#options.clock.after(Math.max(0, waitMs), () => this.#options.ahead?.prepare());
  }

  #waitUntil(us: number): void {
    this.#cancel();
    const waitMs = Math.ceil((us - this.#options.clock.nowUs()) / 1000);
    this.#cancel = this.#options.clock.after(Math.max(0, waitMs), () => this.#due());
  }

  #due(): void {
    const idealUs = this.#nextUs;
    if (idealUs === null) return;
    const nowUs = this.#options.clock.nowUs();
    const latestUs = this.#isCatchingUp && !this.#hasCaughtUp ? idealUs + this.#intervalUs : idealUs;
    // timers may fire a little early
    const dueUs = nowUs < idealUs ? idealUs : latestUs;
    if (nowUs < dueUs) {
      this.#waitUntil(dueUs);
      return;
    }
    this.#isCatchingUp = false;
    this.#originUs = idealUs;
    this.#nextUs = idealUs + Math.ceil((nowUs - idealUs) / this.#intervalUs + 0.5) * this.#intervalUs;
    this.#waitUntil(this.#nextUs);
    this.#options.tick(nowUs - idealUs);
    this.#prepareFor(this.#nextUs);
  }
}
