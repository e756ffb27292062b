import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { TargetConfig } from "../config/types.ts";
import type { NamedInfo, NamedPolicy } from "../wire/messages.ts";
import { formatName, type Name, parseName } from "../wire/names.ts";
import type { Dial } from "./connection.ts";
import { namesakeOf, PathGuard, type Permission } from "./guard.ts";
import { InfoClient } from "./infoClient.ts";
import { InfoPoll, type InfoRound, type SlotInfo } from "./infoPoll.ts";
import type { Log } from "./log.ts";
import type { Sample } from "./receiver.ts";
import type { Listing } from "./silence.ts";
import { type SlotSnapshot, zeroCounts } from "./slotState.ts";
import { Subscription } from "./subscription.ts";
import { VMMD_ERROR_REASONS, VmmdClient, VmmdError, type VmmdErrorReason } from "./vmmd.ts";

export {
  DECODE_ERROR_REASONS,
  type DecodeErrorReason,
  DISCONNECT_REASONS,
  type DisconnectReason,
  SLOT_STATES,
  type SlotSnapshot,
  type SlotState,
} from "./slotState.ts";
export { VMMD_ERROR_REASONS, type VmmdErrorReason } from "./vmmd.ts";

/** Who is told what a host says. What it throws is logged and costs no more than that one message. */
export interface TargetSink {
  onSample(sample: Sample): void;
  /** Every unikernel in the slots, without arguments, as albatrossd knew them at `askedAtUs` (monotonic) or later. */
  info(entries: readonly NamedInfo[], askedAtUs: number): void;
  /** Unikernel info cannot be read (any more); called once until it can be read again. */
  infoUnavailable?(reason: string): void;
  /** Every policy in the slots, named by full path. */
  policies(entries: readonly NamedPolicy[]): void;
  /** Whether at least one slot is subscribed, its connection open; called when that changes. */
  live(up: boolean): void;
}

export interface TargetSnapshot {
  readonly name: string;
  /** at least one slot is subscribed, its connection open */
  readonly up: boolean;
  /** null before the first answer, or none, of albatrossd */
  readonly infoReadable: boolean | null;
  /** why unikernel info or policies cannot be read; null while they can */
  readonly infoError: string | null;
  /** questions to albatrossd that failed; they run on */
  readonly infoErrors: Readonly<Record<VmmdErrorReason, number>>;
  readonly slots: readonly SlotSnapshot[];
}

export interface TargetOptions {
  /** 0 to 1, for the jitter of waits */
  readonly random?: () => number;
  /** Opens a socket; the system's by default. */
  readonly dial?: Dial;
  /** How much the last messages of one slot's VMs may come to. */
  readonly sampleBudgetBytes?: number;
}

interface Slot {
  readonly name: Name;
  readonly text: string;
  readonly guard: PathGuard | null;
  readonly subscription: Subscription;
  /** monotonic µs since when every info listed a unikernel in it; null when the last one listed none */
  listedSinceUs: number | null;
}

/** One Albatross host: its subscriptions, and what albatrossd says about the unikernels in them. */
export class Target {
  readonly #config: TargetConfig;
  readonly #sink: TargetSink;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #vmmd: VmmdClient;
  readonly #poll: InfoPoll;
  readonly #slots: readonly Slot[];
  #live = false;
  #infoReadable: boolean | null = null;
  #infoAskedAtUs = 0;
  #infoError: VmmdError | null = null;
  #policiesError: VmmdError | null = null;
  readonly #infoErrors = zeroCounts<VmmdErrorReason>(VMMD_ERROR_REASONS);

