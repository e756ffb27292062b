import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../src/demo/freePort.ts";

const WALL_CLOCK = new URL("./wallClock.mjs", import.meta.url).href;
const START_DEADLINE_MS = 60_000;
export const SCRAPE_SECONDS = 10;

/** An event of an exporter's log, when it was read here. */
export interface LogEvent {
  readonly atMs: number;
  readonly msg: string;
  readonly client?: string;
}

/** A program in a process of its own, and what it logged. */
export class Program {
  readonly events: LogEvent[] = [];
  readonly child: ChildProcess;
  readonly #shiftFile: string;

  constructor(args: readonly string[], folder: string, name: string) {
    this.#shiftFile = join(folder, `${name}.shift`);
    this.child = spawn(process.execPath, ["--import", WALL_CLOCK, ...args], {
      cwd: folder,
      env: { ...process.env, STATE_DIRECTORY: folder, WALL_SHIFT: this.#shiftFile },
      stdio: ["ignore", "ignore", "pipe"],
    });
    if (this.child.stderr === null) throw new Error("no log to read");
    createInterface({ input: this.child.stderr }).on("line", (line) => {
      if (line.startsWith("{")) this.events.push({ atMs: performance.now(), ...JSON.parse(line) });
    });
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Steps its wall clock, which is then so far ahead of the machine's. */
  shiftClock(ms: number): void {
    writeFileSync(this.#shiftFile, String(ms));
  }

  /** Lines that match since then, of this client alone if one is named. */
  told(pattern: RegExp, sinceMs: number, address?: string): number {
    return this.events.filter(
      ({ atMs, msg, client }) =>
        atMs >= sinceMs && pattern.test(msg) && (address === undefined || client === address),
    ).length;
  }

  /** Waits until a line that matches has been logged since then; false when it takes too long. */
  untilTold(pattern: RegExp, sinceMs: number, patienceMs = 20_000): Promise<boolean> {
    return until(() => this.told(pattern, sinceMs) > 0, patienceMs);
  }

  /** Its exit code, or the signal that ended it. */
  async stop(): Promise<number | string | null> {
    const ended = once(this.child, "exit");
    if (this.isRunning) {
      this.child.kill("SIGTERM");
      await ended;
    }
    return this.child.exitCode ?? this.child.signalCode;
  }
}

export async function until(holds: () => boolean | Promise<boolean>, patienceMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + patienceMs;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) return false;
    await sleep(100);
  }
  return true;
}

/** A large host with the exporter that has to live through everything, a small host for exporters that start anew, Prometheus. */
export class World {
  readonly folder: string;
  readonly main: string;
  readonly vms: number;
  readonly port: number;
  readonly host: Program;
  readonly exporter: Program;
  readonly #prometheus: ChildProcess;
  readonly #prometheusUrl: string;
  readonly #smallHost: Program;

  private constructor(
    parts: Pick<World, "folder" | "main" | "vms" | "port" | "host" | "exporter">,
    rest: { prometheus: ChildProcess; url: string; smallHost: Program },
  ) {
    this.folder = parts.folder;
    this.main = parts.main;
    this.vms = parts.vms;
    this.port = parts.port;
    this.host = parts.host;
    this.exporter = parts.exporter;
    this.#prometheus = rest.prometheus;
    this.#prometheusUrl = rest.url;
    this.#smallHost = rest.smallHost;
  }

