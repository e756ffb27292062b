import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { systemClock } from "../clock.ts";
import { formatProblem } from "../config/checkedYaml.ts";
import { Refused } from "../config/fields.ts";
import { type ListenAddress, listenAddress } from "../config/sections.ts";
import { formatDuration } from "../config/units.ts";
import { untilSignal } from "../signals.ts";
import { BUILTIN_SCENARIOS } from "../simulator/builtin.ts";
import { elapsed } from "../simulator/elapsed.ts";
import type { Scenario } from "../simulator/model.ts";
import { plainMessage } from "../systemError.ts";
import { durationFlag, flagValue, path, wholeNumber } from "./shared.ts";

const DEFAULT_SCENARIO = "demo";

interface SimulateOptions {
  readonly socketDir?: string;
  readonly interval?: number;
  readonly seed?: number;
  readonly requestLog?: string;
  readonly tlsListen?: ListenAddress;
  readonly tlsDir?: string;
  readonly printScenario?: true;
}

/** `simulate [SCENARIO] --socket-dir DIR`: an Albatross host made of code. */
export function register(program: Command): void {
  program
    .command("simulate")
    .summary("play an Albatross host: the same sockets, the same bytes, VMs that follow a scenario")
    .description(
      "Play an Albatross host: stat.sock and vmmd.sock in a directory, answering as the real daemons do, for VMs that " +
        "follow a scenario and can be created, fetched and destroyed. What happens is told on stderr; Ctrl-C ends it.",
    )
    .argument("[scenario]", "a scenario file, or the name of a built-in scenario", DEFAULT_SCENARIO)
    .option("--socket-dir <dir>", "where to make the sockets; created if it does not exist", path)
    .option(
      "--interval <duration>",
      "time between two samples of a VM, instead of the scenario's",
      durationFlag("a duration such as 500ms or 2s, from 100ms", 100),
    )
    .option(
      "--seed <number>",
      "where the noise comes from, instead of the scenario's",
      flagValue("a whole number from 0 to 4294967295", (text) => wholeNumber(text, 2 ** 32 - 1)),
    )
    .option(
      "--request-log <file>",
      "append each request to albatrossd and what came of it, as JSON lines",
      path,
    )
    .option(
      "--tls-listen <address>",
      "address such as 127.0.0.1:1025 where the same host is reached by TLS, as through albatross-tls-endpoint",
      flagValue("an address to listen on such as 127.0.0.1:1025", (text) => {
        const address = listenAddress(text);
        return address instanceof Refused ? null : address;
      }),
    )
    .option(
      "--tls-dir <dir>",
      "where to write the CA and issuers' certificates and keys for clients; else 'tls' in the socket directory",
      path,
    )
    .option("--print-scenario", "print the built-in scenario, as an example of the format, and exit")
    .addHelpText("after", moreHelp)
    .action(simulate);
}

function moreHelp(): string {
  const builtin = Object.entries(BUILTIN_SCENARIOS).map(
    ([name, { about }]) => `  ${name.padEnd(8)} ${about}`,
  );
  return `
Built-in scenarios:
${builtin.join("\n")}

Example: a host to try the exporter on, and the exporter
  albatross-exporter simulate demo --socket-dir /tmp/albatross
  albatross-exporter --config.file config.yaml    # with targets: [{ name: demo, socket_dir: /tmp/albatross }]

Example: the same host reached by TLS as well
  albatross-exporter simulate demo --socket-dir /tmp/albatross --tls-listen 127.0.0.1:1025 --tls-dir /tmp/albatross-tls

Example: a scenario of your own
  albatross-exporter simulate demo --print-scenario > scenario.yaml
  albatross-exporter simulate scenario.yaml --socket-dir /tmp/albatross --interval 2s`;
}

async function simulate(source: string, options: SimulateOptions, command: Command): Promise<void> {
  if (options.printScenario) {
    const builtin = BUILTIN_SCENARIOS[source];
    if (builtin === undefined) command.error(`error: no built-in scenario is called '${source}'`);
    process.stdout.write(builtin.yaml);
    return;
  }
  const { socketDir } = options;
  if (socketDir === undefined) command.error("error: required option '--socket-dir <dir>' not specified");
  if (options.tlsDir !== undefined && options.tlsListen === undefined)
    command.error("error: option '--tls-dir <dir>' needs '--tls-listen <address>'");
  const stop = untilSignal();
  const scenario = await readScenario(source);
  process.exitCode = scenario === null ? 1 : 0;
  if (scenario === null) return;
  const { SimulatedHost } = await import("../simulator/host.ts");
  const { interval: intervalMs = scenario.intervalMs, seed } = options;
  const { requestLog, tlsListen: address, tlsDir: folder = join(socketDir, "tls") } = options;
  const logFd = requestLog === undefined ? null : openLog(requestLog);
  const clock = systemClock();
  const startedUs = clock.nowUs();
  const host = new SimulatedHost(
    { ...scenario, intervalMs },
    {
      socketDir,
      clock,
      tls: address && { address, folder },
      ...(seed === undefined ? {} : { seed }),
      // At once: whoever reads the log may have killed the one that sent the request.
      onRequest: (request) => logFd !== null && writeSync(logFd, `${JSON.stringify(request)}\n`),
      onEvent: (text) => console.error(`${elapsed(clock.nowUs() - startedUs)} ${text}`),
    },
  );
  await host.start().catch((error) => {
    const where = address === undefined ? "" : ", or the TLS endpoint";
    throw new Error(`cannot make the sockets in ${socketDir}${where}: ${plainMessage(error)}`);
  });
  const { length } = host.vmNames;
  console.error(
    `${socketDir}: stat.sock and vmmd.sock are ready (${length} VM${length === 1 ? "" : "s"}, a sample every ${formatDuration(intervalMs)})`,
  );
  if (host.tlsAddress !== null)
    console.error(`${host.tlsAddress}: the TLS endpoint is ready; what its clients need is in ${folder}`);
  await stop;
  await host.stop();
}

function openLog(file: string): number {
  try {
    return openSync(file, "a");
  } catch (error) {
    throw new Error(`cannot write the request log ${file}: ${plainMessage(error)}`);
  }
}

async function readScenario(source: string): Promise<Scenario | null> {
  const { loadScenario, loadScenarioFile } = await import("../simulator/scenarioFile.ts");
  const builtin = BUILTIN_SCENARIOS[source];
  const result = builtin === undefined ? loadScenarioFile(source) : loadScenario(source, builtin.yaml);
  if (result.ok) return result.scenario;
  for (const problem of result.problems) {
    const hint = problem.position === null ? ` (built in: ${Object.keys(BUILTIN_SCENARIOS).join(", ")})` : "";
    console.error(`${formatProblem(problem)}${hint}`);
  }
  return null;
}
