import { statsMessage } from "../albatross/constructors.ts";
import { messageToJson } from "../albatross/json.ts";
import type { NamedInfo, Stats } from "../albatross/messages.ts";
import { formatName, type Name } from "../albatross/names.ts";
import type { Clock } from "../clock.ts";
import { vmInfoFrom } from "../fleet/vmInfo.ts";
import type { Broadcast } from "../web/broadcast.ts";

/** Writes what arrives as the lines of a trace, for as long as somebody reads the stream. */
export class StreamLines {
  readonly #broadcast: Broadcast<string>;
  readonly #clock: Clock;
  readonly #startWallMs: number;
  readonly #startUs: number;

  constructor(broadcast: Broadcast<string>, clock: Clock) {
    this.#broadcast = broadcast;
    this.#clock = clock;
    this.#startWallMs = clock.wallMs();
    this.#startUs = clock.nowUs();
  }

  /** One sample: the message as decoded, its name made full. */
  sample(host: string, name: Name, stats: Stats, arrivalUs: number): void {
    if (!this.#broadcast.hasSubscribers) return;
    const line = { time: this.#time(arrivalUs), host, ...messageToJson(statsMessage(name, stats)) };
    this.#broadcast.publish(JSON.stringify(line), host);
  }

  /** One answer of albatrossd: which VMs it listed. */
  info(host: string, entries: readonly NamedInfo[]): void {
    if (!this.#broadcast.hasSubscribers) return;
    const vms = entries.map(({ name, info }) => {
      const { cpus, startedMs } = vmInfoFrom(info);
      return { name: formatName(name), cpus, started: startedMs === null ? null : rfc3339(startedMs) };
    });
    this.#broadcast.publish(
      JSON.stringify({ time: this.#time(this.#clock.nowUs()), host, event: "info", vms }),
      host,
    );
  }

  /** Wall time at the start plus monotonic time since: it never goes back, as a trace's may not. */
  #time(us: number): string {
    return rfc3339(this.#startWallMs + (us - this.#startUs) / 1000);
  }
}

function rfc3339(ms: number): string {
  return new Date(Math.floor(ms)).toISOString();
}
