/** Several variants on the same traces side by side: the traces are read once, however many are compared. */
import { statSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { formatProblem, readTextFile } from "../config/checkedYaml.ts";
import { loadConfig } from "../config/load.ts";
import type { ScalerConfig } from "../config/scaler.ts";
import { isErrno } from "../systemError.ts";
import { mergeTraces, TraceError, type TraceEvent, TraceSource } from "../trace/reader.ts";
import { jsonOutput, printable, type RunResult, tableOutput } from "./output.ts";
import { PlotError, placeFor, writePlot } from "./plotFile.ts";
import { Replay, type ReplayOptions } from "./replay.ts";
import { SettingError, settingsOf, type Variant, variants } from "./variants.ts";
import { type Drawn, WhatIf, type WhatIfFlags } from "./whatIf.ts";

export interface BacktestFlags extends ReplayOptions {
  readonly traces: readonly string[];
  /** null runs with the built-in defaults, which have no policy */
  readonly file: string | null;
  readonly format: "table" | "json";
  readonly set: readonly string[];
  /** null replays the rules over what was recorded */
  readonly whatIf: WhatIfFlags | null;
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
    const configured = configurations(flags, streams.stderr);
    if (configured === null) return 1;
    const { tried } = configured;
    if (tried.every(({ config }) => config.policies.length === 0)) {
      say("no policy in the configuration: every group is held with no_policy");
    }
    for (const text of new Set(tried.flatMap(({ warnings }) => warnings))) say(`${text} (warning)`);
    if (flags.traces.filter((file) => file === "-").length > 1) {
      throw new TraceError("standard input (-) can be read only once");
    }
    const told: RunResult[] = [];
    const { whatIf } = flags;
    const output =
      whatIf === null
        ? replayed(flags, tried, streams, told)
        : played({ ...flags, whatIf }, configured, streams, say);
    // standard output is the process' own and stays open
    await pipeline(output, streams.stdout, { end: false });
    for (const { set, skippedTicks, withoutLoad } of told) {
      sayWithoutLoad(withoutLoad, say);
      if (skippedTicks === 0) continue;
      const variant = ["", ...settingsOf(set)].join(" ");
      say(`${skippedTicks} ticks skipped at which no group had a member${variant}`);
    }
    return 0;
  } catch (error) {
    // nobody wants the rest (`backtest TRACE | head`)
    if (isErrno(error, "EPIPE")) return 0;
    const isTold = [TraceError, SettingError, PlotError].some((kind) => error instanceof kind);
    if (!isTold || !(error instanceof Error)) throw error;
    say(error.message);
    return 1;
  }
}

const MOST_NAMED = 5;

/** Groups whose policy asks for a load that nobody recorded are left out of the figures. */
function sayWithoutLoad(groups: readonly string[], say: (text: string) => void): void {
  if (groups.length === 0) return;
  const more = groups.length > MOST_NAMED ? ` and ${groups.length - MOST_NAMED} more` : "";
  const names = printable(groups.slice(0, MOST_NAMED).join(", "));
  say(`left out while the trace has no answer of their load: ${names}${more}`);
}

interface Configurations {
  /** the file as it is */
  readonly base: ScalerConfig;
  readonly tried: readonly Variant[];
}

/** Null when the configuration is wrong, which has been said then. */
function configurations(flags: BacktestFlags, stderr: Writable): Configurations | null {
  const file = flags.file ?? "built-in defaults";
  const read = flags.file === null ? { ok: true as const, text: "" } : readTextFile(flags.file);
  const checked = read.ok ? loadConfig(file, read.text) : read;
  if (read.ok && checked.ok) {
    return { base: checked.config.scaler, tried: variants(file, read.text, flags.set) };
  }
  for (const problem of checked.ok ? [] : checked.problems) stderr.write(`${formatProblem(problem)}\n`);
  return null;
}

/** Text is gathered up to this size before it is written. */
const OUTPUT_CHARS = 64 * 1024;

