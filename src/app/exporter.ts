import { cpus } from "node:os";
import { dirname, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Target, type TargetSink, type TargetSnapshot } from "../client/target.ts";
import { type Clock, inTurns } from "../clock.ts";
import { statePath } from "../config/load.ts";
import { type Config, formatWebAddress, routePrefixOf } from "../config/sections.ts";
import type { TargetConfig } from "../config/target.ts";
import { type CollectInput, collectFamilies } from "../exporter/collect.ts";
import { SelfMetrics } from "../exporter/selfMetrics.ts";
import type { Family } from "../exposition/family.ts";
import { Fleet } from "../fleet/fleet.ts";
import { MOST_HOST_CPUS, type VmWarning } from "../fleet/hostVms.ts";
import type { FleetSnapshot } from "../fleet/types.ts";
import type { Logging } from "../log.ts";
import { actsOn } from "../scaler/actions/executor.ts";
import { hookPoster } from "../scaler/actions/hooks.ts";
import { filesOnDisk, Scaler } from "../scaler/scaler.ts";
import { FleetSource } from "../scaler/sources/fleet.ts";
import { connectPrometheus } from "../scaler/sources/prometheus.ts";
import { PromqlSource } from "../scaler/sources/promql.ts";
import { UnreadableState } from "../scaler/state/savedState.ts";
import { lockStateFolder, StateFolderError } from "../scaler/state/stateFile.ts";
import { Broadcast } from "../trace/broadcast.ts";
import { TraceLines, type TraceMessage } from "../trace/lines.ts";
import type { BuildInfo } from "../version.ts";
import type { Access } from "../web/access.ts";
import { createApp, type LastReload } from "../web/app.ts";
import { ListenError } from "../web/listen.ts";
import { Listeners } from "../web/server.ts";

interface ExporterOptions {
  readonly config: Config;
  readonly access: Pick<Access, "current">;
  readonly clock: Clock;
  readonly logging: Logging;
  readonly build: BuildInfo;
  /** Reads the configuration again: resolves when it was taken, or refused (see `configRead`). */
  readonly reload: () => Promise<void>;
}

/** Whether an error is one of those with which a configuration is refused. */
export function isRefusal(error: unknown): error is Error {
  return (
    error instanceof ListenError || error instanceof StateFolderError || error instanceof UnreadableState
  );
}

/** The running program: targets into the fleet, the fleet onto the web and to the scaler. */
export class Exporter {
  readonly #access: Pick<Access, "current">;
  readonly #clock: Clock;
  readonly #logging: Logging;
  readonly #fleet: Fleet;
  readonly #listeners: Listeners;
  readonly #stream: Broadcast<TraceMessage>;
  readonly #lines: TraceLines;
  readonly #metrics: SelfMetrics;
  readonly #scaler: Scaler;
  #config: Config;
  /** the folder of the state file, kept from other programs */
  #stateLock: { readonly folder: string; readonly release: () => Promise<void> } | null = null;
  #running: readonly Target[] = [];
  #ready = false;
  #lastReload: LastReload = { timeMs: 0, problems: [] };

