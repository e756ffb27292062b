/** What the scaler does about the decisions of groups that act. */
import type { Sample } from "../client/receiver.ts";
import type { ScalerConfig } from "../config/scaler.ts";
import type { Family } from "../exposition/family.ts";
import { type ActingHost, Executor } from "./actions/executor.ts";
import type { ImageCache } from "./actions/images.ts";
import { pinnedVms } from "./actions/plan.ts";
import {
  type ActionJson,
  type ActionRecord,
  actionJson,
  changeOnRecord,
  isOpen,
  recordText,
} from "./actions/record.ts";
import { ActionMetrics } from "./report/actionMetrics.ts";
import type { GroupItem } from "./report/metrics.ts";
import { withAction, withFailure, withoutFailures } from "./rules/actionChanges.ts";
import type { Rules } from "./rules/tick.ts";
import {
  type Evaluation,
  FRESH_STATE,
  type Group,
  type GroupKey,
  groupKey,
  modeOf,
  type RememberedGroup,
} from "./rules/types.ts";
import type { ScalerOptions } from "./scaler.ts";
import { groupOfVm } from "./sources/fleet.ts";
import type { StateFileOutcome, Store } from "./state/stateFile.ts";

export interface ActingOptions
  extends Pick<ScalerOptions, "clock" | "log" | "config" | "fleet" | "reach" | "postHook" | "files"> {
  readonly rules: () => Rules;
  /** Resolves to whether the state with all decisions so far is on the disk. */
  readonly stateSaved: () => Promise<boolean>;
  readonly onRecord: (outcome: StateFileOutcome) => void;
  /** An action has ended; `line` is for the decision log. Its effect on the group is to be saved. */
  readonly onEnd: (line: string) => void;
}

/** Where no sample has told the stats interval, albatross-stats' own. */
const USUAL_INTERVAL_US = 10_000_000;

/** The executor with its files, and what it means to rules, metrics and decision log. */
export class Acting {
  readonly #options: ActingOptions;
  readonly #executor: Executor;
  readonly #metrics = new ActionMetrics();
  #config: ScalerConfig;
  #record: Store<readonly ActionRecord[]>;
  #images: ImageCache;
  /** the record of actions was damaged: which were open is not known */
  #isRecordDamaged = false;
  /** a primary may have another image than before */
  #looksAtImages = true;

