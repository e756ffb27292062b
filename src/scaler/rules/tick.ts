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
  #maxScaleUpsPerTick = 0;
  #policyOf: (group: GroupName) => GroupPolicy | null = () => null;
  #groups: ReadonlyMap<GroupKey, Group> = new Map();
  /** groups that are not remembered yet and were asked for since the last tick */
  readonly #newcomers = new Map<GroupKey, Group>();

  /** `remembered` by an earlier run of the program, by group. */
  constructor(config: ScalerConfig, remembered: ReadonlyMap<GroupKey, RememberedGroup> = new Map()) {
    this.#adopt(config, remembered);
  }

  /** What is remembered after the last tick; replaced by the next, never changed. */
  get groups(): ReadonlyMap<GroupKey, Group> {
    return this.#groups;
  }

  /** Other policies from the next tick on; what is remembered stays. */
  reconfigure(config: ScalerConfig): void {
    this.#adopt(config, this.#groups);
  }

  /** A group as the next evaluation will find it: one that is not known yet has a fresh state. */
  groupOf({ host, path, group }: GroupName, key = groupKey({ host, path, group })): Group {
    const known = this.#groups.get(key) ?? this.#newcomers.get(key);
    if (known !== undefined) return known;
    const policy = this.#policyOf({ host, path, group });
    const newcomer = { key, host, path, group, policy, state: FRESH_STATE };
    this.#newcomers.set(key, newcomer);
    return newcomer;
  }

  /**
   * Evaluates every observed group once, at this monotonic time. A group that is remembered but not observed keeps only
   * what must outlive it.
   */
  tick(observations: readonly Observation[], nowUs: number): readonly Evaluation[] {
    const nowMs = Math.floor(nowUs / 1000);
    const evaluateOne = (observation: Observation, scaleUpAllowed: boolean) => {
      const { policy, state } = this.groupOf(observation, observation.key);
      return evaluate({ policy, state, observation, nowMs, scaleUpAllowed });
    };
    const wanted = observations.map((observation) => evaluateOne(observation, true));
    const barred = beyondHostLimit(wanted, this.#maxScaleUpsPerTick);
    const evaluations = wanted.map((evaluation) =>
      barred.has(evaluation) ? evaluateOne(evaluation.observation, false) : evaluation,
    );
    const groups = new Map<GroupKey, Group>();
    for (const { observation, state } of evaluations) {
      const group = this.groupOf(observation, observation.key);
      groups.set(group.key, group.state === state ? group : { ...group, state });
    }
    for (const [key, group] of this.#groups) {
      const state = groups.has(key) ? null : afterAbsence(group, nowMs);
      if (state !== null) groups.set(key, { ...group, state });
    }
    this.#groups = groups;
    this.#newcomers.clear();
    return evaluations;
  }

  /** What is remembered of a host's groups is forgotten. */
  forgetHost(host: string): void {
    this.#groups = new Map([...this.#groups].filter(([, group]) => group.host !== host));
  }

  #adopt(config: ScalerConfig, groups: ReadonlyMap<GroupKey, RememberedGroup>): void {
    this.#maxScaleUpsPerTick = config.maxScaleUpsPerTick;
    this.#policyOf = policyLookup(config);
    this.#newcomers.clear();
    this.#groups = new Map(
      Array.from(groups, ([key, group]) => [key, { ...group, policy: this.#policyOf(group) }]),
    );
  }
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

/** The scale-ups that their host's limit leaves out: the most overloaded groups go first. */
function beyondHostLimit(evaluations: readonly Evaluation[], limit: number): ReadonlySet<Evaluation> {
  const byHost = new Map<string, Evaluation[]>();
  for (const evaluation of evaluations) {
    if (evaluation.decision.decision !== "scale_up") continue;
    const { host } = evaluation.observation;
    const ups = byHost.get(host);
    if (ups === undefined) byHost.set(host, [evaluation]);
    else ups.push(evaluation);
  }
  const load = ({ averages }: Evaluation) => averages.forUp ?? 0;
  return new Set([...byHost.values()].flatMap((ups) => ups.sort((a, b) => load(b) - load(a)).slice(limit)));
}

/** What is kept of a group that is absent at a tick: its cooldown and tombstones until they are over; then null. */
function afterAbsence(group: Group, nowMs: number): GroupState | null {
  const { state } = group;
  const tombstones = state.tombstones.filter((t) => nowMs < t.untilMs);
  const coolUntilMs = cooldownUntilMs(group);
  if ((coolUntilMs === null || nowMs >= coolUntilMs) && tombstones.length === 0) return null;
  return { ...state, highTicks: 0, lowTicks: 0, tombstones, knownClones: null, outOfBounds: null };
}
