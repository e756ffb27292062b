/** One tick over all groups. */
import { matcherOf } from "../../config/glob.ts";
import type { ScalerConfig } from "../../config/scaler.ts";
import { afterAbsence, withoutOutstanding, withoutRows } from "./cloneChanges.ts";
import { evaluate } from "./evaluate.ts";
import {
  type Evaluation,
  FRESH_STATE,
  type Group,
  type GroupKey,
  type GroupName,
  type GroupPolicy,
  type GroupState,
  groupKey,
  type Observation,
  type RememberedGroup,
} from "./types.ts";

/** The configuration's rules and what they remember, live and in a backtest. */
export class Rules {
  #maxScaleUpsPerTick = 0;
  #policyOf: (group: GroupName) => GroupPolicy | null = () => null;
  #groups: Map<GroupKey, Group> = new Map();
  /** switched to execute: what they would do is said once before they do it */
  readonly #switched = new Set<GroupKey>();

  /** `remembered` by an earlier run of the program, by group. */
  constructor(config: ScalerConfig, remembered: ReadonlyMap<GroupKey, RememberedGroup> = new Map()) {
    this.#adopt(config, remembered);
  }

  /** What is remembered now; never changed, but replaced. */
  get groups(): ReadonlyMap<GroupKey, Group> {
    return this.#groups;
  }

  /** Other policies. Returns how many groups act, after one more dry run. */
  reconfigure(config: ScalerConfig): number {
    const before = this.#groups;
    this.#adopt(config, before);
    this.#switched.clear();
    for (const [key, { policy, ...group }] of this.#groups) {
      const state = { ...group.state, failures: FRESH_STATE.failures };
      const isSwitched = policy?.mode === "execute" && before.get(key)?.policy?.mode !== "execute";
      if (isSwitched) this.#switched.add(key);
      this.#groups.set(key, {
        ...group,
        state,
        policy: isSwitched ? { ...policy, mode: "dry_run" } : policy,
      });
    }
    return this.#switched.size;
  }

  /** What became of an action, put into the state of its group. */
  amend(name: GroupName, change: (state: GroupState) => GroupState): void {
    const group = this.groupOf(name);
    this.#groups = new Map(this.#groups).set(group.key, { ...group, state: change(group.state) });
  }

  /** Drops decisions that nobody carries out: of a former process, or of a dry run. */
  dropUnacted(): void {
    const groups = new Map(this.#groups);
    for (const [key, group] of groups) {
      const { policy, state } = group;
      if (policy?.mode !== "execute" || state.outstanding === null || state.action !== null) continue;
      groups.set(key, { ...group, state: withoutRows(withoutOutstanding(state)) });
    }
    this.#groups = groups;
  }

  /** As the next evaluation will find it; one that is not known yet has a fresh state. */
  groupOf({ host, path, group }: GroupName, key = groupKey({ host, path, group })): Group {
    const policy = () => this.#policyOf({ host, path, group });
    return this.#groups.get(key) ?? { key, host, path, group, policy: policy(), state: FRESH_STATE };
  }

  /** Evaluates every observed group once. Of the others only what outlives them is kept. */
  tick(observations: readonly Observation[], nowUs: number): readonly Evaluation[] {
    const nowMs = Math.floor(nowUs / 1000);
    const limit = this.#maxScaleUpsPerTick;
    const before = observations.map((observation) => this.groupOf(observation, observation.key));
    const evaluateOne = (observation: Observation, { policy, state }: Group, clonesLeft: number) =>
      evaluate({ policy, state, observation, nowMs, clonesLeft });
    const wanted = observations.map((observation, i) => evaluateOne(observation, before[i] as Group, limit));
    const limited = withinHostLimit(wanted, limit, (observation, clonesLeft) =>
      evaluateOne(observation, this.groupOf(observation, observation.key), clonesLeft),
    );
    const evaluations = limited.size === 0 ? wanted : wanted.map((one) => limited.get(one) ?? one);
    const groups = new Map<GroupKey, Group>();
    for (const [i, group] of before.entries()) {
      const state = evaluations[i]?.state ?? group.state;
      groups.set(group.key, group.state === state ? group : { ...group, state });
    }
    for (const [key, group] of this.#groups) {
      const state = groups.has(key) ? null : afterAbsence(group, nowMs);
      if (state !== null) groups.set(key, { ...group, state });
    }
    this.#groups = groups;
    this.#beginToAct();
    return evaluations;
  }

  forgetHost(host: string): void {
    this.#groups = new Map([...this.#groups].filter(([, group]) => group.host !== host));
  }

  /** Groups that have said what they would do do it from the next tick on. */
  #beginToAct(): void {
    for (const key of this.#switched) {
      const group = this.#groups.get(key);
      if (group !== undefined) this.#groups.set(key, { ...group, policy: this.#policyOf(group) });
    }
    if (this.#switched.size > 0) this.dropUnacted();
    this.#switched.clear();
  }

  #adopt(config: ScalerConfig, groups: ReadonlyMap<GroupKey, RememberedGroup>): void {
    this.#maxScaleUpsPerTick = config.maxScaleUpsPerTick;
    this.#policyOf = policyLookup(config);
    this.#groups = new Map(
      Array.from(groups, ([key, group]) => [key, { ...group, policy: this.#policyOf(group) }]),
    );
  }
}

/** The first policy that matches a group; null when none does. */
export function policyLookup({
  mode,
  defaults,
  policies,
}: ScalerConfig): (group: GroupName) => GroupPolicy | null {
  const { deathTimeoutMs } = defaults;
  const rules = policies.map((policy) => ({
    isFor: matcherOf(policy),
    // it acts where both say so
    policy: { ...policy, deathTimeoutMs, mode: mode === "execute" ? policy.mode : mode },
  }));
  return ({ host, path, group }) => {
    const name = `${path}:${group}`;
    return rules.find(({ isFor }) => isFor(host, name))?.policy ?? null;
  };
}

/** What a host's limit makes of evaluations; the most overloaded groups go first. */
function withinHostLimit(
  evaluations: readonly Evaluation[],
  limit: number,
  again: (observation: Observation, clonesLeft: number) => Evaluation,
): ReadonlyMap<Evaluation, Evaluation> {
  const loadOf = ({ averages }: Evaluation) => averages.forUp ?? 0;
  const byLoad = evaluations
    .filter(({ decision }) => decision.decision === "scale_up")
    .sort((a, b) => loadOf(b) - loadOf(a) || (a.observation.key < b.observation.key ? -1 : 1));
  const left = new Map<string, number>();
  const changed = new Map<Evaluation, Evaluation>();
  for (const evaluation of byLoad) {
    const { observation, decision } = evaluation;
    const clonesLeft = left.get(observation.host) ?? limit;
    const fits = decision.decision === "scale_up" && decision.step <= clonesLeft;
    const within = fits ? evaluation : again(observation, clonesLeft);
    if (!fits) changed.set(evaluation, within);
    const taken = within.decision.decision === "scale_up" ? within.decision.step : 0;
    left.set(observation.host, clonesLeft - taken);
  }
  return changed;
}
