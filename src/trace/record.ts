/** Writes a trace: from a running exporter's stream, or from a subscription of its own. */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { get as httpGet, type IncomingMessage } from "node:http";
import { get as httpsGet } from "node:https";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { Target } from "../client/target.ts";
import type { Clock } from "../clock.ts";
import { formatProblem } from "../config/checkedYaml.ts";
import { loadSettings } from "../config/load.ts";
import type { TargetConfig } from "../config/target.ts";
import { formatDuration } from "../config/units.ts";
import type { Log } from "../log.ts";
import { isErrno, plainMessage } from "../systemError.ts";
import { TraceLines } from "./lines.ts";

/** Why nothing, or nothing more, can be recorded; for people, on one line. */
export class RecordError extends Error {
  override readonly name = "RecordError";
}

export interface Recording {
  /** Whole lines as they arrive; ends when the recording is to end, throws a RecordError when it ends before. */
  readonly lines: AsyncIterable<string>;
  readonly output: TraceOutput;
  readonly clock: Clock;
  /** How long it is to take, for the progress line. */
  readonly durationMs: number;
  /** A terminal to show progress on, or null. */
  readonly progress: { write(text: string): unknown } | null;
  /** Gets the summary, and what went wrong. */
  readonly report: (line: string) => void;
}

/** Writes a trace until it ends. Returns the exit code: 0 at its proper end, 1 when it ended early. */
export async function recordTrace(recording: Recording): Promise<number> {
  const { lines, output, clock, progress, report } = recording;
  const startUs = clock.nowUs();
  const took = () => formatDuration(Math.round((clock.nowUs() - startUs) / 1e6) * 1000);
  const tally = new Tally();
  const failures: unknown[] = [];
  async function* counted(): AsyncGenerator<string> {
    try {
      for await (const some of lines) {
        yield some;
        tally.add(some);
      }
    } catch (error) {
      // the output is brought to its end all the same: what was recorded before is worth keeping
      failures.push(error);
    }
  }
  const stopProgress = showProgress(
    progress,
    clock,
    () => `${took()} of ${formatDuration(recording.durationMs)}: ${tally.text()}`,
  );
  await output.write(counted()).catch((error) => failures.push(error));
  stopProgress();
  const [failure] = failures;
  if (failure !== undefined) {
    if (!(failure instanceof RecordError)) throw failure;
    report(`albatross-exporter: ended early, after ${took()}: ${failure.message}`);
  }
  report(`recorded ${tally.text()} in ${took()} to ${output.name}`);
  return failure === undefined ? 0 : 1;
}

