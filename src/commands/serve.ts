import { type Command, InvalidArgumentError, Option } from "commander";
import { oneOf, type Reader, Refused } from "../config/fields.ts";
import type { ServeFlags } from "../config/load.ts";
import type { CollectorName, ExporterConfig, LogConfig, WebAddress, WebConfig } from "../config/sections.ts";
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

/** The flags as commander keeps them. */
interface ParsedFlags extends Readonly<Partial<Record<`collector.${CollectorName}`, boolean>>> {
  readonly "config.file"?: string;
  readonly "web.listenAddress"?: readonly WebAddress[];
  readonly "web.systemdSocket"?: true;
  readonly "web.telemetryPath"?: string;
  readonly "web.externalUrl"?: string;
  readonly "web.routePrefix"?: string;
  readonly "web.maxRequests"?: number;
  readonly "web.disableExporterMetrics"?: true;
  readonly "web.enableLifecycle"?: true;
  readonly "web.config.file"?: string;
  readonly "scaler.dryRun"?: true;
  readonly "log.level"?: LogConfig["level"];
  readonly "log.format"?: LogConfig["format"];
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

/** The flags given to `serve`, before its name or after it; those after it win. */
function serveFlags(program: Command, serve: Command): ServeFlags {
  const flags: ParsedFlags = { ...program.opts<ParsedFlags>(), ...serve.opts<ParsedFlags>() };
  const [problem] = listenProblems(flags["web.listenAddress"] ?? []);
  if (problem !== undefined) program.error(`--web.listen-address: ${problem[1]}`);
  const given = COLLECTORS.map((name) => [name, flags[`collector.${name}`]]);
  const collectors = withoutUndefined<ExporterConfig["collectors"]>(Object.fromEntries(given));
  return {
    ...withoutUndefined<ServeFlags>({
      configFile: flags["config.file"],
      webConfigFile: flags["web.config.file"],
    }),
    web: withoutUndefined<WebConfig>({
      listenAddresses: flags["web.listenAddress"],
      telemetryPath: flags["web.telemetryPath"],
      externalUrl: flags["web.externalUrl"],
      routePrefix: flags["web.routePrefix"],
      maxRequests: flags["web.maxRequests"],
      disableExporterMetrics: flags["web.disableExporterMetrics"],
      enableLifecycle: flags["web.enableLifecycle"],
    }),
    collectors,
    systemdSocket: flags["web.systemdSocket"] ?? false,
    dryRun: flags["scaler.dryRun"] ?? false,
    log: withoutUndefined<LogConfig>({ level: flags["log.level"], format: flags["log.format"] }),
  };
}

function withoutUndefined<T extends object>(
  given: {
    readonly [Key in keyof T]?: T[Key] | undefined;
  },
): Partial<T> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>;
}
