/** The program's inner half where it acts: targets, fleet and scaler against simulated hosts, on one clock. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Endpoint } from "../../src/client/endpoint.ts";
import { Target } from "../../src/client/target.ts";
import type { Clock } from "../../src/clock.ts";
import { cloneDefaults } from "../../src/config/clone.ts";
import type { ScalerConfig, ScalerPolicy } from "../../src/config/scaler.ts";
import { Fleet } from "../../src/fleet/fleet.ts";
import { createLogger } from "../../src/log.ts";
import { ImageCache, type ImageOutcome } from "../../src/scaler/actions/images.ts";
import { type ActionJson, type ActionRecord, parseRecord } from "../../src/scaler/actions/record.ts";
import type { GroupPolicy } from "../../src/scaler/rules/types.ts";
import { type Reach, Scaler, type ScalerFiles } from "../../src/scaler/scaler.ts";
import { FleetSource } from "../../src/scaler/sources/fleet.ts";
import { parseState, type SavedState } from "../../src/scaler/state/savedState.ts";
import type { Store } from "../../src/scaler/state/stateFile.ts";
import type { Fault } from "../../src/simulator/faults.ts";
import type { Scenario } from "../../src/simulator/model.ts";
import { parseName } from "../../src/wire/names.ts";
import { type Running, startHost } from "../simulator/support.ts";
import { settle } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { scalerConfig } from "../support/scalerConfig.ts";

export type PolicyKeys = Partial<ScalerPolicy & GroupPolicy>;

/** Every 10 s, quick to decide, in execute. */
export function acting(keys: PolicyKeys = {}, scaler: Partial<ScalerConfig> = {}): ScalerConfig {
  const policy: PolicyKeys = {
    mode: "execute",
    scaleUpTriggerTicks: 2,
    scaleDownTriggerTicks: 2,
    cooldownPeriodMs: 60_000,
    warmupPeriodMs: 0,
    adoptClones: false,
    clone: { ...cloneDefaults, arguments: [] },
    ...keys,
  };
  return scalerConfig(policy, { mode: "execute", pollIntervalMs: 10_000, ...scaler });
}

/** What outlives the programs: files, by name, and the lines of the decision log. */
export class Machine implements ScalerFiles {
  readonly clock = new FakeClock();
  readonly hosts = new Map<string, Running>();
  readonly folder = mkdtempSync(join(tmpdir(), "acting-"));
  readonly lines: Record<string, unknown>[] = [];
  readonly events: Record<string, unknown>[] = [];
  state$: string | null = null;
  record$: string | null = null;
  /** which of the two files cannot be written */
  isReadOnly = { state: false, record: false };
  /** requests and looks at files that are on the way */
  busy = 0;

  constructor() {
    onTestFinished(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  async addHost(name: string, scenario: Partial<Scenario>): Promise<Running> {
    const running = await startHost({ intervalMs: 5_000, os: "freebsd", ...scenario }, this.clock);
    this.hosts.set(name, running);
    return running;
  }

  host(name = "h"): Running {
    const running = this.hosts.get(name);
    if (running === undefined) throw new Error(`${name} is no host`);
    return running;
  }

  /** Commands that albatrossd has received, without questions: `create user:web-clone-1`. */
  commands(name = "h"): string[] {
    return this.host(name)
      .requests.filter(({ command }) => !["info", "policy_info", "get", "unreadable"].includes(command))
      .map(({ command, name }) => `${command} ${name}`);
  }

  /** A fault of albatrossd from now on; what comes back ends it. */
  fault(fault: Fault, name = "h"): Promise<() => Promise<void>> {
    return this.host(name).host.misbehave(fault);
  }

  state(_: ScalerConfig, onOutcome: (outcome: "written" | "failed") => void): Store<SavedState> {
    return this.#file("state", parseState, onOutcome);
  }

  record(_: ScalerConfig, onOutcome: (outcome: "written" | "failed") => void) {
    return this.#file("record", parseRecord, onOutcome) satisfies Store<readonly ActionRecord[]>;
  }

  decisions() {
    return {
      append: (lines: readonly string[]) => void this.lines.push(...lines.map((line) => JSON.parse(line))),
      flush: async () => undefined,
    };
  }

  images(): ImageCache {
    const cache = new ImageCache(
      join(this.folder, "images"),
      createLogger(SILENT, { write: () => undefined }),
    );
    const open = cache.open.bind(cache);
    cache.open = (...wanted) => this.counted<ImageOutcome>(open(...wanted));
    return cache;
  }

  counted<T>(work: Promise<T>): Promise<T> {
    this.busy += 1;
    return work.finally(() => {
      this.busy -= 1;
    });
  }

  /** Time passes a second at a time, and what each sets off is awaited, unless it hangs. */
  async pass(seconds: number, isOver: () => boolean = () => false): Promise<boolean> {
    for (let second = 0; second < seconds && !isOver(); second++) {
      this.clock.advance(1_000);
      await this.quiet();
    }
    return isOver();
  }

  async quiet(): Promise<void> {
    await settle(12);
    for (let looks = 0; this.busy > 0 && looks < 15; looks++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await settle(6);
    }
  }

  #file<T>(
    which: "state" | "record",
    parse: (text: string) => T,
    onOutcome: (outcome: "written" | "failed") => void,
  ): Store<T> {
    const key = `${which}$` as const;
    return {
      path: `${which}.json`,
      load: () => (this[key] === null ? null : parse(this[key])),
      save: async (pieces) => {
        await Promise.resolve();
        const text = [...pieces()].join("");
        if (!this.isReadOnly[which]) this[key] = text;
        onOutcome(this.isReadOnly[which] ? "failed" : "written");
        return !this.isReadOnly[which];
      },
      flush: async () => undefined,
    };
  }
}

const SILENT = { level: "error", format: "json" } as const;

/** One run of the program on a machine. */
export class Program {
  readonly machine: Machine;
  readonly scaler: Scaler;
  readonly fleet: Fleet;
  config: ScalerConfig;
  #targets: Target[] = [];
  /** of targets that are configured */
  readonly #reach = new Map<string, Reach>();

