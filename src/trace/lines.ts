import type { Sample } from "../client/receiver.ts";
import type { Clock } from "../clock.ts";
import type { ListedVms, VmInfo } from "../fleet/types.ts";
import { vmInfoFrom } from "../fleet/vmInfo.ts";
import { messageToJson, type NamedInfo, statsMessage } from "../wire/messages.ts";
import { formatName } from "../wire/names.ts";
import type { Broadcast, Published } from "./broadcast.ts";

/** Who takes the lines of a trace, each without its end; topics are hosts. */
export type TraceListener = Pick<Broadcast<string>, "hasSubscribers" | "publish">;

/**
 * Turns what arrives into the lines of a trace, for as long as somebody listens: samples as `decode` prints them with
 * their names made full, what each unikernel info listed, connections lost and found again, the scaler's ticks. Their times
 * are wall time at the start plus monotonic time since, so they never go back. What comes after a tick is later than it
 * by at least a millisecond: a replay gives a tick the samples of its very time.
 */
export class TraceLines {
  readonly #listener: TraceListener;
  readonly #clock: Clock;
  /** whole, so that times differ by as many milliseconds here as on the scaler's own clock */
  readonly #offsetMs: number;
  /** hosts whose statistics have stopped to arrive */
  readonly #lost = new Set<string>();
  #tickMs = Number.NEGATIVE_INFINITY;

  constructor(listener: TraceListener, clock: Clock) {
    this.#listener = listener;
    this.#clock = clock;
    this.#offsetMs = Math.round(clock.wallMs() - clock.nowUs() / 1000);
  }

  sample({ host, name, stats, arrivalUs }: Sample): void {
    if (!this.#listener.hasSubscribers) return;
    const line = { time: this.#time(arrivalUs), host, ...messageToJson(statsMessage(name, stats)) };
    this.#listener.publish(JSON.stringify(line), host);
  }

  /** An answer of albatrossd to unikernel info, with full names. */
  info(host: string, entries: readonly NamedInfo[]): void {
    if (!this.#listener.hasSubscribers) return;
    const vms = entries.map(({ name, info }) => listed(formatName(name), vmInfoFrom(info)));
    this.#listener.publish(this.#infoLine(host, vms), host);
  }

  /** A host's statistics no longer arrive, or do again. That they begin to is seen from the first of them. */
  live(host: string, up: boolean): void {
    const wasLost = this.#lost.delete(host);
    if (!up) this.#lost.add(host);
    if (up && !wasLost) return;
    if (!this.#listener.hasSubscribers) return;
    const line = { time: this.#time(this.#clock.nowUs()), host, event: "connection", up };
    this.#listener.publish(JSON.stringify(line), host);
  }

  /** What somebody who begins to listen now has to know first: what unikernel info listed last. */
  *known(lists: Iterable<ListedVms>): Generator<Published<string>> {
    for (const { host, vms } of lists) {
      const entries = Array.from(vms, ([name, info]) => listed(name, info));
      yield { message: this.#infoLine(host, entries), topic: host };
    }
  }

  /** The scaler evaluated all groups at `atUs` (monotonic). */
  tick(atUs: number): void {
    if (!this.#listener.hasSubscribers) return;
    this.#listener.publish(JSON.stringify({ time: this.#time(atUs), event: "tick" }));
    this.#tickMs = this.#ms(atUs);
  }

  #infoLine(host: string, vms: readonly ReturnType<typeof listed>[]): string {
    return JSON.stringify({ time: this.#time(this.#clock.nowUs()), host, event: "info", vms });
  }

  #time(us: number): string {
    return rfc3339(Math.max(this.#ms(us), this.#tickMs + 1));
  }

  /** Whole milliseconds, rounded down. */
  #ms(us: number): number {
    return this.#offsetMs + Math.floor(us / 1000);
  }
}

function listed(name: string, { cpus, startedMs }: VmInfo) {
  return { name, cpus, started: startedMs === null ? null : rfc3339(startedMs) };
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}
