/** The program's inner half where it acts: targets, fleet and scaler against simulated hosts, on one clock. */
import { mkdtempSync, readdirSync, rmSync, truncateSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Endpoint, Put } from "../../src/client/endpoint.ts";
import { Target } from "../../src/client/target.ts";
import type { Cancel, Clock } from "../../src/clock.ts";
import { cloneDefaults } from "../../src/config/clone.ts";
import type { ScalerConfig, ScalerPolicy } from "../../src/config/scaler.ts";
import type { TlsConfig } from "../../src/config/target.ts";
import { Fleet } from "../../src/fleet/fleet.ts";
import { createLogger } from "../../src/log.ts";
import type { HookEvent } from "../../src/scaler/actions/hooks.ts";
import { ImageCache, type ImageOutcome } from "../../src/scaler/actions/images.ts";
import { type ActionJson, parseRecord } from "../../src/scaler/actions/record.ts";
import type { GroupPolicy } from "../../src/scaler/rules/types.ts";
import { type Reach, Scaler, type ScalerFiles } from "../../src/scaler/scaler.ts";
import { FleetSource } from "../../src/scaler/sources/fleet.ts";
import { parseState, StateError } from "../../src/scaler/state/savedState.ts";
import type { StateFileOutcome, Store } from "../../src/scaler/state/stateFile.ts";
import type { Fault } from "../../src/simulator/faults.ts";
import type { Scenario } from "../../src/simulator/model.ts";
import { formatName, parseName } from "../../src/wire/names.ts";
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

export const QUIET = createLogger({ level: "error", format: "json" }, { write: () => undefined });
const QUESTIONS = ["info", "policy_info", "get", "unreadable"];

/** What outlives the programs: hosts, files, the lines of the decision log; and what a test does to them. */
export class Machine {
  readonly clock = new FakeClock();
  readonly hosts = new Map<string, Running>();
  readonly folder = mkdtempSync(join(tmpdir(), "acting-"));
  readonly lines: Record<string, unknown>[] = [];
  readonly events: Record<string, unknown>[] = [];
  readonly hooks: string[] = [];
  state: string | null = null;
  record: string | null = null;
  /** hosts that are no targets any more */
  readonly removed = new Set<string>();
  /** which of the two files cannot be written */
  readonly isReadOnly = { state: false, record: false };
  /** what the hooks say: null is yes */
  hookAnswer: string | null = null;
  /** before albatrossd hears of a command: `get user:web` */
  onDial: (command: string) => void = () => undefined;
  /** everything that the programs do to the world goes by here, and may end them */
  onGate: (program: Program, what: string) => void = () => undefined;
  /** instead of an issuer for `user:` */
  tls: Partial<TlsConfig> = {};
  /** requests and looks at files that are on the way */
  busy = 0;
  /** images that are read: a disk takes as long as it takes, whatever the clock says */
  reading = 0;
  /** the most requests that actions had under way at one host at once */
  mostAtOnce = 0;

