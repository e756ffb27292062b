import { type Command, Option } from "commander";
import type { BacktestFlags } from "../backtest/backtest.ts";
import { SETTABLE_KEYS } from "../backtest/variants.ts";
import { usualFile } from "../config/load.ts";
import { path } from "./shared.ts";

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
      append,
    )
    .addHelpText(
      "after",
      `
Ticks fall at the first sample's time + k x poll_interval, up to the last sample's time. The run starts from an empty
state and touches no file. A trace line needs no more than time, host, header.name and rusage's utime and stime; lines
that are no samples are skipped and counted; time going back within a file is an error, and so is input without any sample.
Ticks at which no group has a member are skipped, which is said.

Keys of --set: ${SETTABLE_KEYS.join(", ")}.
JSON: {decisions: [{time, host, path, group, decision, reason, clone, average_percent, average_for_up_percent,
average_for_down_percent, clones, high_ticks, low_ticks, would}], ticks, evaluations, summary}; with values compared
{runs: [{set, ...the same}]}.

Examples:
  albatross-exporter backtest --config.file config.yaml trace.ndjson.gz
  albatross-exporter backtest --set scale_up_threshold_percent=80 --set scale_up_threshold_percent=90 trace.ndjson`,
    )
    .action(async (traces: string[], options: Options) => {
      const { runBacktest } = await import("../backtest/backtest.ts");
      const file = options["config.file"] ?? usualFile();
      process.exitCode = await runBacktest({ set: [], ...options, traces, file }, process);
    });
}

type Options = Omit<BacktestFlags, "traces" | "file" | "set"> & {
  readonly "config.file"?: string;
  readonly set?: readonly string[];
};

function append(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
