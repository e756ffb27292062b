import type { ScalerConfig, ScalerPolicy } from "../../src/config/types.ts";
import { Fleet } from "../../src/fleet/fleet.ts";
import { Rules } from "../../src/scaler/rules/tick.ts";
import type { Evaluation } from "../../src/scaler/rules/types.ts";
import { FleetSource } from "../../src/scaler/sources/fleet.ts";
import { parseName } from "../../src/wire/names.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { arrivingNow, makeInfo, makeStats } from "../support/stats.ts";
import { MINUTE, policy, words } from "./rules.ts";

const SAMPLE_EVERY_MS = 10_000;
const INFO_EVERY_MS = 30_000;

interface SimulatedVm {
  readonly host: string;
  readonly name: string;
  percent: number;
  cpuUs: number;
  startedMs: number;
  /** it sends samples */
  heard: boolean;
}

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
export class Scenario {
  readonly clock = new FakeClock();
  readonly fleet: Fleet;
  readonly #source: FleetSource;
  readonly #rules: Rules;
  /** all evaluations of the last tick */
  evaluations: readonly Evaluation[] = [];
  readonly #config: ScalerConfig;
  readonly #withInfo: boolean;
  readonly #vms = new Map<string, SimulatedVm>();
  readonly #hostsDown = new Set<string>();

  constructor({ policy: keys = {}, scaler = {}, info = false }: ScenarioOptions = {}) {
    this.#config = configOf(keys, scaler);
    this.#withInfo = info;
    const { deathTimeoutMs } = this.#config.defaults;
    this.fleet = new Fleet({ clock: this.clock, deathTimeoutMs });
    this.#source = new FleetSource(this.fleet);
    this.#rules = new Rules(this.#config);
  }

  /** A VM starts with this load in percent of its CPU; its first sample comes at once. Names are on host `h` unless `host/name`. */
  start(vm: string, percent: number): this {
    const { host, name } = located(vm);
    const running = { host, name, percent, cpuUs: 0, startedMs: this.clock.wallMs(), heard: true };
    this.#vms.set(vm, running);
    this.#sample(running);
    return this;
  }

  load(vm: string, percent: number): this {
    this.#vm(vm).percent = percent;
    return this;
  }

  /** The VM is gone for good: no samples, and info does not list it. */
  stop(vm: string): this {
    this.#vms.delete(vm);
    return this;
  }

  /** Its samples stop, but it is still there for info; or they come again. */
  mute(vm: string, muted = true): this {
    this.#vm(vm).heard = !muted;
    return this;
  }

  /** Another process in its place: counters begin at 0. */
  restart(vm: string): this {
    Object.assign(this.#vm(vm), { cpuUs: 0, startedMs: this.clock.wallMs() });
    return this;
  }

  /** The exporter's connection to the host breaks, or is there again. */
  connected(host: string, up: boolean): this {
    if (up) this.#hostsDown.delete(host);
    else this.#hostsDown.add(host);
    this.fleet.setLive(host, up);
    return this;
  }

  reconfigure(keys: Partial<ScalerPolicy>, scaler: Partial<ScalerConfig> = {}): this {
    this.#rules.reconfigure(configOf(keys, scaler));
    return this;
  }

  /** Time passes without a tick. */
  pass(seconds: number): this {
    const untilMs = this.#nowMs + seconds * 1000;
    while (this.#nowMs < untilMs) {
      const toNextMs = SAMPLE_EVERY_MS - (this.#nowMs % SAMPLE_EVERY_MS);
      const stepMs = Math.min(toNextMs, untilMs - this.#nowMs);
      this.#advance(stepMs);
      if (this.#nowMs % SAMPLE_EVERY_MS === 0) this.#sampleAll();
      if (this.#withInfo && this.#nowMs % INFO_EVERY_MS === 0) this.#pollInfo();
    }
    return this;
  }

  /** Time passes up to the next full minute, and the scaler ticks; what arrives at that very time belongs to the tick. */
  tick(): this {
    this.pass((MINUTE - (this.#nowMs % MINUTE)) / 1000);
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

  get #nowMs(): number {
    return this.clock.nowUs() / 1000;
  }

  #advance(ms: number): void {
    this.clock.advance(ms);
    for (const vm of this.#vms.values()) vm.cpuUs += (ms * 1000 * vm.percent) / 100;
  }

  #sampleAll(): void {
    for (const vm of this.#vms.values()) this.#sample(vm);
  }

  #sample({ host, name, cpuUs, heard }: SimulatedVm): void {
    if (!heard || this.#hostsDown.has(host)) return;
    const stats = makeStats(Math.round(cpuUs));
    const intervalUs = SAMPLE_EVERY_MS * 1000;
    this.fleet.record({ host, name: parseName(name), stats, ...arrivingNow(this.clock), intervalUs });
  }

  #pollInfo(): void {
    for (const host of new Set([...this.#vms.values()].map((vm) => vm.host))) {
      if (this.#hostsDown.has(host)) continue;
      const entries = [...this.#vms.values()]
        .filter((vm) => vm.host === host)
        .map(({ name, startedMs }) => ({ name: parseName(name), info: makeInfo({ startedMs }) }));
      this.fleet.recordInfo(host, entries, this.clock.nowUs());
    }
  }

  #vm(vm: string): SimulatedVm {
    const known = this.#vms.get(vm);
    if (known === undefined) throw new Error(`${vm} does not run`);
    return known;
  }
}

function located(name: string): { host: string; name: string } {
  const slash = name.indexOf("/");
  return slash === -1 ? { host: "h", name } : { host: name.slice(0, slash), name: name.slice(slash + 1) };
}

function configOf(keys: Partial<ScalerPolicy>, scaler: Partial<ScalerConfig>): ScalerConfig {
  const { deathTimeoutMs, ...settings } = policy({ warmupPeriodMs: 0 });
  return {
    pollIntervalMs: MINUTE,
    mode: "dry_run",
    maxScaleUpsPerTick: 1,
    stateFile: "state.json",
    decisionLog: "decisions.ndjson",
    decisionLogMaxBytes: 1_000_000,
    decisionLogFiles: 2,
    defaults: { ...settings, deathTimeoutMs },
    policies: [{ ...settings, match: "user:*", host: null, ...keys }],
    ...scaler,
  };
}
