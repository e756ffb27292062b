/** Several replays of the same traces side by side: the traces are read once, however many variants are compared. */
import { statSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { formatProblem, readTextFile } from "../config/checkedYaml.ts";
import { loadConfig } from "../config/load.ts";
import { isErrno } from "../systemError.ts";
import { mergeTraces, TraceError, TraceSource } from "../trace/reader.ts";
import { jsonOutput, type RunResult, tableOutput } from "./output.ts";
import { Replay, type ReplayOptions } from "./replay.ts";
import { SettingError, settingsOf, type Variant, variants } from "./variants.ts";

export interface BacktestFlags extends ReplayOptions {
  readonly traces: readonly string[];
  /** null runs with the built-in defaults, which have no policy */
  readonly file: string | null;
  readonly format: "table" | "json";
  readonly set: readonly string[];
}

export interface Streams {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

/** The command: reads, replays, prints. Resolves to the exit code; errors are lines on stderr. */
export async function runBacktest(flags: BacktestFlags, streams: Streams): Promise<number> {
  const say = (text: string) => streams.stderr.write(`albatross-exporter: ${text}\n`);
  try {
    const tried = configurations(flags, streams.stderr);
    if (tried === null) return 1;
    if (tried.every(({ config }) => config.policies.length === 0)) {
      say("no policy in the configuration: every group is held with no_policy");
    }
    if (flags.traces.filter((file) => file === "-").length > 1) {
      throw new TraceError("standard input (-) can be read only once");
    }
    const told: RunResult[] = [];
    // standard output is the process' own and stays open
    await pipeline(replayed(flags, tried, streams, told), streams.stdout, { end: false });
    for (const { set, skippedTicks } of told) {
      if (skippedTicks === 0) continue;
      const variant = ["", ...settingsOf(set)].join(" ");
      say(`${skippedTicks} ticks skipped at which no group had a member${variant}`);
    }
    return 0;
  } catch (error) {
    // nobody wants the rest (`backtest TRACE | head`)
    if (isErrno(error, "EPIPE")) return 0;
    if (!(error instanceof TraceError || error instanceof SettingError)) throw error;
    say(error.message);
    return 1;
  }
}

/** Null when the configuration is wrong, which has been said then. */
function configurations(flags: BacktestFlags, stderr: Writable): readonly Variant[] | null {
  const file = flags.file ?? "built-in defaults";
  const read = flags.file === null ? { ok: true as const, text: "" } : readTextFile(flags.file);
  const checked = read.ok ? loadConfig(file, read.text) : read;
  if (read.ok && checked.ok) return variants(file, read.text, flags.set);
  for (const problem of checked.ok ? [] : checked.problems) stderr.write(`${formatProblem(problem)}\n`);
  return null;
}

/** Text is gathered up to this size before it is written. */
const OUTPUT_CHARS = 64 * 1024;

/** Replays the traces under every variant. Yields what is to be printed; the results go into `told`. Throws TraceError. */
async function* replayed(
  flags: BacktestFlags,
  tried: readonly Variant[],
  { stdin, stderr }: Streams,
  told: RunResult[],
): AsyncGenerator<string> {
  const output = (flags.format === "json" ? jsonOutput : tableOutput)(tried.length);
  let text = output.head;
  const replays = tried.map(
    (variant, run) =>
      new Replay(variant, flags, (decision) => {
        text += output.decision(run, decision);
      }),
  );
  const sources = flags.traces.map((file) => new TraceSource(file, stdin));
  const progress = stderr.isTTY === true ? progressOn(stderr, flags.traces, sources) : null;
  try {
    for await (const events of mergeTraces(sources)) {
      for (const event of events) for (const replay of replays) replay.take(event);
      progress?.show(replays[0]?.samples ?? 0);
      if (text.length < OUTPUT_CHARS) continue;
      yield text;
      text = "";
    }
  } finally {
    for (const source of sources) source.close();
    progress?.clear();
  }
  const without = sources.flatMap(({ foundInstead }) => foundInstead ?? []);
  if (without.length === sources.length) throw new TraceError(without.join("; "));
  for (const found of without) stderr.write(`albatross-exporter: ${found}\n`);
  const skipped = sources.reduce((sum, source) => sum + source.skipped, 0);
  told.push(...replays.map((replay) => replay.end(skipped)));
  yield text + output.end(told);
}

const PROGRESS_EVERY_MS = 250;

/** Progress on a terminal: how much of the files is read, and how fast. It leaves nothing behind. */
function progressOn(terminal: Writable, files: readonly string[], sources: readonly TraceSource[]) {
  const sizes = files.map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0);
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
  const startMs = performance.now();
  let shownMs = startMs;
  return {
    show(samples: number): void {
      const nowMs = performance.now();
      if (nowMs - shownMs < PROGRESS_EVERY_MS) return;
      shownMs = nowMs;
      const read = sources.reduce((sum, source) => sum + source.bytesRead, 0);
      const share = totalBytes > 0 ? `${((100 * read) / totalBytes).toFixed(0)} %, ` : "";
      const rate = Math.round(samples / ((nowMs - startMs) / 1000));
      terminal.write(`\r${share}${samples} samples, ${rate}/s\u001b[K`);
    },
    clear(): void {
      if (shownMs > startMs) terminal.write("\r\u001b[K");
    },
  };
}
