import type { Cancel, Clock } from "../clock.ts";
import { formatName, type Name } from "../wire/names.ts";
import { Backoff } from "./backoff.ts";
import { type Arrival, Connection, type ConnectionEnd, type Dial } from "./connection.ts";
import { Displacement, describeDisplacement } from "./displacement.ts";
import type { Permission } from "./guard.ts";
import { StatsInterval } from "./interval.ts";
import type { Log } from "./log.ts";
import { type Sample, StatsReceiver } from "./receiver.ts";
import { subscribeRequest } from "./requests.ts";
import { type Listing, Silence } from "./silence.ts";
import {
  DISCONNECT_REASONS,
  type DisconnectReason,
  type SlotSnapshot,
  type SlotState,
  zeroCounts,
} from "./slotState.ts";
import { describeSocketError, isDaemonAbsent } from "./socketError.ts";
import { Trouble, type TroubleEnd } from "./trouble.ts";

/** From the attempt to connect to the acknowledged subscription. */
const SUBSCRIBE_TIMEOUT_MS = 10_000;
/** A subscription held for so long is good although no unikernel is there to prove it. */
const HELD_WITHOUT_DATA_US = 5 * 60 * 1_000_000;

/** What a subscription needs of its host. */
export interface SlotHost {
  /** Whether the slot may be opened now. */
  permission(): Permission;
  /** What unikernel info says about the slot. */
  listing(): Listing;
  /** Asks unikernel info at once; `infoAnswered()` follows, whatever comes of it. */
  askInfo(): void;
  onSample(sample: Sample): void;
  /** `live` changed. */
  liveChanged(): void;
}

export interface SubscriptionOptions {
  readonly hostName: string;
  readonly slot: Name;
  readonly socketPath: string;
  readonly maxFrameBytes: number;
  readonly statsIntervalMs: number | "auto";
  readonly displacedRetryMs: number;
  readonly os: "linux" | "freebsd";
  readonly host: SlotHost;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1, for the jitter of the waits */
  readonly random?: (() => number) | undefined;
  readonly dial?: Dial | undefined;
  readonly sampleBudgetBytes?: number | undefined;
}

type Phase =
  | { readonly type: "stopped" | "asking" | "blocked" | "waiting" }
  | { readonly type: "connecting"; readonly connection: Connection; opened: boolean }
  | {
      readonly type: "subscribed";
      readonly connection: Connection;
      readonly sinceUs: number;
      proved: boolean;
    };

/** One slot of albatross-stats, on one connection at a time: subscribes, and again whenever that ended. */
export class Subscription {
  readonly slot: string;
  readonly #options: SubscriptionOptions;
  readonly #clock: Clock;
  readonly #trouble: Trouble;
  readonly #backoff: Backoff;
  readonly #displacement = new Displacement();
  readonly #interval: StatsInterval;
  readonly #silence: Silence;
  readonly #receiver: StatsReceiver;

  #phase: Phase = { type: "stopped" };
  #timer: Cancel | null = null;

  #bytes = 0;
  #connects = 0;
  readonly #disconnects = zeroCounts<DisconnectReason>(DISCONNECT_REASONS);

