import { WireError } from "../wire/errors.ts";
import { decodeMessage, type Message, type Payload, type Stats } from "../wire/messages.ts";
import { formatName, type Name, resolveName } from "../wire/names.ts";
import type { Arrival } from "./connection.ts";
import type { StatsInterval } from "./interval.ts";
import type { Log } from "./log.ts";
import { SampleBudget } from "./sampleBudget.ts";
import { DECODE_ERROR_REASONS, type DecodeErrorReason, zeroCounts } from "./slotState.ts";

/** One statistics message as it arrived: made here once, and handed on as it is to whoever wants samples. */
export interface Sample {
  readonly host: string;
  /** the VM's full name */
  readonly name: Name;
  readonly stats: Stats;
  /** monotonic µs, the same for all messages that were read at once */
  readonly arrivalUs: number;
  /** ms since the epoch; only shown */
  readonly arrivalWallMs: number;
  /**
   * The stats interval to judge the sample by, in µs: configured or learnt, before that the smallest gap seen (0.5 s to
   * 10 s).
   */
  readonly intervalUs: number;
}

/** What came instead of data: an answer to the subscription. */
export type Reply = Extract<Payload, { readonly type: "success" | "failure" }>;

/** Turns the frames of one subscription into samples, and counts what cannot be one. */
export class StatsReceiver {
  readonly #host: string;
  readonly #subscription: Name;
  readonly #interval: StatsInterval;
  readonly #budget: SampleBudget;
  readonly #onSample: (sample: Sample) => void;
  readonly #log: Log;
  /** Reasons that were logged already: one line each, the counters tell the rest. */
  readonly #logged = new Set<DecodeErrorReason>();
  #warnedOfInterval = false;

  samples = 0;
  readonly decodeErrors = zeroCounts<DecodeErrorReason>(DECODE_ERROR_REASONS);
  lastSample: Arrival | null = null;

  constructor(options: {
    host: string;
    subscription: Name;
    interval: StatsInterval;
    onSample: (sample: Sample) => void;
    log: Log;
    budgetBytes?: number | undefined;
  }) {
    this.#host = options.host;
    this.#subscription = options.subscription;
    this.#interval = options.interval;
    this.#onSample = options.onSample;
    this.#log = options.log;
    this.#budget = new SampleBudget(options.budgetBytes);
  }

  /** Delivers the sample in `frame`, if it is one. Returns a reply to who waits for one. Never throws. */
  frame(frame: Uint8Array, arrival: Arrival): Reply | null {
    try {
      return this.#message(decodeMessage(frame), frame.length, arrival);
    } catch (error) {
      if (error instanceof WireError) this.reject(error.reason, error.message);
      // A peer must not be able to end the process through a fault in here: count it, say it, go on.
      else this.reject("internal", error instanceof Error ? (error.stack ?? error.message) : String(error));
      return null;
    }
  }

  /** Counts bytes that were no sample; the first of a reason is logged. */
  reject(reason: DecodeErrorReason, detail: string): void {
    this.decodeErrors[reason]++;
    if (this.#logged.has(reason)) this.#log.debug({ reason, detail }, "message skipped");
    else this.#log.warn({ reason, detail }, "message skipped; more of this kind are only counted");
    this.#logged.add(reason);
  }

  #message({ header, payload }: Message, bytes: number, arrival: Arrival): Reply | null {
    switch (payload.type) {
      case "data":
        if (payload.data === "stats") this.#stats(header.name, payload.stats, bytes, arrival);
        else this.reject("unknown_data", `data of kind ${payload.data}`);
        return null;
      case "success":
      case "failure":
        return payload;
      case "command":
        this.reject("unexpected", `a command: ${payload.command.class} ${payload.command.command}`);
        return null;
    }
  }

  #stats(relative: Name, stats: Stats, bytes: number, arrival: Arrival): void {
    const name = resolveName(this.#subscription, relative);
    const vm = formatName(name);
    if (name.label === null) {
      this.reject("name", `statistics of ${vm}, which is a path`);
      return;
    }
    if (!this.#budget.admit(vm, bytes, arrival.us)) {
      this.reject("over_budget", `no room for ${bytes} bytes about ${vm}`);
      return;
    }
    this.#interval.message(vm, arrival.us);
    if (!this.#warnedOfInterval) this.#checkInterval();
    this.samples++;
    this.lastSample = arrival;
    this.#onSample({
      host: this.#host,
      name,
      stats,
      arrivalUs: arrival.us,
      arrivalWallMs: arrival.wallMs,
      intervalUs: this.#interval.sampleUs,
    });
  }

  #checkInterval(): void {
    const measuredUs = this.#interval.contradictedByUs;
    if (measuredUs === null) return;
    this.#warnedOfInterval = true;
    this.#log.warn(
      { configuredSeconds: this.#interval.us / 1e6, measuredSeconds: measuredUs / 1e6 },
      "stats_interval is not what the daemon does: usage and staleness will be off",
    );
  }
}
