import { dirname, join } from "node:path";
import type { Endpoint } from "../client/endpoint.ts";
import type { Sample } from "../client/receiver.ts";
import { type Cancel, type Clock, yieldToEventLoop } from "../clock.ts";
import { policyJson, type ScalerConfig } from "../config/scaler.ts";
import type { Family } from "../exposition/family.ts";
import type { VmIdentity } from "../fleet/types.ts";
import type { Logger } from "../log.ts";
import { actsOn, Executor } from "./actions/executor.ts";
import type { PostHook } from "./actions/hooks.ts";
import { ImageCache } from "./actions/images.ts";
import { type ActionJson, type ActionRecord, actionJson, RECORD_FILE } from "./actions/record.ts";
import { History, type HistoryPoint } from "./report/history.ts";
import { decisionJson, explain, type TickFacts } from "./report/json.ts";
import {
  DecisionLog,
  type LineLog,
  type LoggedDecision,
  logDecision,
  Recent,
  type RecentDecision,
  type RecentQuery,
  Transitions,
} from "./report/log.ts";
import { GroupItems, ScalerInstruments } from "./report/metrics.ts";
import { describe } from "./report/words.ts";
import { Rules } from "./rules/tick.ts";
import {
  type Evaluation,
  type GroupKey,
  type GroupName,
  groupKey,
  modeOf,
  type Source,
  type Tick,
} from "./rules/types.ts";
import type { FleetMemory, FleetSource } from "./sources/fleet.ts";
import { CatchUp } from "./state/catchUp.ts";
import {
  NOTHING_RESTORED,
  type Restored,
  restoreState,
  type SavedState,
  STATE_FILE,
  statePieces,
  type Targets,
  UnreadableState,
} from "./state/savedState.ts";
import { type StateFileOutcome, type Store, WholeFile } from "./state/stateFile.ts";
import { Ticker } from "./ticker.ts";

/** What the scaler writes to, asked for anew when files have other names. */
export interface ScalerFiles {
  state(config: ScalerConfig, onOutcome: (outcome: StateFileOutcome) => void): Store<SavedState>;
  decisions(config: () => ScalerConfig, onFailure: () => void): LineLog;
  /** in the state file's folder, as the images are */
  record(
    config: ScalerConfig,
    onOutcome: (outcome: StateFileOutcome) => void,
  ): Store<readonly ActionRecord[]>;
  images(config: ScalerConfig): ImageCache;
}

/** The files that the configuration names. */
export function filesOnDisk({
  clock,
  log,
  resolvePath,
}: Pick<ScalerOptions, "clock" | "log"> & { readonly resolvePath: (path: string) => string }): ScalerFiles {
  return {
    state: ({ stateFile }, onOutcome) =>
      new WholeFile({ ...STATE_FILE, path: resolvePath(stateFile), clock, log, onOutcome }),
    decisions: (config, onFailure) =>
      new DecisionLog({ path: resolvePath(config().decisionLog), config, log, onFailure }),
    record: ({ stateFile }, onOutcome) => {
      const path = join(dirname(resolvePath(stateFile)), "actions.json");
      return new WholeFile({ ...RECORD_FILE, path, clock, log, onOutcome });
    },
    images: ({ stateFile }) => new ImageCache(join(dirname(resolvePath(stateFile)), "images"), log),
  };
}

export interface ScalerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly config: ScalerConfig;
  /** whose memory the state file keeps */
  readonly fleet: FleetSource;
  /** asked at every tick, the fleet among them */
  readonly sources: readonly Source[];
  readonly targets: () => Targets;
  /** how one of them is reached; null where it is no target */
  readonly reach: (host: string) => Reach | null;
  readonly postHook: PostHook;
  readonly files: ScalerFiles;
  /** All groups are evaluated as they are at this monotonic time. */
  readonly onTick?: (atUs: number) => void;
}

export interface Reach {
  readonly endpoint: Endpoint;
  /** where that is, as state and record say it */
  readonly address: string;
  /** what its statistics are subscribed for */
  readonly subscribe: readonly string[];
  /** of a reply, images apart */
  readonly maxFrameBytes: number;
  /** has unikernel info asked for at once: an action has changed what is listed */
  readonly askInfoSoon: () => void;
}

/** The first tick tells of every group: others have their turn after so many. */
const LINES_AT_ONCE = 250;

const SAVE_SOON_MS = 500;

const RETRY_MS = 60_000;

/** Why the last tick decided as it did about a group, and its actions that are open. */
export type Explanation = ReturnType<typeof explain> & { readonly actions: readonly ActionJson[] };

export type ScalerSummary = Readonly<ReturnType<Scaler["summary"]>>;