  constructor() {
    onTestFinished(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  async addHost(name: string, scenario: Partial<Scenario>, { hasTls = false } = {}): Promise<Running> {
    const running = await startHost({ intervalMs: 5_000, os: "freebsd", ...scenario }, this.clock, hasTls);
    this.hosts.set(name, running);
    return running;
  }

  /** How its TLS endpoint is reached with the issuer for `user:`; null for a host without one. */
  tlsOf(name: string): TlsConfig | null {
    const { host, tlsFolder } = this.host(name);
    const [, port] = host.tlsAddress?.split(":") ?? [];
    if (port === undefined) return null;
    const file = (of: string) => join(tlsFolder, of);
    return {
      address: { text: `${name}:1025`, host: "127.0.0.1", port: Number(port) },
      ca: file("ca.pem"),
      issuer: { certificate: file("issuer-user.pem"), key: file("issuer-user.key") },
      certificates: null,
      ...this.tls,
    };
  }

  host(name = "h"): Running {
    const running = this.hosts.get(name);
    if (running === undefined) throw new Error(`${name} is no host`);
    return running;
  }

  load(vm: string, percent: number): void {
    this.host().host.setLoad(vm, percent);
  }

  /** Commands that albatrossd has received, without questions: `create user:web-clone-1`. */
  commands(host = "h"): string[] {
    return this.host(host)
      .requests.filter(({ command }) => !QUESTIONS.includes(command))
      .map(({ command, name }) => `${command} ${name}`);
  }

  /** A fault of a daemon from now on; what comes back ends it. */
  fault(fault: Fault, host = "h"): Promise<() => Promise<void>> {
    return this.host(host).host.misbehave(fault);
  }

  /** Somebody destroys the unikernel and creates another by its name. */
  replace(vm: string, image: string, percent = 150): void {
    const { host } = this.host();
    if (host.vmNames.includes(vm)) host.removeVm(vm);
    host.addVm({ name: vm, load: percent, image, shareLoadWithClones: true });
  }

  cutImages(bytes: number): void {
    const folder = join(this.folder, "images");
    for (const name of readdirSync(folder)) truncateSync(join(folder, name), bytes);
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
    while (this.reading > 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await settle(6);
    }
    for (let looks = 0; this.busy > 0 && looks < 15; looks++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await settle(6);
    }
    // a question by TLS takes longer than its time, which is the fake clock's
    const asked = [...this.hosts.values()].filter(({ host }) => host.tlsAddress !== null);
    const isAsked = () => asked.some(({ host }) => host.connectionCount > OF_A_SUBSCRIPTION);
    for (let looks = 0; isAsked() && looks < 100; looks++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await settle(6);
    }
  }
}

/** To the TLS endpoint, and from there to albatross-stats. */
const OF_A_SUBSCRIPTION = 2;

/** One run of the program on a machine. */
export class Program implements ScalerFiles {
  readonly machine: Machine;
  readonly scaler: Scaler;
  readonly fleet: Fleet;
  config: ScalerConfig;
  #isAlive = true;
  /** images that it has opened */
  readonly #files = new Set<{ close(): Promise<void> }>();
  readonly #targets: Target[] = [];
  /** of targets that are configured */
  readonly #reach = new Map<string, Reach>();
  /** connections of actions, by host */
  readonly #open = new Map<string, readonly Socket[]>();

  constructor(machine: Machine, config: ScalerConfig = acting()) {
    this.machine = machine;
    this.config = config;
    const clock = this.#clock();
    const log = createLogger(
      { level: "info", format: "json" },
      { write: (line) => void machine.events.push(JSON.parse(line)) },
    );
    this.fleet = new Fleet({
      clock,
      deathTimeoutMs: config.defaults.deathTimeoutMs,
      hostCpus: 8,
      gaveUp: (vm) => this.scaler.gaveUp(vm),
    });
    const observed = new FleetSource(this.fleet);
    for (const [name, { dir }] of machine.hosts) {
      if (machine.removed.has(name)) continue;
      const tls = machine.tlsOf(name);
      const target = new Target(
        {
          name,
          ...(tls === null ? { socketDir: dir, tls } : { socketDir: null, tls }),
          enforcesPolicy: true,
          allowRoot: true,
          subscribe: tls === null ? [":"] : [],
          statsIntervalMs: "auto",
          os: "freebsd",
          pageSizeBytes: 4096,
          maxFrameBytes: { stat: 2 ** 20, vmmd: 64 * 2 ** 20 },
          displacedRetryMs: 300_000,
          allowUncheckedPath: true,
        },
        {
          onSample: (sample) => {
            if (!this.#isAlive) return;
            this.fleet.record(sample);
            this.scaler.sampleArrived(sample);
          },
          info: async (entries, askedAtUs) => this.fleet.recordInfo(name, entries, askedAtUs),
          policies: (entries) => this.fleet.recordPolicies(name, entries),
          live: (up) => this.fleet.setLive(name, up),
        },
        clock,
        log,
        { random: () => 0 },
      );
      this.#targets.push(target);
      const endpoint = this.#gated(name, target.endpoint);
      const askInfoSoon = () => target.askInfoSoon();
      const subscribe = tls === null ? [":"] : ["user:"];
      this.#reach.set(name, { endpoint, address: dir, subscribe, maxFrameBytes: 2 ** 20, askInfoSoon });
    }
    this.scaler = new Scaler({
      clock,
      log,
      fleet: observed,
      sources: [observed],
      config,
      targets: () => new Map(Array.from(this.#reach, ([name, { address }]) => [name, address])),
      reach: (host) => this.#reach.get(host) ?? null,
      postHook: async (_, event, { clone }) => this.#hook(event, clone),
      files: this,
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
    this.machine.removed.add(name);
    this.#reach.delete(name);
    this.scaler.reconfigure(this.config);
  }

  /** Ends it as SIGTERM does. */
  async stop(): Promise<void> {
    await this.scaler.stop();
    await this.kill();
  }

  /** Ends it as kill -9 does: nothing that it began goes on. */
  async kill(): Promise<void> {
    this.#isAlive = false;
    for (const file of this.#files) await file.close().catch(() => undefined);
    await Promise.all(this.#targets.map((target) => target.stop()));
  }

  group(name = "user:web", host = "h") {
    const { path, label } = parseName(name);
    return this.scaler.explain({ host, path: path.join(":"), group: label ?? "" });
  }

  /** The oldest first. */
  get actions(): ActionJson[] {
    return [...this.scaler.actions({ limit: 1_000 })].reverse();
  }

  /** `create web-clone-1 verified done`, the oldest first. */
  get told(): string[] {
    return this.actions.map(
      ({ operation, clone, phase, reason }) =>
        `${operation} ${clone} ${phase}${reason === null ? "" : ` ${reason}`}`,
    );
  }

  /** Passes time until this is told. */
  tells(...told: readonly string[]): Promise<void> {
    return this.until(told.join(", "), () => told.every((one) => this.told.includes(one)));
  }

  holds(reason: string): Promise<void> {
    return this.until(`hold ${reason}`, () => this.group()?.reason === reason);
  }

  /** Every target receives, which takes a while by TLS. */
  get isUp(): boolean {
    return this.#targets.every((target) => target.snapshot().up);
  }

  /** Passes time until it is so; fails after this many seconds, telling how actions stand. */
  async until(what: string, condition: () => boolean, seconds = 400): Promise<void> {
    await this.machine.quiet();
    if (condition() || (await this.machine.pass(seconds, condition))) return;
    const { text } = this.group() ?? {};
    throw new Error(`in vain for ${seconds} s: ${what}; ${JSON.stringify(this.told)}; ${text}`);
  }

  state(_: ScalerConfig, onOutcome: (outcome: StateFileOutcome) => void) {
    return this.#file("state", parseState, onOutcome);
  }

  record(_: ScalerConfig, onOutcome: (outcome: StateFileOutcome) => void) {
    return this.#file("record", parseRecord, onOutcome);
  }

  decisions() {
    const append = (lines: readonly string[]) => {
      if (this.#isAlive) this.machine.lines.push(...lines.map((line) => JSON.parse(line)));
    };
    return { append, flush: async () => undefined };
  }

  images(): ImageCache {
    const cache = new ImageCache(join(this.machine.folder, "images"), QUIET);
    const open = cache.open.bind(cache);
    const keepOnly = cache.keepOnly.bind(cache);
    cache.keepOnly = async (digests) => {
      this.machine.busy += 1;
      await keepOnly(digests);
      this.machine.busy -= 1;
    };
    cache.open = async (...wanted): Promise<ImageOutcome> => {
      await this.#gate("image");
      this.machine.busy += 1;
      const opened = await open(...wanted);
      this.machine.busy -= 1;
      if (opened.type === "success") {
        const { file } = opened.value;
        this.#files.add(file);
        const read = file.read.bind(file);
        const counted = async (...of: Parameters<typeof read>) => {
          this.machine.reading += 1;
          return read(...of).finally(() => {
            this.machine.reading -= 1;
          });
        };
        Object.assign(file, { read: counted });
        if (!this.#isAlive) await file.close();
      }
      await this.#gate("image opened");
      return opened;
    };
    return cache;
  }

  /** Resolves unless the program is dead, or dies here; null is no gate to die at. */
  async #gate(what: string | null): Promise<void> {
    if (this.#isAlive && what !== null) this.machine.onGate(this, what);
    if (!this.#isAlive) await new Promise(() => undefined);
  }

  async #hook(event: HookEvent, clone: string): Promise<string | null> {
    await this.#gate(event);
    this.machine.hooks.push(`${event} ${clone}`);
    return this.machine.hookAnswer;
  }

  /** The machine's, whose timers end with the program. */
  #clock(): Clock {
    const { clock } = this.machine;
    const originUs = clock.nowUs() - 5_000_000;
    return {
      nowUs: () => clock.nowUs() - originUs,
      wallMs: () => clock.wallMs(),
      after: (delayMs, callback): Cancel => clock.after(delayMs, () => this.#isAlive && callback()),
    };
  }

  #file<T>(
    which: "state" | "record",
    parse: (text: string) => T,
    onOutcome: (outcome: StateFileOutcome) => void,
  ): Store<T> {
    const { machine } = this;
    return {
      path: `${which}.json`,
      load: () => {
        try {
          return machine[which] === null ? null : parse(machine[which]);
        } catch (error) {
          if (!(error instanceof StateError)) throw error;
          onOutcome("damaged");
          return null;
        }
      },
      save: async (pieces) => {
        await this.#gate(null);
        const text = [...pieces()].join("");
        const isNews = which === "record" || decisionsIn(text) !== decisionsIn(machine.state);
        await this.#gate(isNews ? `before ${which}` : null);
        if (!machine.isReadOnly[which]) machine[which] = text;
        await this.#gate(isNews ? `after ${which}` : null);
        onOutcome(machine.isReadOnly[which] ? "failed" : "written");
        return !machine.isReadOnly[which];
      },
      flush: async () => undefined,
    };
  }

  #gated(host: string, endpoint: Endpoint): Endpoint {
    const { machine } = this;
    return {
      isRemote: endpoint.isRemote,
      reaches: (name) => endpoint.reaches(name),
      describe: (...of) => endpoint.describe(...of),
      explain: (...of) => endpoint.explain(...of),
      whyNotActing: (path) => endpoint.whyNotActing(path),
      dial: async (daemon, put, signal) => {
        const command = commandOf(put);
        await this.#endGate(null, `dial ${command}`);
        machine.onDial(command);
        machine.busy += 1;
        const line = await endpoint.dial(daemon, put, signal).catch((error) => {
          machine.busy -= 1;
          throw error;
        });
        line.socket.once("close", () => {
          machine.busy -= 1;
        });
        const open = (this.#open.get(host) ?? []).filter(({ destroyed }) => !destroyed);
        this.#open.set(host, [...open, line.socket]);
        machine.mostAtOnce = Math.max(machine.mostAtOnce, open.length + 1);
        const step = async (what: string, work: () => Promise<void>) => {
          await this.#endGate(line.socket, `before ${what} ${command}`);
          await work();
          await this.#endGate(line.socket, `after ${what} ${command}`);
        };
        await this.#endGate(line.socket, `connected ${command}`);
        return {
          socket: line.socket,
          begin: () => step("begin", () => line.begin()),
          image: (block) => line.image(block),
          finish: () => step("finish", () => line.finish()),
          chunks: () => line.chunks(),
        };
      },
    };
  }

  /** A process that dies takes its sockets with it, and the files that images come into. */
  async #endGate(socket: { destroy(): unknown } | null, what: string): Promise<void> {
    if (this.#isAlive) this.machine.onGate(this, what);
    if (this.#isAlive) return;
    socket?.destroy();
    if (what.includes(" get ")) throw new Error("the program is dead");
    await new Promise(() => undefined);
  }
}

/** `create user:web-clone-1` */
function commandOf({ name, command }: Put): string {
  const kind = command.class === "policy" ? "policy_info" : "command" in command ? command.command : "other";
  return `${kind} ${formatName(name)}`;
}

/** What a state file says of decisions and their actions: the rest is new at each tick. */
function decisionsIn(text: string | null): string {
  const { groups = [] }: { groups?: Record<string, unknown>[] } = JSON.parse(text ?? "{}");
  const keys = ["outstanding", "failures", "ours", "tombstones", "last_action_ms"];
  return JSON.stringify(groups.map((group) => keys.map((key) => group[key])));
}
