/** Carries scale decisions out, one request at a time per host and no request twice. */
import { randomUUID } from "node:crypto";
import type { Sample } from "../../client/receiver.ts";
import type { Hook } from "../../config/clone.ts";
import type { ScalerConfig } from "../../config/scaler.ts";
import type { Family } from "../../exposition/family.ts";
import { formatName } from "../../wire/names.ts";
import { ActionMetrics } from "../report/actionMetrics.ts";
import type { GroupItem } from "../report/metrics.ts";
import { withAction, withFailure, withoutFailures } from "../rules/actionChanges.ts";
import type { Rules } from "../rules/tick.ts";
import {
  type Evaluation,
  type Group,
  type GroupKey,
  type GroupName,
  groupKey,
  modeOf,
  type Outstanding,
  type RememberedGroup,
} from "../rules/types.ts";
import type { ScalerOptions } from "../scaler.ts";
import { groupOfVm } from "../sources/fleet.ts";
import type { StateFileOutcome, Store } from "../state/stateFile.ts";
import { Action, abandoned } from "./action.ts";
import { type Carried, create, destroy, settle, verify } from "./carryOut.ts";
import type { HookEvent, HookSubject } from "./hooks.ts";
import type { ImageCache } from "./images.ts";
import {
  type ActionJson,
  type ActionRecord,
  actionJson,
  changeOf,
  type Ending,
  isEndAgain,
  isOpen,
  recordText,
} from "./record.ts";

export interface ExecutorOptions
  extends Pick<ScalerOptions, "clock" | "log" | "config" | "fleet" | "reach" | "postHook" | "files"> {
  readonly rules: () => Rules;
  /** Resolves to whether the state with all decisions so far is on the disk. */
  readonly stateSaved: () => Promise<boolean>;
  readonly onRecord: (outcome: StateFileOutcome) => void;
  /** An action has ended; `line` is for the decision log. */
  readonly onEnd: (line: string) => void;
}

export const MAX_ACTIONS_TOLD = 1_000;

export class Executor {
  readonly options: ExecutorOptions;
  readonly #metrics = new ActionMetrics();
  #config: ScalerConfig;
  #file: Store<readonly ActionRecord[]>;
  images: ImageCache;
  #formerImages: ImageCache[] = [];
  /** the record of actions was damaged: which were open is not known */
  #isRecordDamaged = false;
  /** a primary may have another image than before */
  #looksAtImages = true;
  /** what the record holds, by id */
  readonly #recorded = new Map<string, ActionRecord>();
  readonly #told = new Map<string, ActionRecord>();
  readonly #running = new Map<GroupKey, Promise<void>>();
  readonly #open = new Set<Action>();
  readonly #onTrial = new Set<Action>();
  /** the last request of each host */
  readonly #lanes = new Map<string, Promise<unknown>>();
  /** who waits for a sample, by the VM's host and full name */
  readonly listeners = new Map<string, () => void>();
  readonly #hooks = new Set<Promise<unknown>>();
  isStopping = false;

  constructor(options: ExecutorOptions) {
    this.options = options;
    this.#config = options.config;
    this.#file = this.#openFile();
    this.images = options.files.images(options.config);
  }

  /** What earlier runs of the program left on record. Throws an UnreadableState. */
  load(): readonly ActionRecord[] {
    return this.#file.load() ?? [];
  }