  /** Starts everything with the build in `build`, and waits until every VM is served. */
  static async start(build: string, vms: number): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), "chaos-"));
    const main = join(resolve(build), "main.js");
    const [port, prometheusPort] = [await freePort(0), await freePort(0)];
    const simulate = async (name: string, scenario: string) => {
      await writeFile(join(folder, `${name}.yaml`), scenario);
      const program = new Program([main, "simulate", `${name}.yaml`, "--socket-dir", name], folder, name);
      await until(() => existsSync(join(folder, name, "vmmd.sock")), START_DEADLINE_MS);
      return program;
    };
    const host = await simulate("host", scenarioOf(vms));
    const smallHost = await simulate("small", scenarioOf(3));
    await mkdir(join(folder, "main"));
    await writeFile(join(folder, "main.yaml"), configOf({ host: join(folder, "host"), state: "main", port }));
    const exporter = new Program(
      [main, "--config.file", "main.yaml", "--log.format", "json"],
      folder,
      "exporter",
    );
    const scrape = `scrape_interval: ${SCRAPE_SECONDS}s, scrape_timeout: ${SCRAPE_SECONDS}s`;
    const job = `{ job_name: chaos, static_configs: [{ targets: ["127.0.0.1:${port}"] }] }`;
    await writeFile(join(folder, "prometheus.yml"), `global: { ${scrape} }\nscrape_configs: [${job}]\n`);
    const prometheus = spawn(
      "prometheus",
      [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=tsdb",
        `--web.listen-address=127.0.0.1:${prometheusPort}`,
      ],
      { cwd: folder, stdio: "ignore" },
    );
    const parts = { folder, main, vms, port, host, exporter };
    const world = new World(parts, { prometheus, url: `http://127.0.0.1:${prometheusPort}`, smallHost });
    const isServed = async () =>
      (await world.query(`count(${GAUGES})`).catch(() => [])).at(-1)?.value === vms;
    if (await until(isServed, 2 * START_DEADLINE_MS)) return world;
    await world.stop();
    throw new Error("not every VM is served");
  }

  /** An exporter of the small host that starts anew, with its state in `state`. */
  async startAside(state: string): Promise<Program> {
    const name = "aside";
    await writeFile(
      join(this.folder, "aside.yaml"),
      configOf({ host: join(this.folder, "small"), state, port: await freePort(0) }),
    );
    return new Program([this.main, "--config.file", "aside.yaml", "--log.format", "json"], this.folder, name);
  }

  /** The values of a query's only series over the run, oldest first. */
  async query(promql: string, rangeSeconds = 0): Promise<{ atMs: number; value: number }[]> {
    const end = Date.now() / 1000;
    const range = { start: String(end - rangeSeconds), end: String(end), step: String(SCRAPE_SECONDS) };
    const parameters = new URLSearchParams({ query: promql, ...range });
    const answer = await fetch(`${this.#prometheusUrl}/api/v1/query_range?${parameters}`);
    const { data } = (await answer.json()) as { data?: { result: { values: [number, string][] }[] } };
    const wallToMonotonic = performance.now() - Date.now();
    return (data?.result[0]?.values ?? []).map(([at, value]) => ({
      atMs: at * 1000 + wallToMonotonic,
      value: Number(value),
    }));
  }

  async metric(name: string): Promise<number> {
    let text = "";
    // On a machine that has no time for this process, it is itself a client that is cut.
    for (let tries = 0; text === "" && tries < 10; tries++) {
      const answer = await fetch(`http://127.0.0.1:${this.port}/metrics`).catch(() => null);
      text = (await answer?.text().catch(() => null)) ?? "";
    }
    const line = text.split("\n").find((one) => one.startsWith(`${name} `));
    return Number(line?.slice(name.length + 1));
  }

  /** Ends everything; the exporter's exit code. */
  async stop(): Promise<number | string | null> {
    const code = await this.exporter.stop();
    this.#prometheus.kill("SIGTERM");
    await Promise.all([this.host.stop(), this.#smallHost.stop(), once(this.#prometheus, "exit")]);
    await rm(this.folder, { recursive: true, force: true });
    return code;
  }
}

/** VMs that never crash, and are never away. */
export const GAUGES = 'albatross_vm_cpu_usage_percent{path="load"}';

/** VMs that stay, some that crash, and groups whose decisions change all the time. */
function scenarioOf(vms: number): string {
  const flaps = Array.from(
    { length: 5 },
    (_, n) =>
      `  - { name: "flap:vm-${n}", load: { steps: [{ at: ${n}s, percent: 95 }, { at: ${n + 5}s, percent: 20 }] } }`,
  );
  return `interval: 1s
repeat_every: 10s
vms:
  - { name: "load:vm-{n}", count: ${vms}, load: { sine: { mean: 40, amplitude: 30, period: 10s } } }
  - { name: "churn:vm-{n}", count: ${Math.ceil(vms / 50)}, load: { constant: 20 }, crashes: [3s], down_for: 2s }
${flaps.join("\n")}
`;
}

function configOf({ host, state, port }: { host: string; state: string; port: number }): string {
  return `targets: [{ name: chaos, socket_dir: ${host} }]
web: { listen_addresses: ["127.0.0.1:${port}"], write_timeout: 10s }
exporter: { stale_after: 15s }
scaler:
  poll_interval: 1s
  state_file: ${state}/scaler-state.json
  decision_log: ${state}/decisions.ndjson
  defaults: { warmup_period: 0s, cooldown_period: 2s, death_timeout: 30s, scale_up_trigger_ticks: 2, scale_down_trigger_ticks: 2 }
  policies: [{ match: "flap:*" }]
`;
}
