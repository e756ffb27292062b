import type { Log } from "../log.ts";
import { WIRE_ERROR_REASONS, WireError } from "../wire/errors.ts";
import { decodeMessage, type Payload, type Stats } from "../wire/messages.ts";
import { formatName, type Name, resolveName } from "../wire/names.ts";
import type { Arrival } from "./connection.ts";
import type { StatsInterval } from "./interval.ts";

/** One statistics message as it arrived: made once, and handed on as it is. */
export interface Sample {
  readonly host: string;
  readonly name: Name;
  readonly stats: Stats;
  /** monotonic µs, the same for all messages that were read at once */
  readonly arrivalUs: number;
  /** ms since the epoch; only shown */
  readonly arrivalWallMs: number;
  /** `StatsInterval.sampleUs` */
  readonly intervalUs: number;
}

/** Why bytes from stat.sock are no sample. */
export const DECODE_ERROR_REASONS = [
  ...WIRE_ERROR_REASONS,
  "unknown_data",
  "unexpected", // a message that has no place there
  "over_budget", // more VMs or larger samples than fit in memory
  "internal", // a fault of this program
] as const;
export type DecodeErrorReason = (typeof DECODE_ERROR_REASONS)[number];

export interface ReceiverOptions {
  readonly host: string;
  readonly name: Name;
  readonly onSample: (sample: Sample) => void;
  readonly log: Log;
  /** what the last messages of all its VMs may come to */
  readonly sampleBudgetBytes?: number | undefined;
  /** how long a silent VM is remembered elsewhere, in µs; it may change */
  readonly forgetAfterUs?: (() => number) | undefined;
}

/** Turns the frames of one subscription into samples, and counts what cannot be one. */
export class StatsReceiver {
  readonly #options: ReceiverOptions;
  readonly #interval: StatsInterval;
  readonly #budget: SampleBudget;
  #warnedOfInterval = false;

  samples = 0;
  readonly decodeErrors = zeroCounts(DECODE_ERROR_REASONS);
  lastSample: Arrival | null = null;

  constructor(options: ReceiverOptions, interval: StatsInterval) {
    this.#options = options;
    this.#interval = interval;
    this.#budget = new SampleBudget(options.sampleBudgetBytes, options.forgetAfterUs);
  }

  /** Delivers the sample in `frame`, or returns the answer to the subscription in it. Never throws. */
  frame(frame: Uint8Array, arrival: Arrival): Extract<Payload, { type: "success" | "failure" }> | null {
    try {
      const { header, payload } = decodeMessage(frame);
      if (payload.type === "success" || payload.type === "failure") return payload;
      if (payload.type === "command") {
        this.reject("unexpected", `a command: ${payload.command.class} ${payload.command.command}`);
      } else if (payload.data !== "stats") {
        this.reject("unknown_data", `data of kind ${payload.data}`);
      } else {
        this.#sample(header.name, payload.stats, frame.length, arrival);
      }
    } catch (error) {
      if (error instanceof WireError) this.reject(error.reason, error.message);
      // A peer must not be able to end the process through a fault in here: count it, say it, go on.
      else this.reject("internal", error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    return null;
  }

  /** Counts bytes that were no sample; the first of a reason is logged. */
  reject(reason: DecodeErrorReason, detail: string): void {
    const { log } = this.#options;
    if (this.decodeErrors[reason]++ > 0) log.debug({ reason, detail }, "message skipped");
    else log.warn({ reason, detail }, "message skipped; more of this kind are only counted");
  }

  #sample(relative: Name, stats: Stats, bytes: number, arrival: Arrival): void {
    const { host, name: subscription, onSample } = this.#options;
    const name = resolveName(subscription, relative);
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
    this.#checkInterval();
    this.samples++;
    this.lastSample = arrival;
    const { us: arrivalUs, wallMs: arrivalWallMs } = arrival;
    onSample({ host, name, stats, arrivalUs, arrivalWallMs, intervalUs: this.#interval.sampleUs });
  }

  #checkInterval(): void {
    const measuredUs = this.#warnedOfInterval ? null : this.#interval.contradictedByUs;
    if (measuredUs === null) return;
    this.#warnedOfInterval = true;
    this.#options.log.warn(
      { configuredSeconds: this.#interval.us / 1e6, measuredSeconds: measuredUs / 1e6 },
      "stats_interval is not what the daemon does: usage and staleness will be off",
    );
  }
}

export function zeroCounts<R extends string>(reasons: readonly R[]): Record<R, number> {
  return Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<R, number>;
}

const FORGET_AFTER_US = 15 * 60 * 1_000_000;
const MIN_COST_BYTES = 1_024;
/** Room for more than 130,000 VMs with messages of usual size. */
const DEFAULT_SAMPLE_BUDGET_BYTES = 128 * 1024 * 1024;

/**
 * Bounds what one subscription can make the fleet remember: a peer that invents names or sends huge samples would take all
 * memory. Costs are bytes on the wire of each VM's last message; a VM stops counting when it has been silent for once to
 * twice as long as the fleet remembers it.
 */
export class SampleBudget {
  readonly #limitBytes: number;
  readonly #forgetAfterUs: () => number;
  /** costs of VMs heard in this generation, and of those last heard in the one before */
  #young = new Map<string, number>();
  #old = new Map<string, number>();
  #bytes = 0;
  #generationStartUs = 0;

  constructor(limitBytes = DEFAULT_SAMPLE_BUDGET_BYTES, forgetAfterUs = () => FORGET_AFTER_US) {
    this.#limitBytes = limitBytes;
    this.#forgetAfterUs = forgetAfterUs;
  }

  /** Whether there is room for a message of `bytes` about `vm`. */
  admit(vm: string, bytes: number, nowUs: number): boolean {
    if (nowUs - this.#generationStartUs >= this.#forgetAfterUs()) this.#age(nowUs);
    const cost = Math.max(bytes, MIN_COST_BYTES);
    const young = this.#young.get(vm);
    if (young === cost) return true;
    const total = this.#bytes - (young ?? this.#old.get(vm) ?? 0) + cost;
    if (total > this.#limitBytes) return false;
    this.#bytes = total;
    this.#young.set(vm, cost);
    this.#old.delete(vm);
    return true;
  }

  #age(nowUs: number): void {
    for (const cost of this.#old.values()) this.#bytes -= cost;
    this.#old = this.#young;
    this.#young = new Map();
    this.#generationStartUs = nowUs;
  }
}
