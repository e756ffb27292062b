import { type DestinationStream, destination, type Logger as PinoLogger, pino, stdTimeFunctions } from "pino";
import type { LogConfig } from "./config/sections.ts";

/** A structured logger: `log.info({ host }, "connected")`. */
export type Logger = PinoLogger;

/** What code deep inside needs of a logger: structured fields and one sentence. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** A log that adds `fields` to each event. Unlike pino's child it follows the level that `log` is set to later. */
export function withFields(log: Log, fields: object): Log {
  return {
    debug: (more, message) => log.debug({ ...fields, ...more }, message),
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}

const STDERR_FD = 2;

/** A logger, and the way to change how it logs while it is in use. */
export interface Logging {
  readonly log: Logger;
  change(config: LogConfig): void;
}

/**
 * Makes the program's logger. Every event is one line on stderr (or on `out`) with `time` (RFC 3339), `level`, `msg`
 * and the event's fields, as JSON or as logfmt.
 */
export function createLogging(config: LogConfig, out: DestinationStream = stderr()): Logging {
  let { format } = config;
  const formatted: DestinationStream = {
    write: (line) => out.write(format === "json" ? line : `${toLogfmt(JSON.parse(line))}\n`),
  };
  const options = {
    level: config.level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const log = pino(options, formatted);
  return {
    log,
    change(next) {
      log.level = next.level;
      format = next.format;
    },
  };
}

/** A logger that goes on as it began. */
export function createLogger(config: LogConfig, out?: DestinationStream): Logger {
  return createLogging(config, out).log;
}

function stderr(): DestinationStream {
  const stream = destination({ fd: STDERR_FD, sync: true });
  // Whoever read stderr is gone. There is no place left to say so, and serving metrics goes on.
  stream.on("error", () => undefined);
  return stream;
}

/**
 * One event as `key=value` pairs: time, level and msg first. Values that hold anything but plain visible characters
 * are quoted and escaped as in JSON, so that an event never takes more than one line; an error is its message; other
 * nested values are JSON.
 */
export function toLogfmt(event: Readonly<Record<string, unknown>>): string {
  const { time, level, msg, ...fields } = event;
  return Object.entries({ time, level, msg, ...fields })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key.replace(/[^\w.-]/g, "_")}=${logfmtValue(value)}`)
    .join(" ");
}

function logfmtValue(value: unknown): string {
  const text = plainText(value);
  if (/^[!#-<>-~]+$/.test(text)) return text;
  // JSON leaves DEL, C1 controls and the Unicode line separators as they are; a terminal does not.
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function plainText(value: unknown): string {
  if (typeof value === "string") return value;
  if (isSerialisedError(value)) return value.message;
  return JSON.stringify(value) ?? "undefined";
}

function isSerialisedError(value: unknown): value is { message: string } {
  return (
    typeof value === "object" &&
    value !== null &&
    "stack" in value &&
    "message" in value &&
    typeof value.message === "string"
  );
}
