/** One action that is being carried out. */
import { ActingClient, type Outcome } from "../../client/acting.ts";
import { type Clock, sleep } from "../../clock.ts";
import type { Hook } from "../../config/clone.ts";
import type { VmRecord } from "../../fleet/types.ts";
import type { UnikernelInfo } from "../../wire/messages.ts";
import { formatName, type Name, parseName } from "../../wire/names.ts";
import { type ActionChange, isSameDecision } from "../rules/actionChanges.ts";
import type { GroupName, GroupPolicy, Outstanding, Phase } from "../rules/types.ts";
import type { Reach } from "../scaler.ts";
import { type Carried, isListed, verify } from "./carryOut.ts";
import type { Executor } from "./executor.ts";
import type { HookEvent } from "./hooks.ts";
import type { CloneBridge } from "./plan.ts";
import { type ActionRecord, actionJson, changeOf, type Ending } from "./record.ts";

/** Where no sample has told the stats interval, albatross-stats' own. */
const USUAL_INTERVAL_US = 10_000_000;

export class Action {
  readonly executor: Executor;
  record: ActionRecord;
  readonly group: GroupName;
  readonly decision: Outstanding;
  /** as it was when the action began; null before, and where it is no target */
  #reached: { readonly host: Reach; readonly client: ActingClient } | null = null;
  readonly #more: boolean;
  #bridges: readonly CloneBridge[] = [];
  /** that was told of its end, and is told if it does not come */
  #toldHook: Hook | null = null;
  /** why it was ended from outside */
  readonly #ending = new AbortController();

  constructor(executor: Executor, record: ActionRecord, decision: Outstanding, more = false) {
    this.executor = executor;
    this.record = record;
    this.group = { host: record.host, path: record.path, group: record.group };
    this.decision = decision;
    this.#more = more;
  }

  get host(): Reach {
    return this.#reach.host;
  }

  get client(): ActingClient {
    return this.#reach.client;
  }

  get #reach() {
    if (this.#reached === null) throw new Error(`${this.group.host} is no target`);
    return this.#reached;
  }

  get clock(): Clock {
    return this.executor.options.clock;
  }

  get policy(): GroupPolicy | null {
    return this.executor.groupOf(this.group).policy;
  }

  /** VMs of its host that were heard, the newest samples of the last tick. */
  get hostVms(): readonly VmRecord[] {
    return this.executor.options.fleet.vmsOf(this.group.host);
  }

  /** The host's stats interval. */
  get intervalMs(): number {
    return (this.hostVms[0]?.sample.intervalUs ?? USUAL_INTERVAL_US) / 1000;
  }

  get name(): Name {
    return parseName(`${this.record.path}:${this.record.clone}`);
  }

  /** aborted when nothing more is to be done */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  end(why: "target" | "stopped" | "look" | "gone"): void {
    this.#ending.abort(why);
  }

