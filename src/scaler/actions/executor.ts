/** Carries scale decisions out, one request at a time per host and no request twice. */
import { randomUUID } from "node:crypto";
import { ActingClient } from "../../client/acting.ts";
import type { Endpoint } from "../../client/endpoint.ts";
import type { Sample } from "../../client/receiver.ts";
import type { Clock } from "../../clock.ts";
import type { Hook } from "../../config/clone.ts";
import type { Logger } from "../../log.ts";
import { formatName } from "../../wire/names.ts";
import { type ActionChange, isSameDecision } from "../rules/actionChanges.ts";
import {
  type Evaluation,
  type Group,
  type GroupKey,
  type GroupName,
  groupKey,
  type Outstanding,
  type Phase,
} from "../rules/types.ts";
import type { Store } from "../state/stateFile.ts";
import { type CarryingOut, cloneOf, create, destroy, isListed, settle, verify } from "./carryOut.ts";
import type { HookEvent, PostHook } from "./hooks.ts";
import type { ImageCache } from "./images.ts";
import type { CloneBridge } from "./plan.ts";
import { type ActionRecord, actionJson, type Ending, isEndAgain, isOpen, recordText } from "./record.ts";

/** A target as actions see it. */
export interface ActingHost {
  readonly endpoint: Endpoint;
  /** where that is, as state and record say it */
  readonly address: string;
  /** what its statistics are subscribed for */
  readonly subscribe: readonly string[];
  /** of a reply, images apart */
  readonly maxFrameBytes: number;
  /** now; a created clone is heard within some of these */
  readonly intervalMs: () => number;
  /** how many VMs are pinned to each cpuid */
  readonly pinned: () => ReadonlyMap<string, number>;
  /** its statistics arrive */
  readonly live: () => boolean;
}

export interface ExecutorOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly record: () => Store<readonly ActionRecord[]>;
  readonly images: () => ImageCache;
  readonly postHook: PostHook;
  /** null for what is no target */
  readonly hostOf: (host: string) => ActingHost | null;
  /** a group as the rules know it now */
  readonly groupOf: (name: GroupName) => Group;
  /** Resolves to whether the state with all decisions so far is on the disk. */
  readonly stateSaved: () => Promise<boolean>;
  /** An action has come to another phase; null where that is nothing to its group. */
  readonly onChange: (action: ActionRecord, change: ActionChange | null) => void;
  /** A clone has outlived its warm-up, or it has not: then its action has failed after all. */
  readonly onTrialOver: (action: ActionRecord, change: ActionChange) => void;
  readonly onHookFailed: (event: HookEvent) => void;
}

/** So many ended actions are kept in memory. */
export const MAX_ACTIONS_TOLD = 1_000;

/** One action that is being carried out. */
export class Job {
  action: ActionRecord;
  readonly group: GroupName;
  readonly decision: Outstanding;
  readonly more: boolean;
  /** of the clone, as far as they are known */
  bridges: readonly CloneBridge[] = [];
  /** that was told of its end, and is told if it does not come, whatever the policy says by then */
  toldHook: Hook | null = null;
  /** why it was ended from outside */
  readonly ending = new AbortController();

  constructor(action: ActionRecord, decision: Outstanding, more: boolean) {
    this.action = action;
    this.group = { host: action.host, path: action.path, group: action.group };
    this.decision = decision;
    this.more = more;
  }
}

export class Executor {
  readonly #options: ExecutorOptions;
  /** what the record holds: open actions, and those that ended after the state was last saved */
  readonly #recorded = new Map<string, ActionRecord>();
  /** by id, the oldest first */
  readonly #told = new Map<string, ActionRecord>();
  /** what goes on for each group */
  readonly #running = new Map<GroupKey, Promise<void>>();
  readonly #jobs = new Set<Job>();
  /** the last request of each host */
  readonly #lanes = new Map<string, Promise<unknown>>();
  /** who waits for a sample, by the VM's host and full name */
  readonly #listeners = new Map<string, () => void>();
  readonly #trials = new Set<() => void>();
  readonly #hooks = new Set<Promise<unknown>>();
  #isStopping = false;

