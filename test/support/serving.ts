import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { SimulatedHost } from "../../src/simulator/host.ts";
import { vmSpec } from "../../src/simulator/model.ts";
import { parseName } from "../../src/wire/names.ts";
import { PATIENCE_MS } from "./eventually.ts";
import { scenarioOf } from "./simulated.ts";

/** The program as it is built, which is fresh in end-to-end tests only. */
export const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

export interface LaunchOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** run in the configuration's folder without --config.file */
  readonly inFolder?: boolean;
}

/** A directory that goes away with the test. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "serving-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A simulated host in `folder`, on the machine's clock, with `count` VMs `load:vm-1` and so on; stops with the test. */
export async function startSimulatedHost(
  folder: string,
  count: number,
  intervalMs = 500,
): Promise<SimulatedHost> {
  const vms = Array.from({ length: count }, (_, index) =>
    vmSpec({
      name: parseName(`load:vm-${index + 1}`),
      load: { type: "constant", percent: 50 },
      cpuids: [index],
    }),
  );
  const host = new SimulatedHost(scenarioOf({ intervalMs, vms }), {
    socketDir: folder,
    clock: systemClock(),
  });
  await host.start();
  onTestFinished(() => host.stop());
  return host;
}

/** The program as `serve` in a process of its own, its log as JSON; ends with the test. */
export class Serving {
  readonly configFile: string;
  /** Events of the log so far. */
  readonly events: Record<string, unknown>[] = [];
  /** Lines on stderr that are no events. */
  readonly otherLines: string[] = [];
  readonly exited: Promise<number | null>;
  /** What has ended it, once `exited` resolves with null. */
  endedBy: NodeJS.Signals | null = null;
  readonly #child: ChildProcess;
  #watchers: (() => void)[] = [];
  #running = true;

  private constructor(configFile: string, args: readonly string[], options: LaunchOptions) {
    const { env = {}, inFolder = false } = options;
    const config = inFolder ? [] : ["--config.file", configFile];
    this.configFile = configFile;
    this.#child = spawn(process.execPath, [MAIN, ...config, "--log.format", "json", ...args], {
      stdio: ["ignore", "ignore", "pipe"],
      ...(inFolder && { cwd: dirname(configFile) }),
      // What it writes stays where its configuration is.
      env: { ...process.env, STATE_DIRECTORY: dirname(configFile), ...env },
    });
    let rest = "";
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.startsWith("{")) this.events.push(JSON.parse(line));
        else this.otherLines.push(line);
      }
      this.#look();
    });
    this.exited = new Promise((resolve) => {
      this.#child.once("close", (code, signal) => {
        this.#running = false;
        this.endedBy = signal;
        resolve(code);
        this.#look();
      });
    });
  }

  /** Starts it with this configuration and waits until it serves. */
  static async start(
    folder: string,
    config: string,
    args: readonly string[] = [],
    options: LaunchOptions = {},
  ): Promise<Serving> {
    const serving = await Serving.launch(folder, config, args, options);
    await serving.logged("serving metrics");
    return serving;
  }

  /** The same without waiting for anything. */
  static async launch(
    folder: string,
    config: string,
    args: readonly string[] = [],
    options: LaunchOptions = {},
  ): Promise<Serving> {
    const configFile = join(folder, "config.yaml");
    await writeFile(configFile, config);
    const serving = new Serving(configFile, args, options);
    onTestFinished(async () => {
      serving.signal("SIGKILL");
      await serving.exited;
    });
    return serving;
  }

  /** Resolves with the events whose message is `msg`, as soon as there are `count` of them. */
  logged(msg: string, count = 1): Promise<Record<string, unknown>[]> {
    return new Promise((resolve, reject) => {
      const matching = () => this.events.filter((event) => event["msg"] === msg);
      const fail = (why: string) => reject(new Error(`${why} while waiting for "${msg}": ${this.#said()}`));
      const timer = setTimeout(() => fail("patience is over"), PATIENCE_MS);
      const look = () => {
        if (matching().length < count && this.#running) return;
        clearTimeout(timer);
        this.#watchers = this.#watchers.filter((watcher) => watcher !== look);
        if (matching().length >= count) resolve(matching());
        else fail("it ended");
      };
      this.#watchers.push(look);
      look();
    });
  }

  /** Resolves when it has said `text` on a line that is no event. */
  said(text: string): Promise<unknown> {
    return until(
      text,
      async () => this.otherLines.join("\n"),
      (lines) => lines.includes(text) || !this.#running,
    );
  }

  get hasEnded(): boolean {
    return !this.#running;
  }

  /** Of its process. */
  get pid(): number {
    if (this.#child.pid === undefined) throw new Error("it was never started");
    return this.#child.pid;
  }

  /** Where it serves: the first address it told of. */
  get url(): string {
    const event = this.events.find(({ msg }) => msg === "serving metrics");
    return new URL(String(event?.["url"])).origin;
  }

  /** The route prefix that it serves below, as it told. */
  get prefix(): string {
    const event = this.events.find(({ msg }) => msg === "serving metrics");
    return new URL(String(event?.["url"])).pathname.replace(/\/metrics$/, "");
  }

  async get(path: string): Promise<string> {
    const response = await fetch(this.url + path, { headers: { accept: "text/plain", connection: "close" } });
    return response.text();
  }

  /** The value of one series in `/metrics`; undefined while it is not there. */
  async metric(series: string): Promise<number | undefined> {
    const line = (await this.get("/metrics"))
      .split("\n")
      .find((candidate) => candidate.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  }

  /** Whether what it logs is read, which it is until told otherwise. */
  readLog(isRead: boolean): void {
    if (isRead) this.#child.stderr?.resume();
    else this.#child.stderr?.pause();
  }

  /** How many bytes of what it logs have come while nobody reads it. */
  get unreadBytes(): number {
    return this.#child.stderr?.readableLength ?? 0;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  #look(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }

  #said(): string {
    return JSON.stringify([...this.otherLines, ...this.events]);
  }
}

/** A scrape of 4,000 VMs, whose response is far larger than what the sockets hold on the way and has begun to come. */
export async function bigScrape(
  folder: string,
  more = "",
): Promise<{ readonly serving: Serving; readonly socket: Socket }> {
  await startSimulatedHost(folder, 4_000, 2_000);
  const config = `targets: [{ name: demo, socket_dir: ${folder} }]\nexporter: { stale_after: 1m }\nweb: { listen_addresses: ["127.0.0.1:0"] }\n${more}`;
  const serving = await Serving.start(folder, config);
  await until(
    "all VMs",
    () => serving.get("/api/v1/vms"),
    (text) => text.includes("vm-4000"),
  );
  const socket = connect(Number(new URL(serving.url).port), "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.write("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n");
  await once(socket, "readable");
  return { serving, socket };
}

/** Asks again every 50 ms until `read` gives a value that holds; fails when patience is over. */
export async function until<T>(
  what: string,
  read: () => Promise<T>,
  holds: (value: T) => boolean,
): Promise<T> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (performance.now() > giveUpAt)
      throw new Error(`waited in vain for ${what}; last: ${String(value).slice(0, 200)}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}
