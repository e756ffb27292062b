import { writeSync } from "node:fs";
import { type DestinationStream, type Logger as PinoLogger, pino, stdTimeFunctions } from "pino";
import { type Cancel, type Clock, systemClock } from "./clock.ts";
import type { LogConfig } from "./config/sections.ts";

/** A structured logger: `log.info({ host }, "connected")`. */
export type Logger = PinoLogger;

/** What code deep inside needs of a logger: structured fields and one sentence. */
export type Log = Readonly<
  Record<"debug" | "info" | "warn" | "error", (fields: object, message: string) => void>
>;

/** Adds `fields` to each event. Unlike pino's child it follows a later change of `log`'s level. */
export function withFields(log: Log, fields: object): Log {
  return {
    debug: (more, message) => log.debug({ ...fields, ...more }, message),
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}

const STDERR_FD = 2;

/** Where whole lines go. */
type LogOutput = Pick<LineOutput, "write"> & Partial<Pick<LineOutput, "lost" | "onLost">>;

/** A logger, and the way to change how it logs while it is in use. */
export type Logging = ReturnType<typeof createLogging>;

/** Makes the program's logger: an event is a line of JSON or logfmt on stderr, or on `out`. */
export function createLogging(config: LogConfig, out: LogOutput = stderr()) {
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
  out.onLost = (lines) => log.error({ lines }, "log lines were lost: nobody read the log, or it had no room");
  return {
    log: log as Logger,
    /** Lines that were lost so far, because whoever reads the log did not. */
    get lostLines() {
      return out.lost ?? 0;
    },
    change(next: LogConfig) {
      log.level = next.level;
      format = next.format;
    },
  };
}

/** A logger that goes on as it began. */
export function createLogger(config: LogConfig, out?: LogOutput): Logger {
  return createLogging(config, out).log;
}

/** What may wait for a reader of the log that stands still: hours of an ordinary log. */
const MAX_WAITING_BYTES = 2 ** 20;
const RETRY_MS = 100;

/** Lines to a reader that is never waited for. While they cannot be written up to 1 MiB is kept. */
export class LineOutput {
  readonly #write: (bytes: Uint8Array) => number;
  readonly #clock: Pick<Clock, "after">;
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #cancelRetry: Cancel | null = null;
  #untold = 0;
  /** Lines that were lost so far. */
  lost = 0;
  /** Called with the lines that were lost when lines can be written again. */
  onLost: (lines: number) => void = () => undefined;

  /** `write` returns how many of the bytes it wrote; it throws where it would have to wait. */
  constructor(write: (bytes: Uint8Array) => number, clock: Pick<Clock, "after">) {
    this.#write = write;
    this.#clock = clock;
  }

  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#waitingBytes + bytes.length > MAX_WAITING_BYTES) {
      this.lost++;
      this.#untold++;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#cancelRetry === null) this.writeWaiting();
  }

  /** Writes what can be written now. The rest is tried again. */
  writeWaiting(): void {
    try {
      for (let [bytes] = this.#waiting; bytes !== undefined; [bytes] = this.#waiting) {
        const written = this.#write(bytes);
        this.#waitingBytes -= written;
        if (written < bytes.length) this.#waiting[0] = bytes.subarray(written);
        else this.#waiting.shift();
      }
    } catch {
      // Whatever it is, the log is no place to tell it now.
      this.#cancelRetry ??= this.#clock.after(RETRY_MS, () => {
        this.#cancelRetry = null;
        this.writeWaiting();
      });
      return;
    }
    const lines = this.#untold;
    this.#untold = 0;
    if (lines > 0) this.onLost(lines);
  }
}

/** stderr, whatever it is: written to at once where that works without waiting. */
function stderr(): LineOutput {
  const { _handle: handle } = process.stderr as { _handle?: { setBlocking?(on: boolean): void } };
  // A stopped terminal (Ctrl-S) is not to be waited for. A pipe is not, once stderr was asked for.
  handle?.setBlocking?.(false);
  const clock = systemClock({ unref: true });
  const output = new LineOutput((bytes) => writeSync(STDERR_FD, bytes), clock);
  process.on("exit", () => output.writeWaiting());
  return output;
}

/**
 * One event as `key=value` pairs on one line: time, level and msg first. Values with anything but plain
 * visible characters are quoted and escaped as in JSON; an error is its message.
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
  // what JSON leaves as it is and a terminal does not
  return JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function plainText(value: unknown): string {
  if (typeof value === "string") return value;
  // a serialised error
  if (value instanceof Object && "stack" in value && "message" in value) return String(value.message);
  return JSON.stringify(value) ?? "undefined";
}