  constructor(options: ExecutorOptions) {
    this.#options = options;
  }

  /** Begins to carry out a scale decision; what goes on for the group ends before. */
  begin({ observation, decision, state, policy }: Evaluation): void {
    const { outstanding } = state;
    if (decision.decision === "hold" || outstanding === null || policy?.mode !== "execute") return;
    this.#follow(observation.key, () => this.#carryOut(observation, outstanding));
  }

  /** Goes on with what an earlier run of the program left on record; of a planned one nothing was sent. */
  resume(action: ActionRecord, decision: Outstanding): void {
    this.#keep(action);
    const job = new Job(action, decision, false);
    if (!isOpen(action)) {
      if (action.hooked) void this.#tellKept(job);
      return;
    }
    this.#jobs.add(job);
    this.#follow(groupKey(job.group), async () => {
      await this.#run(job, async (carrying) => {
        if (action.phase === "planned") return abandoned("stopped", "the program ended before it was sent");
        if (action.phase === "acknowledged") return verify(carrying);
        const settled = await settle(carrying, "restart", "the program ended before the reply came");
        return settled === "done" ? this.#acknowledged(job, carrying) : settled;
      });
    });
  }

  /** To be called for each sample. Costs next to nothing while none is waited for. */
  sampleArrived({ host, name }: Sample): void {
    if (this.#listeners.size > 0) this.#listeners.get(`${host}\n${formatName(name)}`)?.();
  }

  /** Ends what is going on at hosts that are no targets any more, or are elsewhere. */
  hostsChanged(): void {
    for (const job of this.#jobs) {
      if (this.#options.hostOf(job.action.host)?.address !== job.action.endpoint) job.ending.abort("target");
    }
  }

  /** Looks at once whether what is planned still holds. */
  look(): void {
    for (const job of this.#jobs) {
      if (job.action.phase === "planned" && this.#whyNot(job) !== null) job.ending.abort("look");
    }
  }

  /** Drops what is planned, leaves what is sent on record. Resolves to whether there was any. */
  async stop(): Promise<boolean> {
    this.#isStopping = true;
    for (const cancel of this.#trials) cancel();
    for (const job of this.#jobs) job.ending.abort("stopped");
    const running = [...this.#running.values()];
    await Promise.all(running);
    return running.length > 0;
  }

  /** Resolves when the record is on the disk and hooks have been called. */
  async flush(): Promise<void> {
    // no file to be surprised at where nothing was ever done
    if (this.#told.size > 0) await this.save();
    await Promise.all(this.#hooks);
  }

  /** Deletes the images that no primary that acts runs. */
  keepImages(digests: ReadonlySet<string>): Promise<void> {
    const open = this.open.flatMap(({ digest }) => digest ?? []);
    return this.#options.images().keepOnly(new Set([...digests, ...open]));
  }

  /** The state has all that came of actions that ended before: they leave the record. */
  forgetEnded(beforeMs: number): void {
    const before = this.#recorded.size;
    for (const [id, { endedMs, hooked }] of this.#recorded) {
      if (endedMs !== null && endedMs <= beforeMs && !hooked) this.#recorded.delete(id);
    }
    if (this.#recorded.size < before) void this.save();
  }

  /** Those that are open, and the last that ended, newest first. */
  *actions({ limit }: { readonly limit: number }): Generator<ReturnType<typeof actionJson>> {
    for (const action of [...this.#told.values()].reverse().slice(0, limit)) yield actionJson(action);
  }

  get open(): readonly ActionRecord[] {
    return Array.from(this.#jobs, ({ action }) => action);
  }

  #follow(key: GroupKey, work: () => Promise<void>): void {
    const done = (this.#running.get(key) ?? Promise.resolve()).then(work).then(() => {
      if (this.#running.get(key) === done) this.#running.delete(key);
    });
    this.#running.set(key, done);
  }

  /** One clone after the other; the first that does not come ends it. */
  async #carryOut(group: GroupName, decision: Outstanding): Promise<void> {
    for (let i = 0; i < decision.step; i++) {
      const job = new Job(this.#planned(group, decision, i), decision, i + 1 < decision.step);
      this.#jobs.add(job);
      this.#advance(job, "planned");
      const isCreate = decision.decision === "scale_up";
      const ending = await this.#run(job, async (carrying) => {
        const result = await (isCreate ? create(carrying) : destroy(carrying));
        return result === "done" ? this.#acknowledged(job, carrying) : result;
      });
      if (ending?.outcome !== "verified") return;
    }
  }

  #planned({ host, path, group }: GroupName, decision: Outstanding, index: number): ActionRecord {
    const { clock, hostOf, groupOf } = this.#options;
    const [nowMs, wallMs] = [clock.nowUs() / 1000, clock.wallMs()];
    const wall = (ms: number) => Math.round(wallMs + ms - nowMs);
    const cloneId = decision.cloneId + index;
    const isCreate = decision.decision === "scale_up";
    const { state } = groupOf({ host, path, group });
    const tombstone = isCreate ? undefined : state.tombstones.find((one) => one.cloneId === cloneId);
    return {
      id: randomUUID(),
      host,
      endpoint: hostOf(host)?.address ?? "",
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

  /** Resolves to how it ended; to null where it stays on record, for the program ends. */
  async #run(job: Job, work: (carrying: CarryingOut) => Promise<Ending | null>): Promise<Ending | null> {
    const { log } = this.#options;
    const doing = async () => this.#whyGone(job) ?? (await work(this.#carrying(job)));
    const ended = await doing().catch((err: unknown): Ending => {
      log.error({ err, action: job.action.id }, "unexpected error in an action");
      const text = "unexpected error";
      if (job.action.phase === "planned") return { outcome: "failed", reason: "other", text };
      return { outcome: "lost", reason: "no_info", text };
    });
    const ending = this.#whyCut(job, ended);
    this.#jobs.delete(job);
    if (ending !== null) this.#end(job, ending);
    return ending;
  }

  /** What an end from outside makes of an action's own: null for one that was sent and is to be settled after the restart. */
  #whyCut(job: Job, ended: Ending | null): Ending | null {
    const { aborted, reason } = job.ending.signal;
    if (!aborted || ended?.outcome === "verified") return ended;
    if (reason === "target") return MOVED;
    const isUnsent = job.action.phase === "planned" || ended?.reason === "unsent";
    return isUnsent ? (this.#whyNot(job) ?? ended) : ended;
  }

  #whyGone(job: Job): Ending | null {
    const address = this.#options.hostOf(job.action.host)?.address;
    return address === job.action.endpoint ? null : MOVED;
  }

  /** Why nothing may be sent for it now; null where all still holds. */
  #whyNot(job: Job): Ending | null {
    const { hostOf, groupOf } = this.#options;
    const { policy, state } = groupOf(job.group);
    if (this.#isStopping) return abandoned("stopped", "the program ends");
    const gone = this.#whyGone(job);
    if (gone !== null) return gone;
    if (policy === null) return abandoned("no_policy", "no policy matches its group any more");
    if (policy.mode !== "execute") return abandoned("dry_run", "its group is in dry run now");
    if (!policy.enabled) return abandoned("disabled", "its policy says enabled: false now");
    if (policy.paused) return abandoned("paused", "its policy is paused now");
    if (!isSameDecision(state.outstanding, job.decision)) {
      return abandoned("overtaken", "it is not called for any more");
    }
    if (!hostOf(job.action.host)?.live()) return abandoned("no_data", "no statistics arrive from its host");
    return null;
  }

  #carrying(job: Job): CarryingOut {
    const { clock, images, hostOf, groupOf } = this.#options;
    const host = hostOf(job.action.host);
    if (host === null) throw new Error("a host that is no target was looked for before");
    const { signal } = job.ending;
    const { endpoint, maxFrameBytes } = host;
    return {
      action: () => job.action,
      host,
      policy: () => groupOf(job.group).policy,
      client: new ActingClient({ endpoint, maxFrameBytes, clock }),
      images: images(),
      clock,
      signal,
      inTurn: (work) => this.#inTurn(job.action.host, work),
      whyNot: () => this.#whyNot(job),
      note: (facts) => {
        job.action = { ...job.action, ...facts };
        this.#keep(job.action);
      },
      recorded: () => this.save(),
      sent: (deadlineMs) => this.#sent(job, deadlineMs),
      sample: (untilMs) => this.#sample(job, untilMs),
      hook: (event, bridges) => {
        job.bridges = bridges;
        return this.#hook(job, event);
      },
    };
  }

  /** One at a time for each host, first come first served. `work` never rejects. */
  #inTurn<T>(host: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#lanes.get(host) ?? Promise.resolve()).catch(() => undefined).then(work);
    this.#lanes.set(host, turn);
    return turn;
  }

  /** Puts `sent` on the disk; why nothing may be sent if it may not. */
  async #sent(job: Job, deadlineMs: number): Promise<Ending | null> {
    const isStateSaved = await this.#options.stateSaved();
    const why = this.#whyNot(job);
    if (why !== null) return why;
    job.action = { ...job.action, deadlineMs };
    this.#advance(job, "sent");
    if (isStateSaved && (await this.save())) {
      // writing takes its time
      return this.#whyNot(job);
    }
    const what = isStateSaved ? "the record of actions" : "the state";
    const text = `${what} cannot be written, so that nothing was sent`;
    return { outcome: "failed", reason: "record", text };
  }

  async #acknowledged(job: Job, carrying: CarryingOut): Promise<Ending | null> {
    this.#advance(job, "acknowledged");
    return verify(carrying);
  }

  #advance(job: Job, phase: Phase): void {
    job.action = { ...job.action, phase };
    this.#keep(job.action);
    this.#options.log.info(this.#fields(job.action), `action ${phase}`);
    this.#options.onChange(job.action, this.#changeOf(job));
    void this.save();
  }

  #end(job: Job, { outcome, reason, text }: Ending): void {
    const { clock, log, onChange } = this.#options;
    const endedMs = clock.wallMs();
    const hooked = job.action.hooked && outcome !== "verified";
    job.action = { ...job.action, phase: outcome, reason, text, hooked, endedMs, deadlineMs: null };
    this.#keep(job.action);
    // many, where the state cannot be written
    for (const [id, one] of this.#recorded) if (isEndAgain(job.action, one)) this.#recorded.delete(id);
    const level = outcome === "verified" || outcome === "abandoned" ? "info" : "warn";
    log[level](this.#fields(job.action), `action ${outcome}`);
    // of a host that is gone the groups are forgotten
    onChange(job.action, reason === "target" ? null : this.#changeOf(job));
    void this.save();
    if (job.action.hooked) void this.#tellKept(job);
    if (outcome === "verified" && job.action.operation === "create") this.#try(job);
  }

  #changeOf(job: Job): ActionChange {
    const { phase, operation, cloneId, tombstoneMs } = job.action;
    const { clock } = this.#options;
    const nowMs = Math.floor(clock.nowUs() / 1000);
    return {
      phase,
      decision: job.decision,
      cloneId,
      tombstoneMs: tombstoneMs === null ? null : nowMs + tombstoneMs - clock.wallMs(),
      more: job.more,
      isOnTrial: operation === "create" && this.#warmupMs(job) > 0,
      atMs: nowMs,
    };
  }

  #warmupMs(job: Job): number {
    return this.#options.groupOf(job.group).policy?.warmupPeriodMs ?? 0;
  }

  /** Looks after a created clone when its warm-up is over. */
  #try(job: Job): void {
    const { clock, onTrialOver, log } = this.#options;
    const warmupMs = this.#warmupMs(job);
    if (warmupMs === 0 || this.#isStopping) return;
    const look = async () => {
      this.#trials.delete(cancel);
      if (this.#whyGone(job) !== null || this.#isStopping) return;
      const { client, inTurn } = this.#carrying(job);
      const info = await inTurn(() => client.info(cloneOf(job.action)));
      const { clone, decision } = job.action;
      const isDestroyed = [...this.#told.values()].some(
        (one) =>
          one.operation === "destroy" &&
          one.clone === clone &&
          one.decision.sinceMs >= decision.sinceMs &&
          groupKey(one) === groupKey(job.group),
      );
      if (info.type !== "success" || isDestroyed || this.#isStopping) return;
      if (!isListed(info.value, job.action)) {
        const text = "it was gone again within its warm-up";
        job.action = { ...job.action, phase: "failed", reason: "gone", text, endedMs: clock.wallMs() };
        this.#keep(job.action);
        log.warn(this.#fields(job.action), "action failed");
      }
      onTrialOver(job.action, this.#changeOf(job));
      void this.save();
    };
    const cancel = clock.after(warmupMs, () => void look());
    this.#trials.add(cancel);
  }

  #keep(action: ActionRecord): void {
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
    return this.#options.record().save(() => [recordText(actions)]);
  }

  #sample({ action, ending: { signal } }: Job, untilMs: number): Promise<boolean> {
    const key = `${action.host}\n${formatName(cloneOf(action))}`;
    return new Promise((resolve) => {
      const end = (heard: boolean) => {
        cancel();
        signal.removeEventListener("abort", stop);
        this.#listeners.delete(key);
        resolve(heard);
      };
      const stop = () => end(false);
      const { clock } = this.#options;
      const cancel = clock.after(Math.max(0, untilMs - clock.wallMs()), stop);
      signal.addEventListener("abort", stop);
      this.#listeners.set(key, () => end(true));
      if (signal.aborted) stop();
    });
  }

  /** Whoever was told that the clone goes hears that it stays, after a restart if need be. */
  async #tellKept(job: Job): Promise<void> {
    await this.#hook(job, "kept");
    job.action = { ...job.action, hooked: false };
    this.#keep(job.action);
    await this.save();
  }

  /** Why the hook did not say yes; null where it did, or there is none. */
  async #hook(job: Job, event: HookEvent): Promise<string | null> {
    const { postHook, groupOf, onHookFailed, log } = this.#options;
    const { id, clone: label, decision } = job.action;
    const clone = groupOf(job.group).policy?.clone;
    const hook = event === "after_create" ? clone?.afterCreate : (clone?.beforeDestroy ?? job.toldHook);
    if (hook === null || hook === undefined) return null;
    if (event === "before_destroy") job.toldHook = hook;
    const subject = { ...job.group, id, clone: label, reason: decision.reason, bridges: job.bridges };
    // that a clone stays is told when all else has ended, too
    const signal = event === "kept" ? undefined : job.ending.signal;
    const calling = postHook(hook, event, subject, signal);
    this.#hooks.add(calling);
    const why = await calling;
    this.#hooks.delete(calling);
    if (why === null) return null;
    onHookFailed(event);
    log.warn({ ...this.#fields(job.action), event, why }, "a hook failed");
    return why;
  }

  #fields(action: ActionRecord): object {
    const { time: _, outcome: __, ...fields } = actionJson(action);
    return { ...fields, decision: action.decision.decision, decision_reason: action.decision.reason };
  }
}

const MOVED = abandoned("target", "its host is no target any more, or is elsewhere");

function abandoned(reason: Extract<Ending, { outcome: "abandoned" }>["reason"], text: string): Ending {
  return { outcome: "abandoned", reason, text };
}
