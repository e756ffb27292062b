import { once } from "node:events";
import { statSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { readTextFile } from "../config/checkedYaml.ts";
import { loadConfig } from "../config/load.ts";
import { formatProblem, type Problem } from "../config/problem.ts";
import { backtest } from "./backtest.ts";
import { jsonOutput, tableOutput } from "./output.ts";
import type { TickMode } from "./replay.ts";
import { TraceError, TraceSource } from "./traceSource.ts";
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
  const say = (line: string) => streams.stderr.write(`${line}\n`);
  try {
    const tried = configurations(flags, say);
    if (tried === null) return 1;
    if (tried.every(({ config }) => config.policies.length === 0)) {
      say("no policy in the configuration: every group is held with no_policy");
    }
    return await replay(flags, tried, streams);
  } catch (error) {
    if (!(error instanceof TraceError || error instanceof SettingError)) throw error;
    say(error.message);
    return 1;
  }
}

function configurations(flags: BacktestFlags, say: (line: string) => void): readonly Variant[] | null {
  const read = flags.file === null ? { ok: true as const, text: "" } : readTextFile(flags.file);
  if (!read.ok) return refuse(read.problems, say);
  const file = flags.file ?? "built-in defaults";
  const checked = loadConfig(file, read.text);
  return checked.ok ? variants(file, read.text, flags.set) : refuse(checked.problems, say);
}

function refuse(problems: readonly Problem[], say: (line: string) => void): null {
  for (const problem of problems) say(formatProblem(problem));
  return null;
}

async function replay(flags: BacktestFlags, tried: readonly Variant[], streams: Streams): Promise<number> {
  const { stdout, stderr } = streams;
  const out = new BufferedText(stdout);
  const output = (flags.format === "json" ? jsonOutput : tableOutput)(
    (text) => out.write(text),
    tried.length,
  );
  const sources = flags.traces.map((file) => new TraceSource(file, streams.stdin));
  const progress = stderr.isTTY === true ? progressLine(flags.traces, sources, stderr) : () => undefined;
  const results = await backtest({
    sources,
    variants: tried,
    ticks: flags.ticks,
    all: flags.all,
    onDecision: output.decision,
    async onBatch(samples) {
      progress(samples);
      await out.drain();
    },
  });
  output.end(results);
  await out.flush();
  const first = results[0]?.summary;
  if (first !== undefined && first.samples === 0) {
    stderr.write(`no samples in ${flags.traces.join(", ")} (${first.skipped_lines} lines that are none)\n`);
  }
  return 0;
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

/** Progress on a terminal, at most four times a second: how much of the files is read, and how fast. */
function progressLine(
  files: readonly string[],
  sources: readonly TraceSource[],
  stderr: Writable,
): (samples: number) => void {
  const total = files.reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
  const startMs = performance.now();
  let lastMs = startMs;
  return (samples) => {
    const nowMs = performance.now();
    if (nowMs - lastMs < 250) return;
    lastMs = nowMs;
    const read = sources.reduce((sum, source) => sum + source.bytesRead, 0);
    const share = total > 0 ? `${((100 * read) / total).toFixed(0)} %, ` : "";
    const rate = Math.round(samples / ((nowMs - startMs) / 1000));
    stderr.write(`\r${share}${samples} samples, ${rate}/s\u001b[K`);
  };
}
