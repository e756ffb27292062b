import type { Sample } from "../../client/receiver.ts";
import { INTERVALS_UNTIL_ALL_HEARD } from "../../fleet/hostVms.ts";

/** Whether, after a restart, every VM that is waited for has had the time to be heard. */
export class CatchUp {
  readonly #allHeard: () => boolean;
  /** when each was first heard, and its stats interval; null for one not heard yet */
  readonly #hosts: Map<string, Pick<Sample, "arrivalUs" | "intervalUs"> | null>;

  /** `allHeard`: all VMs that are waited for have been heard, or are gone. */
  constructor(hosts: Iterable<string>, allHeard: () => boolean) {
    this.#allHeard = allHeard;
    this.#hosts = new Map(Array.from(hosts, (host) => [host, null]));
  }

  /** `intervalUs` is what is known of the host's stats interval by now. */
  sampleArrived({ host, arrivalUs, intervalUs }: Sample): void {
    const hearing = this.#hosts.get(host);
    if (hearing === undefined || hearing?.intervalUs === intervalUs) return;
    this.#hosts.set(host, { arrivalUs: hearing?.arrivalUs ?? arrivalUs, intervalUs });
  }

  isDone(nowUs: number): boolean {
    if (this.#allHeard()) return true;
    for (const hearing of this.#hosts.values()) {
      if (hearing === null) return false;
      if (nowUs - hearing.arrivalUs < INTERVALS_UNTIL_ALL_HEARD * hearing.intervalUs) return false;
    }
    return true;
  }
}
