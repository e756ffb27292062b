import type { ScalerConfig, ScalerPolicy } from "../../src/config/scaler.ts";
import { Fleet } from "../../src/fleet/fleet.ts";
import { Rules } from "../../src/scaler/rules/tick.ts";
import type { Evaluation } from "../../src/scaler/rules/types.ts";
import { FleetSource } from "../../src/scaler/sources/fleet.ts";
import { scalerConfig } from "../support/scalerConfig.ts";
import { located, World } from "../support/world.ts";
import { words } from "./rules.ts";

export interface ScenarioOptions {
  /** of the one policy, which matches `user:*` */
  readonly policy?: Partial<ScalerPolicy>;
  readonly scaler?: Partial<ScalerConfig>;
  /** unikernel info is polled every 30 s on every host */
  readonly info?: boolean;
}

/**
 * VMs that run, the fleet that hears them every 10 s, and the scaler that ticks every minute, on a clock that the test
 * moves. The policy is the design's default without warm-up, unless said otherwise.
 */
export class Scenario extends World {
  readonly fleet: Fleet;
  readonly #source: FleetSource;
  readonly #rules: Rules;
  /** all evaluations of the last tick */
  evaluations: readonly Evaluation[] = [];

  constructor({ policy = {}, scaler = {}, info = false }: ScenarioOptions = {}) {
    super({ info: info ? { everyMs: 30_000 } : null });
    const config = scalerConfig(policy, scaler);
    this.fleet = new Fleet({ clock: this.clock, deathTimeoutMs: config.defaults.deathTimeoutMs });
    this.feed(this.fleet);
    this.#source = new FleetSource(this.fleet);
    this.#rules = new Rules(config);
  }

  /** A VM starts with this load in percent of its CPU; its first sample comes at once. */
  override start(vm: string, percent: number): this {
    return super.start(vm, percent).sample(vm);
  }

  reconfigure(keys: Partial<ScalerPolicy>, scaler: Partial<ScalerConfig> = {}): this {
    this.#rules.reconfigure(scalerConfig(keys, scaler));
    return this;
  }

  /** Time passes up to the next full minute, and the scaler ticks; what arrives at that very time belongs to the tick. */
  tick(): this {
    this.pass(60 - ((this.clock.nowUs() / 1e6) % 60));
    const nowUs = this.clock.nowUs();
    const observations = this.#source.observeNow({
      nowUs,
      wallMs: this.clock.wallMs(),
      firstSampleUs: 0,
      groupOf: (name) => this.#rules.groupOf(name),
    });
    this.evaluations = this.#rules.tick(observations, nowUs);
    return this;
  }

  /** What was decided for a group (`user:web`, on host `h` unless `host/name`) at the last tick; throws if it was not there. */
  evaluation(group: string): Evaluation {
    const { host, name } = located(group);
    const found = this.evaluations.find(
      ({ observation: o }) => o.host === host && `${o.path}:${o.group}` === name,
    );
    if (found === undefined) throw new Error(`${group} was not evaluated`);
    return found;
  }

  /** The same in words; `-` when the group was not there. */
  decision(group: string): string {
    const { host, name } = located(group);
    const isThere = this.evaluations.some(
      ({ observation: o }) => o.host === host && `${o.path}:${o.group}` === name,
    );
    return isThere ? words(this.evaluation(group).decision) : "-";
  }

  /** The decisions of the next ticks. */
  next(ticks: number, group = "user:web"): string[] {
    return Array.from({ length: ticks }, () => this.tick().decision(group));
  }

  /** The states of a group's members at the last tick, by clone id: `{ 0: 95, 1: "missing" }`, percentages rounded. */
  members(group = "user:web"): Record<number, string | number> {
    const { members } = this.evaluation(group).observation;
    return Object.fromEntries(
      members.map((m) => [m.cloneId, m.usagePercent === null ? m.state : Math.round(m.usagePercent)]),
    );
  }
}