  constructor(options: SubscriptionOptions) {
    this.slot = formatName(options.slot);
    this.#options = options;
    this.#clock = options.clock;
    this.#trouble = new Trouble(options.log);
    this.#backoff = new Backoff(options.random);
    this.#interval = new StatsInterval(options.statsIntervalMs);
    this.#silence = new Silence(this.#interval);
    this.#receiver = new StatsReceiver({
      host: options.hostName,
      subscription: options.slot,
      interval: this.#interval,
      onSample: options.host.onSample,
      log: options.log,
      budgetBytes: options.sampleBudgetBytes,
    });
  }

  /** Acknowledged, and the connection is open. */
  get live(): boolean {
    return this.#phase.type === "subscribed";
  }

  start(): void {
    if (this.#phase.type === "stopped") this.#attempt();
  }

  /** Ends the connection and every timer; resolves when the socket is closed. */
  async stop(): Promise<void> {
    const phase = this.#phase;
    this.#enter({ type: "stopped" });
    if (phase.type !== "connecting" && phase.type !== "subscribed") return;
    phase.connection.close();
    await phase.connection.closed;
  }

  /** Unikernel info was asked, with or without success: what waited for that goes on. */
  infoAnswered(): void {
    switch (this.#phase.type) {
      case "asking":
      case "blocked":
        this.#attempt();
        return;
      case "connecting":
      case "subscribed": {
        const permission = this.#options.host.permission();
        if (permission.type === "blocked" && permission.closesOpen)
          this.#disconnect("blocked", permission.reason);
        else if (this.#phase.type === "subscribed") this.#watch();
        return;
      }
      case "waiting":
      case "stopped":
        return;
    }
  }

  snapshot(): SlotSnapshot {
    return {
      slot: this.slot,
      state: this.#state(),
      messages: this.#receiver.samples,
      bytes: this.#bytes,
      connects: this.#connects,
      decodeErrors: { ...this.#receiver.decodeErrors },
      disconnects: { ...this.#disconnects },
      lastMessageWallMs: this.#receiver.lastSample?.wallMs ?? null,
      intervalUs: this.#interval.us,
      lastError: this.#trouble.text,
    };
  }

  #state(): SlotState {
    const phase = this.#phase;
    if (phase.type === "stopped" || phase.type === "blocked") return phase.type;
    if (this.#displacement.displaced) return "displaced";
    switch (phase.type) {
      case "asking":
      case "connecting":
        return "connecting";
      case "waiting":
        return "backoff";
      case "subscribed": {
        const lastUs = this.#receiver.lastSample?.us ?? Number.NEGATIVE_INFINITY;
        const receives = lastUs >= phase.sinceUs && this.#clock.nowUs() - lastUs <= this.#silence.waitUs;
        return receives ? "receiving" : "subscribed";
      }
    }
  }

  /** Goes to another phase; what the old one waited for is void. */
  #enter(phase: Phase): void {
    const wasLive = this.live;
    this.#timer?.();
    this.#timer = null;
    this.#phase = phase;
    if (this.live !== wasLive) this.#options.host.liveChanged();
  }

  #attempt(): void {
    const permission = this.#options.host.permission();
    switch (permission.type) {
      case "ask":
        this.#enter({ type: "asking" });
        this.#options.host.askInfo();
        return;
      case "blocked":
        this.#enter({ type: "blocked" });
        this.#trouble.is("blocked", permission.reason, { until: "subscribed" });
        return;
      case "open":
        this.#connect();
    }
  }

  #connect(): void {
    const { slot, socketPath, maxFrameBytes, dial } = this.#options;
    const connection: Connection = new Connection({
      socketPath,
      request: subscribeRequest(slot),
      maxFrameBytes,
      clock: this.#clock,
      dial,
      handlers: {
        opened: () => {
          this.#connects++;
          this.#interval.reconnected();
          this.#enter({ type: "connecting", connection, opened: true });
          this.#startDeadline();
        },
        received: (bytes) => {
          this.#bytes += bytes;
        },
        frame: (frame, arrival) => this.#frame(frame, arrival),
        ended: (end) => this.#ended(end),
      },
    });
    this.#enter({ type: "connecting", connection, opened: false });
    this.#startDeadline();
  }

  #startDeadline(): void {
    this.#after(SUBSCRIBE_TIMEOUT_MS, () => {
      this.#disconnect(
        "timeout",
        `the subscription was not acknowledged within ${SUBSCRIBE_TIMEOUT_MS / 1000} s`,
      );
    });
  }

  #frame(frame: Uint8Array, arrival: Arrival): void {
    this.#silence.heard(arrival.us);
    const samplesBefore = this.#receiver.samples;
    const reply = this.#receiver.frame(frame, arrival);
    if (this.#receiver.samples > samplesBefore) this.#delivered(arrival);
    if (reply === null) return;
    if (this.#phase.type !== "connecting")
      this.#receiver.reject("unexpected", `another reply: ${reply.type}`);
    else if (reply.type === "success") this.#acknowledged(this.#phase.connection, arrival);
    else this.#disconnect("refused", `the daemon refused the subscription: ${reply.message}`);
  }

  #acknowledged(connection: Connection, arrival: Arrival): void {
    this.#enter({ type: "subscribed", connection, sinceUs: arrival.us, proved: false });
    this.#watch();
    this.#trouble.subscribed();
  }

  #delivered(arrival: Arrival): void {
    this.#silence.delivered();
    const phase = this.#phase;
    if (phase.type === "subscribed" && arrival.us - phase.sinceUs >= this.#interval.us) this.#proved(phase);
  }

  /** The subscription held: nobody takes the slot, the stream is sound. */
  #proved(phase: Extract<Phase, { type: "subscribed" }>): void {
    if (phase.proved) return;
    phase.proved = true;
    this.#backoff.reset();
    this.#displacement.held();
    this.#trouble.held();
  }

  /** Looks whether the silence has become suspicious, and when to look again. */
  #watch(): void {
    const phase = this.#phase;
    if (phase.type !== "subscribed") return;
    const nowUs = this.#clock.nowUs();
    if (nowUs - phase.sinceUs >= HELD_WITHOUT_DATA_US) this.#proved(phase);
    const verdict = this.#silence.judge(nowUs, this.#options.host.listing());
    switch (verdict.type) {
      case "wait":
        this.#after(Math.ceil(verdict.us / 1000), () => this.#watch());
        return;
      case "ask":
        this.#after(this.#silence.waitUs / 1000, () => this.#watch());
        this.#options.host.askInfo();
        return;
      case "reconnect":
        this.#disconnect(
          "watchdog",
          `no statistics for ${this.#silence.waitUs / 1e6} s, the daemon seems to have forgotten`,
        );
    }
  }

  #ended(end: ConnectionEnd): void {
    switch (end.type) {
      case "unreachable":
        if (isDaemonAbsent(end.code)) this.#displacement.daemonGone();
        this.#retry(
          end.code,
          describeSocketError(end.code, this.#options.socketPath, this.#options),
          "subscribed",
        );
        return;
      case "damaged":
        this.#receiver.reject(end.error.reason, end.error.message);
        this.#lost("framing", `the stream is damaged: ${end.error.message}`);
        return;
      case "closed":
        if (end.midFrame) this.#receiver.reject("truncated", "the stream ends inside a frame");
        if (this.#phase.type === "subscribed") this.#lost("closed", "the daemon closed the subscription");
        else this.#lost("refused", "the daemon closed the connection without acknowledging the subscription");
    }
  }

  #disconnect(reason: DisconnectReason, text: string): void {
    const phase = this.#phase;
    if (phase.type !== "connecting" && phase.type !== "subscribed") return;
    phase.connection.close();
    this.#lost(reason, text);
  }

  /** The connection is over: counts it and decides what comes next. */
  #lost(reason: DisconnectReason, text: string): void {
    if (this.#phase.type !== "connecting" || this.#phase.opened) this.#disconnects[reason]++;
    this.#silence.ended({ forSilence: reason === "watchdog" });
    if (reason === "closed" && this.#displacement.closed(this.#clock.nowUs())) {
      this.#retry("displaced", describeDisplacement(this.slot, this.#options.displacedRetryMs), "held");
    } else if (reason === "blocked") {
      this.#attempt();
    } else {
      this.#retry(reason, text, reason === "refused" || reason === "timeout" ? "subscribed" : "held");
    }
  }

  /** Waits for the next attempt. */
  #retry(kind: string, text: string, until: TroubleEnd): void {
    this.#enter({ type: "waiting" });
    this.#after(this.#displacement.displaced ? this.#options.displacedRetryMs : this.#backoff.nextMs(), () =>
      this.#attempt(),
    );
    // Who is displaced is closed again at most attempts. That was said once.
    if (this.#displacement.displaced && kind === "closed") return;
    this.#trouble.is(kind, text, { until });
  }

  #after(ms: number, callback: () => void): void {
    this.#timer?.();
    this.#timer = this.#clock.after(ms, () => {
      this.#timer = null;
      callback();
    });
  }
}
