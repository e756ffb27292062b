import type { Config, ListenAddress, LogFormat, LogLevel } from "./types.ts";

/** What the command line says; it wins over the file, also when the file is read again. */
export interface Overrides {
  readonly listenAddresses?: readonly ListenAddress[];
  readonly telemetryPath?: string;
  readonly maxRequests?: number;
  readonly disableExporterMetrics?: true;
  readonly logLevel?: LogLevel;
  readonly logFormat?: LogFormat;
}

/** The configuration with the command line's settings in place of the file's. */
export function override(config: Config, flags: Overrides): Config {
  return {
    ...config,
    web: {
      ...config.web,
      listenAddresses: flags.listenAddresses ?? config.web.listenAddresses,
      telemetryPath: flags.telemetryPath ?? config.web.telemetryPath,
      maxRequests: flags.maxRequests ?? config.web.maxRequests,
      disableExporterMetrics: flags.disableExporterMetrics ?? config.web.disableExporterMetrics,
    },
    log: { level: flags.logLevel ?? config.log.level, format: flags.logFormat ?? config.log.format },
  };
}
