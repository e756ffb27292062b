import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/clock.ts";
import { freePort } from "../../src/demo/freePort.ts";
import { SimulatedHost } from "../../src/simulator/host.ts";
import type { Scenario } from "../../src/simulator/model.ts";
import { writeConfigs } from "./configs.ts";
import { installed, Program } from "./program.ts";
import { type Notification, Receiver } from "./receiver.ts";

/** How Debian calls Alertmanager, and everybody else. */
const ALERTMANAGER = ["prometheus-alertmanager", "alertmanager"];

export interface StackOptions {
  /** what the hosts play, by their names as targets */
  readonly hosts: Readonly<Record<string, Scenario>>;
  /**
   * How many times as fast as shipped everything goes that has a duration in a configuration file: scrapes, rules,
   * notifications, the scaler. Scenarios have intervals of their own. Default: 1
   */
  readonly speed?: number;
  /** more settings of the hosts as targets, by their names: `subscribe` and the like */
  readonly targets?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** the section `scaler` of the exporter's configuration: policies, mostly */
  readonly scaler?: Readonly<Record<string, unknown>>;
  /** on 127.0.0.1; another one where it is taken, and any by default */
  readonly ports?: {
    readonly exporter?: number;
    readonly prometheus?: number;
    readonly alertmanager?: number;
  };
  /** run the exporter from its sources (default) or from dist */
  readonly program?: "sources" | "built";
  /** what happens on a host, for people */
  readonly onEvent?: (host: string, text: string) => void;
  readonly onNotification?: (notification: Notification) => void;
}

/** One sample of a PromQL query's answer. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** An alert as Alertmanager knows it. */
export interface KnownAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly status: {
    readonly state: "unprocessed" | "active" | "suppressed";
    readonly inhibitedBy: string[];
  };
  readonly fingerprint: string;
}

/** Simulated hosts, an exporter, Prometheus and Alertmanager, all running. */
export interface Stack {
  readonly folder: string;
  readonly hosts: Readonly<Record<string, SimulatedHost>>;
  readonly exporter: Program;
  readonly prometheus: Program;
  readonly alertmanager: Program;
  /** where people look at alerts: an address of Prometheus; one of Alertmanager, or a command where it has no pages */
  readonly lookAt: { readonly prometheus: string; readonly alertmanager: string };
  /** everything that Alertmanager has sent to its receivers so far */
  readonly notifications: readonly Notification[];
  /** Resolves to what ended on its own, and why. */
  readonly broken: Promise<string>;
  /** The answer of Prometheus to a query for an instant vector, now. */
  query(promql: string): Promise<Sample[]>;
  /** The alerts that Alertmanager knows now. */
  alerts(): Promise<KnownAlert[]>;
  /** Ends everything and removes its files. */
  stop(): Promise<void>;
}

/** Which of the programs that the stack needs are not installed, as the names of their Debian packages. */
export function missingPackages(): string[] {
  const needed = { prometheus: ["prometheus"], "prometheus-alertmanager": ALERTMANAGER };
  return Object.entries(needed)
    .filter(([, commands]) => installed(...commands) === null)
    .map(([name]) => name);
}

