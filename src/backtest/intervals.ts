import { StatsInterval } from "../client/interval.ts";
import { formatName, type Name } from "../wire/names.ts";

interface HostInterval {
  readonly interval: StatsInterval;
  /** when it was last asked for, and what it was then */
  atUs: number;
  us: number;
}

/** The stats interval of each host, learnt from its samples as the running program learns it. */
export class HostIntervals {
  readonly #hosts = new Map<string, HostInterval>();

  /** Takes note of a sample. What comes back is the interval to judge it by, in µs. */
  sample(host: string, name: Name, arrivalUs: number): number {
    const known = this.#hosts.get(host) ?? this.#begin(host);
    known.interval.message(formatName(name), arrivalUs);
    // samples of one time are of one burst: the first of them ends the burst before
    if (known.atUs !== arrivalUs) {
      known.atUs = arrivalUs;
      known.us = known.interval.sampleUs;
    }
    return known.us;
  }

  /** Another connection may lead to a daemon with another interval. */
  reconnected(host: string): void {
    this.#hosts.delete(host);
  }

  #begin(host: string): HostInterval {
    const begun = { interval: new StatsInterval("auto"), atUs: Number.NEGATIVE_INFINITY, us: 0 };
    this.#hosts.set(host, begun);
    return begun;
  }
}