const EVENT = /^\{"time":"[^"]*",(?:"host":"(?:[^"\\]|\\.)*",)?"event":"(\w+)"/;

/** What has been recorded so far. */
class Tally {
  readonly #counts = new Map([["sample", 0]]);
  #characters = 0;

  add(lines: string): void {
    this.#characters += lines.length;
    for (let start = 0; start < lines.length; ) {
      const end = lines.indexOf("\n", start);
      const kind = EVENT.exec(lines.slice(start, Math.min(end, start + 1_000)))?.[1] ?? "sample";
      this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
      start = end + 1;
    }
  }

  /** `692 samples, 13 infos (0.4 MB)` */
  text(): string {
    const counts = Array.from(this.#counts, ([kind, n]) => `${n} ${kind}${n === 1 ? "" : "s"}`);
    return `${counts.join(", ")} (${(this.#characters / 1e6).toFixed(1)} MB)`;
  }
}

const PROGRESS_MS = 1_000;

/** Shows `text` once a second, on one line of a terminal, if there is one. Returns what ends and clears it. */
function showProgress(terminal: Recording["progress"], clock: Clock, text: () => string): () => void {
  if (terminal === null) return () => undefined;
  const clearLine = "\r\u001b[K";
  const show = () => {
    terminal.write(`${clearLine}${text()}`);
    cancel = clock.after(PROGRESS_MS, show);
  };
  let cancel = clock.after(PROGRESS_MS, show);
  return () => {
    cancel();
    terminal.write(clearLine);
  };
}

/** Where a trace goes. */
export interface TraceOutput {
  /** The file's name, or what stands for it. */
  readonly name: string;
  /**
   * Resolves when all `lines` have reached the file, taking no more at a time than it takes. Throws a RecordError when
   * they cannot be written.
   */
  write(lines: AsyncIterable<string>): Promise<void>;
}

/**
 * Opens a file to append a trace to, compressed when its name ends in `.gz` (a second recording becomes a second gzip
 * member, which gunzip reads on). Throws a RecordError when it cannot be written.
 */
export async function openTraceFile(file: string): Promise<TraceOutput> {
  const disk = createWriteStream(file, { flags: "a" });
  const failed = (error: unknown) => {
    throw new RecordError(`cannot write ${file}: ${plainMessage(error)}`);
  };
  await once(disk, "open").catch(failed);
  return {
    name: file,
    write: (lines) =>
      (file.endsWith(".gz") ? pipeline(lines, createGzip(), disk) : pipeline(lines, disk)).catch(failed),
  };
}

/** Prints a trace. */
export function printedTrace(stdout: Writable): TraceOutput {
  return {
    name: "standard output",
    async write(lines) {
      try {
        // standard output is the process' own and stays open
        await pipeline(lines, stdout, { end: false });
      } catch (error) {
        throw new RecordError(`cannot print the trace: ${plainMessage(error)}`);
      }
    },
  };
}

/** What the exporter writes last when it cuts a client that does not keep up. */
const DROPPED = '{"event":"dropped"';
const MAX_ERROR_BYTES = 64 * 1024;

export interface StreamSource {
  /** Of the running exporter: `http://127.0.0.1:10042`. */
  readonly url: string;
  /** Only what concerns this target; null is all. */
  readonly host: string | null;
  /** Ends the recording. */
  readonly signal: AbortSignal;
}

/**
 * Connects to a running exporter's stream. What comes back yields whole lines, as many at a time as have arrived, and
 * ends when `signal` is aborted. Throws a RecordError when the exporter cannot be reached or does not have the host,
 * and from the lines when the stream ends by itself.
 */
export async function openStream({ url, host, signal }: StreamSource): Promise<AsyncIterable<string>> {
  if (host !== null) await checkHost(url, host, signal);
  const query = host === null ? "" : `?host=${encodeURIComponent(host)}`;
  const response = await ask(url, `api/v1/stream${query}`, signal);
  return linesOf(response, url, signal);
}

async function* linesOf(response: IncomingMessage, url: string, signal: AbortSignal): AsyncGenerator<string> {
  response.setEncoding("utf8");
  let rest = "";
  try {
    for await (const chunk of response) {
      rest += chunk;
      const end = rest.lastIndexOf("\n") + 1;
      if (end === 0) continue;
      const lines = rest.slice(0, end);
      rest = rest.slice(end);
      const dropped = lines.lastIndexOf(DROPPED);
      if (dropped === -1) yield lines;
      else if (dropped > 0) yield lines.slice(0, dropped);
      if (dropped !== -1)
        throw new RecordError(`${url} dropped this recording: it did not take the lines fast enough`);
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof RecordError) throw error;
    throw new RecordError(`the connection to ${url} broke: ${plainMessage(error)}`);
  }
  if (!signal.aborted) throw new RecordError(`${url} ended the stream`);
}

/** A host that is no target would be recorded as silence. */
async function checkHost(url: string, host: string, signal: AbortSignal): Promise<void> {
  const { data } = JSON.parse(await bodyOf(await ask(url, "api/v1/targets", signal))) as {
    readonly data: readonly { readonly name: string }[];
  };
  const names = data.map(({ name }) => name);
  if (names.includes(host)) return;
  throw noTarget(url, host, names);
}

/** The response to a GET, once its headers are there and say 200. */
function ask(url: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const get = url.startsWith("https:") ? httpsGet : httpGet;
  const target = new URL(path, url.endsWith("/") ? url : `${url}/`);
  return new Promise((resolve, reject) => {
    get(target, { agent: false, signal }, (response) => {
      if (response.statusCode === 200) resolve(response);
      else refused(url, path, response).then(reject, reject);
    }).on("error", (error) => {
      const hint = isErrno(error, "ECONNREFUSED") ? " (is the exporter running there?)" : "";
      reject(new RecordError(`cannot reach ${url}: ${plainMessage(error)}${hint}`));
    });
  });
}

async function refused(url: string, path: string, response: IncomingMessage): Promise<RecordError> {
  const body = await bodyOf(response);
  return new RecordError(`${url} answered ${response.statusCode} to /${path}: ${reasonIn(body)}`);
}

/** The API's answers say why in a field; anything else says it in its first line. */
function reasonIn(body: string): string {
  try {
    const answer: unknown = JSON.parse(body);
    if (typeof answer === "object" && answer !== null && "error" in answer) return String(answer.error);
  } catch {
    // not JSON, so not the exporter's API
  }
  return body.split("\n")[0]?.slice(0, 200) ?? "";
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > MAX_ERROR_BYTES) break;
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** An output that takes this much less than what arrives will not catch up. */
const MAX_WAITING_CHARACTERS = 64 * 1024 * 1024;

/** The target of that name in the configuration that `serve` would run with. Throws a RecordError if there is none. */
export function findTarget(name: string, configFile: string | undefined): TargetConfig {
  const settings = loadSettings(configFile === undefined ? {} : { configFile });
  if (!settings.ok) throw new RecordError(settings.problems.map(formatProblem).join("\n"));
  const { targets } = settings.config;
  const target = targets.find((one) => one.name === name);
  if (target !== undefined) return target;
  throw noTarget(
    settings.file ?? "the default configuration",
    name,
    targets.map((one) => one.name),
  );
}

function noTarget(where: string, name: string, known: readonly string[]): RecordError {
  return new RecordError(`${where} has no target called ${name} (it has: ${known.join(", ") || "none"})`);
}

export interface TargetSource {
  readonly config: TargetConfig;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the recording. */
  readonly signal: AbortSignal;
}

/**
 * Subscribes to the target itself, which takes its subscriptions from whoever has them, and yields the lines of the trace as
 * they arrive until `signal` is aborted. Throws a RecordError when the lines are not taken fast enough.
 */
export async function* subscribedLines({ config, clock, log, signal }: TargetSource): AsyncGenerator<string> {
  const waiting = new Readable({ encoding: "utf8", read: () => undefined });
  const trace = new TraceLines(
    {
      hasSubscribers: true,
      publish(line) {
        if (signal.aborted) return;
        waiting.push(`${line}\n`);
        if (waiting.readableLength <= MAX_WAITING_CHARACTERS) return;
        waiting.destroy(new RecordError("the output does not take the lines as fast as they arrive"));
      },
    },
    clock,
  );
  signal.addEventListener("abort", () => waiting.push(null), { once: true });
  const target = new Target(
    config,
    {
      onSample: (sample) => trace.sample(sample),
      info: (entries) => trace.info(config.name, entries),
      policies: () => undefined,
      live: (up) => trace.live(config.name, up),
    },
    clock,
    log,
  );
  target.start();
  try {
    yield* waiting;
  } finally {
    await target.stop();
  }
}
