import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { Exporter } from "../../../src/app/exporter.ts";
import { loadConfig } from "../../../src/config/load.ts";
import type { Config } from "../../../src/config/sections.ts";
import { createLogging } from "../../../src/log.ts";
import { SimulatedHost } from "../../../src/simulator/host.ts";
import type { Scenario } from "../../../src/simulator/model.ts";
import type { ReceivedRequest } from "../../../src/simulator/vmmDaemon.ts";
import { OPEN } from "../../../src/web/access.ts";
import { eventually, settle } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fakeClock.ts";
import { temporaryFolder } from "../../support/serving.ts";
import { scenarioOf } from "../../support/simulated.ts";
import { Scrape } from "./exposition.ts";

/** How far one step of `pass` goes at most. Intervals and steps are multiples of each other, so ticks meet steps. */
const STEP_MS = 500;

type LogEvent = Readonly<Record<string, unknown>>;

/**
 * The whole exporter in this process, on a clock that moves only when told to, with real sockets on both sides. What
 * would take hours takes milliseconds, and figures that depend on time are exact.
 */
export class Lab {
  readonly clock: FakeClock;
  readonly folder: string;
  /** events of the exporter's log */
  readonly log: LogEvent[] = [];
  readonly #requests = new Map<string, ReceivedRequest[]>();
  #exporter: Exporter | null = null;
  #config: Config | null = null;

  private constructor(folder: string, clock: FakeClock) {
    this.folder = folder;
    this.clock = clock;
  }

  static async make(clock = new FakeClock()): Promise<Lab> {
    const lab = new Lab(await temporaryFolder(), clock);
    onTestFinished(() => lab.stop());
    return lab;
  }

  /**
   * A simulated host on the same clock, its sockets in `lab.socketDir(name)`; stops with the test. What clients of its TLS
   * endpoint need, if it has one, is in `tls` there.
   */
  async simulate(name: string, scenario: Partial<Scenario>, hasTls = false): Promise<SimulatedHost> {
    const tls = { address: { host: "127.0.0.1", port: 0 }, folder: join(this.socketDir(name), "tls") };
    const received: ReceivedRequest[] = [];
    this.#requests.set(name, received);
    const options = {
      socketDir: this.socketDir(name),
      clock: this.clock,
      tls: hasTls ? tls : undefined,
      onRequest: (request: ReceivedRequest) => received.push(request),
    };
    const host = new SimulatedHost(scenarioOf(scenario), options);
    await host.start();
    onTestFinished(() => host.stop());
    return host;
  }

  /** What albatrossd of a simulated host has been asked and told, in order. */
  requests(host: string): readonly ReceivedRequest[] {
    return this.#requests.get(host) ?? [];
  }

  socketDir(host: string): string {
    return join(this.folder, host);
  }

  /**
   * Starts the exporter with these targets, for Linux and pages of 4096 bytes, whose `settings` are YAML; reached by
   * sockets unless those say `tls`. What Node says
   * about itself is left out of `/metrics` unless `runtime`. `scaler` are keys of that section, as a flow mapping has them.
   */
  async serve(
    targets: readonly { name: string; settings?: string }[],
    { runtime = false, scaler: keys = "" }: { runtime?: boolean; scaler?: string } = {},
  ): Promise<void> {
    const lines = targets.map(
      ({ name, settings = "" }) =>
        `  - { name: ${name}, ${settings.includes("tls:") ? "" : `socket_dir: ${this.socketDir(name)}, `}${settings} }`,
    );
    const web = `{ listen_addresses: ["127.0.0.1:0"], disable_exporter_metrics: ${!runtime} }`;
    const scaler = `{ state_file: ${join(this.folder, "state.json")}, decision_log: ${join(this.folder, "decisions.log")}, ${keys} }`;
    const yaml = `targets:\n${lines.join("\n")}\nweb: ${web}\nscaler: ${scaler}\n`;
    const loaded = loadConfig("lab.yaml", yaml, {
      name: "local",
      isContainer: false,
      os: "linux",
      pageSizeBytes: 4096,
    });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    this.#config = loaded.config;
    const write = (line: string) => void this.log.push(JSON.parse(line));
    this.#exporter = new Exporter({
      config: loaded.config,
      access: { current: () => OPEN },
      reload: async () => undefined,
      clock: this.clock,
      logging: createLogging({ level: "info", format: "json" }, { write }),
      build: { name: "albatross-exporter", version: "1.2.3", revision: "abc", nodeVersion: "20" },
    });
    await this.#exporter.start();
    await settle();
  }

  /** Reads the configuration again, which has not changed. */
  async reload(): Promise<void> {
    if (this.#exporter === null || this.#config === null) throw new Error("nothing is served");
    await this.#exporter.change(this.#config);
    await settle();
  }

  get url(): string {
    return this.#exporter?.urls[0] ?? "";
  }

  scrape(format?: "text" | "openmetrics"): Promise<Scrape> {
    return Scrape.of(this.url, format);
  }

  /** Moves time on, a step after the other, and lets everything happen that sockets have ready at each. */
  async pass(ms: number, stepMs = STEP_MS): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(stepMs, left));
      await settle();
    }
  }

  /** Moves time on until a scrape is as it should be; fails when that takes longer than `withinMs` on the clock. */
  async passUntil(
    what: string,
    holds: (scrape: Scrape) => boolean,
    { withinMs = 60_000, stepMs = STEP_MS } = {},
  ): Promise<Scrape> {
    for (let passedMs = 0; ; passedMs += stepMs) {
      const scrape = await this.scrape();
      if (holds(scrape)) return scrape;
      if (passedMs >= withinMs) throw new Error(`${what}: not within ${withinMs} ms\n${scrape.text}`);
      await this.pass(stepMs, stepMs);
    }
  }

  /** The messages logged at a level, in order. */
  logged(level: "info" | "warn" | "error"): string[] {
    return this.log.filter((event) => event["level"] === level).map(({ msg }) => String(msg));
  }

  /** Ends the exporter; everything it opened must be closed then, and no timer wait. */
  async stop(): Promise<void> {
    const exporter = this.#exporter;
    this.#exporter = null;
    if (exporter === null) return;
    const stopped = exporter.stop();
    await settle();
    await stopped;
  }
}

/** What is open and waiting, of the exporter and the hosts it reads, all in this process. */
export class OpenThings {
  readonly #lab: Lab;
  readonly #hosts: readonly SimulatedHost[];

  constructor(lab: Lab, ...hosts: readonly SimulatedHost[]) {
    this.#lab = lab;
    this.#hosts = hosts;
  }

  get now(): object {
    return {
      timers: this.#lab.clock.pendingTimers,
      connections: this.#hosts.map((host) => host.connectionCount),
      sockets: openSockets("self"),
    };
  }

  /** Holds once it is again what it was: closing a socket takes a turn or two. */
  async areAgain(before: object): Promise<void> {
    const same = () => JSON.stringify(this.now) === JSON.stringify(before);
    await eventually(() => `${JSON.stringify(this.now)} to be ${JSON.stringify(before)}`, same);
    expect(this.now).toEqual(before);
  }
}

/** How many sockets a process has open, by what the kernel says. */
export function openSockets(pid: number | "self"): number {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`).startsWith("socket:");
    } catch {
      // Closed since the folder was read, as the one that reads it always is.
      return false;
    }
  }).length;
}
