import type { Cancel, Clock } from "../clock.ts";
import type { TargetConfig } from "../config/target.ts";
import { type Log, withFields } from "../log.ts";
import type { NamedInfo, NamedPolicy } from "../wire/messages.ts";
import { formatName, type Name, parseName } from "../wire/names.ts";
import { type Endpoint, SocketDirectory } from "./endpoint.ts";
import { type Sample, zeroCounts } from "./receiver.ts";
import { Subscription, type SubscriptionOptions, type SubscriptionSnapshot } from "./subscription.ts";
import { TlsEndpoint } from "./tls.ts";
import { VMMD_ERROR_REASONS, VmmdClient, VmmdError } from "./vmmd.ts";

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
/** Why another question would have no answer either. */
const HOPELESS: ReadonlySet<string> = new Set(["unreachable", "certificate", "timeout", "stopped"]);

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

/** One host: its subscriptions, and what albatrossd is asked every 30 s. Files of certificates are read before each poll. */
export class Target {
  readonly config: TargetConfig;
  readonly #sink: TargetSink;
  readonly #clock: Clock;
  readonly #log: Log;
  /** null for a host whose sockets are here */
  readonly #tls: TlsEndpoint | null;
  readonly #vmmd: VmmdClient;
  /** none before the certificates are read from which they follow */
  #subscriptions: readonly Subscription[] = [];
  readonly #subscriptionTo: (name: Name) => Subscription;
  #live = false;
  #stopped = false;
  #asking: Promise<void> | null = null;
  #askedAtUs = 0;
  #answeredAtUs = 0;
  readonly endpoint: Endpoint;
  #isWaitedFor = false;
  #cancelPoll: Cancel = () => undefined;
  #infoReadable: boolean | null = null;
  #policyDifference: string | null = null;
  readonly #errors: Record<Question, VmmdError | null> = { info: null, policies: null };
  readonly #infoErrors = zeroCounts(VMMD_ERROR_REASONS);

  /** Throws a WireError "name" for a subscription that is no name. */
  constructor(config: TargetConfig, sink: TargetSink, clock: Clock, log: Log, options: TargetOptions = {}) {
    this.config = config;
    this.#sink = sink;
    this.#clock = clock;
    this.#log = withFields(log, { host: config.name });
    const endpoint = endpointFor(config, clock);
    this.endpoint = endpoint;
    this.#tls = endpoint instanceof TlsEndpoint ? endpoint : null;
    this.#vmmd = new VmmdClient({ endpoint, maxFrameBytes: config.maxFrameBytes.vmmd, clock });
    this.#subscriptionTo = (name) =>
      new Subscription({
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
    if (this.#tls === null)
      this.#subscriptions = config.subscribe.map((text) => this.#subscriptionTo(parseName(text)));
  }

  get subscribed(): readonly string[] {
    return this.#subscriptions.map(({ name }) => formatName(name));
  }

  /** Its certificates are for something else than they were: it has to be made anew. */
  get isOutdated(): boolean {
    return this.#tls?.isOutdated ?? false;
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
      /** what the target depends on that expires; none for sockets */
      certificates: this.#tls?.certificates ?? [],
      /** what is wrong with the certificates' files as they are now */
      certificateError: this.#tls?.problem ?? null,
      /** where the host has another policy than the certificates put in force */
      policyDifference: this.#policyDifference,
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

  async #refresh(tls: TlsEndpoint): Promise<void> {
    const before = tls.problem;
    if (await tls.refresh()) {
      this.#log.info({ certificates: tls.certificates.length }, "certificates read");
      for (const file of tls.openKeys) {
        this.#log.warn({ file }, "everyone on this machine may read this key: chmod 600, or 640");
      }
    }
    const { problem, credentials } = tls;
    if (problem !== null && problem !== before && credentials !== null)
      this.#log.error({ reason: problem }, "new certificates cannot be used: those before stay in use");
    if (this.#stopped || this.#subscriptions.length > 0 || credentials === null) return;
    this.#subscriptions = credentials.subscribe.map(this.#subscriptionTo);
    for (const subscription of this.#subscriptions) subscription.start();
  }

  async #askAll(): Promise<void> {
    if (this.#tls !== null) await this.#refresh(this.#tls);
    const names = this.#subscriptions.map(({ name }) => name);
    // Whatever happened before the first question is in the answers.
    const askedAtUs = this.#clock.nowUs();
    this.#askedAtUs = askedAtUs;
    this.#isWaitedFor = false;
    this.#vmmd.beginRound();
    const infos =
      this.#tls?.credentials === null
        ? new VmmdError("certificate", this.#tls.problem ?? "")
        : await this.#vmmd.infosOf(names).catch(orThrow);
    const isHopeless = infos instanceof VmmdError && HOPELESS.has(infos.reason);
    const policies = isHopeless ? null : await this.#vmmd.policiesOf(names).catch(orThrow);
    if (this.#stopped) return;
    this.#infoReadable = !(infos instanceof VmmdError);
    await this.#take("info", infos, (all) => {
      const entries = all.flatMap((info) => info.entries);
      return this.#sink.info(entries, askedAtUs);
    });
    if (policies !== null) await this.#take("policies", policies, (all) => this.#takePolicies(all));
    if (this.#stopped) return;
    this.#asking = null;
    this.#answeredAtUs = this.#clock.nowUs();
    this.#askLater();
    for (const [i, subscription] of this.#subscriptions.entries()) {
      const info = infos instanceof VmmdError ? infos : infos[i];
      if (info !== undefined) subscription.infoAnswered(info, askedAtUs);
    }
  }

  #takePolicies(found: readonly NamedPolicy[]): void {
    const difference = this.#tls?.policyDifference(found) ?? null;
    if (difference !== null && difference !== this.#policyDifference)
      this.#log.warn({ difference }, "the host's policy is not the certificate's: somebody else changes it");
    this.#policyDifference = difference;
    this.#sink.policies(found);
  }

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

/** Connects to nothing, and reads no file yet. */
export function endpointFor(config: TargetConfig, clock: Clock): SocketDirectory | TlsEndpoint {
  return config.tls === null ? new SocketDirectory(config) : new TlsEndpoint(config.tls, config, clock);
}

function orThrow(error: unknown): VmmdError {
  if (error instanceof VmmdError) return error;
  throw error;
}
