/** Writes a trace, from a running exporter's stream or a subscription of its own. */
import { get as httpGet, type IncomingMessage } from "node:http";
import { get as httpsGet, type RequestOptions } from "node:https";
import { PassThrough, Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { Target } from "../client/target.ts";
import type { Clock } from "../clock.ts";
import { formatProblem } from "../config/checkedYaml.ts";
import { loadSettings } from "../config/load.ts";
import type { TargetConfig } from "../config/target.ts";
import { formatDuration } from "../config/units.ts";
import { parseJson } from "../files.ts";
import type { Log } from "../log.ts";
import { isErrno, plainMessage } from "../systemError.ts";
import { RecordError, type TraceOutput } from "./file.ts";
import { TraceLines } from "./lines.ts";

export interface Recording {
  /** Whole lines as they arrive; ends when the recording is to end, throws a RecordError when it ends before. */
  readonly lines: AsyncIterable<string>;
  readonly output: TraceOutput;
  readonly clock: Clock;
  readonly durationMs: number;
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
        if (tally.isEmpty) refuseEarlier(some, output.lastMs);
        yield some;
        tally.add(some);
      }
    } catch (error) {
      // the output is brought to its end all the same: what was recorded before is worth keeping
      failures.push(error);
    }
  }
  const soFar = () => `${took()} of ${formatDuration(recording.durationMs)}: ${tally.text()}`;
  const stopProgress = showProgress(progress, clock, soFar);
  let isWritten = true;
  await output.write(counted()).catch((error) => {
    failures.push(error);
    isWritten = false;
  });
  stopProgress();
  const [failure] = failures;
  if (failure !== undefined) {
    if (!(failure instanceof RecordError)) throw failure;
    report(`albatross-exporter: ended early, after ${took()}: ${failure.message}`);
  }
  report(`recorded ${isWritten ? "" : "up to "}${tally.text()} in ${took()} to ${output.name}`);
  return failure === undefined ? 0 : 1;
}

/** A trace whose time goes back could not be read. */
function refuseEarlier(lines: string, lastMs: number | null): void {
  const time = /^\{"time":"([^"]+)"/.exec(lines)?.[1] ?? "";
  if (lastMs === null || !(Date.parse(time) < lastMs)) return;
  const last = new Date(lastMs).toISOString();
  throw new RecordError(`it is ${time} and the file has lines up to ${last}: record to another file`);
}

