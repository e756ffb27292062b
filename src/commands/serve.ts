import { type Command, InvalidArgumentError, Option } from "commander";
import { oneOf, type Reader, Refused } from "../config/fields.ts";
import type { ServeFlags } from "../config/load.ts";
import type { ExporterConfig, LogConfig, WebAddress, WebConfig } from "../config/sections.ts";
import {
  COLLECTORS,
  externalUrl,
  LOG_FORMATS,
  LOG_LEVELS,
  listenProblems,
  maxRequests,
  routePrefix,
  telemetryPath,
  webAddress,
} from "../config/sections.ts";
import { untilSignal } from "../signals.ts";
import { path } from "./shared.ts";

const HELP = `
Without a configuration file: one target, this machine's own Albatross, served on :10042. A flag wins over the file.
SIGHUP reads the configuration again, all or nothing; SIGTERM and SIGINT end it: responses on the way are finished, exit
code 0. The log goes to stderr. The exit code is 1 when the configuration is wrong or an address cannot be had.

Examples:
  albatross-exporter --config.file /etc/albatross-exporter/config.yaml
  albatross-exporter --web.listen-address 127.0.0.1:10042 --web.listen-address [::1]:10042`;

/** `serve`, which is also what runs without a command. */
export function register(program: Command): void {
  const serve = addFlags(program.command("serve"))
    .description("read the targets and serve their metrics (the default command)")
    .addHelpText("after", HELP)
    .action(() => run(program, serve));
  addFlags(program)
    .addHelpText("after", "\nWithout a command: serve. `albatross-exporter help COMMAND` tells more.")
    .action(() => run(program, serve));
}

async function run(program: Command, serve: Command): Promise<void> {
  const flags = serveFlags(program, serve);
  const stop = untilSignal({ hangup: false });
  const { serve: serveUntil } = await import("../app/serve.ts");
  process.exitCode = await serveUntil(flags, stop);
}

function addFlags(command: Command): Command {
  const addresses = (text: string, earlier: readonly WebAddress[] = []) => [
    ...earlier,
    read(webAddress)(text),
  ];
  const requests = (text: string) => read(maxRequests)(/^\d+$/.test(text) ? Number(text) : text);
  const [levels, formats] = [LOG_LEVELS.join(", "), LOG_FORMATS.join(", ")];
  command
    .option("--config.file <file>", "configuration file (default: config.yaml here, if there is one)", path)
    .option("--web.config.file <file>", "web configuration file: TLS, users, headers, a limit", path)
    .option(
      "--web.listen-address <address>",
      "address to listen on such as :10042 or unix:/run/x.sock, may be repeated",
      addresses,
    )
    .option("--web.systemd-socket", "listen on the sockets that systemd hands over, in place of addresses")
    .option(
      "--web.telemetry-path <path>",
      "path of the metrics, /metrics unless told otherwise",
      read(telemetryPath),
    )
    .option(
      "--web.external-url <url>",
      "URL under which it is reached through a proxy; its path is the default of --web.route-prefix",
      read(externalUrl),
    )
    .option(
      "--web.route-prefix <path>",
      "path below which all is served, / where a proxy takes the prefix away",
      read(routePrefix),
    )
    .option("--web.max-requests <count>", "scrapes served at once, 0 for no limit", requests)
    .option("--web.disable-exporter-metrics", "leave out the metrics about the exporter's own process")
    .option("--web.enable-lifecycle", "have POST /-/reload read the configuration again, as SIGHUP does")
    .option(
      "--scaler.dry-run",
      "carry no decision out, whatever the configuration says, now or after a reload",
    )
    .option("--log.level <level>", `least level to log: ${levels}`, read(oneOf(LOG_LEVELS)))
    .option("--log.format <format>", `form of a log line: ${formats}`, read(oneOf(LOG_FORMATS)));
  for (const name of COLLECTORS) {
    const what = `leave out the metrics of the collector ${name}; --collector.${name} has them whatever the file says`;
    // first: alone, the other would be given by default
    command.addOption(new Option(`--collector.${name}`).hideHelp()).option(`--no-collector.${name}`, what);
  }
  return command;
}

function read<T>(reader: Reader<T>): (text: string | number) => T {
  return (text) => {
    const value = reader(text);
    if (value instanceof Refused) throw new InvalidArgumentError(value.about(text));
    return value;
  };
}

type WebFlags = Partial<WebConfig> & {
  readonly listenAddress?: readonly WebAddress[];
  readonly systemdSocket?: true;
  readonly "config.file"?: string;
};

/** The flags given to `serve`, before its name or after it; those after it win. */
function serveFlags(program: Command, serve: Command): ServeFlags {
  const flags: Readonly<Record<string, unknown>> = { ...program.opts(), ...serve.opts() };
  const { listenAddress, systemdSocket = false, "config.file": webConfigFile, ...web } = of<WebFlags>("web");
  const { file: configFile } = of<{ file?: string }>("config");
  const { dryRun = false } = of<{ dryRun?: true }>("scaler");
  const [problem] = listenProblems(listenAddress ?? []);
  if (problem !== undefined) program.error(`--web.listen-address: ${problem[1]}`);
  return {
    ...(configFile !== undefined && { configFile }),
    ...(webConfigFile !== undefined && { webConfigFile }),
    web: { ...web, ...(listenAddress && { listenAddresses: listenAddress }) },
    collectors: of<Partial<ExporterConfig["collectors"]>>("collector"),
    systemdSocket,
    dryRun,
    log: of<Partial<LogConfig>>("log"),
  };

  /** Those whose names begin with the section: commander keeps `--log.level` as `log.level`. */
  function of<T extends object>(section: string): T {
    const own = Object.entries(flags).filter(([name]) => name.startsWith(`${section}.`));
    return Object.fromEntries(own.map(([name, value]) => [name.slice(section.length + 1), value])) as T;
  }
}