  constructor({ config, access, clock, logging, build, reload }: ExporterOptions) {
    const { log } = logging;
    this.#config = config;
    this.#access = access;
    this.#clock = clock;
    this.#logging = logging;
    this.#metrics = new SelfMetrics(build);
    this.#stream = new Broadcast(() => this.#lines.known(this.#fleet.listedVms()));
    this.#lines = new TraceLines(this.#stream, clock);
    this.#fleet = new Fleet({
      clock,
      deathTimeoutMs: config.scaler.defaults.deathTimeoutMs,
      // none where a container hides them
      hostCpus: cpus().length || MOST_HOST_CPUS,
      onWarning: (warning) => log.warn({ ...warning }, VM_WARNINGS[warning.kind]),
      needsInfo: (host) => this.#running.find(({ config }) => config.name === host)?.askInfoSoon(),
      gaveUp: (vm) => this.#scaler.gaveUp(vm),
    });
    const observed = new FleetSource(this.#fleet);
    const promql = new PromqlSource({
      clock,
      fleet: observed,
      config: () => this.#config.scaler,
      connect: connectPrometheus,
      onLoad: (group, load, { nowUs }) => this.#lines.load(group, load, nowUs),
    });
    this.#scaler = new Scaler({
      clock,
      log,
      fleet: observed,
      sources: [promql],
      config: config.scaler,
      // while a reload stops one, what is remembered is still of where it was
      targets: () => new Map(this.#running.map(({ config }) => [config.name, placeOf(config)])),
      reach: (host) => {
        const target = this.#running.find(({ config }) => config.name === host);
        if (target === undefined) return null;
        const { config, endpoint, subscribed } = target;
        const maxFrameBytes = config.maxFrameBytes.vmmd;
        const askInfoSoon = () => target.askInfoSoon();
        return { endpoint, address: placeOf(config), subscribe: subscribed, maxFrameBytes, askInfoSoon };
      },
      postHook: hookPoster(clock),
      files: filesOnDisk({ clock, log, resolvePath: statePath }),
      onTick: (atUs) => this.#lines.tick(atUs),
    });
    const app = createApp({
      clock,
      log,
      build,
      metrics: this.#metrics,
      scaler: this.#scaler,
      stream: this.#stream,
      access,
      config: () => this.#config,
      lastReload: () => this.#lastReload,
      isReady: () => this.#ready,
      targets: () => this.#targets(),
      snapshot: () => this.#snapshot(),
      collect: (isAsked) => this.#collect(isAsked),
      reload,
    });
    this.#listeners = new Listeners({
      app,
      access,
      clock,
      log,
      metrics: this.#metrics,
      config: () => this.#config,
    });
  }

  /** Listens and begins to read the targets. Throws, nothing begun, what `isRefusal` knows. */
  async start(): Promise<void> {
    await this.#take(this.#config);
    await this.#read(this.#config.targets);
    try {
      this.#scaler.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.configRead();
    this.#ready = true;
    const { web } = this.#config;
    for (const { url } of this.#listeners.addresses) {
      const metrics = `${url}${routePrefixOf(web)}${web.telemetryPath}`;
      this.#logging.log.info({ url: metrics }, "serving metrics");
    }
    this.#sayWhoMayRead();
  }

  /** Exporters are open by default. Whoever runs one is to know it. */
  #sayWhoMayRead(): void {
    const { web, scaler } = this.#config;
    const isOpen = this.#listeners.addresses.some(({ host }) => [null, "0.0.0.0", "::"].includes(host));
    if (this.#access.current().files.length > 0 || !isOpen) return;
    const what = actsOn(scaler) ? "everything here, and this program acts on its hosts" : "everything here";
    this.#logging.log.warn(
      { addresses: web.listenAddresses.map(formatWebAddress).join() },
      `no --web.config.file: without TLS and users everybody who reaches this machine may read ${what}`,
    );
  }

  /** Where it can be reached: `http://127.0.0.1:10042`. */
  get urls(): readonly string[] {
    return this.#listeners.addresses.map(({ url }) => url);
  }

  /** Puts another configuration in force. Throws as `start` does, the one before in force. */
  async change(config: Config): Promise<void> {
    await this.#take(config);
    this.#config = config;
    this.#fleet.setDeathTimeout(config.scaler.defaults.deathTimeoutMs);
    await this.#read(config.targets);
    this.#scaler.reconfigure(config.scaler);
    this.configRead();
  }

  configRead(problems: readonly string[] = []): void {
    this.#lastReload = { timeMs: this.#clock.wallMs(), problems };
    this.#metrics.configRead(problems.length === 0, this.#lastReload.timeMs);
  }

  /** No more ticks; resolves when what the scaler remembers is on the disk. */
  keepState(): Promise<void> {
    return this.#scaler.stop();
  }

  /** Keeps what the scaler remembers, finishes the responses on the way, leaves the hosts. */
  async stop(): Promise<void> {
    this.#ready = false;
    this.#stream.close();
    await Promise.all([this.keepState(), this.#listeners.stop()]);
    await Promise.all(this.#running.map((target) => target.stop()));
    await this.#stateLock?.release();
  }

  /** Takes a configuration's addresses and state folder in place of those before: all or nothing. */
  async #take({ web, scaler }: Config): Promise<void> {
    const before = this.#stateLock;
    const path = scaler.policies.length === 0 ? null : resolve(statePath(scaler.stateFile));
    // without policies no state is kept, but the record of what was done is
    const isInUse = path === null ? this.#scaler.hasActed : dirname(path) === before?.folder;
    const isKept = before !== null && isInUse;
    const next =
      path === null || isKept
        ? null
        : { folder: dirname(path), release: await lockStateFolder(path, this.#logging.log) };
    try {
      await this.#listeners.apply(web.listenAddresses);
    } catch (error) {
      await next?.release();
      throw error;
    }
    if (isKept) return;
    this.#stateLock = next;
    await before?.release();
  }

  /** Those whose settings are as before go on; the others stop before any starts, lest two want one subscription. */
  async #read(configs: readonly TargetConfig[]): Promise<void> {
    const kept = this.#running.filter(
      ({ config, isOutdated }) => !isOutdated && configs.some((other) => isDeepStrictEqual(config, other)),
    );
    const ended = this.#running.filter((target) => !kept.includes(target));
    await Promise.all(ended.map((target) => target.stop()));
    for (const { config, isOutdated } of ended) {
      const successor = configs.find(({ name }) => name === config.name);
      const isSameHost = successor !== undefined && placeOf(successor) === placeOf(config);
      // what is subscribed to by TLS follows from certificates
      const reads = ({ subscribe, tls }: TargetConfig) => [subscribe, tls];
      const isReadAsBefore = isSameHost && !isOutdated && isDeepStrictEqual(reads(successor), reads(config));
      if (!isReadAsBefore) this.#fleet.removeHost(config.name);
      if (!isSameHost) this.#scaler.forgetHost(config.name);
    }
    this.#running = configs.map((config) => {
      const running = kept.find((one) => isDeepStrictEqual(one.config, config));
      if (running !== undefined) return running;
      const target = new Target(config, this.#sinkOf(config.name), this.#clock, this.#logging.log, {
        forgetAfterUs: () => this.#config.scaler.defaults.deathTimeoutMs * 1000,
      });
      target.start();
      return target;
    });
  }

  #targets(): readonly TargetSnapshot[] {
    return this.#running.map((target) => target.snapshot());
  }

  #sinkOf(host: string): TargetSink {
    return {
      onSample: (sample) => {
        this.#fleet.record(sample);
        this.#lines.sample(sample);
        this.#scaler.sampleArrived(sample);
      },
      info: async (entries, askedAtUs) => {
        await inTurns(this.#fleet.infoSteps(host, entries, askedAtUs));
        this.#lines.info(host, entries);
      },
      policies: (entries) => this.#fleet.recordPolicies(host, entries),
      live: (up) => {
        this.#fleet.setLive(host, up);
        this.#lines.live(host, up);
      },
    };
  }

  async #collect(isAsked: CollectInput["isAsked"]): Promise<Family[]> {
    const families = collectFamilies({
      snapshot: this.#snapshot(),
      targets: this.#targets(),
      config: this.#config,
      counts: this.#metrics,
      ...(isAsked && { isAsked }),
    });
    this.#metrics.logLinesLost(this.#logging.lostLines);
    const own = await this.#metrics.families({ runtime: !this.#config.web.disableExporterMetrics });
    return [...own, ...families, ...(await this.#scaler.families())];
  }

  #snapshot(): FleetSnapshot {
    const { staleAfter } = this.#config.exporter;
    return this.#fleet.snapshot({
      staleAfterUs: (_, intervalUs) =>
        "ms" in staleAfter ? staleAfter.ms * 1000 : staleAfter.intervals * intervalUs,
    });
  }
}

/** What a target's state belongs to. */
function placeOf({ tls, socketDir }: TargetConfig): string {
  return tls === null ? resolve(socketDir) : tls.address.text;
}

const VM_WARNINGS: Readonly<Record<VmWarning["kind"], string>> = {
  assumed_cpu: "a VM taken to have one CPU uses more: is unikernel info out of reach?",
  usage: "a VM's counters say that it used more CPU than it has: such steps count as no measurement",
  decrease: "a VM's counters went back though it was not restarted: such steps count as no measurement",
};