  /** The groups as they were saved or, after a damaged record, as just after an action: something may be under way. */
  cautious(groups: ReadonlyMap<GroupKey, RememberedGroup>): ReadonlyMap<GroupKey, RememberedGroup> {
    if (!this.#isRecordDamaged || !actsOn(this.#config)) return groups;
    const lastActionMs = Math.floor(this.options.clock.nowUs() / 1000);
    return new Map(
      Array.from(groups, ([key, one]) => [key, { ...one, state: { ...one.state, lastActionMs } }]),
    );
  }

  /** Puts what is on record to use: its effects on the groups, and what is to be settled. */
  resume(recorded: readonly ActionRecord[]): void {
    for (const record of recorded) {
      const action = new Action(this, record, changeOf(record, this.options.clock).decision);
      this.#amend(action);
      this.keep(record);
      if (record.hooked && !isOpen(record)) void action.tellKept();
      if (isOpen(record)) {
        this.#open.add(action);
        this.#follow(groupKey(record), () => this.#run(action, resumed));
      } else if (record.deadlineMs !== null) void this.#try(action);
    }
    this.options.rules().dropUnacted();
  }

  /** Begins what a tick's decisions ask for, once they are told. */
  begin(evaluations: readonly Evaluation[]): void {
    this.#look();
    for (const { observation, decision, state, policy } of evaluations) {
      const { outstanding } = state;
      if (decision.decision === "hold" || outstanding === null || policy?.mode !== "execute") continue;
      this.#follow(observation.key, () => this.#carryOut(observation, outstanding));
    }
    this.#dropImages(evaluations);
  }

  /** To be called for each sample. Costs next to nothing while none is waited for. */
  sampleArrived({ host, name }: Sample): void {
    if (this.listeners.size > 0) this.listeners.get(`${host}\n${formatName(name)}`)?.();
  }

  /** Another configuration, which the rules have already, and perhaps other targets. */
  reconfigure(config: ScalerConfig): void {
    const isMoved = config.stateFile !== this.#config.stateFile;
    this.#config = config;
    if (isMoved) {
      const file = this.#file;
      this.#file = this.#openFile();
      const images = this.options.files.images(config);
      // one that stays knows which files are on their way
      if (images.folder !== this.images.folder) {
        this.#formerImages = [...this.#formerImages, this.images].filter(
          (one) => one.folder !== images.folder,
        );
        this.images = images;
      }
      // what is open stands in one record, the old one until the new one can be written
      void this.save().then((isSaved) => {
        if (isSaved && file.path !== this.#file.path) void file.save(() => [recordText([])]);
      });
    }
    this.#looksAtImages = true;
    for (const action of [...this.#onTrial, ...this.#open]) if (action.isElsewhere()) action.end("target");
    this.#look();
  }

  /** The state of that time is on the disk: actions that ended before leave the record. */
  stateWritten(wallMs: number): void {
    const before = this.#recorded.size;
    for (const [id, { endedMs, hooked, deadlineMs }] of this.#recorded) {
      const isOver = endedMs !== null && endedMs <= wallMs && deadlineMs === null;
      if (isOver && !hooked) this.#recorded.delete(id);
    }
    if (this.#recorded.size < before) void this.save();
  }

  keepOnly(groups: ReadonlyMap<GroupKey, unknown>): void {
    this.#metrics.keepOnly(groups);
  }

  /** Drops what is planned, leaves what is sent on record. Resolves to whether there was any. */
  async stop(): Promise<boolean> {
    this.isStopping = true;
    for (const action of [...this.#onTrial, ...this.#open]) action.end("stopped");
    const running = [...this.#running.values()];
    await Promise.all(running);
    return running.length > 0;
  }

  /** Resolves when the record is on the disk and hooks have been called. */
  async flush(): Promise<void> {
    // no file to be surprised at where nothing was ever done
    if (this.hasActed) await this.save();
    await Promise.all(this.#hooks);
  }

  families(items: readonly GroupItem[], newcomers: readonly Group[]): Promise<Family[]> {
    return this.#metrics.families(this.open, items, newcomers);
  }

  /** Those that are open, and the last that ended, newest first. */
  *actions({ limit }: { readonly limit: number }): Generator<ActionJson> {
    for (const action of [...this.#told.values()].reverse().slice(0, limit)) yield actionJson(action);
  }

  get open(): readonly ActionRecord[] {
    return Array.from(this.#open, ({ record }) => record);
  }

  /** Whether more may go on record. */
  get hasActed(): boolean {
    return this.#told.size > 0;
  }

  groupOf(name: GroupName): Group {
    return this.options.rules().groupOf(name);
  }

  /** One at a time for each host, first come first served. `work` never rejects. */
  inTurn<T>(host: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#lanes.get(host) ?? Promise.resolve()).catch(() => undefined).then(work);
    this.#lanes.set(host, turn);
    return turn;
  }

  keep(action: ActionRecord): void {
    this.#recorded.set(action.id, action);
    this.#told.set(action.id, action);
    for (const [id, one] of this.#told) {
      if (this.#told.size <= MAX_ACTIONS_TOLD) break;
      if (!isOpen(one)) this.#told.delete(id);
    }
  }

  /** Resolves to whether all that is on record now is on the disk. */
  save(): Promise<boolean> {
    const actions = [...this.#recorded.values()];
    return this.#file.save(() => [recordText(actions)]);
  }

  /** An action has come to another phase: its group follows, and the record. */
  changed(action: Action): void {
    this.#amend(action);
    void this.save();
  }

  /** What it means to its group; those of a host that is gone are forgotten. */
  #amend(action: Action): void {
    if (action.isElsewhere()) return;
    this.options.rules().amend(action.record, (state) => withAction(state, action.change));
  }

  async callHook(hook: Hook, event: HookEvent, subject: HookSubject, signal?: AbortSignal) {
    const calling = this.options.postHook(hook, event, subject, signal);
    this.#hooks.add(calling);
    const why = await calling;
    this.#hooks.delete(calling);
    if (why !== null) this.#metrics.hookFailed(event);
    return why;
  }

  /** Begins when what goes on for the group has ended. */
  #follow(key: GroupKey, work: () => Promise<unknown>): void {
    const done = (this.#running.get(key) ?? Promise.resolve()).then(work).then(() => {
      if (this.#running.get(key) === done) this.#running.delete(key);
    });
    this.#running.set(key, done);
  }

  /** Looks at once whether what is planned still holds. */
  #look(): void {
    for (const action of this.#open) {
      if (action.record.phase === "planned" && action.whyNot() !== null) action.end("look");
    }
  }

  /** One clone after the other; the first that does not come ends it. */
  async #carryOut(group: GroupName, decision: Outstanding): Promise<void> {
    for (let i = 0; i < decision.step; i++) {
      const action = new Action(this, this.#planned(group, decision, i), decision, i + 1 < decision.step);
      const { operation } = action.record;
      if (operation === "destroy") this.#endTrial(action.record, "look");
      this.#open.add(action);
      action.advance("planned");
      const ending = await this.#run(action, operation === "create" ? create : destroy);
      if (ending?.outcome !== "verified") return;
    }
  }

  #planned({ host, path, group }: GroupName, decision: Outstanding, index: number): ActionRecord {
    const { clock } = this.options;
    const [nowMs, wallMs] = [clock.nowUs() / 1000, clock.wallMs()];
    const wall = (ms: number) => Math.round(wallMs + ms - nowMs);
    const cloneId = decision.cloneId + index;
    const isCreate = decision.decision === "scale_up";
    const { state } = this.groupOf({ host, path, group });
    const tombstone = isCreate ? undefined : state.tombstones.find((one) => one.cloneId === cloneId);
    return {
      id: randomUUID(),
      host,
      endpoint: this.options.reach(host)?.address ?? "",
      path,
      group,
      operation: isCreate ? "create" : "destroy",
      clone: isCreate ? `${group}-clone-${cloneId}` : decision.clone,
      cloneId,
      digest: null,
      startedMs: null,
      decision: { ...decision, sinceMs: wall(decision.sinceMs) },
      tombstoneMs: tombstone === undefined ? null : wall(tombstone.untilMs),
      phase: "planned",
      deadlineMs: null,
      hooked: false,
      endedMs: null,
      reason: null,
      text: "",
    };
  }

  async #run(action: Action, work: (action: Action) => Promise<Carried>): Promise<Ending | null> {
    const ending = await action.run(work);
    this.#open.delete(action);
    if (ending !== null) this.#end(action, ending);
    return ending;
  }

  #end(action: Action, { outcome, reason, text }: Ending): void {
    const endedMs = this.options.clock.wallMs();
    const isCreated = outcome === "verified" && action.record.operation === "create";
    const warmupMs = isCreated ? (action.policy?.warmupPeriodMs ?? 0) : 0;
    const deadlineMs = warmupMs > 0 ? endedMs + warmupMs : null;
    const hooked = action.record.hooked && outcome !== "verified";
    action.note({ phase: outcome, reason, text, hooked, endedMs, deadlineMs });
    // many, where the state cannot be written
    for (const [id, one] of this.#recorded) if (isEndAgain(action.record, one)) this.#recorded.delete(id);
    const level = outcome === "verified" || outcome === "abandoned" ? "info" : "warn";
    this.options.log[level](action.fields, `action ${outcome}`);
    this.changed(action);
    this.#ended(action.record);
    if (hooked) void action.tellKept();
    if (isCreated) this.#endTrial(action.record, "gone");
    if (deadlineMs !== null) void this.#try(action);
  }

  /** A clone that does not outlive its warm-up has failed after all. */
  async #try(action: Action): Promise<void> {
    const { clock, log, rules } = this.options;
    this.#onTrial.add(action);
    const isThere = await action.outlives();
    this.#onTrial.delete(action);
    if (this.isStopping) return;
    action.note({ deadlineMs: null });
    if (isThere === true) rules().amend(action.record, (state) => withoutFailures(state, action.change));
    if (isThere === false) {
      const text = "it was gone again within its warm-up";
      action.note({ phase: "failed", reason: "gone", text, endedMs: clock.wallMs() });
      rules().amend(action.record, (state) => withFailure(state, action.change));
      log.warn(action.fields, "action failed");
      this.#ended(action.record);
    }
    void this.save();
  }

  /** What is to go from here need not outlive its warm-up; what was created anew was gone. */
  #endTrial({ clone, ...group }: ActionRecord, why: "look" | "gone"): void {
    for (const action of this.#onTrial) {
      if (action.record.clone === clone && groupKey(action.group) === groupKey(group)) action.end(why);
    }
  }

  #ended(action: ActionRecord): void {
    const { decision, step } = action.decision;
    this.#metrics.ended(action);
    this.#looksAtImages = true;
    this.options.reach(action.host)?.askInfoSoon();
    const line = { ...actionJson(action), decision, step, mode: "execute", ...NOTHING_MEASURED };
    this.options.onEnd(JSON.stringify(line));
  }

  /** Keeps the images of primaries that act, once after each action and each reload. */
  #dropImages(evaluations: readonly Evaluation[]): void {
    if (!this.#looksAtImages) return;
    for (const images of this.#formerImages) void images.keepOnly(new Set());
    // of an action that is open one may come yet
    if (this.#open.size === 0) this.#formerImages = [];
    const acting = evaluations.filter((evaluation) => modeOf(evaluation) === "execute");
    const names = new Set(acting.map(({ observation: { key } }) => key));
    const primaries = this.options.fleet.memory.snapshot.vms.filter(
      (vm) => vm.cloneId === 0 && names.has(groupKey(groupOfVm(vm))),
    );
    const digests = primaries.flatMap(({ info }) => info?.digest ?? []);
    // what unikernel info has not told yet may be kept
    if (digests.length < primaries.length) return;
    this.#looksAtImages = false;
    const open = this.open.flatMap(({ digest }) => digest ?? []);
    void this.images.keepOnly(new Set([...digests, ...open]));
  }

  #openFile(): Store<readonly ActionRecord[]> {
    return this.options.files.record(this.#config, (outcome) => {
      if (outcome === "damaged") this.#isRecordDamaged = true;
      this.options.onRecord(outcome);
    });
  }
}

/** Goes on with what an earlier run of the program left on record. */
async function resumed(action: Action): Promise<Carried> {
  const { phase } = action.record;
  if (phase === "planned") return abandoned("stopped", "the program ended before it was sent");
  if (phase === "acknowledged") return verify(action);
  return settle(action, "restart", "the program ended before the reply came");
}

/** Whether any policy acts. */
export function actsOn({ mode, policies }: Pick<ScalerConfig, "mode" | "policies">): boolean {
  return mode === "execute" && policies.some((policy) => policy.mode === "execute");
}

/** In lines of the decision log, in place of an evaluation's numbers. */
const NOTHING_MEASURED = {
  average_percent: null,
  average_for_up_percent: null,
  average_for_down_percent: null,
  clones: null,
  high_ticks: null,
  low_ticks: null,
  would: null,
};