  /** Throws a WireError "name" for a slot that is no name. */
  constructor(config: TargetConfig, sink: TargetSink, clock: Clock, log: Log, options: TargetOptions = {}) {
    this.#config = config;
    this.#sink = sink;
    this.#clock = clock;
    this.#log = withFields(log, { host: config.name });
    this.#slots = config.subscribe.map((text) => this.#createSlot(parseName(text), options));
    this.#vmmd = new VmmdClient({
      socketPath: join(config.socketDir, "vmmd.sock"),
      maxFrameBytes: config.maxFrameBytes.vmmd,
      os: config.os,
      clock,
      dial: options.dial,
    });
    this.#poll = new InfoPoll({
      slots: this.#slots.map(({ name }) => name),
      client: new InfoClient(this.#vmmd),
      clock,
      onRound: (round) => this.#answered(round),
    });
  }

  start(): void {
    this.#poll.ask();
    for (const { subscription } of this.#slots) subscription.start();
  }

  /** Ends connections and timers; resolves when all are. */
  async stop(): Promise<void> {
    this.#vmmd.stop();
    await Promise.all([this.#poll.stop(), ...this.#slots.map(({ subscription }) => subscription.stop())]);
  }

  snapshot(): TargetSnapshot {
    return {
      name: this.#config.name,
      up: this.#live,
      infoReadable: this.#infoReadable,
      infoError: (this.#infoError ?? this.#policiesError)?.message ?? null,
      infoErrors: { ...this.#infoErrors },
      slots: this.#slots.map(({ subscription }) => subscription.snapshot()),
    };
  }

  #createSlot(name: Name, options: TargetOptions): Slot {
    const { socketDir, maxFrameBytes, statsIntervalMs, displacedRetryMs, os, allowUncheckedPath } =
      this.#config;
    const text = formatName(name);
    const namesake = namesakeOf(name);
    const guard = namesake && new PathGuard(name, namesake, { allowUnchecked: allowUncheckedPath });
    const subscription = new Subscription({
      hostName: this.#config.name,
      slot: name,
      socketPath: join(socketDir, "stat.sock"),
      maxFrameBytes: maxFrameBytes.stat,
      statsIntervalMs,
      displacedRetryMs,
      os,
      clock: this.#clock,
      log: withFields(this.#log, { subscription: text }),
      random: options.random,
      dial: options.dial,
      sampleBudgetBytes: options.sampleBudgetBytes,
      host: {
        permission: (): Permission => guard?.permission(this.#clock.nowUs()) ?? { type: "open" },
        listing: (): Listing => this.#listing(slot),
        askInfo: () => this.#poll.ask(),
        onSample: (sample) => this.#sink.onSample(sample),
        liveChanged: () => this.#checkLive(),
      },
    });
    const slot: Slot = { name, text, guard, subscription, listedSinceUs: null };
    return slot;
  }

  #listing({ listedSinceUs }: Slot): Listing {
    if (this.#infoReadable !== true) return { readable: false };
    return { readable: true, askedAtUs: this.#infoAskedAtUs, listedSinceUs };
  }

  #checkLive(): void {
    const live = this.#slots.some(({ subscription }) => subscription.live);
    if (live === this.#live) return;
    this.#live = live;
    this.#sink.live(live);
    // The daemons start together: with one there, the other need not wait for the next poll.
    if (live && this.#infoReadable === false) this.#poll.ask();
  }

  #answered({ askedAtUs, slots, policies }: InfoRound): void {
    if (slots instanceof VmmdError) this.#infoFailed(slots);
    else this.#infoCame(slots, askedAtUs);
    if (policies instanceof VmmdError) this.#policiesFailed(policies);
    else if (policies !== null) this.#policiesCame(policies);
    for (const { subscription } of this.#slots) subscription.infoAnswered();
  }

  #infoCame(infos: ReadonlyMap<string, SlotInfo>, askedAtUs: number): void {
    if (this.#infoReadable === false) this.#log.info({}, "unikernel info can be read again");
    this.#infoReadable = true;
    this.#infoError = null;
    this.#infoAskedAtUs = askedAtUs;
    const entries: NamedInfo[] = [];
    for (const slot of this.#slots) {
      const info = infos.get(slot.text);
      if (info === undefined) continue;
      slot.listedSinceUs = info.entries.length === 0 ? null : (slot.listedSinceUs ?? askedAtUs);
      slot.guard?.answered(info.namesakeRuns, this.#clock.nowUs());
      for (const entry of info.entries) entries.push(entry);
    }
    this.#tell(() => this.#sink.info(entries, askedAtUs));
  }

  #infoFailed(error: VmmdError): void {
    this.#infoErrors[error.reason]++;
    for (const slot of this.#slots) {
      slot.listedSinceUs = null;
      slot.guard?.unreadable(error.message);
    }
    const first = this.#infoReadable !== false;
    const another = this.#infoError?.reason !== error.reason;
    this.#infoReadable = false;
    this.#infoError = error;
    if (another)
      this.#log.warn({ reason: error.message }, "unikernel info cannot be read; its metrics are left out");
    if (first) this.#tell(() => this.#sink.infoUnavailable?.(error.message));
  }

  #policiesCame(policies: readonly NamedPolicy[]): void {
    if (this.#policiesError !== null) this.#log.info({}, "policies can be read again");
    this.#policiesError = null;
    this.#tell(() => this.#sink.policies(policies));
  }

  #policiesFailed(error: VmmdError): void {
    this.#infoErrors[error.reason]++;
    const another = this.#policiesError?.reason !== error.reason;
    this.#policiesError = error;
    if (another) this.#log.warn({ reason: error.message }, "policies cannot be read");
  }

  /** What came from a peer must not end the process, whatever the receiver makes of it. */
  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error({ err: error }, "an answer of albatrossd could not be taken");
    }
  }
}

function withFields(log: Log, fields: object): Log {
  return {
    debug: (more, message) => log.debug({ ...fields, ...more }, message),
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}