const EVENT = /^\{"time":"[^"]*",(?:"host":"(?:[^"\\]|\\.)*",)?"event":"(\w+)"/;

/** The end of a line of a list that goes on in another. */
const MORE = ',"more":true}';

class Tally {
  readonly #counts = new Map([["sample", 0]]);
  #characters = 0;

  get isEmpty(): boolean {
    return this.#characters === 0;
  }

  add(lines: string): void {
    this.#characters += lines.length;
    for (let start = 0; start < lines.length; ) {
      const end = lines.indexOf("\n", start);
      const kind = EVENT.exec(lines.slice(start, Math.min(end, start + 1_000)))?.[1] ?? "sample";
      const isWhole = !lines.startsWith(MORE, end - MORE.length);
      if (isWhole) this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
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

export function printedTrace(stdout: Writable): TraceOutput {
  return {
    name: "standard output",
    lastMs: null,
    close: async () => {},
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
const LINE = /^\{"(time|event)":/;
/** The longest line is a list of all VMs, in one piece from exporters of before. */
const MAX_LINE_CHARACTERS = 64 * 1024 * 1024;
const ANSWER_MS = 10_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const SHOWN_CHARACTERS = 200;

export interface StreamSource {
  /** Of the running exporter, without a user: `http://127.0.0.1:10042`. */
  readonly url: string;
  /** Where it has a web configuration: user and password, certificates. */
  readonly access?: Pick<RequestOptions, "auth" | "ca" | "cert" | "key">;
  /** Only what concerns this target; null is all. */
  readonly host: string | null;
  readonly signal: AbortSignal;
}

/** Whole lines until `signal` is aborted. Throws a RecordError, as the lines do, where there is no such stream or it ends. */
export async function openStream(source: StreamSource): Promise<AsyncIterable<string>> {
  const { url, host, signal } = source;
  if (host !== null) await checkHost(source, host);
  const query = host === null ? "" : `?host=${encodeURIComponent(host)}`;
  const response = await ask(source, `api/v1/stream${query}`, "application/x-ndjson");
  response.setTimeout(0);
  return linesOf(arriving(response), url, signal);
}

function arriving(response: IncomingMessage): { readonly text: PassThrough; failure: unknown } {
  const arrived = { text: response.pipe(new PassThrough({ encoding: "utf8" })), failure: null as unknown };
  response.on("error", (error) => {
    arrived.failure = error;
    arrived.text.end();
  });
  return arrived;
}

async function* linesOf(
  arrived: ReturnType<typeof arriving>,
  url: string,
  signal: AbortSignal,
): AsyncGenerator<string> {
  let rest = "";
  try {
    for await (const chunk of arrived.text) {
      rest += chunk;
      if (!LINE.test(rest) && rest.includes("\n")) {
        throw new RecordError(`${url} sends what is no line of a trace: ${firstLine(rest)}`);
      }
      const end = rest.lastIndexOf("\n") + 1;
      if (end === 0 && rest.length > MAX_LINE_CHARACTERS) {
        throw new RecordError(`${url} sends a line without an end`);
      }
      if (end === 0) continue;
      const lines = rest.slice(0, end);
      rest = rest.slice(end);
      const dropped = lines.lastIndexOf(DROPPED);
      if (dropped === -1) yield lines;
      else if (dropped > 0) yield lines.slice(0, dropped);
      if (dropped !== -1)
        throw new RecordError(`${url} dropped this recording: it did not take the lines fast enough`);
    }
    if (arrived.failure !== null) throw arrived.failure;
  } catch (error) {
    if (signal.aborted) return;
    throw broken(url, error);
  }
  if (!signal.aborted) throw new RecordError(`${url} ended the stream`);
}

function broken(url: string, error: unknown): RecordError {
  if (error instanceof RecordError) return error;
  return new RecordError(`the connection to ${url} broke: ${plainMessage(error)}`);
}

/** A host that is no target would be recorded as silence. */
async function checkHost(source: StreamSource, host: string): Promise<void> {
  const { url } = source;
  const body = await bodyOf(url, await ask(source, "api/v1/targets", "application/json"));
  const answer = TARGETS.safeParse(parseJson(body));
  if (!answer.success) throw new RecordError(`${url} is no albatross-exporter: it lists no targets`);
  const names = answer.data.data.map(({ name }) => name);
  if (!names.includes(host)) throw noTarget(url, host, names);
}

const TARGETS = z.object({ data: z.array(z.object({ name: z.string() })) });
const REFUSAL = z.object({ error: z.string() });

/** The response to a GET once its headers say 200 and this type. */
function ask({ url, access, signal }: StreamSource, path: string, type: string): Promise<IncomingMessage> {
  const get = url.startsWith("https:") ? httpsGet : httpGet;
  const target = new URL(path, url.endsWith("/") ? url : `${url}/`);
  return new Promise((resolve, reject) => {
    const request = get(target, { ...access, agent: false, signal, timeout: ANSWER_MS }, (response) => {
      const { statusCode, headers } = response;
      if (statusCode !== 200) {
        refused(url, path, response).then(reject, reject);
      } else if (headers["content-type"]?.startsWith(type) !== true) {
        response.destroy();
        const found = headers["content-type"] ?? "what it does not name";
        reject(new RecordError(`${url} is no albatross-exporter: it answers /${path} with ${found}`));
      } else {
        resolve(response);
      }
    });
    request.on("timeout", () => request.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`)));
    request.on("error", (error) => {
      if (signal.aborted) return reject(new RecordError("stopped before the recording began"));
      const isUntrusted = /CERT|VERIFY/.test((error as NodeJS.ErrnoException).code ?? "");
      const refusedHint = isErrno(error, "ECONNREFUSED") ? " (is the exporter running there?)" : "";
      const hint = isUntrusted ? " (--tls.ca FILE says what to check its certificate by)" : refusedHint;
      reject(new RecordError(`cannot reach ${url}: ${plainMessage(error)}${hint}`));
    });
  });
}

async function refused(url: string, path: string, response: IncomingMessage): Promise<RecordError> {
  const { statusCode, headers } = response;
  if (headers.location !== undefined) {
    response.destroy();
    return new RecordError(`${url} redirects /${path} to ${headers.location}: is that where it is?`);
  }
  const body = await bodyOf(url, response);
  const why = REFUSAL.safeParse(parseJson(body)).data?.error ?? body;
  return new RecordError(`${url} answered ${statusCode} to /${path}: ${firstLine(why)}`);
}

async function bodyOf(url: string, response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of response) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > MAX_ANSWER_BYTES) break;
    }
  } catch (error) {
    throw broken(url, error);
  }
  return Buffer.concat(pieces).toString("utf8");
}

function firstLine(text: string): string {
  const line = text.split("\n", 1)[0] ?? "";
  return line.slice(0, SHOWN_CHARACTERS).replace(/\p{Cc}/gu, "\ufffd");
}

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

/** An output that takes this much less than what arrives will not catch up. */
const MAX_WAITING_CHARACTERS = 64 * 1024 * 1024;

export interface TargetSource {
  readonly config: TargetConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Takes the target's subscriptions, until `signal` is aborted. Throws a RecordError when lines are not taken fast enough. */
export async function* subscribedLines({ config, clock, log, signal }: TargetSource): AsyncGenerator<string> {
  if (signal.aborted) return;
  const waiting = new Readable({ encoding: "utf8", read: () => undefined });
  const trace = new TraceLines(
    {
      hasSubscribers: true,
      publish(message) {
        if (signal.aborted) return;
        for (const line of typeof message === "string" ? [message] : message()) waiting.push(`${line}\n`);
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
