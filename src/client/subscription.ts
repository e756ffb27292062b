import type { Cancel, Clock } from "../clock.ts";
import type { TargetConfig } from "../config/target.ts";
import type { Log } from "../log.ts";
import { formatName, type Name } from "../wire/names.ts";
import { backoffMs, Displacement, describeDisplacement, type Permission, permissionFor } from "./attempts.ts";
import { type Arrival, Connection, type ConnectionEnd, subscribeRequest } from "./connection.ts";
import {
  DAEMON_ENDED,
  type Endpoint,
  isCertificateRefused,
  isDaemonAbsent,
  SERVICE_DOWN,
} from "./endpoint.ts";
import { StatsInterval } from "./interval.ts";
import { type ReceiverOptions, StatsReceiver, zeroCounts } from "./receiver.ts";
import { type KnownInfo, type SubscriptionInfo, VmmdError } from "./vmmd.ts";
import { Watchdog } from "./watchdog.ts";

export const SUBSCRIPTION_STATES = [
  "stopped",
  "blocked", // one to a path that may not be opened now
  "connecting", // asking whether it may be opened, or waiting for the acknowledgement
  "subscribed", // acknowledged, nothing arrives
  "receiving",
  "backoff", // waiting for the next attempt
  "displaced", // another client keeps taking it
] as const;
export type SubscriptionState = (typeof SUBSCRIPTION_STATES)[number];

/**
 * Why an open connection to stat.sock ended: `closed` by the daemon after the acknowledgement, `refused` by it before,
 * `timeout` none came, `watchdog` it fell silent, `blocked` a unikernel with the name of the path appeared; over TLS
 * `certificate` one side did not accept the other's, `lost` without a word of albatross-stats, `refused` also by the endpoint.
 */
export const DISCONNECT_REASONS = [
  "closed",
  "refused",
  "timeout",
  "framing",
  "watchdog",
  "blocked",
  "certificate",
  "lost",
] as const;
export type DisconnectReason = (typeof DISCONNECT_REASONS)[number];

export type SubscriptionSnapshot = Readonly<ReturnType<Subscription["snapshot"]>>;

const SUBSCRIBE_TIMEOUT_MS = 10_000;
/** A subscription held for so long is good without a unikernel to prove it. */
const HELD_WITHOUT_DATA_US = 5 * 60 * 1_000_000;

export interface SubscriptionOptions extends ReceiverOptions {
  readonly config: TargetConfig;
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  /** Asks unikernel info at once; `infoAnswered()` follows in any case. */
  readonly askInfo: () => void;
  readonly onLiveChange: () => void;
  /** 0 to 1, for the jitter of the waits */
  readonly random?: (() => number) | undefined;
}

type Phase =
  | { readonly type: "stopped" | "asking" | "blocked" | "waiting" }
  | { readonly type: "connecting"; readonly connection: Connection }
  | { readonly type: "subscribed"; readonly connection: Connection; readonly sinceUs: number };

/** One subscription to albatross-stats: subscribes, and again whenever that ended. */
export class Subscription {
  readonly name: Name;
  readonly #options: SubscriptionOptions;
  readonly #clock: Clock;
  readonly #problems: ProblemLog;
  readonly #displacement = new Displacement();
  readonly #interval: StatsInterval;
  readonly #watchdog: Watchdog;
  readonly #receiver: StatsReceiver;

  #phase: Phase = { type: "stopped" };
  #info: KnownInfo = null;
  #failures = 0;
  #timer: Cancel | null = null;

  #bytes = 0;
  #connects = 0;
  readonly #disconnects = zeroCounts(DISCONNECT_REASONS);

  constructor(options: SubscriptionOptions) {
    const { name, config, clock, log } = options;
    this.name = name;
    this.#options = options;
    this.#clock = clock;
    this.#problems = new ProblemLog(log);
    this.#interval = new StatsInterval(config.statsIntervalMs);
    this.#watchdog = new Watchdog(this.#interval);
    this.#receiver = new StatsReceiver(options, this.#interval);
  }

  /** acknowledged, and the connection is open */
  get live(): boolean {
    return this.#phase.type === "subscribed";
  }