/**
 * Starts simulated hosts, an exporter that reads them, and the installed Prometheus and Alertmanager with the shipped
 * scrape configuration, rules and Alertmanager example. Throws, and leaves nothing behind, when one of them does not start.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { speed = 1, targets = {}, scaler = {}, ports = {} } = options;
  const folder = await mkdtemp(join(tmpdir(), "albatross-stack-"));
  /** what ends what was started, the last first */
  const undo: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async () => {
    for (let end = undo.pop(); end !== undefined; end = undo.pop()) await end();
  };
  const run = async (name: string, address: string, command: string, args: readonly string[]) => {
    const program = await Program.start({ name, command, args, url: `http://${address}` });
    undo.push(() => program.stop());
    return program;
  };
  try {
    const receiver = await Receiver.start(options.onNotification ?? (() => undefined));
    undo.push(() => receiver.stop());
    const hosts: Record<string, SimulatedHost> = {};
    for (const [name, scenario] of Object.entries(options.hosts)) {
      const onEvent = (text: string) => options.onEvent?.(name, text);
      const host = new SimulatedHost(scenario, {
        socketDir: join(folder, name),
        clock: systemClock(),
        onEvent,
      });
      await host.start();
      undo.push(() => host.stop());
      hosts[name] = host;
    }
    const addresses = {
      exporter: await freeAddress(ports.exporter),
      prometheus: await freeAddress(ports.prometheus),
      alertmanager: await freeAddress(ports.alertmanager),
    };
    const sockets = Object.keys(hosts).map((name) => [name, join(folder, name)]);
    const files = await writeConfigs(
      { folder, hosts: Object.fromEntries(sockets), ...addresses, receiverUrl: receiver.url },
      { speed, targets, scaler },
    );
    const exporter = await run("the exporter", addresses.exporter, process.execPath, [
      ...EXPORTER[options.program ?? "sources"],
      "serve",
      `--config.file=${files.exporter}`,
    ]);
    const alertmanager = await run(
      "Alertmanager",
      addresses.alertmanager,
      installed(...ALERTMANAGER) ?? "alertmanager",
      [
        `--config.file=${files.alertmanager}`,
        `--storage.path=${join(folder, "alertmanager")}`,
        `--web.listen-address=${addresses.alertmanager}`,
        // one alone, no cluster
        "--cluster.listen-address=",
      ],
    );
    const prometheus = await run("Prometheus", addresses.prometheus, "prometheus", [
      `--config.file=${files.prometheus}`,
      `--storage.tsdb.path=${join(folder, "prometheus")}`,
      `--web.listen-address=${addresses.prometheus}`,
    ]);
    const programs = [exporter, alertmanager, prometheus];
    return {
      folder,
      hosts,
      exporter,
      prometheus,
      alertmanager,
      lookAt: await whereToLook(prometheus.url, alertmanager.url),
      notifications: receiver.notifications,
      broken: Promise.race(
        programs.map(async ({ name, ended }, i) => `${name} has ended: ${await ended}\n${programs[i]?.said}`),
      ),
      query: (promql) => query(prometheus.url, promql),
      alerts: () => json(`${alertmanager.url}/api/v2/alerts`),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** How node is told to run the exporter. */
const EXPORTER = {
  sources: ["--import", import.meta.resolve("tsx"), pathTo("src/main.ts")],
  built: [pathTo("dist/main.js")],
} as const;

/** Debian's Prometheus has the old pages, below /classic; its Alertmanager has none. */
async function whereToLook(prometheus: string, alertmanager: string): Promise<Stack["lookAt"]> {
  const isThere = async (url: string) => (await fetch(url)).ok;
  return {
    prometheus: `${prometheus}${(await isThere(`${prometheus}/classic/alerts`)) ? "/classic" : ""}/alerts`,
    alertmanager: (await isThere(`${alertmanager}/script.js`))
      ? `${alertmanager}/`
      : `amtool --alertmanager.url=${alertmanager} alert`,
  };
}

async function freeAddress(wanted = 0): Promise<string> {
  return `127.0.0.1:${await freePort(wanted)}`;
}

async function query(prometheusUrl: string, promql: string): Promise<Sample[]> {
  const { data, error } = await json<{
    data?: { result: { metric: Record<string, string>; value: [number, string] }[] };
    error?: string;
  }>(`${prometheusUrl}/api/v1/query?query=${encodeURIComponent(promql)}`);
  if (data === undefined) throw new Error(`${promql}: ${error}`);
  return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
}

async function json<T>(url: string): Promise<T> {
  return (await (await fetch(url)).json()) as T;
}

function pathTo(file: string): string {
  return fileURLToPath(new URL(`../../${file}`, import.meta.url));
}
