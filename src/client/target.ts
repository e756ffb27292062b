import type { Cancel, Clock } from "../clock.ts";
import type { TargetConfig } from "../config/target.ts";
import { type Log, withFields } from "../log.ts";
import type { NamedInfo, NamedPolicy } from "../wire/messages.ts";
import { formatName, parseName } from "../wire/names.ts";
import { type Endpoint, SocketDirectory } from "./endpoint.ts";
import { type Sample, zeroCounts } from "./receiver.ts";
import { Subscription, type SubscriptionOptions, type SubscriptionSnapshot } from "./subscription.ts";
import { type SubscriptionInfo, VMMD_ERROR_REASONS, VmmdClient, VmmdError } from "./vmmd.ts";

/** From question to question to albatrossd; and where somebody waits for the answer. */
const POLL_US = 30_000_000;
const SOON_US = 2_000_000;
/** from an answer to the next question, however long the answer took */
const MIN_PAUSE_US = 1_000_000;

/** What albatrossd is asked for: what is said when that cannot be read, and when it can be again. */
const QUESTIONS = {
  info: ["unikernel info cannot be read; its metrics are left out", "unikernel info can be read again"],
  policies: ["policies cannot be read", "policies can be read again"],
} as const;
type Question = keyof typeof QUESTIONS;

/** Who is told what a host says. What it throws is logged. */
export interface TargetSink {
  onSample(sample: Sample): void;
  /** Every unikernel subscribed to, as known at `askedAtUs` (monotonic) or later; not asked again before it is taken in. */
  info(entries: readonly NamedInfo[], askedAtUs: number): Promise<void> | void;
  /** Every policy that holds for one of them, named by full path. */
  policies(entries: readonly NamedPolicy[]): void;
  live(up: boolean): void;
}

export type TargetSnapshot = Readonly<ReturnType<Target["snapshot"]>>;

export type TargetOptions = Pick<SubscriptionOptions, "random" | "sampleBudgetBytes" | "forgetAfterUs">;

export class Target {
  readonly config: TargetConfig;
  readonly #sink: TargetSink;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #vmmd: VmmdClient;
  readonly #subscriptions: readonly Subscription[];
  #live = false;
  #stopped = false;
  #asking: Promise<void> | null = null;
  #askedAtUs = 0;
  #answeredAtUs = 0;
  /** how its daemons are reached */
  readonly endpoint: Endpoint;
  #isWaitedFor = false;
  #cancelPoll: Cancel = () => undefined;
  #infoReadable: boolean | null = null;
  readonly #errors: Record<Question, VmmdError | null> = { info: null, policies: null };
  readonly #infoErrors = zeroCounts(VMMD_ERROR_REASONS);

