import type { StatsInterval } from "./interval.ts";

const INTERVALS_OF_SILENCE = 3;
const MAX_PATIENCE_US = 10 * 60 * 1_000_000;

/** What unikernel info says about a slot, as far as the watchdog cares. */
export type Listing =
  | { readonly readable: false }
  | {
      readonly readable: true;
      /** monotonic µs of the question behind the newest answer */
      readonly askedAtUs: number;
      /** monotonic µs since when every answer listed a unikernel in the slot; null when the last one listed none */
      readonly listedSinceUs: number | null;
    };

export type SilenceVerdict =
  /** Nothing wrong; look again after `us`. */
  | { readonly type: "wait"; readonly us: number }
  /** Silent for long, but that info is old: ask again, the unikernel may be gone. */
  | { readonly type: "ask" }
  /** Forgotten: reconnect. */
  | { readonly type: "reconnect" };

/**
 * Judges whether a silent subscription was forgotten: a restart of albatrossd makes albatross-stats forget all
 * subscribers without closing their connections. It was, when nothing came for three stats intervals although
 * unikernel info, asked after them, lists a unikernel in the slot; or, where info cannot be read, although the slot
 * has ever delivered one.
 *
 * While the interval is not known, each reconnect in vain doubles the next wait (to ten minutes at most). Otherwise the
 * 30 s of the default interval would cut off a daemon that ticks once a minute before it could say anything.
 */
export class Silence {
  readonly #interval: StatsInterval;
  #heardUs = 0;
  #patienceUs = 0;
  #everDelivered = false;

  constructor(interval: StatsInterval) {
    this.#interval = interval;
  }

  /** Any message came, readable or not, the acknowledgement included: the daemon has not forgotten. */
  heard(nowUs: number): void {
    this.#heardUs = nowUs;
  }

  delivered(): void {
    this.#everDelivered = true;
  }

  /** How much silence is tolerated, in µs. */
  get waitUs(): number {
    return Math.max(INTERVALS_OF_SILENCE * this.#interval.us, this.#patienceUs);
  }

  judge(nowUs: number, listing: Listing): SilenceVerdict {
    const waitUs = this.waitUs;
    if (!(listing.readable ? listing.listedSinceUs !== null : this.#everDelivered)) {
      return { type: "wait", us: waitUs };
    }
    const sinceUs = Math.max(this.#heardUs, listing.readable ? (listing.listedSinceUs ?? 0) : 0);
    const overUs = sinceUs + waitUs;
    if (nowUs < overUs) return { type: "wait", us: overUs - nowUs };
    if (listing.readable && listing.askedAtUs < overUs) return { type: "ask" };
    return { type: "reconnect" };
  }

  /** A connection ended: what was learnt on it, or that nothing was, decides how patient the next one is. */
  ended(options: { readonly forSilence: boolean }): void {
    const knownUs = this.#interval.knownUs;
    if (knownUs !== null) this.#patienceUs = INTERVALS_OF_SILENCE * knownUs;
    else if (options.forSilence) this.#patienceUs = Math.min(2 * this.waitUs, MAX_PATIENCE_US);
  }
}
