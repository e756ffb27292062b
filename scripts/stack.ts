/** `npm run stack`: a simulated host, an exporter, Prometheus and Alertmanager with all that is shipped, to look at. */
import { Command, InvalidArgumentError } from "commander";
import { formatProblem } from "../src/config/checkedYaml.ts";
import type { Scenario } from "../src/simulator/model.ts";
import { loadScenario, loadScenarioFile } from "../src/simulator/scenarioFile.ts";
import type { Notification } from "./stack/receiver.ts";
import { STACK_SCALER, STACK_SCENARIO } from "./stack/scenario.ts";
import { missingPackages, type Stack, startStack } from "./stack/stack.ts";

/** albatross-stats sends as often unless told otherwise. */
const STATS_INTERVAL_MS = 10_000;
/** Shorter ones are mostly rounding, for Linux counts CPU time in steps of 10 ms. */
const LEAST_INTERVAL_MS = 200;

interface Options {
  readonly speed: number;
  readonly scenario?: string;
  readonly exporterPort: number;
  readonly prometheusPort: number;
  readonly alertmanagerPort: number;
}

await new Command("npm run stack --")
  .description(
    "Start a simulated Albatross host, the exporter from its sources, and the installed Prometheus and Alertmanager with the " +
      "shipped scrape configuration, rules and Alertmanager example. Print where to look, what happens on the host, and what " +
      "Alertmanager sends. Everything lies in a temporary directory; Ctrl-C ends it and leaves nothing behind.",
  )
  .option("--speed <factor>", "every duration in the configurations and rules is divided by it", factor, 30)
  .option("--scenario <file>", "what the host plays (docs/simulator.md), instead of five eventful minutes")
  .option("--exporter-port <port>", "another one where it is taken, 0 for any", port, 10_042)
  .option("--prometheus-port <port>", "likewise", port, 9090)
  .option("--alertmanager-port <port>", "likewise", port, 9093)
  .action(async (options: Options) => {
    process.exitCode = await run(options);
  })
  .parseAsync();

/** Runs until it is asked to end. Resolves to the exit code. */
async function run({ speed, scenario: file, ...ports }: Options): Promise<number> {
  const missing = missingPackages();
  if (missing.length > 0) {
    console.error(howToInstall(missing));
    return 1;
  }
  const scenario = readScenario(file, speed);
  if (scenario === null) return 1;
  const asked = askedToEnd();
  const startedMs = Date.now();
  const say = (text: string) => console.log(`${elapsed(Date.now() - startedMs)}  ${text}`);
  let stack: Stack | null = null;
  try {
    stack = await startStack({
      hosts: { demo: scenario },
      speed,
      scaler: file === undefined ? STACK_SCALER : { policies: [{ match: "*" }] },
      ports: {
        exporter: ports.exporterPort,
        prometheus: ports.prometheusPort,
        alertmanager: ports.alertmanagerPort,
      },
      onEvent: (_, text) => say(`* ${text}`),
      onNotification: (notification) => {
        for (const line of linesOf(notification)) say(line);
      },
    });
    console.log(welcome(stack, speed));
    const why = await Promise.race([asked, stack.broken]);
    if (why !== null) console.error(why);
    return why === null ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 1;
  } finally {
    await stack?.stop();
  }
}

/**
 * Resolves to null when somebody wants it to end. Ctrl-C may come twice, from the terminal and from npm, and the second
 * one must not cut short what the first one began: that ends by itself within seconds.
 */
function askedToEnd(): Promise<null> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => resolve(null));
  });
}

/** What the host plays; null when the file is wrong, which has been said then. */
function readScenario(file: string | undefined, speed: number): Scenario | null {
  const result = file === undefined ? loadScenario("stack", STACK_SCENARIO) : loadScenarioFile(file);
  if (!result.ok) {
    for (const problem of result.problems) console.error(formatProblem(problem));
    return null;
  }
  if (file !== undefined) return result.scenario;
  return { ...result.scenario, intervalMs: Math.max(LEAST_INTERVAL_MS, STATS_INTERVAL_MS / speed) };
}

function welcome({ lookAt, exporter }: Stack, speed: number): string {
  return `
  ${lookAt.prometheus}    Prometheus: alerts, rules, graphs
  ${lookAt.alertmanager}    Alertmanager: what it knows
  ${exporter.url}/    the exporter
  ${exporter.url}/metrics

An hour takes ${Math.round(36_000 / speed) / 10} s. Below: what happens on the host (*), and what Alertmanager sends. Ctrl-C ends it.
`;
}

/** An alert a line: \`pager FIRING AlbatrossGroupOverloaded: user:web on demo is overloaded: 99.3 %\`. */
function linesOf({ receiver, alerts }: Notification): string[] {
  return alerts.map(
    ({ status, labels, annotations }) =>
      `${receiver.padEnd(7)} ${status.toUpperCase().padEnd(8)} ${labels["alertname"]}: ${annotations["summary"]}`,
  );
}

function howToInstall(packages: readonly string[]): string {
  return `npm run stack needs ${packages.join(" and ")}, which ${packages.length === 1 ? "is" : "are"} not installed. Debian:

  apt-get install ${packages.join(" ")}
  systemctl disable --now ${packages.join(" ")}    # the services that come with them

Elsewhere: https://prometheus.io/download/. Prometheus 2.42 or newer, and on the PATH.`;
}

function factor(text: string): number {
  const number = Number(text);
  if (!(number >= 0.01 && number <= 1000)) throw new InvalidArgumentError("allowed: 0.01 to 1000");
  return number;
}

function port(text: string): number {
  const number = Number(text);
  if (!/^\d{1,5}$/.test(text) || number > 65_535)
    throw new InvalidArgumentError("allowed: a port from 0 to 65535");
  return number;
}

/** Time since the start, in a column: `  25s`. */
function elapsed(ms: number): string {
  return `${Math.floor(ms / 1000)}s`.padStart(6);
}
