/**
 * The fleet's observations with the loads of the groups whose policies have a query.
 * Prometheus is asked ahead of a tick, so that the tick waits for nobody: what is not
 * there by then is not known.
 */
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../clock.ts";
import { fillIn, type Load, type PrometheusConfig, type Query } from "../../config/promql.ts";
import type { ScalerConfig } from "../../config/scaler.ts";
import { formatDuration } from "../../config/units.ts";
import { knownLoad } from "../rules/averages.ts";
import {
  type GroupKey,
  type GroupName,
  type GroupPolicy,
  groupKey,
  type LoadAnswer,
  type Observation,
  type Source,
  type Tick,
} from "../rules/types.ts";
import type { FleetSource } from "./fleet.ts";

/** So many queries are open at a time. */
export const MAX_QUERIES = 20;

/** Where queries are put. */
export interface Connection {
  /** Never rejects; a query that `signal` gives up has the outcome timeout. */
  ask(query: string, signal: AbortSignal): Promise<LoadAnswer>;
  close(): void;
}

export interface PromqlOptions {
  readonly clock: Clock;
  readonly fleet: FleetSource;
  readonly config: () => ScalerConfig;
  /** Opens what queries of one round go over. */
  readonly connect: (prometheus: PrometheusConfig) => Connection;
  /** Told at each tick of the load of each group whose policy asks for it; null where it is not known. */
  readonly onLoad?: (group: GroupName, load: number | null, tick: Tick) => void;
}

/** The fleet as a source whose groups have the loads that Prometheus answers. */
export class PromqlSource implements Source {
  readonly #options: PromqlOptions;
  #round: Round | null = null;
  /** for the queries of a round like the last one */
  #neededMs = 0;

  constructor(options: PromqlOptions) {
    this.#options = options;
  }

  /** As long as one query may take, or as many of them need; at most half of poll_interval. */
  leadMs(): number {
    const { pollIntervalMs, prometheus, policies } = this.#options.config();
    if (prometheus === null || !policies.some(({ load }) => load !== null)) return 0;
    return Math.min(pollIntervalMs / 2, Math.max(prometheus.timeoutMs, this.#neededMs));
  }

  /** Begins to ask for the next tick. */
  prepare(groupOf: Tick["groupOf"]): void {
    this.stop();
    const { clock, fleet, config, connect } = this.#options;
    const { prometheus } = config();
    if (prometheus === null || this.leadMs() === 0) return;
    const queries = new Map<GroupKey, Asked>();
    for (const { host, path, group, members } of fleet.groups()) {
      const { policy } = groupOf({ host, path, group });
      if (!asksForLoad(policy)) continue;
      const labels = members.map(({ record }) => record.vm);
      const variables = { host, path, group, members: labels };
      const { query } = policy.load;
      queries.set(groupKey(variables), { query, filled: fillIn(query, variables) });
    }
    this.#round = new Round(queries, { clock, prometheus, ...connect(prometheus) });
  }

  async observe(tick: Tick): Promise<readonly Observation[]> {
    const { fleet, config, onLoad } = this.#options;
    // what another server was asked before a reload counts for nothing
    const isSame = isDeepStrictEqual(this.#round?.prometheus, config().prometheus);
    const round = isSame ? this.#round : null;
    this.stop();
    const observations = fleet.observeNow(tick);
    if (this.leadMs() === 0) return observations;
    this.#neededMs = round?.neededMs ?? 0;
    return observations.map((observation) => {
      const { policy } = tick.groupOf(observation);
      if (!asksForLoad(policy)) return observation;
      const load = round?.answer(observation.key, policy.load, config().pollIntervalMs) ?? null;
      const answered = { ...observation, load };
      onLoad?.(observation, knownLoad(answered), tick);
      return answered;
    });
  }

  /** Waits for no answer any more. */
  stop(): void {
    this.#round?.end();
    this.#round = null;
  }
}

/** Whether the load of a group with this policy is a query's answer, and anything is decided by it. */
export function asksForLoad(policy: GroupPolicy | null): policy is GroupPolicy & { readonly load: Load } {
  return policy !== null && policy.load !== null && policy.enabled;
}

interface Asked {
  readonly query: Query;
  readonly filled: string;
}

interface RoundOptions extends Connection {
  readonly clock: Clock;
  readonly prometheus: PrometheusConfig;
}

/** The queries of one tick. */
class Round {
  readonly #options: RoundOptions;
  readonly #queries: ReadonlyMap<GroupKey, Asked>;
  readonly #waiting: IterableIterator<[GroupKey, Asked]>;
  readonly #answers = new Map<GroupKey, { readonly load: LoadAnswer; readonly atUs: number }>();
  readonly #open = new Set<AbortController>();
  readonly #beganUs: number;
  /** who is asked */
  readonly prometheus: PrometheusConfig;
  /** for as many queries, with time to spare */
  neededMs: number;
  #hasEnded = false;

  constructor(queries: ReadonlyMap<GroupKey, Asked>, options: RoundOptions) {
    this.#options = options;
    this.#queries = queries;
    this.#waiting = queries.entries();
    this.#beganUs = options.clock.nowUs();
    this.prometheus = options.prometheus;
    this.neededMs = Math.ceil(queries.size / MAX_QUERIES) * this.prometheus.timeoutMs;
    const workers = Array.from({ length: Math.min(MAX_QUERIES, queries.size) }, () => this.#work());
    void Promise.all(workers).then(() => {
      if (!this.#hasEnded) this.neededMs = 2 * this.#ageMs(this.#beganUs);
      this.end();
    });
  }

  /** What is known of a group's load by now; null for one that was not asked for, or by another query before a reload. */
  answer(key: GroupKey, { query }: Load, maxAgeMs: number): LoadAnswer | null {
    if (this.#queries.get(key)?.query.text !== query.text) return null;
    const answer = this.#answers.get(key);
    if (answer === undefined) {
      const time = formatDuration(this.#ageMs(this.#beganUs));
      return { outcome: "timeout", text: `no answer came in the ${time} before the evaluation` };
    }
    const ageMs = this.#ageMs(answer.atUs);
    if (ageMs <= maxAgeMs) return answer.load;
    return { outcome: "stale", text: `the answer came ${formatDuration(ageMs)} before the evaluation` };
  }

  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const query of this.#open) query.abort();
    this.#options.close();
  }

  /** Asks one query after the other until none waits. */
  async #work(): Promise<void> {
    const { clock, ask } = this.#options;
    for (const [key, { filled }] of this.#waiting) {
      if (this.#hasEnded) return;
      const open = new AbortController();
      this.#open.add(open);
      const cancel = clock.after(this.prometheus.timeoutMs, () => open.abort());
      const load = await ask(filled, open.signal);
      cancel();
      this.#open.delete(open);
      this.#answers.set(key, { load, atUs: clock.nowUs() });
    }
  }

  #ageMs(us: number): number {
    return (this.#options.clock.nowUs() - us) / 1000;
  }
}
