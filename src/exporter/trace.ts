import { statsMessage } from "../albatross/constructors.ts";
import { messageToJson } from "../albatross/json.ts";
import type { NamedInfo, Stats } from "../albatross/messages.ts";
import { formatName, type Name } from "../albatross/names.ts";
import type { Clock } from "../clock.ts";
import { vmInfoFrom } from "../fleet/vmInfo.ts";

/** Who takes the lines of a trace. */
export interface TraceListener {
  /** While it is false no line is made. */
  readonly hasSubscribers: boolean;
  /** One line, without its end; `host` is undefined for what concerns all hosts. Must not throw. */
  publish(line: string, host?: string): void;
}

/**
 * Turns what arrives into the lines of a trace, for as long as somebody listens: samples as `decode` prints them with
 * their names made full, what each unikernel info listed, the scaler's ticks. Their times are wall time at the start
 * plus monotonic time since, so they never go back. What comes after a tick is later than it by at least a millisecond:
 * a replay gives a tick the samples of its very time.
 */
export class TraceLines {
  readonly #listener: TraceListener;
  readonly #clock: Clock;
  readonly #startWallMs: number;
  readonly #startUs: number;
  #tickMs = Number.NEGATIVE_INFINITY;

  constructor(listener: TraceListener, clock: Clock) {
    this.#listener = listener;
    this.#clock = clock;
    this.#startWallMs = clock.wallMs();
    this.#startUs = clock.nowUs();
  }

  /** A sample of the VM with this full name, arrived at `arrivalUs` (monotonic). */
  sample(host: string, name: Name, stats: Stats, arrivalUs: number): void {
    if (!this.#listener.hasSubscribers) return;
    const line = { time: this.#time(arrivalUs), host, ...messageToJson(statsMessage(name, stats)) };
    this.#listener.publish(JSON.stringify(line), host);
  }

  /** An answer of albatrossd to unikernel info, with full names. */
  info(host: string, entries: readonly NamedInfo[]): void {
    if (!this.#listener.hasSubscribers) return;
    const vms = entries.map(({ name, info }) => {
      const { cpus, startedMs } = vmInfoFrom(info);
      return { name: formatName(name), cpus, started: startedMs === null ? null : rfc3339(startedMs) };
    });
    const line = { time: this.#time(this.#clock.nowUs()), host, event: "info", vms };
    this.#listener.publish(JSON.stringify(line), host);
  }

  /** The scaler evaluated all groups at `atUs` (monotonic). */
  tick(atUs: number): void {
    if (!this.#listener.hasSubscribers) return;
    this.#listener.publish(JSON.stringify({ time: this.#time(atUs), event: "tick" }));
    this.#tickMs = this.#ms(atUs);
  }

  #time(us: number): string {
    return rfc3339(Math.max(this.#ms(us), this.#tickMs + 1));
  }

  /** Whole milliseconds, rounded down. */
  #ms(us: number): number {
    return Math.floor(this.#startWallMs + (us - this.#startUs) / 1000);
  }
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}
