import { once } from "node:events";
import { statSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { formatProblem, type Problem, readTextFile } from "../config/checkedYaml.ts";
import { loadConfig } from "../config/load.ts";
import { TraceError, TraceSource } from "../trace/reader.ts";
import { backtest } from "./backtest.ts";
import { jsonOutput, tableOutput } from "./output.ts";
import type { TickMode } from "./replay.ts";
import { SettingError, type Variant, variants } from "./variants.ts";

export interface BacktestFlags {
  readonly traces: readonly string[];
  /** null runs with the built-in defaults, which have no policy */
  readonly file: string | null;
  readonly format: "table" | "json";
  readonly all: boolean;
  readonly ticks: TickMode;
  readonly set: readonly string[];
}

export interface Streams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

/** The command: reads, replays, prints. Resolves to the exit code; errors are lines on stderr. */
export async function runBacktest(flags: BacktestFlags, streams: Streams): Promise<number> {
  const { stderr } = streams;
  try {
    const tried = configurations(flags, stderr);
    if (tried === null) return 1;
    if (tried.every(({ config }) => config.policies.length === 0)) {
      say(stderr, "no policy in the configuration: every group is held with no_policy");
    }
    await replay(flags, tried, streams);
    return 0;
  } catch (error) {
    if (!(error instanceof TraceError || error instanceof SettingError)) throw error;
    say(stderr, error.message);
    return 1;
  }
}

function say(stderr: Writable, text: string): void {
  stderr.write(`albatross-exporter: ${text}\n`);
}

function configurations(flags: BacktestFlags, stderr: Writable): readonly Variant[] | null {
  const read = flags.file === null ? { ok: true as const, text: "" } : readTextFile(flags.file);
  if (!read.ok) return refuse(read.problems, stderr);
  const file = flags.file ?? "built-in defaults";
  const checked = loadConfig(file, read.text);
  return checked.ok ? variants(file, read.text, flags.set) : refuse(checked.problems, stderr);
}

function refuse(problems: readonly Problem[], stderr: Writable): null {
  for (const problem of problems) stderr.write(`${formatProblem(problem)}\n`);
  return null;
}

async function replay(flags: BacktestFlags, tried: readonly Variant[], streams: Streams): Promise<void> {
  const { stdout, stderr } = streams;
  if (flags.traces.filter((file) => file === "-").length > 1) {
    throw new TraceError("standard input (-) can be read only once");
  }
  const out = new BufferedText(stdout);
  const output = (flags.format === "json" ? jsonOutput : tableOutput)(
    (text) => out.write(text),
    tried.length,
  );
  const sources = flags.traces.map((file) => new TraceSource(file, streams.stdin));
  const progress = stderr.isTTY === true ? new ProgressLine(flags.traces, sources, stderr) : null;
  const results = await backtest({
    sources,
    variants: tried,
    ticks: flags.ticks,
    all: flags.all,
    onDecision: output.decision,
    async onBatch(samples) {
      progress?.show(samples);
      await out.drain();
    },
  }).finally(() => progress?.clear());
  output.end(results);
  await out.flush();
  const first = results[0]?.summary;
  if (first !== undefined && first.samples === 0) {
    const { skipped_lines: lines } = first;
    say(
      stderr,
      `no samples in ${flags.traces.join(", ")} (${lines} line${lines === 1 ? "" : "s"} of something else)`,
    );
  }
}

/** Text is gathered up to this size before it is written. */
const OUTPUT_CHARS = 64 * 1024;

/** Output that waits for a slow reader, and stops quietly when the reader has gone (`| head`). */
class BufferedText {
  readonly #stream: Writable;
  #text = "";
  #gone = false;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      this.#gone = true;
    });
  }

  write(text: string): void {
    this.#text += text;
  }

  async drain(): Promise<void> {
    if (this.#text.length >= OUTPUT_CHARS) await this.flush();
  }

  async flush(): Promise<void> {
    const text = this.#text;
    this.#text = "";
    if (this.#gone || text === "") return;
    if (this.#stream.write(text)) return;
    const waiting = new AbortController();
    const { signal } = waiting;
    try {
      await Promise.race([once(this.#stream, "drain", { signal }), once(this.#stream, "close", { signal })]);
    } catch (error) {
      // the stream failed while it was waited for: what it was about is known by now
      if (!this.#gone) throw error;
    } finally {
      waiting.abort();
    }
  }
}

const PROGRESS_EVERY_MS = 250;

/** Progress on a terminal: how much of the files is read, and how fast. It leaves nothing behind. */
class ProgressLine {
  readonly #sources: readonly TraceSource[];
  readonly #stderr: Writable;
  readonly #totalBytes: number;
  readonly #startMs = performance.now();
  #shownMs = this.#startMs;
  #isShown = false;

  constructor(files: readonly string[], sources: readonly TraceSource[], stderr: Writable) {
    this.#sources = sources;
    this.#stderr = stderr;
    const size = (file: string) => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    this.#totalBytes = files.reduce((sum, file) => sum + size(file), 0);
  }

  show(samples: number): void {
    const nowMs = performance.now();
    if (nowMs - this.#shownMs < PROGRESS_EVERY_MS) return;
    this.#shownMs = nowMs;
    this.#isShown = true;
    const read = this.#sources.reduce((sum, source) => sum + source.bytesRead, 0);
    const share = this.#totalBytes > 0 ? `${((100 * read) / this.#totalBytes).toFixed(0)} %, ` : "";
    const rate = Math.round(samples / ((nowMs - this.#startMs) / 1000));
    this.#stderr.write(`\r${share}${samples} samples, ${rate}/s\u001b[K`);
  }

  clear(): void {
    if (this.#isShown) this.#stderr.write("\r\u001b[K");
  }
}