/** Replays the traces under every variant. Yields what is to be printed; the results go into `told`. Throws TraceError. */
async function* replayed(
  flags: BacktestFlags,
  tried: readonly Variant[],
  streams: Streams,
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
  const traces = new Traces(flags.traces, streams);
  for await (const events of traces.events(() => replays[0]?.samples ?? 0)) {
    for (const event of events) for (const replay of replays) replay.take(event);
    if (text.length < OUTPUT_CHARS) continue;
    yield text;
    text = "";
  }
  told.push(...replays.map((replay) => replay.end(traces.skipped)));
  yield text + output.end(told);
}

/** Plays the groups of the traces under every variant. Yields what is to be printed. Throws TraceError and PlotError. */
async function* played(
  flags: BacktestFlags & { readonly whatIf: WhatIfFlags },
  { base, tried }: Configurations,
  streams: Streams,
  say: (text: string) => void,
): AsyncGenerator<string> {
  const { plot } = flags.whatIf;
  // what is no place for it shows before the traces are read
  const file = plot === null ? null : await placeFor(plot);
  const whatIf = new WhatIf(base, tried, flags.whatIf);
  const traces = new Traces(flags.traces, streams);
  for await (const events of traces.events(() => whatIf.samples)) {
    for (const event of events) whatIf.take(event);
  }
  whatIf.end();
  sayWithoutLoad(whatIf.withoutLoad, say);
  if (file !== null) {
    const { drawPlot } = await import("./plot.ts");
    await writePlot(file, drawPlot(drawnGroups(whatIf, streams)));
  }
  yield flags.format === "json" ? `${JSON.stringify(whatIf.json())}\n` : whatIf.table();
}

/** Panels that fit into a plot that can still be looked at. */
const MAX_PANELS = 60;

/** The groups that something was done in or that were saturated, the busiest first where not all fit; else all. */
function drawnGroups(whatIf: WhatIf, { stderr }: Streams): readonly Drawn[] {
  const all = whatIf.drawn();
  const actions = ({ histories }: Drawn) => histories.reduce((sum, { meter }) => sum + meter.actions, 0);
  const eventful = all.filter(
    (group) => actions(group) > 0 || group.histories.some(({ meter }) => meter.saturatedMs > 0),
  );
  const wanted = eventful.length > 0 ? eventful : all;
  const most = Math.max(1, Math.floor(MAX_PANELS / (all[0]?.histories.length ?? 1)));
  if (wanted.length <= most) return wanted;
  stderr.write(`albatross-exporter: --plot shows ${most} of ${all.length} groups, those with most actions\n`);
  return wanted.toSorted((a, b) => actions(b) - actions(a)).slice(0, most);
}

/** The trace files of one run. */
class Traces {
  readonly #files: readonly string[];
  readonly #sources: readonly TraceSource[];
  readonly #stderr: Streams["stderr"];

  constructor(files: readonly string[], { stdin, stderr }: Streams) {
    this.#files = files;
    this.#sources = files.map((file) => new TraceSource(file, stdin));
    this.#stderr = stderr;
  }

  /** Lines so far that were no samples. */
  get skipped(): number {
    return this.#sources.reduce((sum, source) => sum + source.skipped, 0);
  }

  /** All events, in order of time. `samples` tells how many have been taken. Throws TraceError, and for files without any. */
  async *events(samples: () => number): AsyncGenerator<readonly TraceEvent[]> {
    const stderr = this.#stderr;
    const progress = stderr.isTTY === true ? progressOn(stderr, this.#files, this.#sources) : null;
    try {
      for await (const events of mergeTraces(this.#sources)) {
        yield events;
        progress?.show(samples());
      }
    } finally {
      for (const source of this.#sources) source.close();
      progress?.clear();
    }
    const without = this.#sources.flatMap(({ foundInstead }) => foundInstead ?? []);
    if (without.length === this.#sources.length) throw new TraceError(without.join("; "));
    for (const found of without) stderr.write(`albatross-exporter: ${found}\n`);
  }
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
