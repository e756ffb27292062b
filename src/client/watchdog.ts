import type { StatsInterval } from "./interval.ts";
import { type KnownInfo, VmmdError } from "./vmmd.ts";

const INTERVALS_OF_SILENCE = 3;
const MAX_WAIT_US = 10 * 60 * 1_000_000;

/** `wait`: look again after `us`. `ask`: silent for long, but info is old, the unikernel may be gone. */
export type Verdict = { readonly type: "wait"; readonly us: number } | { readonly type: "ask" | "reconnect" };

/**
 * Tells a forgotten subscription from a silent one: a restart of albatrossd makes albatross-stats forget all subscribers
 * without closing their connections. It was forgotten when nothing came for three stats intervals although unikernel
 * info, asked after them, lists a unikernel of it (where info cannot be read: although it has ever delivered one).
 *
 * Each reconnect in vain (too little came to learn the interval) doubles the next wait, to ten minutes at most: the 30 s
 * of the default interval would cut off a daemon that ticks once a minute before it could say anything.
 */
export class Watchdog {
  readonly #interval: StatsInterval;
  #heardUs = 0;
  #leastWaitUs = 0;
  #everDelivered = false;
  /** this connection has delivered nothing */
  #isInVain = true;

  constructor(interval: StatsInterval) {
    this.#interval = interval;
  }

  /** Any message came, readable or not, the acknowledgement included. */
  heard(nowUs: number): void {
    this.#heardUs = nowUs;
  }

  delivered(): void {
    this.#everDelivered = true;
    this.#isInVain = false;
  }

  /** How much silence is tolerated, in µs. */
  get waitUs(): number {
    const waitUs = INTERVALS_OF_SILENCE * this.#interval.us;
    const isSure = !this.#isInVain && this.#interval.knownUs !== null;
    return isSure ? waitUs : Math.max(waitUs, this.#leastWaitUs);
  }

  check(nowUs: number, info: KnownInfo): Verdict {
    const waitUs = this.waitUs;
    const kept = info instanceof VmmdError ? null : info;
    const shouldSpeak = kept === null ? this.#everDelivered : kept.listedSinceUs !== null;
    if (!shouldSpeak) return { type: "wait", us: waitUs };
    const overUs = Math.max(this.#heardUs, kept?.listedSinceUs ?? 0) + waitUs;
    if (nowUs < overUs) return { type: "wait", us: overUs - nowUs };
    return { type: kept !== null && kept.askedAtUs < overUs ? "ask" : "reconnect" };
  }

  /** What was learnt on a connection decides how long the next one may be silent. */
  ended({ forSilence }: { readonly forSilence: boolean }): void {
    const { knownUs } = this.#interval;
    if (forSilence && (this.#isInVain || knownUs === null)) {
      this.#leastWaitUs = Math.min(2 * this.waitUs, MAX_WAIT_US);
    } else if (knownUs !== null) {
      this.#leastWaitUs = INTERVALS_OF_SILENCE * knownUs;
    }
    this.#isInVain = true;
  }
}