  /** Throws a WireError "name" for a subscription that is no name. */
  constructor(config: TargetConfig, sink: TargetSink, clock: Clock, log: Log, options: TargetOptions = {}) {
    this.config = config;
    this.#sink = sink;
    this.#clock = clock;
    this.#log = withFields(log, { host: config.name });
    this.endpoint = new SocketDirectory(config);
    const { endpoint } = this;
    this.#vmmd = new VmmdClient({ endpoint, maxFrameBytes: config.maxFrameBytes.vmmd, clock });
    this.#subscriptions = config.subscribe.map((text) => {
      const name = parseName(text);
      return new Subscription({
        host: config.name,
        name,
        config,
        endpoint,
        clock,
        log: withFields(this.#log, { subscription: formatName(name) }),
        onSample: (sample) => sink.onSample(sample),
        onLiveChange: () => this.#checkLive(),
        askInfo: () => this.#ask(),
        ...options,
      });
    });
  }

  start(): void {
    this.#ask();
    for (const subscription of this.#subscriptions) subscription.start();
  }

  /** Resolves when connections and timers are ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPoll();
    this.#vmmd.stop();
    await Promise.all([this.#asking, ...this.#subscriptions.map((subscription) => subscription.stop())]);
  }

  snapshot() {
    const subscriptions: readonly SubscriptionSnapshot[] = this.#subscriptions.map((one) => one.snapshot());
    return {
      name: this.config.name,
      /** at least one subscription is acknowledged, its connection open */
      up: this.#live,
      /** null before albatrossd has answered, or not */
      infoReadable: this.#infoReadable,
      infoError: (this.#errors.info ?? this.#errors.policies)?.message ?? null,
      /** questions to albatrossd that failed */
      infoErrors: { ...this.#infoErrors },
      subscriptions,
    };
  }

  #checkLive(): void {
    const live = this.#subscriptions.some((subscription) => subscription.live);
    if (live === this.#live) return;
    this.#live = live;
    this.#sink.live(live);
    // The daemons start together.
    if (live && this.#infoReadable === false) this.#ask();
  }

  /** Asks unikernel info at once, 2 s after the last question at the earliest. */
  askInfoSoon(): void {
    if (this.#isWaitedFor || this.#stopped || this.#infoReadable !== true) return;
    this.#isWaitedFor = true;
    if (this.#asking === null) this.#askLater();
  }

  /** Asks albatrossd now, unless it is being asked. */
  #ask(): void {
    if (this.#stopped || this.#asking !== null) return;
    this.#cancelPoll();
    this.#asking = this.#askAll();
  }

  #askLater(): void {
    const untilUs = this.#askedAtUs + (this.#isWaitedFor ? SOON_US : POLL_US);
    const waitUs = Math.max(untilUs, this.#answeredAtUs + MIN_PAUSE_US) - this.#clock.nowUs();
    this.#cancelPoll();
    this.#cancelPoll = this.#clock.after(Math.max(waitUs, 0) / 1000, () => this.#ask());
  }

  async #askAll(): Promise<void> {
    const names = this.#subscriptions.map(({ name }) => name);
    // Whatever happened before the first question is in the answers.
    const askedAtUs = this.#clock.nowUs();
    this.#askedAtUs = askedAtUs;
    this.#isWaitedFor = false;
    this.#vmmd.beginRound();
    const infos = await this.#vmmd.infosOf(names).catch(orThrow);
    const isHopeless =
      infos instanceof VmmdError && ["unreachable", "timeout", "stopped"].includes(infos.reason);
    const policies = isHopeless ? null : await this.#vmmd.policiesOf(names).catch(orThrow);
    if (this.#stopped) return;
    this.#infoReadable = !(infos instanceof VmmdError);
    const tellInfos = (all: readonly SubscriptionInfo[]) => {
      const entries = all.flatMap((info) => info.entries);
      return this.#sink.info(entries, askedAtUs);
    };
    await this.#take("info", infos, tellInfos);
    if (policies !== null) await this.#take("policies", policies, (all) => this.#sink.policies(all));
    if (this.#stopped) return;
    this.#asking = null;
    this.#answeredAtUs = this.#clock.nowUs();
    this.#askLater();
    for (const [i, subscription] of this.#subscriptions.entries()) {
      const info = infos instanceof VmmdError ? infos : infos[i];
      if (info !== undefined) subscription.infoAnswered(info, askedAtUs);
    }
  }

  /** Takes an answer, or why there is none, which is said when the reason is another than before. */
  async #take<T>(
    what: Question,
    answer: T | VmmdError,
    tell: (answer: T) => Promise<void> | void,
  ): Promise<void> {
    const [unreadable, readableAgain] = QUESTIONS[what];
    const before = this.#errors[what];
    this.#errors[what] = answer instanceof VmmdError ? answer : null;
    if (answer instanceof VmmdError) {
      this.#infoErrors[answer.reason]++;
      if (before?.reason !== answer.reason) this.#log.warn({ reason: answer.message }, unreadable);
      return;
    }
    if (before !== null) this.#log.info({}, readableAgain);
    try {
      await tell(answer);
    } catch (error) {
      // What came from a peer must not end the process, whatever the sink makes of it.
      this.#log.error({ err: error }, "an answer of albatrossd could not be taken");
    }
  }
}

function orThrow(error: unknown): VmmdError {
  if (error instanceof VmmdError) return error;
  throw error;
}
