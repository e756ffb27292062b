import type { Sample } from "../client/receiver.ts";
import type { Clock } from "../clock.ts";
import type { ScalerConfig } from "../config/types.ts";
import type { Family } from "../exposition/family.ts";
import { tableFamily } from "../exposition/row.ts";
import type { Fleet } from "../fleet/fleet.ts";
import type { FleetSnapshot } from "../fleet/types.ts";
import type { Logger } from "../log.ts";
import { type ExplanationJson, explain } from "./report/json.ts";
import {
  DecisionLog,
  type LineLog,
  type LoggedDecision,
  logDecision,
  loggedDecision,
  Recent,
  type RecentQuery,
  Transitions,
} from "./report/log.ts";
import { GroupItems, Instruments, scalerGroupRows } from "./report/metrics.ts";
import { Rules } from "./rules/tick.ts";
import { type Evaluation, type GroupKey, type GroupName, groupKey } from "./rules/types.ts";
import { FleetSource } from "./sources/fleet.ts";
import { CatchUp } from "./state/catchUp.ts";
import { NOTHING_RESTORED, type Restored, restoreState, statePieces } from "./state/savedState.ts";
import { StateFile, type StateFileCounts, type StateStore } from "./state/stateFile.ts";
import { Ticker } from "./ticker.ts";

/** What the scaler writes to. Asked for anew when the configuration names other files. */
export interface ScalerFiles {
  state(config: ScalerConfig, counts: StateFileCounts): StateStore;
  decisions(config: ScalerConfig): LineLog;
}

export interface DiskOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Where a file that the configuration names stands. */
  readonly resolvePath: (path: string) => string;
}

/** The files that the configuration names. */
export function filesOnDisk({ clock, log, resolvePath }: DiskOptions): ScalerFiles {
  return {
    state: ({ stateFile }, counts) => new StateFile({ path: resolvePath(stateFile), clock, log, counts }),
    decisions: ({ decisionLog, decisionLogMaxBytes, decisionLogFiles }) =>
      new DecisionLog({
        path: resolvePath(decisionLog),
        maxBytes: decisionLogMaxBytes,
        files: decisionLogFiles,
        log,
      }),
  };
}

export interface ScalerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly fleet: Fleet;
  readonly config: ScalerConfig;
  /** Whether the configuration has a target of this name. */
  readonly isTarget: (host: string) => boolean;
  readonly files: ScalerFiles;
  /** All groups were evaluated, as they were at this monotonic time. */
  readonly onTick?: (atUs: number) => void;
}

/** What the front page says of it. */
export interface ScalerSummary {
  readonly mode: string;
  readonly pollIntervalMs: number;
  /** groups that a policy matches */
  readonly groups: number;
  /** wall time; null before the first */
  readonly lastTickMs: number | null;
}

/** The last tick, for whoever asks about it. */
interface LastTick {
  readonly nowMs: number;
  readonly wallMs: number;
  readonly mode: string;
  readonly evaluations: readonly Evaluation[];
}

/**
 * The scaler as it runs: evaluates all groups once per poll_interval, tells of it, and keeps what it remembers in a file.
 * It carries nothing out.
 */
export class Scaler {
  readonly #options: ScalerOptions;
  readonly #source: FleetSource;
  readonly #rules: Rules;
  readonly #ticker: Ticker;
  readonly #catchUp: CatchUp;
  readonly #transitions: Transitions;
  readonly #items = new GroupItems();
  readonly #recent = new Recent<LoggedDecision>();
  readonly #instruments = new Instruments();
  #config: ScalerConfig;
  #stateFile: StateStore;
  #decisionLog: LineLog;
  #last: LastTick | null = null;
  /** the evaluations of `#last`, once somebody asks for one */
  #lastByGroup: ReadonlyMap<GroupKey, Evaluation> | null = null;

