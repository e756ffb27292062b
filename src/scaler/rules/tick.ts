/** One tick over all groups: every group evaluated once, and the hosts' limits on scale-ups kept. */
import { type Glob, matchesGlob, parseGlob } from "../../config/glob.ts";
import type { ScalerConfig } from "../../config/scaler.ts";
import { evaluate } from "./evaluate.ts";
import {
  cooldownUntilMs,
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

/**
 * The configuration's rules and what they remember between two ticks. Live and in a backtest it is the same; it has no
 * clock, no files and carries nothing out.
 */
export class Rules {
  #config: ScalerConfig;
  #policyOf: (group: GroupName) => GroupPolicy | null;
  #groups: ReadonlyMap<GroupKey, Group>;

  /** `remembered` by an earlier run of the program, by group. */
  constructor(config: ScalerConfig, remembered: ReadonlyMap<GroupKey, RememberedGroup> = new Map()) {
    this.#config = config;
    this.#policyOf = policyLookup(config);
    this.#groups = withPolicies(remembered, this.#policyOf);
  }

  /** What is remembered after the last tick; replaced by the next, never changed. */
  get groups(): ReadonlyMap<GroupKey, Group> {
    return this.#groups;
  }

  /** Other policies from the next tick on; what is remembered stays. */
  reconfigure(config: ScalerConfig): void {
    this.#config = config;
    this.#policyOf = policyLookup(config);
    this.#groups = withPolicies(this.#groups, this.#policyOf);
  }

  /** A group as the next evaluation will find it: one that is not known yet has a fresh state. */
  groupOf(name: GroupName): Group {
    const key = groupKey(name);
    return this.#groups.get(key) ?? newGroup(key, name, this.#policyOf);
  }

  /** Evaluates every observed group once, at this monotonic time. */
  tick(observations: readonly Observation[], nowUs: number): readonly Evaluation[] {
    const { evaluations, groups } = tick({
      observations,
      groups: this.#groups,
      policyOf: this.#policyOf,
      nowMs: Math.floor(nowUs / 1000),
      maxScaleUpsPerTick: this.#config.maxScaleUpsPerTick,
    });
    this.#groups = groups;
    return evaluations;
  }
}

function newGroup(key: GroupKey, { host, path, group }: GroupName, policyOf: TickInput["policyOf"]): Group {
  return { key, host, path, group, policy: policyOf({ host, path, group }), state: FRESH_STATE };
}

function withPolicies(
  groups: ReadonlyMap<GroupKey, RememberedGroup>,
  policyOf: TickInput["policyOf"],
): ReadonlyMap<GroupKey, Group> {
  return new Map(Array.from(groups, ([key, group]) => [key, { ...group, policy: policyOf(group) }]));
}

/** Which policy holds for a group: the first whose pattern matches the primary's full name; null when none does. */
export function policyLookup({ defaults, policies }: ScalerConfig): (group: GroupName) => GroupPolicy | null {
  const { deathTimeoutMs } = defaults;
  const rules = policies.map((policy) => ({
    glob: parseGlob(policy.match),
    host: policy.host,
    policy: { ...policy, deathTimeoutMs },
  }));
  return ({ host, path, group }) => {
    const name = `${path}:${group}`;
    const matches = (rule: { glob: Glob; host: string | null }) =>
      (rule.host === null || rule.host === host) && matchesGlob(rule.glob, name);
    return rules.find(matches)?.policy ?? null;
  };
}

export interface TickInput {
  readonly observations: readonly Observation[];
  readonly groups: ReadonlyMap<GroupKey, Group>;
  /** asked for groups that are not in `groups`; null when no policy matches */
  readonly policyOf: (group: GroupName) => GroupPolicy | null;
  readonly nowMs: number;
  readonly maxScaleUpsPerTick: number;
}

export interface TickResult {
  /** one per observation, in their order */
  readonly evaluations: readonly Evaluation[];
  readonly groups: ReadonlyMap<GroupKey, Group>;
}

/** One group at this tick; the result is replaced where its host's limit closes the door. */
interface Turn {
  readonly group: Group;
  evaluation: Evaluation;
}

/** Evaluates every observed group; a group that is remembered but not observed keeps only what must outlive it. Pure. */
export function tick(input: TickInput): TickResult {
  const { observations, policyOf, nowMs } = input;
  const turns = observations.map((observation): Turn => {
    const { key } = observation;
    const group = input.groups.get(key) ?? newGroup(key, observation, policyOf);
    const { policy, state } = group;
    return { group, evaluation: evaluate({ policy, state, observation, nowMs, scaleUpAllowed: true }) };
  });
  for (const turn of beyondHostLimit(turns, input.maxScaleUpsPerTick)) {
    const { policy, state } = turn.group;
    const { observation } = turn.evaluation;
    turn.evaluation = evaluate({ policy, state, observation, nowMs, scaleUpAllowed: false });
  }
  const groups = new Map<GroupKey, Group>();
  for (const { group, evaluation } of turns) {
    const { state } = evaluation;
    groups.set(group.key, group.state === state ? group : { ...group, state });
  }
  for (const [key, group] of input.groups) {
    const state = groups.has(key) ? null : afterAbsence(group, nowMs);
    if (state !== null) groups.set(key, { ...group, state });
  }
  return { evaluations: turns.map(({ evaluation }) => evaluation), groups };
}

/** The scale-ups that their host's limit leaves out: the most overloaded groups go first. */
function beyondHostLimit(turns: readonly Turn[], limit: number): Turn[] {
  const byHost = new Map<string, Turn[]>();
  for (const turn of turns) {
    if (turn.evaluation.decision.decision !== "scale_up") continue;
    const { host } = turn.evaluation.observation;
    const ups = byHost.get(host);
    if (ups === undefined) byHost.set(host, [turn]);
    else ups.push(turn);
  }
  const load = ({ evaluation }: Turn) => evaluation.averages.forUp ?? 0;
  return [...byHost.values()].flatMap((ups) => ups.sort((a, b) => load(b) - load(a)).slice(limit));
}

/** What is kept of a group that is absent at a tick: its cooldown and tombstones until they are over; then null. */
function afterAbsence(group: Group, nowMs: number): GroupState | null {
  const { state } = group;
  const tombstones = state.tombstones.filter((t) => nowMs < t.untilMs);
  const coolUntilMs = cooldownUntilMs(group);
  if ((coolUntilMs === null || nowMs >= coolUntilMs) && tombstones.length === 0) return null;
  return { ...state, highTicks: 0, lowTicks: 0, tombstones, knownClones: null, outOfBounds: null };
}