  start(): void {
    if (this.#phase.type === "stopped") this.#attempt();
  }

  /** Resolves when the socket is closed. */
  async stop(): Promise<void> {
    const phase = this.#phase;
    this.#enter({ type: "stopped" });
    if (phase.type !== "connecting" && phase.type !== "subscribed") return;
    phase.connection.close();
    await phase.connection.closed;
  }

  /** Unikernel info was asked at `askedAtUs`, with or without success. */
  infoAnswered(info: SubscriptionInfo | VmmdError, askedAtUs: number): void {
    this.#info = info instanceof VmmdError ? info : this.#kept(info, askedAtUs);
    const phase = this.#phase.type;
    if (phase === "asking" || phase === "blocked") this.#attempt();
    if (phase !== "connecting" && phase !== "subscribed") return;
    const permission = this.#permission();
    if (permission.type === "blocked" && permission.closesOpen) {
      this.#disconnect("blocked", permission.reason);
    } else if (phase === "subscribed") {
      this.#watch();
    }
  }

  #kept({ entries, namesakeRuns }: SubscriptionInfo, askedAtUs: number): KnownInfo {
    const before = this.#info instanceof VmmdError ? null : this.#info;
    const listedSinceUs = entries.length === 0 ? null : (before?.listedSinceUs ?? askedAtUs);
    return { askedAtUs, answeredAtUs: this.#clock.nowUs(), namesakeRuns, listedSinceUs };
  }

  /** What is known now. Counters run on over reconnects. */
  snapshot() {
    return {
      subscription: formatName(this.name),
      state: this.#state(),
      messages: this.#receiver.samples,
      /** length prefixes included */
      bytes: this.#bytes,
      connects: this.#connects,
      decodeErrors: { ...this.#receiver.decodeErrors },
      disconnects: { ...this.#disconnects },
      /** ms since the epoch; null before the first */
      lastMessageWallMs: this.#receiver.lastSample?.wallMs ?? null,
      intervalUs: this.#interval.us,
      lastError: this.#problems.text,
    };
  }

  #state(): SubscriptionState {
    const phase = this.#phase;
    if (phase.type === "stopped" || phase.type === "blocked") return phase.type;
    if (this.#displacement.displaced) return "displaced";
    if (phase.type === "waiting") return "backoff";
    if (phase.type !== "subscribed") return "connecting";
    const lastUs = this.#receiver.lastSample?.us ?? Number.NEGATIVE_INFINITY;
    const receives = lastUs >= phase.sinceUs && this.#clock.nowUs() - lastUs <= this.#watchdog.waitUs;
    return receives ? "receiving" : "subscribed";
  }

  /** What the old phase waited for is void. */
  #enter(phase: Phase): void {
    const wasLive = this.live;
    this.#timer?.();
    this.#timer = null;
    this.#phase = phase;
    if (this.live !== wasLive) this.#options.onLiveChange();
  }

  #permission(): Permission {
    const { name, config } = this.#options;
    return permissionFor(name, this.#info, this.#clock.nowUs(), config.allowUncheckedPath);
  }

  #attempt(): void {
    const permission = this.#permission();
    switch (permission.type) {
      case "ask":
        this.#enter({ type: "asking" });
        this.#options.askInfo();
        return;
      case "blocked":
        this.#enter({ type: "blocked" });
        this.#problems.report("blocked", permission.reason);
        return;
      case "open":
        this.#connect();
    }
  }

  #connect(): void {
    const { name, config, endpoint } = this.#options;
    const text = `the subscription was not acknowledged within ${SUBSCRIBE_TIMEOUT_MS / 1000} s`;
    const giveUp = () => this.#disconnect("timeout", text);
    const connection: Connection = new Connection({
      endpoint,
      daemon: "stat",
      request: subscribeRequest(name),
      maxFrameBytes: config.maxFrameBytes.stat,
      clock: this.#clock,
      handlers: {
        opened: () => {
          this.#connects++;
          this.#interval.reconnected();
          this.#after(SUBSCRIBE_TIMEOUT_MS, giveUp);
        },
        received: (bytes) => {
          this.#bytes += bytes;
        },
        frame: (frame, arrival) => this.#frame(frame, arrival),
        ended: (end) => this.#ended(end),
      },
    });
    this.#enter({ type: "connecting", connection });
    this.#after(SUBSCRIBE_TIMEOUT_MS, giveUp);
  }

  #frame(frame: Uint8Array, arrival: Arrival): void {
    this.#watchdog.heard(arrival.us);
    const reply = this.#receiver.frame(frame, arrival);
    const phase = this.#phase;
    const hasDelivered = this.#receiver.lastSample === arrival;
    if (hasDelivered) this.#watchdog.delivered();
    if (phase.type === "subscribed") {
      if (hasDelivered && arrival.us - phase.sinceUs >= this.#interval.us) this.#held();
      if (reply?.type === "failure" && reply.message === DAEMON_ENDED)
        this.#disconnect("closed", this.#options.endpoint.explain("stat", reply.message));
      else if (reply !== null) this.#receiver.reject("unexpected", `another reply: ${reply.type}`);
    } else if (phase.type === "connecting" && reply?.type === "success") {
      this.#enter({ type: "subscribed", connection: phase.connection, sinceUs: arrival.us });
      this.#watch();
      this.#problems.subscribed();
    } else if (reply?.type === "failure") {
      if (reply.message === SERVICE_DOWN) this.#displacement.daemonGone();
      this.#disconnect("refused", this.#options.endpoint.explain("stat", reply.message));
    }
  }