  /** Resolves to how it ended; null where it stays on record, for the program ends. Never rejects. */
  async run(work: (action: Action) => Promise<Carried>): Promise<Ending | null> {
    const ended = await this.#carryOut(work).catch((err: unknown): Ending => {
      this.executor.options.log.error({ err, action: this.record.id }, "unexpected error in an action");
      const text = "unexpected error";
      if (this.record.phase === "planned") return { outcome: "failed", reason: "other", text };
      return { outcome: "lost", reason: "no_info", text };
    });
    const { aborted, reason } = this.signal;
    if (!aborted || ended?.outcome === "verified") return ended;
    if (reason === "target") return MOVED;
    const isUnsent = this.record.phase === "planned" || ended?.reason === "unsent";
    return isUnsent ? (this.whyNot() ?? ended) : ended;
  }

  async #carryOut(work: (action: Action) => Promise<Carried>): Promise<Ending | null> {
    if (!this.#isInPlace()) return MOVED;
    let carried = await work(this);
    if (carried === "done") {
      this.advance("acknowledged");
      carried = await verify(this);
    }
    return carried;
  }

  /** Whether its host is the target that it was, which is reached as is said now. */
  #isInPlace(): boolean {
    const host = this.executor.options.reach(this.group.host);
    if (host === null || this.isElsewhere(host)) return false;
    const { endpoint, maxFrameBytes } = host;
    this.#reached = { host, client: new ActingClient({ endpoint, maxFrameBytes, clock: this.clock }) };
    return true;
  }

  isElsewhere(host = this.executor.options.reach(this.group.host)): boolean {
    return host?.address !== this.record.endpoint;
  }

  /** Why nothing may be sent for it now; null where all still holds. */
  whyNot(): Ending | null {
    const { policy, state } = this.executor.groupOf(this.group);
    if (this.executor.isStopping) return abandoned("stopped", "the program ends");
    if (this.isElsewhere()) return MOVED;
    if (policy === null) return abandoned("no_policy", "no policy matches its group any more");
    if (policy.mode !== "execute") return abandoned("dry_run", "its group is in dry run now");
    if (!policy.enabled) return abandoned("disabled", "its policy says enabled: false now");
    if (policy.paused) return abandoned("paused", "its policy is paused now");
    if (!isSameDecision(state.outstanding, this.decision)) {
      return abandoned("overtaken", "it is not called for any more");
    }
    const isLive = this.executor.options.fleet.isLive(this.group.host);
    return isLive ? null : abandoned("no_data", "no statistics arrive from its host");
  }

  /** Puts facts on record, to be written later. */
  note(facts: Partial<ActionRecord>): void {
    this.record = { ...this.record, ...facts };
    this.executor.keep(this.record);
  }

  advance(phase: Phase): void {
    this.note({ phase });
    this.executor.options.log.info(this.fields, `action ${phase}`);
    this.executor.changed(this);
  }

  /** Puts `sent` on the disk. Resolves to why nothing may be sent; null to go on. */
  async sent(deadlineMs: number): Promise<Ending | null> {
    const isStateSaved = await this.executor.options.stateSaved();
    const why = this.whyNot();
    if (why !== null) return why;
    this.note({ deadlineMs });
    this.advance("sent");
    if (isStateSaved && (await this.executor.save())) {
      // writing takes its time
      return this.whyNot();
    }
    const what = isStateSaved ? "the record of actions" : "the state";
    const text = `${what} cannot be written, so that nothing was sent`;
    return { outcome: "failed", reason: "record", text };
  }

  /** What its phase means to its group. */
  get change(): ActionChange {
    return changeOf(this.record, this.clock, this.decision, this.#more);
  }

  get fields(): object {
    const { time: _, outcome: __, ...fields } = actionJson(this.record);
    return { ...fields, decision: this.decision.decision, decision_reason: this.decision.reason };
  }

  /** What runs by the clone's name. */
  info(): Promise<Outcome<UnikernelInfo | null>> {
    return this.inTurn(() => this.client.info(this.name, this.signal));
  }

  /** The host's requests go out one after the other. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.executor.inTurn(this.group.host, work);
  }

  sleep(ms: number): Promise<void> {
    return sleep(this.clock, ms, this.signal);
  }

  /** Resolves to whether a sample of the clone comes until then (wall time). */
  async isHeard(untilMs: number): Promise<boolean> {
    const heard = new AbortController();
    const key = `${this.group.host}\n${formatName(this.name)}`;
    const { listeners } = this.executor;
    listeners.set(key, () => heard.abort());
    await sleep(this.clock, untilMs - this.clock.wallMs(), AbortSignal.any([this.signal, heard.signal]));
    listeners.delete(key);
    return heard.signal.aborted;
  }

  /** Whether a created clone outlives its warm-up; null where nobody can tell, or it was to go. */
  async outlives(): Promise<boolean | null> {
    await this.sleep((this.record.deadlineMs ?? 0) - this.clock.wallMs());
    if (this.signal.aborted) return this.signal.reason === "gone" ? false : null;
    if (!this.#isInPlace()) return null;
    const info = await this.info();
    return info.type === "success" && !this.signal.aborted ? isListed(info.value, this.record) : null;
  }

  /** Tells the policy's hook. Resolves to why it did not say yes; null where it did, or is none. */
  async hook(event: HookEvent, bridges = this.#bridges): Promise<string | null> {
    this.#bridges = bridges;
    const clone = this.policy?.clone;
    const hook = event === "after_create" ? clone?.afterCreate : (clone?.beforeDestroy ?? this.#toldHook);
    if (hook === null || hook === undefined) return null;
    if (event === "before_destroy") this.#toldHook = hook;
    const { id, clone: label } = this.record;
    const subject = { ...this.group, id, clone: label, reason: this.decision.reason, bridges };
    // that a clone stays is told when all else has ended, too
    const why = await this.executor.callHook(
      hook,
      event,
      subject,
      event === "kept" ? undefined : this.signal,
    );
    if (why !== null) this.executor.options.log.warn({ ...this.fields, event, why }, "a hook failed");
    return why;
  }

  /** Whoever was told that the clone goes hears that it stays, also after a restart. */
  async tellKept(): Promise<void> {
    await this.hook("kept");
    this.note({ hooked: false });
    await this.executor.save();
  }
}

const MOVED = abandoned("target", "its host is no target any more, or is elsewhere");

export function abandoned(reason: Extract<Ending, { outcome: "abandoned" }>["reason"], text: string): Ending {
  return { outcome: "abandoned", reason, text };
}