  /** Reads the state file, and tells the fleet what it is to expect. */
  constructor(options: ScalerOptions) {
    const { clock, fleet, config, files } = options;
    this.#options = options;
    this.#config = config;
    this.#stateFile = files.state(config, this.#instruments);
    this.#decisionLog = files.decisions(config);
    const restored = this.#restore();
    this.#source = new FleetSource(fleet);
    this.#source.restore(restored.bases);
    this.#rules = new Rules(config, restored.groups);
    this.#transitions = new Transitions(restored.lastHolds);
    this.#ticker = new Ticker({
      clock,
      intervalMs: config.pollIntervalMs,
      tick: (lagUs) => this.#tick(lagUs),
      lastTickUs: restored.bases.tickUs,
      caughtUp: () => this.#catchUp.isDone(clock.nowUs()),
    });
    const awaited = restored.expected.filter(({ isAwaited }) => isAwaited);
    const others = restored.expected.length - awaited.length;
    this.#catchUp = new CatchUp({
      hosts: new Set(awaited.map(({ host }) => host)),
      allHeard: () => fleet.sizes.unheard <= others,
    });
  }

  /** Ticks from now on, once samples come or as an earlier run of the program would have. */
  start(): void {
    this.#ticker.start();
  }

  /** To be called for each sample, once the fleet has it. */
  sampleArrived(sample: Sample): void {
    this.#catchUp.sampleArrived(sample);
    this.#ticker.samplesArrived(sample.arrivalUs);
  }

  /** Another configuration from the next tick on; what is remembered stays. */
  reconfigure(config: ScalerConfig): void {
    const before = this.#config;
    const { files } = this.#options;
    this.#config = config;
    this.#rules.reconfigure(config);
    this.#ticker.setInterval(config.pollIntervalMs);
    if (config.stateFile !== before.stateFile) this.#stateFile = files.state(config, this.#instruments);
    if (config.decisionLog !== before.decisionLog) this.#decisionLog = files.decisions(config);
    this.#decisionLog.setLimits({ maxBytes: config.decisionLogMaxBytes, files: config.decisionLogFiles });
  }

  /** No more ticks; resolves when the state and the decision log are on the disk. */
  async stop(): Promise<void> {
    this.#ticker.stop();
    // with what has been heard since the last tick: VMs that are new, and incarnations that began
    this.#save(this.#source.snapshot());
    await Promise.all([this.#stateFile.flush(), this.#decisionLog.flush()]);
  }

  /** The metrics as of the last tick. */
  async families(): Promise<Family[]> {
    const { items } = this.#items;
    const groups = scalerGroupRows.map((row): Family => tableFamily(row, items));
    return [...groups, ...(await this.#instruments.families())];
  }

  /** Why the last tick decided about a group as it did; null where it did not evaluate it. */
  explain(group: GroupName): ExplanationJson | null {
    const key = groupKey(group);
    this.#lastByGroup ??= new Map(this.#last?.evaluations.map((e) => [e.observation.key, e]));
    const evaluation = this.#lastByGroup.get(key);
    const remembered = this.#rules.groups.get(key);
    if (this.#last === null || evaluation === undefined || remembered === undefined) return null;
    return explain({
      evaluation,
      state: remembered.state,
      mode: this.#last.mode,
      tickMs: this.#last.nowMs,
      tickWallMs: this.#last.wallMs,
      nowMs: this.#options.clock.nowUs() / 1000,
    });
  }

  /** The last scale decisions and changes of hold, newest first. */
  decisions(query: RecentQuery): LoggedDecision[] {
    return this.#recent.list(query);
  }

  summary(): ScalerSummary {
    return {
      mode: this.#config.mode,
      pollIntervalMs: this.#config.pollIntervalMs,
      groups: this.#items.items.length,
      lastTickMs: this.#last?.wallMs ?? null,
    };
  }

  #tick(lagUs: number): void {
    const { clock, log, onTick } = this.#options;
    const { mode } = this.#config;
    const startUs = clock.nowUs();
    const snapshot = this.#source.snapshot();
    const { nowUs, wallMs } = snapshot;
    const nowMs = Math.floor(nowUs / 1000);
    const observations = this.#source.observe(snapshot, {
      firstSampleUs: this.#ticker.firstSampleUs ?? nowUs,
      groupOf: (name) => this.#rules.groupOf(name),
    });
    const evaluations = this.#rules.tick(observations, nowUs);
    this.#items.update(evaluations, { nowMs, wallMs, mode });
    this.#last = { nowMs, wallMs, mode, evaluations };
    this.#lastByGroup = null;
    this.#tell(evaluations, wallMs);
    this.#save(snapshot);
    onTick?.(snapshot.nowUs);
    const seconds = (clock.nowUs() - startUs) / 1e6;
    this.#instruments.ticked({ seconds, lagSeconds: lagUs / 1e6, wallMs });
    log.debug({ groups: evaluations.length, seconds, lagSeconds: lagUs / 1e6 }, "groups evaluated");
  }

  /** Log, decision log and memory get the same decisions: all but plain repeats of a hold. */
  #tell(evaluations: readonly Evaluation[], wallMs: number): void {
    const lines: string[] = [];
    for (const evaluation of evaluations) {
      if (!this.#transitions.isTransition(evaluation)) continue;
      const decision = loggedDecision(evaluation, wallMs, this.#config.mode);
      this.#recent.add(decision);
      lines.push(JSON.stringify(decision));
      logDecision(this.#options.log, evaluation, decision);
    }
    if (this.#writesFiles && lines.length > 0) this.#decisionLog.append(lines);
    const { groups } = this.#rules;
    if (this.#transitions.size > groups.size) this.#transitions.forget((key) => groups.has(key));
  }

  /** Where nothing is scaled there is nothing to outlive the process, and no file to be surprised at. */
  get #writesFiles(): boolean {
    return this.#config.policies.length > 0;
  }

  #save(snapshot: FleetSnapshot): void {
    const { groups } = this.#rules;
    const { bases } = this.#source;
    if (!this.#writesFiles || bases.tickUs === null) return;
    const transitions = this.#transitions;
    this.#stateFile.save(() =>
      statePieces({ groups, bases, snapshot, lastHold: (key) => transitions.lastHold(key) }),
    );
  }

  #restore(): Restored {
    const { clock, fleet, log, isTarget } = this.#options;
    const saved = this.#stateFile.load();
    if (saved === null) return NOTHING_RESTORED;
    const now = { nowUs: clock.nowUs(), wallMs: clock.wallMs() };
    const { pollIntervalMs, defaults } = this.#config;
    const restored = restoreState(saved, {
      now,
      pollIntervalMs,
      deathTimeoutMs: defaults.deathTimeoutMs,
      isTarget,
    });
    for (const { host, name, before } of restored.expected) fleet.expect(host, name, before);
    log.info(
      {
        file: this.#stateFile.path,
        groups: saved.groups.length,
        vms: saved.members.length,
        ageSeconds: Math.max(0, now.wallMs - saved.time_ms) / 1000,
        countersKept: restored.bases.tickUs !== null,
      },
      "scaler state loaded",
    );
    return restored;
  }
}