  #held(): void {
    this.#failures = 0;
    this.#displacement.held();
    this.#problems.held();
  }

  #watch(): void {
    const phase = this.#phase;
    if (phase.type !== "subscribed") return;
    const nowUs = this.#clock.nowUs();
    if (nowUs - phase.sinceUs >= HELD_WITHOUT_DATA_US) this.#held();
    const verdict = this.#watchdog.check(nowUs, this.#info);
    switch (verdict.type) {
      case "wait":
        this.#after(Math.ceil(verdict.us / 1000), () => this.#watch());
        return;
      case "ask":
        this.#after(this.#watchdog.waitUs / 1000, () => this.#watch());
        this.#options.askInfo();
        return;
      case "reconnect": {
        const silence = `no statistics for ${this.#watchdog.waitUs / 1e6} s`;
        this.#disconnect("watchdog", `${silence}, the daemon seems to have forgotten`);
      }
    }
  }

  #ended(end: ConnectionEnd): void {
    const { endpoint } = this.#options;
    switch (end.type) {
      case "unreachable":
        if (isDaemonAbsent(end.code)) this.#displacement.daemonGone();
        this.#retry(end.code, endpoint.describe("stat", end.code));
        return;
      case "damaged":
        this.#receiver.reject(end.error.reason, end.error.message);
        this.#lost("framing", `the stream is damaged: ${end.error.message}`);
        return;
      case "closed": {
        if (end.midFrame) this.#receiver.reject("truncated", "the stream ends inside a frame");
        const isSubscribed = this.#phase.type === "subscribed";
        if (isSubscribed && !endpoint.isRemote) {
          this.#lost("closed", "the daemon closed the subscription");
          return;
        }
        const isRefused = end.code !== null && isCertificateRefused(end.code);
        this.#lost(
          isRefused ? "certificate" : isSubscribed ? "lost" : "refused",
          endpoint.describe("stat", endpoint.isRemote ? end.code : null),
        );
      }
    }
  }

  #disconnect(reason: DisconnectReason, text: string): void {
    const phase = this.#phase;
    if (phase.type !== "connecting" && phase.type !== "subscribed") return;
    phase.connection.close();
    this.#lost(reason, text);
  }

  #lost(reason: DisconnectReason, text: string): void {
    const { name, config } = this.#options;
    if (this.#phase.type !== "connecting" || this.#phase.connection.opened) this.#disconnects[reason]++;
    this.#watchdog.ended({ forSilence: reason === "watchdog" });
    if (reason === "closed" && this.#displacement.closed(this.#clock.nowUs())) {
      this.#retry("displaced", describeDisplacement(formatName(name), config.displacedRetryMs));
    } else if (reason === "blocked") {
      this.#attempt();
    } else {
      this.#retry(reason, text);
    }
  }

  /** `problem` is a reason to disconnect, or the system's code: ENOENT. */
  #retry(problem: string, text: string): void {
    const { config, random = Math.random } = this.#options;
    const isDisplaced = this.#displacement.displaced;
    this.#enter({ type: "waiting" });
    const waitMs = isDisplaced ? config.displacedRetryMs : backoffMs(this.#failures++, random());
    this.#after(waitMs, () => this.#attempt());
    // Who is displaced is closed again at most attempts. That was said once.
    if (!isDisplaced || problem !== "closed") this.#problems.report(problem, text);
  }

  #after(ms: number, callback: () => void): void {
    this.#timer?.();
    this.#timer = this.#clock.after(ms, () => {
      this.#timer = null;
      callback();
    });
  }
}

const UNTIL_HELD: ReadonlySet<string> = new Set(["displaced", "closed", "lost", "framing", "watchdog"]);

/** Says what is wrong with one subscription, once for however many attempts. */
class ProblemLog {
  readonly #log: Log;
  #kind: string | null = null;
  text: string | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  report(kind: string, text: string): void {
    if (kind === this.#kind) this.#log.debug({}, text);
    else this.#log.warn({}, text);
    this.#kind = kind;
    this.text = text;
  }

  subscribed(): void {
    if (this.#kind !== null && UNTIL_HELD.has(this.#kind)) return;
    this.#log.info({}, "subscribed");
    this.#kind = this.text = null;
  }

  held(): void {
    if (this.#kind !== null) this.#log.info({}, "receiving again");
    this.#kind = this.text = null;
  }
}
