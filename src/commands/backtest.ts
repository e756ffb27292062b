import { type Command, Option } from "commander";
import type { BacktestFlags } from "../backtest/backtest.ts";
import { SETTABLE_KEYS } from "../backtest/variants.ts";
import type { WhatIfFlags } from "../backtest/whatIf.ts";
import { usualFile } from "../config/load.ts";
import { formatDuration } from "../config/units.ts";
import { durationFlag, path } from "./shared.ts";

/** `backtest TRACE...`: what would the scaler have done? */
export function register(program: Command): void {
  program
    .command("backtest")
    .description("run the scaler over recorded traces and print what it would have done")
    .argument(
      "<trace...>",
      "trace files as `record` writes them, merged by time; `-` is stdin, gzip is unpacked",
    )
    .option(
      "--config.file <file>",
      "configuration with the policies (default: config.yaml if it is there)",
      path,
    )
    .addOption(new Option("--format <format>", "how to print").choices(["table", "json"]).default("table"))
    .option("--all", "print every evaluation, not only scale decisions and changes of hold", false)
    .addOption(
      new Option("--ticks <when>", "tick every poll_interval, or where the trace says that the scaler ticked")
        .choices(["poll", "trace"])
        .default("poll"),
    )
    .option(
      "--set <key=value>",
      "try another value; of one key given twice or more, compare the values",
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option(
      "--what-if",
      "play the groups as they would have been under the policies, one variant a row, beside what they were",
      false,
    )
    .addOption(
      new Option("--start-delay <duration>", "with --what-if: from a decision until its clone bears load")
        .default(START_DELAY_MS, formatDuration(START_DELAY_MS))
        .argParser(durationMs),
    )
    .option("--plot <file>", "with --what-if: draw demand, capacity and decisions into this SVG file", path)
    .addHelpText(
      "after",
      `
Ticks fall at the first sample's time + k x poll_interval, up to the last sample's time. The run starts from an empty
state and touches no file. A trace line needs no more than time, host, header.name and rusage's utime and stime; lines
that are no samples are skipped and counted; time going back within a file is an error, and so is input without any sample.
Ticks at which no group has a member are skipped, which is said.

What a backtest decides changes nothing in the recording. --what-if takes from it only what each group needed (the sum of
its members' CPU use; where all were at 100 %, at least that) and plays the group from its first tick on: decisions are
carried out at once, the load is shared evenly. What saturation hid, memory and caches it cannot know. Its JSON: {groups:
[{host, path, group}], variants: [{set, rows: [{host, path, group, saturated_minutes, overload_minutes, clone_hours,
actions, reversals, most_clones}], total}], recorded: {rows, total}}; a reversal is an action within 30 minutes after one of
the other direction.

Keys of --set: ${SETTABLE_KEYS.join(", ")}.
JSON: {decisions: [{time, host, path, group, decision, reason, clone, step, average_percent, average_for_up_percent,
average_for_down_percent, clones, high_ticks, low_ticks, would}], ticks, evaluations, summary}; with values compared
{runs: [{set, ...the same}]}.

Examples:
  albatross-exporter backtest --config.file config.yaml trace.ndjson.gz
  albatross-exporter backtest --set scale_up_threshold_percent=80 --set scale_up_threshold_percent=90 trace.ndjson
  albatross-exporter backtest --what-if --set cooldown_period=10m --set cooldown_period=3m --plot plot.svg trace.ndjson`,
    )
    .action(async (traces: string[], options: Options, command: Command) => {
      const whatIf = whatIfOf(options, command);
      const { runBacktest } = await import("../backtest/backtest.ts");
      const file = options["config.file"] ?? usualFile();
      process.exitCode = await runBacktest({ set: [], ...options, traces, file, whatIf }, process);
    });
}

type Options = Omit<BacktestFlags, "traces" | "file" | "set" | "whatIf"> & {
  readonly "config.file"?: string;
  readonly set?: readonly string[];
  readonly whatIf: boolean;
  readonly startDelay: number;
  readonly plot?: string;
};

/** Null without --what-if. Flags that would have no effect are wrong usage. */
function whatIfOf({ whatIf, startDelay, plot }: Options, command: Command): WhatIfFlags | null {
  const isGiven = (name: string) => command.getOptionValueSource(name) === "cli";
  const stray = Object.entries({ startDelay: "--start-delay", plot: "--plot" });
  const useless = Object.entries({ all: "--all", ticks: "--ticks" });
  for (const [name, flag] of whatIf ? useless : stray) {
    if (!isGiven(name)) continue;
    command.error(whatIf ? `error: ${flag} has no effect with --what-if` : `error: ${flag} needs --what-if`);
  }
  return whatIf ? { startDelayMs: startDelay, plot: plot ?? null } : null;
}

const START_DELAY_MS = 20_000;

const durationMs = durationFlag("a duration such as 20s or 1m30s, 0s for none", 0);
