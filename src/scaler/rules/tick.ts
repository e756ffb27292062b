/** One tick over all groups: every group evaluated once, and the hosts' limits on scale-ups kept. Pure. */
import { type Glob, matchesGlob, parseGlob } from "../../config/glob.ts";
import type { ScalerConfig } from "../../config/types.ts";
import { InOrder } from "../inOrder.ts";
import { type EvaluateResult, evaluate } from "./evaluate.ts";
import {
  type Evaluation,
  FRESH_STATE,
  type GroupKey,
  type GroupName,
  type GroupPolicy,
  type GroupState,
  groupKey,
  type Observation,
} from "./types.ts";

export interface TickInput {
  readonly observations: readonly Observation[];
  /** null when no policy matches the group */
  readonly policyOf: (group: GroupName) => GroupPolicy | null;
  /** the policies of the observed groups, where they have been looked up already */
  readonly policies?: readonly (GroupPolicy | null)[];
  readonly states: ReadonlyMap<GroupKey, RememberedGroup>;
  readonly nowMs: number;
  readonly maxScaleUpsPerTick: number;
}

export interface RememberedGroup extends GroupName {
  readonly state: GroupState;
}

export interface TickResult {
  /** one per observation, in their order */
  readonly evaluations: readonly Evaluation[];
  readonly states: ReadonlyMap<GroupKey, RememberedGroup>;
}

/** Evaluates every observed group; a group that is remembered but not observed keeps only what must outlive it. */
export function tick(input: TickInput): TickResult {
  const { policies } = input;
  const keys = input.observations.map(groupKey);
  const before = keys.map((key) => input.states.get(key));
  const evaluateAt = (index: number, observation: Observation, scaleUpAllowed: boolean): EvaluateResult =>
    evaluate({
      policy: policies === undefined ? input.policyOf(observation) : (policies[index] ?? null),
      observation,
      state: before[index]?.state ?? FRESH_STATE,
      nowMs: input.nowMs,
      scaleUpAllowed,
    });
  const results = input.observations.map((observation, index) => evaluateAt(index, observation, true));
  for (const index of beyondHostLimit(results, input.maxScaleUpsPerTick)) {
    const observation = input.observations[index];
    if (observation !== undefined) results[index] = evaluateAt(index, observation, false);
  }
  const groups = results.map(({ state, evaluation }, index): RememberedGroup => {
    const remembered = before[index];
    if (remembered?.state === state) return remembered;
    const { host, path, group } = evaluation.observation;
    return { host, path, group, state };
  });
  const absent = before.filter((remembered) => remembered !== undefined).length < input.states.size;
  if (absent) keepAbsent(input, keys, groups);
  return { evaluations: results.map((r) => r.evaluation), states: new InOrder(keys, groups) };
}

/** Adds what is kept of the groups that are remembered and not observed. */
function keepAbsent(input: TickInput, keys: GroupKey[], groups: RememberedGroup[]): void {
  const observed = new Set(keys);
  for (const [key, remembered] of input.states) {
    if (observed.has(key)) continue;
    const state = afterAbsence(remembered.state, input.policyOf(remembered), input.nowMs);
    if (state === null) continue;
    keys.push(key);
    groups.push({ ...remembered, state });
  }
}

/** Indexes of the scale-ups that their host's limit leaves out: the most overloaded groups go first. */
function beyondHostLimit(results: readonly EvaluateResult[], limit: number): number[] {
  const byHost = new Map<string, number[]>();
  results.forEach(({ evaluation }, index) => {
    if (evaluation.decision.decision !== "scale_up") return;
    const { host } = evaluation.observation;
    const indexes = byHost.get(host);
    if (indexes === undefined) byHost.set(host, [index]);
    else indexes.push(index);
  });
  const load = (index: number) => results[index]?.evaluation.averages.forUp ?? 0;
  return [...byHost.values()].flatMap((indexes) => indexes.sort((a, b) => load(b) - load(a)).slice(limit));
}

/** What is kept of a group that is absent at a tick: its cooldown and tombstones until they are over; then null. */
function afterAbsence(state: GroupState, policy: GroupPolicy | null, nowMs: number): GroupState | null {
  const tombstones = state.tombstones.filter((t) => nowMs < t.untilMs);
  const cooling =
    state.lastActionMs !== null && policy !== null && nowMs < state.lastActionMs + policy.cooldownPeriodMs;
  if (!cooling && tombstones.length === 0) return null;
  return { ...state, highTicks: 0, lowTicks: 0, tombstones, knownClones: null, outOfBounds: null };
}

interface Rule {
  readonly glob: Glob;
  readonly host: string | null;
  readonly policy: GroupPolicy;
}

/** Answers are remembered for this many groups; beyond it all are forgotten and looked up afresh. */
const MAX_REMEMBERED = 100_000;

/** Which policy holds for a group: the first whose pattern matches the primary's full name; null when none does. */
export function policyLookup(config: ScalerConfig): (group: GroupName) => GroupPolicy | null {
  const { deathTimeoutMs } = config.defaults;
  const rules: Rule[] = config.policies.map((policy) => ({
    glob: parseGlob(policy.match),
    host: policy.host,
    policy: { ...policy, deathTimeoutMs },
  }));
  const policyFor = (host: string, name: string) =>
    rules.find((rule) => (rule.host === null || rule.host === host) && matchesGlob(rule.glob, name))
      ?.policy ?? null;
  const remembered = new Map<GroupKey, GroupPolicy | null>();
  return (group) => {
    const key = groupKey(group);
    const known = remembered.get(key);
    if (known !== undefined) return known;
    const policy = policyFor(group.host, `${group.path}:${group.group}`);
    if (remembered.size === MAX_REMEMBERED) remembered.clear();
    remembered.set(key, policy);
    return policy;
  };
}
