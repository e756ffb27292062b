import { type Command, InvalidArgumentError, Option } from "commander";
import { oneOf, type Reader, Refused } from "../config/fields.ts";
import type { ServeFlags } from "../config/load.ts";
import { LOG_FORMATS, LOG_LEVELS, listenAddress, maxRequests, telemetryPath } from "../config/sections.ts";
import type { ListenAddress, LogConfig, WebConfig } from "../config/types.ts";

/** The flags as commander keeps them: by their long names, the part after the last dot in camelCase. */
interface ParsedFlags {
  readonly "config.file"?: string;
  readonly "web.listenAddress"?: readonly ListenAddress[];
  readonly "web.telemetryPath"?: string;
  readonly "web.maxRequests"?: number;
  readonly "web.disableExporterMetrics"?: true;
  readonly "web.config.file"?: string | true;
  readonly "log.level"?: LogConfig["level"];
  readonly "log.format"?: LogConfig["format"];
}

/** Gives `command` the flags of `serve`. */
export function addServeFlags(command: Command): Command {
  const option = (flags: string, description: string) => new Option(flags, description);
  return command
    .addOption(
      option("--config.file <file>", "configuration file (default: config.yaml here, if there is one)"),
    )
    .addOption(
      option(
        "--web.listen-address <address>",
        "address to listen on such as :10042, may be repeated",
      ).argParser((text, earlier: readonly ListenAddress[] = []) => [...earlier, read(listenAddress, text)]),
    )
    .addOption(
      option("--web.telemetry-path <path>", "path of the metrics, /metrics unless told otherwise").argParser(
        (text) => read(telemetryPath, text),
      ),
    )
    .addOption(
      option("--web.max-requests <count>", "scrapes served at once, 0 for no limit").argParser((text) =>
        read(maxRequests, /^\d+$/.test(text) ? Number(text) : text),
      ),
    )
    .addOption(
      option("--web.disable-exporter-metrics", "leave out the metrics about the exporter's own process"),
    )
    .addOption(
      option("--log.level <level>", `least level to log: ${LOG_LEVELS.join(", ")}`).argParser((text) =>
        read(oneOf(LOG_LEVELS), text),
      ),
    )
    .addOption(
      option("--log.format <format>", `form of a log line: ${LOG_FORMATS.join(", ")}`).argParser((text) =>
        read(oneOf(LOG_FORMATS), text),
      ),
    )
    .addOption(option("--web.config.file [file]", "not built yet").hideHelp());
}

function read<T>(reader: Reader<T>, text: string | number): T {
  const value = reader(text);
  if (value instanceof Refused) throw new InvalidArgumentError(value.about(text));
  return value;
}

/** The flags given to `serve`, before its name or after it; those after it win. */
export function serveFlags(program: Command, serve: Command): ServeFlags {
  const flags: ParsedFlags = { ...program.opts<ParsedFlags>(), ...serve.opts<ParsedFlags>() };
  if (flags["web.config.file"] !== undefined) {
    program.error(
      "--web.config.file is not built yet: there is no TLS or authentication; listen on 127.0.0.1 behind a reverse proxy instead",
    );
  }
  const configFile = flags["config.file"];
  return {
    ...(configFile === undefined ? {} : { configFile }),
    web: withoutUndefined<WebConfig>({
      listenAddresses: flags["web.listenAddress"],
      telemetryPath: flags["web.telemetryPath"],
      maxRequests: flags["web.maxRequests"],
      disableExporterMetrics: flags["web.disableExporterMetrics"],
    }),
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