  constructor(machine: Machine, config: ScalerConfig = acting(), clock: Clock = machine.clock) {
    this.machine = machine;
    this.config = config;
    const log = createLogger(
      { level: "info", format: "json" },
      { write: (line) => void machine.events.push(JSON.parse(line)) },
    );
    this.fleet = new Fleet({ clock, deathTimeoutMs: config.defaults.deathTimeoutMs, hostCpus: 8 });
    const observed = new FleetSource(this.fleet);
    for (const [name, { dir }] of machine.hosts) {
      const target = new Target(
        {
          name,
          socketDir: dir,
          subscribe: [":"],
          statsIntervalMs: "auto",
          os: "freebsd",
          pageSizeBytes: 4096,
          maxFrameBytes: { stat: 2 ** 20, vmmd: 64 * 2 ** 20 },
          displacedRetryMs: 300_000,
          allowUncheckedPath: false,
          unfilledFields: false,
        } as never,
        {
          onSample: (sample) => {
            this.fleet.record(sample);
            this.scaler.sampleArrived(sample);
          },
          info: async (entries, askedAtUs) => this.fleet.recordInfo(name, entries, askedAtUs),
          policies: (entries) => this.fleet.recordPolicies(name, entries),
          live: (up) => this.fleet.setLive(name, up),
        },
        clock,
        log,
      );
      this.#targets.push(target);
      const endpoint = this.#counting(target.endpoint);
      this.#reach.set(name, { endpoint, address: dir, subscribe: [":"], maxFrameBytes: 2 ** 20 });
    }
    this.scaler = new Scaler({
      clock,
      log,
      fleet: observed,
      sources: [observed],
      config,
      targets: () => new Map(Array.from(this.#reach, ([name, { address }]) => [name, address])),
      reach: (host) => this.#reach.get(host) ?? null,
      files: machine,
    });
  }

  start(): this {
    for (const target of this.#targets) target.start();
    this.scaler.start();
    return this;
  }

  reconfigure(config: ScalerConfig): void {
    this.config = config;
    this.scaler.reconfigure(config);
  }

  /** The host is no target any more. */
  async removeTarget(name: string): Promise<void> {
    const gone = this.#targets.filter(({ config }) => config.name === name);
    await Promise.all(gone.map((target) => target.stop()));
    this.fleet.removeHost(name);
    this.scaler.forgetHost(name);
    this.#reach.delete(name);
    this.scaler.reconfigure(this.config);
  }

  async stop(): Promise<void> {
    await this.scaler.stop();
    await Promise.all(this.#targets.map((target) => target.stop()));
  }

  group(name = "user:web", host = "h") {
    const { path, label } = parseName(name);
    return this.scaler.explain({ host, path: path.join(":"), group: label ?? "" });
  }

  get actions(): ActionJson[] {
    return [...this.scaler.actions({ limit: 1_000 })];
  }

  /** `create web-clone-1 verified done`, the oldest first. */
  get told(): string[] {
    return this.actions
      .reverse()
      .map(
        ({ operation, clone, phase, reason }) =>
          `${operation} ${clone} ${phase}${reason ? ` ${reason}` : ""}`,
      );
  }

  /** Passes time until it is so; fails after this many seconds, telling how actions stand. */
  async until(what: string, condition: () => boolean, seconds = 300): Promise<void> {
    await this.machine.quiet();
    if (condition() || (await this.machine.pass(seconds, condition))) return;
    const { text } = this.group() ?? {};
    if (process.env["SHOW"]) console.log(this.machine.events.slice(-15));
    throw new Error(`in vain for ${seconds} s: ${what}; ${JSON.stringify(this.told)}; ${text}`);
  }

  #counting(endpoint: Endpoint): Endpoint {
    return {
      describe: (...of) => endpoint.describe(...of),
      dial: async (...to) => {
        this.machine.busy += 1;
        try {
          const line = await endpoint.dial(...to);
          line.socket.once("close", () => {
            this.machine.busy -= 1;
          });
          return line;
        } catch (error) {
          this.machine.busy -= 1;
          throw error;
        }
      },
    };
  }
}
