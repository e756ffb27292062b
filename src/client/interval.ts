/** albatross-stats' default `--interval`. */
const DEFAULT_INTERVAL_US = 10_000_000;
/** Messages of one burst follow each other within microseconds; such a pause may be one between two bursts. */
const PAUSE_US = 50_000;
const GAPS_KEPT = 9;
const GAPS_NEEDED = 3;
const MIN_PROVISIONAL_US = 500_000;
/** Enough to see a burst come round; a peer that invents names must not fill the memory. */
const NAMES_KEPT = 1_024;
/** Longer than the watchdog waits: what has not come round by then never will. */
const LONGEST_INTERVAL_US = 10 * 60 * 1_000_000;
/** of the configured to the measured interval, before somebody should be told */
const TOLERATED_RATIO = 1.5;

/**
 * How often albatross-stats ticks: configured, or learnt anew on each connection from the gaps between its bursts.
 *
 * A burst begins with the first message after the last pause before a VM comes round again. So a hiccup inside a
 * burst does not split it (no VM repeats after it), ticks that were queued during a stall and arrive at once are one
 * burst (no pause between them), and a VM that is new or gone does not hide a tick.
 */
export class StatsInterval {
  readonly #configuredUs: number | null;
  #lastArrivalUs: number | null = null;
  #burstStartUs = 0;
  /** VMs of the current burst, up to the last pause */
  #seen = new Set<string>();
  /** the last pause's end and the VMs since, while it is open whether a new burst began there */
  #pauseEndUs: number | null = null;
  #seenSincePause = new Set<string>();
  #gapsUs: number[] = [];
  /** the median of the last nine gaps in µs (of an even number the lower one); null until there are three */
  measuredUs: number | null = null;

  constructor(configuredMs: number | "auto") {
    this.#configuredUs = configuredMs === "auto" ? null : Math.round(configuredMs * 1000);
  }

  /** A message about `vm` (any text that tells VMs apart) arrived at `arrivalUs`, monotonic. */
  message(vm: string, arrivalUs: number): void {
    const lastUs = this.#lastArrivalUs;
    this.#lastArrivalUs = arrivalUs;
    if (lastUs === null || arrivalUs - this.#burstStartUs > LONGEST_INTERVAL_US) this.#startOver(arrivalUs);
    else if (arrivalUs - lastUs >= PAUSE_US) this.#pause(arrivalUs);

    if (this.#pauseEndUs !== null && this.#seen.has(vm)) this.#beginBurst(this.#pauseEndUs);
    const names = this.#pauseEndUs === null ? this.#seen : this.#seenSincePause;
    if (names.size < NAMES_KEPT) names.add(vm);
  }

  /** Another connection may lead to a daemon with another interval. */
  reconnected(): void {
    this.#lastArrivalUs = null;
    this.#gapsUs = [];
    this.measuredUs = null;
  }

  /** configured or measured, in µs; null when neither */
  get knownUs(): number | null {
    return this.#configuredUs ?? this.measuredUs;
  }

  /** in µs: what is known, else the daemon's default */
  get us(): number {
    return this.knownUs ?? DEFAULT_INTERVAL_US;
  }

  /** The best guess in µs, for telling queued samples from two ticks': until known, the smallest gap of 0.5 s to 10 s. */
  get sampleUs(): number {
    const { knownUs } = this;
    if (knownUs !== null) return knownUs;
    return Math.min(DEFAULT_INTERVAL_US, Math.max(MIN_PROVISIONAL_US, Math.min(...this.#gapsUs)));
  }

  /** The measured interval in µs where the configured one is off by too much, else null. */
  get contradictedByUs(): number | null {
    const { measuredUs } = this;
    if (this.#configuredUs === null || measuredUs === null) return null;
    const ratio = measuredUs / this.#configuredUs;
    return ratio > TOLERATED_RATIO || ratio < 1 / TOLERATED_RATIO ? measuredUs : null;
  }

  #startOver(burstStartUs: number): void {
    this.#burstStartUs = burstStartUs;
    this.#pauseEndUs = null;
    this.#seen.clear();
    this.#seenSincePause.clear();
  }

  #pause(arrivalUs: number): void {
    for (const vm of this.#seenSincePause) if (this.#seen.size < NAMES_KEPT) this.#seen.add(vm);
    this.#seenSincePause.clear();
    this.#pauseEndUs = arrivalUs;
  }

  #beginBurst(startUs: number): void {
    this.#gapsUs.push(startUs - this.#burstStartUs);
    if (this.#gapsUs.length > GAPS_KEPT) this.#gapsUs.shift();
    const sorted = [...this.#gapsUs].sort((a, b) => a - b);
    if (sorted.length >= GAPS_NEEDED) this.measuredUs = sorted[(sorted.length - 1) >> 1] ?? null;
    this.#burstStartUs = startUs;
    this.#seen = this.#seenSincePause;
    this.#seenSincePause = new Set();
    this.#pauseEndUs = null;
  }
}
