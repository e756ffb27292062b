import type { Sample } from "../client/receiver.ts";
import type { Clock } from "../clock.ts";
import type { Group, ListedVms, VmInfo } from "../fleet/types.ts";
import { vmInfoFrom } from "../fleet/vmInfo.ts";
import { messageToJson, type NamedInfo, statsMessage } from "../wire/messages.ts";
import { formatName } from "../wire/names.ts";
import type { Broadcast, Published } from "./broadcast.ts";

/** A line of a trace without its end, or those of a long list, made as they are taken: other lines may come between. */
export type TraceMessage = string | (() => Iterable<string>);

/** Who takes the lines of a trace; topics are hosts. */
export type TraceListener = Pick<Broadcast<TraceMessage>, "hasSubscribers" | "publish">;

const MAX_LISTED = 1_000;

/** Lines of a trace while somebody listens; times never go back, and what follows a tick is later than it. */
export class TraceLines {
  readonly #listener: TraceListener;
  readonly #clock: Clock;
  readonly #offsetMs: number;
  /** hosts whose statistics have stopped to arrive */
  readonly #lost = new Set<string>();
  #leastMs = Number.NEGATIVE_INFINITY;

  constructor(listener: TraceListener, clock: Clock) {
    this.#listener = listener;
    this.#clock = clock;
    this.#offsetMs = Math.round(clock.wallMs() - clock.nowUs() / 1000);
  }

  /** As `decode` prints it, with its full name. */
  sample({ host, name, stats, arrivalUs }: Sample): void {
    this.#tell(host, () => ({
      time: this.#time(arrivalUs),
      host,
      ...messageToJson(statsMessage(name, stats)),
    }));
  }

  /** An answer to unikernel info, with full names. */
  info(host: string, entries: readonly NamedInfo[]): void {
    if (!this.#listener.hasSubscribers) return;
    const vms = function* () {
      for (const { name, info } of entries) yield [formatName(name), vmInfoFrom(info)] as const;
    };
    this.#listener.publish(() => this.#infoLines(host, vms()), host);
  }

  /** A host's statistics no longer arrive, or do again; that they begin to is seen from the first of them. */
  live(host: string, up: boolean): void {
    const wasLost = this.#lost.delete(host);
    if (!up) this.#lost.add(host);
    if (up && !wasLost) return;
    this.#tell(host, () => ({ time: this.#time(this.#clock.nowUs()), host, event: "connection", up }));
  }

  *known(lists: Iterable<ListedVms>): Generator<Published<TraceMessage>> {
    for (const { host, vms } of lists) yield { message: () => this.#infoLines(host, vms), topic: host };
  }

  /** What a group's query was answered for the tick at `atUs` (monotonic); null for no load. To be told before the tick. */
  load(
    { host, path, group }: Pick<Group, "host" | "path" | "group">,
    value: number | null,
    atUs: number,
  ): void {
    this.#tell(host, () => ({ time: this.#time(atUs), event: "load", host, path, group, value }));
  }

  /** The scaler evaluated all groups at `atUs` (monotonic). */
  tick(atUs: number): void {
    if (!this.#listener.hasSubscribers) return;
    this.#listener.publish(JSON.stringify({ time: this.#time(atUs), event: "tick" }));
    this.#leastMs++;
  }

  #tell(host: string, line: () => object): void {
    if (this.#listener.hasSubscribers) this.#listener.publish(JSON.stringify(line()), host);
  }

  *#infoLines(host: string, listed: Iterable<readonly [name: string, info: VmInfo]>): Generator<string> {
    const line = (fields: object) =>
      JSON.stringify({ time: this.#time(this.#clock.nowUs()), host, event: "info", ...fields });
    let vms = [];
    for (const [name, { cpus, cpuids, startedMs }] of listed) {
      if (vms.length === MAX_LISTED) {
        yield line({ vms, more: true });
        vms = [];
      }
      const started = startedMs === null ? null : rfc3339(startedMs);
      vms.push({ name, cpus, started, cpuids: cpuids === "" ? [] : cpuids.split(",").map(Number) });
    }
    yield line({ vms });
  }

  /** In whole milliseconds, never before a line that was made earlier. */
  #time(us: number): string {
    this.#leastMs = Math.max(this.#offsetMs + Math.floor(us / 1000), this.#leastMs);
    return rfc3339(this.#leastMs);
  }
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}