  constructor(options: ActingOptions) {
    const { clock, log, config, postHook, stateSaved, rules } = options;
    this.#options = options;
    this.#config = config;
    this.#record = this.#openRecord();
    this.#images = options.files.images(config);
    this.#executor = new Executor({
      clock,
      log,
      postHook,
      stateSaved,
      record: () => this.#record,
      images: () => this.#images,
      hostOf: (host) => this.#hostOf(host),
      groupOf: (name) => rules().groupOf(name),
      onChange: (action, change) => {
        if (change !== null) rules().amend(action, (state) => withAction(state, change));
        if (!isOpen(action)) this.#ended(action);
      },
      onTrialOver: (action, change) => {
        const hasFailed = action.phase === "failed";
        const after = hasFailed ? withFailure : withoutFailures;
        rules().amend(action, (state) => after(state, change));
        if (hasFailed) this.#ended(action);
      },
      onHookFailed: (event) => this.#metrics.hookFailed(event),
    });
  }

  /** What earlier runs of the program left on record. Throws an UnreadableState. */
  load(): readonly ActionRecord[] {
    return this.#record.load() ?? [];
  }

  /** The groups as they were saved, and those that only the record knows. */
  groupsWith(
    recorded: readonly ActionRecord[],
    saved: ReadonlyMap<GroupKey, RememberedGroup>,
  ): ReadonlyMap<GroupKey, RememberedGroup> {
    const groups = new Map(saved);
    for (const { host, path, group } of recorded) {
      const key = groupKey({ host, path, group });
      if (!groups.has(key)) groups.set(key, { key, host, path, group, state: FRESH_STATE });
    }
    if (!this.#isRecordDamaged || !actsOn(this.#config)) return groups;
    // something may be under way: nothing new is begun for as long as after an action
    const lastActionMs = Math.floor(this.#options.clock.nowUs() / 1000);
    for (const [key, one] of groups) groups.set(key, { ...one, state: { ...one.state, lastActionMs } });
    return groups;
  }

  /** Puts what is on record to use: its effects on the groups, and what is to be settled. */
  resume(recorded: readonly ActionRecord[]): void {
    const { clock, reach, rules } = this.#options;
    const now = { nowUs: clock.nowUs(), wallMs: clock.wallMs() };
    for (const action of recorded) {
      const change = changeOnRecord(action, now);
      const isThere = reach(action.host)?.address === action.endpoint;
      if (isThere) rules().amend(action, (state) => withAction(state, change));
      this.#executor.resume(action, change.decision);
    }
    rules().dropUnacted();
  }

  /** Begins what the decisions of a tick ask for, once they are told and on their way to the disk. */
  begin(evaluations: readonly Evaluation[]): void {
    this.#executor.look();
    for (const evaluation of evaluations) this.#executor.begin(evaluation);
    this.#dropImages(evaluations);
  }

  sampleArrived(sample: Sample): void {
    this.#executor.sampleArrived(sample);
  }

  /** Another configuration, which the rules have already, and perhaps other targets. */
  reconfigure(config: ScalerConfig): void {
    const { stateFile } = this.#config;
    this.#config = config;
    if (config.stateFile !== stateFile) {
      const left = this.#record;
      this.#record = this.#openRecord();
      this.#images = this.#options.files.images(config);
      // what is open stands in one record, the old one until the new one can be written
      void this.#executor.save().then((isSaved) => {
        if (isSaved && left.path !== this.#record.path) void left.save(() => [recordText([])]);
      });
    }
    this.#looksAtImages = true;
    this.#executor.hostsChanged();
    this.#executor.look();
  }

  /** The state as of then is on the disk. */
  stateWritten(wallMs: number): void {
    this.#executor.forgetEnded(wallMs);
  }

  /** Groups that are not among these are not told of any more. */
  keepOnly(groups: ReadonlyMap<GroupKey, unknown>): void {
    this.#metrics.keepOnly(groups);
  }

  /** Drops what is planned, leaves what is sent on record. Resolves to whether there was any. */
  stop(): Promise<boolean> {
    return this.#executor.stop();
  }

  /** Resolves when the record is on the disk and hooks have been called. */
  flush(): Promise<void> {
    return this.#executor.flush();
  }

  families(items: readonly GroupItem[], newcomers: readonly Group[]): Promise<Family[]> {
    return this.#metrics.families(this.#executor.open, items, newcomers);
  }

  /** What has been and is being carried out, newest first. */
  actions(query: { readonly limit: number }): Iterable<ActionJson> {
    return this.#executor.actions(query);
  }

  /** The actions of a group that are open. */
  openOf(key: GroupKey): readonly ActionJson[] {
    return this.#executor.open.filter((action) => groupKey(action) === key).map(actionJson);
  }

  #ended(action: ActionRecord): void {
    const { decision, step } = action.decision;
    this.#metrics.ended(action);
    this.#looksAtImages = true;
    this.#options.reach(action.host)?.askInfoSoon();
    const line = { ...actionJson(action), decision, step, mode: "execute", ...NOTHING_MEASURED };
    this.#options.onEnd(JSON.stringify(line));
  }

  /** Keeps the images of primaries that act, once after each action and each reload. */
  #dropImages(evaluations: readonly Evaluation[]): void {
    if (!this.#looksAtImages) return;
    const acting = evaluations.filter((evaluation) => modeOf(evaluation) === "execute");
    const names = new Set(acting.map(({ observation: { key } }) => key));
    const primaries = this.#options.fleet.memory.snapshot.vms.filter(
      (vm) => vm.cloneId === 0 && names.has(groupKey(groupOfVm(vm))),
    );
    const digests = primaries.flatMap(({ info }) => info?.digest ?? []);
    // what unikernel info has not told yet may be kept
    if (digests.length < primaries.length) return;
    this.#looksAtImages = false;
    void this.#executor.keepImages(new Set(digests));
  }

  #hostOf(host: string): ActingHost | null {
    const { reach, fleet } = this.#options;
    const found = reach(host);
    if (found === null) return null;
    return {
      ...found,
      live: () => fleet.isLive(host),
      intervalMs: () => (fleet.vmsOf(host)[0]?.sample.intervalUs ?? USUAL_INTERVAL_US) / 1000,
      pinned: () => pinnedVms(fleet.vmsOf(host).flatMap(({ info }) => info ?? [])),
    };
  }

  #openRecord(): Store<readonly ActionRecord[]> {
    return this.#options.files.record(this.#config, (outcome) => {
      if (outcome === "damaged") this.#isRecordDamaged = true;
      this.#options.onRecord(outcome);
    });
  }
}

/** Whether any policy acts. */
export function actsOn({ mode, policies }: Pick<ScalerConfig, "mode" | "policies">): boolean {
  return mode === "execute" && policies.some((policy) => policy.mode === "execute");
}

/** What a line of the decision log about an action has in place of an evaluation's numbers. */
const NOTHING_MEASURED = {
  average_percent: null,
  average_for_up_percent: null,
  average_for_down_percent: null,
  clones: null,
  high_ticks: null,
  low_ticks: null,
  would: null,
};
