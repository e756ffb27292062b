import type { ScalerConfig } from "../../config/types.ts";
import type { FleetSnapshot } from "../../fleet/types.ts";
import { InOrder } from "../inOrder.ts";
import { type Bases, monotonicMs, observe } from "../sources/fleet.ts";
import { policyLookup, type RememberedGroup, tick } from "./tick.ts";
import { type Evaluation, type GroupKey, type GroupPolicy, groupKey } from "./types.ts";

/** All that the scaler remembers between two ticks. Times are monotonic, of this process. */
export interface Memory {
  readonly groups: ReadonlyMap<GroupKey, RememberedGroup>;
  readonly bases: Bases;
}

export const NO_MEMORY: Memory = { groups: new Map(), bases: { tickUs: null, points: new Map() } };

/**
 * The rules applied to the fleet, tick after tick. Live and in a backtest it is the same; it has no clock, no files and
 * carries nothing out.
 */
export class Engine {
  #config: ScalerConfig;
  #policyOf: ReturnType<typeof policyLookup>;
  #memory: Memory;
  /** the policies of the groups of the last tick, so that most need not be looked up again */
  #policies = new InOrder<GroupPolicy | null>([], []);

  constructor(config: ScalerConfig, memory: Memory = NO_MEMORY) {
    this.#config = config;
    this.#policyOf = policyLookup(config);
    this.#memory = memory;
  }

  /** What is remembered after the last tick; replaced by the next, never changed. */
  get memory(): Memory {
    return this.#memory;
  }

  /** Other policies from the next tick on; what is remembered stays. */
  reconfigure(config: ScalerConfig): void {
    this.#config = config;
    this.#policyOf = policyLookup(config);
    this.#policies = new InOrder<GroupPolicy | null>([], []);
  }

  /**
   * Evaluates every group of the snapshot, once, at the snapshot's time. `firstSampleUs` is when the first samples
   * arrived: where the windows of the first tick begin.
   */
  tick(snapshot: FleetSnapshot, firstSampleUs: number): readonly Evaluation[] {
    const { groups, bases } = this.#memory;
    const observed = observe({
      snapshot,
      bases,
      firstSampleUs,
      policyOf: (group) => {
        const policy = this.#policies.get(groupKey(group));
        return policy === undefined ? this.#policyOf(group) : policy;
      },
      stateOf: (group) => groups.get(groupKey(group))?.state ?? null,
    });
    const result = tick({
      observations: observed.observations,
      policyOf: this.#policyOf,
      policies: observed.policies,
      states: groups,
      nowMs: monotonicMs(snapshot),
      maxScaleUpsPerTick: this.#config.maxScaleUpsPerTick,
    });
    this.#memory = { groups: result.states, bases: observed.bases };
    this.#policies = new InOrder(observed.observations.map(groupKey), observed.policies);
    return result.evaluations;
  }
}