/** Asks its sources at each tick, evaluates all groups, reports, acts, and saves. */
export class Scaler {
  readonly #options: ScalerOptions;
  #rules: Rules;
  #transitions = new Transitions();
  /** null until the state has been read */
  #ticker: Ticker | null = null;
  #catchUp: CatchUp | null = null;
  #cancelRetry: Cancel = () => undefined;
  #cancelSave: Cancel = () => undefined;
  readonly #items = new GroupItems();
  readonly #recent = new Recent<LoggedDecision & Pick<Evaluation, "policy">>();
  readonly #history = new History();
  readonly #instruments = new ScalerInstruments();
  #config: ScalerConfig;
  #stateFile: Store<SavedState>;
  #decisionLog: LineLog;
  readonly #acting: Executor;
  /** resolves to whether the state that was saved last is on the disk */
  #saved: Promise<boolean> = Promise.resolve(true);
  /** files that another configuration named: something may still be on its way to them */
  readonly #left: Pick<LineLog, "flush">[] = [];
  #isOff = false;
  /** the tick whose sources have not all answered yet */
  #ticking: Promise<void> | null = null;
  #last: (TickFacts & { readonly evaluations: ReadonlyMap<GroupKey, Evaluation> }) | null = null;

  constructor(options: ScalerOptions) {
    const { config } = options;
    this.#options = options;
    this.#config = config;
    this.#instruments.pollInterval.set(config.pollIntervalMs / 1000);
    this.#rules = new Rules(config);
    this.#stateFile = this.#openStateFile();
    this.#decisionLog = this.#openDecisionLog();
    this.#acting = new Executor({
      ...options,
      rules: () => this.#rules,
      stateSaved: () => this.#saved,
      onRecord: (outcome) => {
        if (outcome !== "written") this.#instruments.stateFiles[outcome].inc();
      },
      onEnd: (line) => {
        this.#decisionLog.append([line]);
        this.#saveSoon();
      },
    });
  }

  /**
   * Reads what was saved, and ticks from now on. While that cannot be read nothing is evaluated, lest a decision be taken
   * twice, and it is tried again every minute. Throws an UnreadableState, at the first time, where a policy acts.
   */
  start(): void {
    const { clock, log, fleet } = this.#options;
    const isRetry = this.#isOff;
    try {
      const recorded = this.#acting.load();
      const restored = this.#restore();
      const { bases, expected, lastHolds } = restored;
      fleet.restore(restored);
      this.#rules = new Rules(this.#config, this.#acting.cautious(restored.groups));
      this.#acting.resume(recorded);
      this.#transitions = new Transitions(lastHolds);
      const awaited = expected.filter(({ isAwaited }) => isAwaited);
      const others = expected.filter(({ before }) => before.heardUs !== null).length - awaited.length;
      const hosts = awaited.map(({ host }) => host);
      const catchUp = new CatchUp(hosts, () => fleet.unheard <= others);
      this.#catchUp = catchUp;
      this.#ticker = new Ticker({
        clock,
        intervalMs: this.#config.pollIntervalMs,
        tick: (lagUs) => this.#begin(lagUs),
        lastTickUs: bases.tickUs,
        caughtUp: () => catchUp.isDone(clock.nowUs()),
        ahead: {
          leadMs: () => Math.max(...this.#options.sources.map((source) => source.leadMs?.() ?? 0)),
          prepare: () => {
            for (const source of this.#options.sources) source.prepare?.((name) => this.#rules.groupOf(name));
          },
        },
      });
    } catch (error) {
      if (!(error instanceof UnreadableState)) throw error;
      const { path: file } = this.#stateFile;
      const reason = error.message;
      if (!isRetry && actsOn(this.#config)) {
        throw new UnreadableState(`what is kept in the folder of ${file} cannot be read: ${reason}`);
      }
      if (!isRetry)
        log.error({ file, reason }, "scaler state cannot be read: nothing is scaled until it can");
      this.#isOff = true;
      this.#cancelRetry = clock.after(RETRY_MS, () => this.start());
    }
    this.#instruments.stateOk.set(this.#ticker === null ? 0 : 1);
    this.#ticker?.start();
  }

  /** To be called for each sample, once the fleet has it. */
  sampleArrived(sample: Sample): void {
    this.#catchUp?.sampleArrived(sample);
    this.#acting.sampleArrived(sample);
    this.#ticker?.samplesArrived(sample.arrivalUs);
  }

  /** Another configuration from the next tick on; what is remembered stays. */
  reconfigure(config: ScalerConfig): void {
    const before = this.#config;
    this.#config = config;
    const switched = this.#rules.reconfigure(config);
    if (switched > 0) {
      const { log } = this.#options;
      log.info({ groups: switched }, "groups will act, from the evaluation after the next one on");
    }
    this.#ticker?.setInterval(config.pollIntervalMs);
    this.#instruments.pollInterval.set(config.pollIntervalMs / 1000);
    if (config.stateFile !== before.stateFile) {
      this.#left.push(this.#stateFile);
      this.#stateFile = this.#openStateFile();
    }
    if (config.decisionLog !== before.decisionLog) {
      this.#left.push(this.#decisionLog);
      this.#decisionLog = this.#openDecisionLog();
    }
    this.#acting.reconfigure(config);
  }

  /** Whether the VM was decided to go not long ago, or still is to. */
  gaveUp({ host, path, primary, vm, cloneId }: VmIdentity): boolean {
    if (cloneId === 0) return false;
    const { outstanding, tombstones } = this.#rules.groupOf({ host, path, group: primary }).state;
    const isAsked = outstanding?.decision === "scale_down" && outstanding.clone === vm;
    return isAsked || tombstones.some((one) => one.cloneId === cloneId);
  }

  /** Forgets a host that is no target any more, or whose name stands for another now. */
  forgetHost(host: string): void {
    this.#rules.forgetHost(host);
    this.#options.fleet.forgetHost(host);
    this.#items.keepOnly(this.#rules.groups);
    this.#acting.keepOnly(this.#rules.groups);
    const left = [...(this.#last?.evaluations ?? [])].filter(
      ([, { observation }]) => observation.host !== host,
    );
    this.#last &&= { ...this.#last, evaluations: new Map(left) };
  }

  /** Resolves when the state, the record and the decision log are on the disk. */
  async stop(): Promise<void> {
    this.#cancelRetry();
    this.#cancelSave();
    this.#ticker?.stop();
    for (const source of this.#options.sources) source.stop?.();
    if (this.#ticking !== null) await this.#ticking;
    this.#save(this.#options.fleet.newestMemory);
    if (await this.#acting.stop()) this.#save(this.#options.fleet.newestMemory);
    await this.#saved;
    await Promise.all([...this.#left, this.#stateFile, this.#decisionLog].map((file) => file.flush()));
    await this.#acting.flush();
  }

  async families(): Promise<Family[]> {
    const newcomers = this.#options.fleet
      .newGroups()
      .map((name) => this.#rules.groupOf(name))
      .filter(({ policy }) => policy !== null);
    const acting = await this.#acting.families(this.#items.items, newcomers);
    return [...this.#items.families(newcomers), ...acting, ...(await this.#instruments.families())];
  }

  /** What has been and is being carried out, newest first. */
  actions(query: { readonly limit: number }): Iterable<ActionJson> {
    return this.#acting.actions(query);
  }

  /** Why the last tick decided so; null where it did not evaluate the group. */
  explain(group: GroupName): Explanation | null {
    const key = groupKey(group);
    const tick = this.#last;
    const evaluation = tick?.evaluations.get(key);
    if (tick === null || evaluation === undefined) return null;
    const nowMs = this.#options.clock.nowUs() / 1000;
    const open = this.#acting.open.filter((action) => groupKey(action) === key);
    return { ...explain(evaluation, tick, nowMs), actions: open.map(actionJson) };
  }

  /** Whether there is a record of actions, which is written until the end. */
  get hasActed(): boolean {
    return this.#acting.hasActed;
  }

  /** Those of the last tick; none before the first. */
  get evaluations(): readonly Evaluation[] {
    return [...(this.#last?.evaluations.values() ?? [])];
  }

  /** The last hour's averages of a group, the oldest first; null where none are kept. */
  history(group: GroupName): readonly HistoryPoint[] | null {
    return this.#history.of(groupKey(group), this.#options.clock.nowUs() / 1000);
  }

  /** The last scale decisions and changes of hold, newest first. */
  *decisions(query: RecentQuery): Iterable<RecentDecision> {
    for (const decision of this.#recent.list(query)) {
      yield { ...decision, policy: decision.policy && policyJson(decision.policy) };
    }
  }

  summary() {
    return {
      mode: this.#config.mode,
      pollIntervalMs: this.#config.pollIntervalMs,
      groups: this.#items.items.length,
      /** wall time; null before the first */
      lastTickMs: this.#last?.wallMs ?? null,
      /** the saved state cannot be read, so nothing is evaluated */
      isOff: this.#isOff && this.#ticker === null,
    };
  }

  /** Never two ticks at once. */
  #begin(lagUs: number): void {
    if (this.#ticking !== null) {
      this.#options.log.warn("sources of observations are slow: groups are not evaluated this time");
      return;
    }
    this.#ticking = this.#tick(lagUs).finally(() => {
      this.#ticking = null;
    });
  }

  async #tick(lagUs: number): Promise<void> {
    const { clock, log, fleet, sources, onTick } = this.#options;
    const nowUs = clock.nowUs();
    const wallMs = clock.wallMs();
    const firstSampleUs = this.#ticker?.firstSampleUs ?? nowUs;
    const tick: Tick = { nowUs, wallMs, firstSampleUs, groupOf: (name) => this.#rules.groupOf(name) };
    const answers = sources.map((source) => source.observe(tick));
    onTick?.(nowUs);
    const observations = (await Promise.all(answers)).flat();

    const evaluations = this.#rules.tick(observations, nowUs);
    const facts = { nowMs: Math.floor(nowUs / 1000), wallMs };
    this.#items.update(evaluations, facts);
    this.#last = { ...facts, evaluations: new Map(evaluations.map((one) => [one.observation.key, one])) };
    this.#history.add(evaluations, facts.nowMs);
    const seconds = (clock.nowUs() - nowUs) / 1e6;
    this.#instruments.tickSeconds.observe(seconds);
    this.#instruments.tickLag.set(lagUs / 1e6);
    this.#instruments.lastTick.set(wallMs / 1000);
    await this.#report(evaluations, facts);
    this.#save(fleet.memory);
    this.#acting.begin(evaluations);
    log.debug({ groups: evaluations.length, seconds, lagSeconds: lagUs / 1e6 }, "groups evaluated");
  }

  /** Log, decision log and memory get the same decisions. */
  async #report(evaluations: readonly Evaluation[], facts: TickFacts): Promise<void> {
    const lines: string[] = [];
    for (const evaluation of evaluations) {
      if (!this.#transitions.isTransition(evaluation)) continue;
      if (lines.length % LINES_AT_ONCE === LINES_AT_ONCE - 1) await yieldToEventLoop();
      const decision = {
        ...decisionJson(evaluation, facts.wallMs),
        mode: modeOf(evaluation),
        text: describe(evaluation, facts.nowMs),
      };
      this.#recent.add({ ...decision, policy: evaluation.policy });
      lines.push(JSON.stringify(decision));
      logDecision(this.#options.log, evaluation, decision);
    }
    if (this.#writesFiles && lines.length > 0) this.#decisionLog.append(lines);
    this.#transitions.keepOnly(this.#rules.groups);
  }

  /** Where nothing is scaled there is no file to be surprised at. */
  get #writesFiles(): boolean {
    return this.#config.policies.length > 0;
  }

  #save(fleet: FleetMemory): void {
    const { groups } = this.#rules;
    if (!this.#writesFiles || this.#ticker === null || fleet.bases.tickUs === null) return;
    const lastHold = (key: GroupKey) => this.#transitions.lastHold(key);
    const targets = this.#options.targets();
    const wallMs = this.#options.clock.wallMs();
    this.#saved = this.#stateFile.save(() => statePieces({ groups, targets, fleet, lastHold }));
    void this.#saved.then((ok) => ok && this.#acting.stateWritten(wallMs));
  }

  /** Many actions may end at once. Until then the record has what came of them. */
  #saveSoon(): void {
    this.#cancelSave();
    this.#cancelSave = this.#options.clock.after(SAVE_SOON_MS, () => this.#save(this.#options.fleet.memory));
  }

  #openStateFile(): Store<SavedState> {
    return this.#options.files.state(this.#config, (outcome) => this.#instruments.stateFiles[outcome].inc());
  }

  #openDecisionLog(): LineLog {
    return this.#options.files.decisions(
      () => this.#config,
      () => this.#instruments.decisionLogFailures.inc(),
    );
  }

  #restore(): Restored {
    const { clock, log } = this.#options;
    const saved = this.#stateFile.load();
    if (saved === null) return NOTHING_RESTORED;
    const now = { nowUs: clock.nowUs(), wallMs: clock.wallMs() };
    const { pollIntervalMs, defaults } = this.#config;
    const { deathTimeoutMs } = defaults;
    const targets = this.#options.targets();
    const restored = restoreState(saved, { now, pollIntervalMs, deathTimeoutMs, targets });
    log.info(
      {
        file: this.#stateFile.path,
        groups: saved.groups.length,
        vms: saved.members.length,
        ageSeconds: Math.max(0, now.wallMs - saved.timeMs) / 1000,
        countersKept: restored.bases.tickUs !== null,
      },
      "scaler state loaded",
    );
    return restored;
  }
}
