import { type Command, Option } from "commander";
import { systemClock } from "../clock.ts";
import { formatDuration } from "../config/units.ts";
import { createLogger } from "../log.ts";
import { untilSignal } from "../signals.ts";
import { type AccessFlags, accessOf, durationFlag, flagValue, path, withAccessFlags } from "./shared.ts";

const DEFAULT_URL = "http://127.0.0.1:10042";
const DEFAULT_DURATION_MS = 3_600_000;

interface RecordFlags extends AccessFlags {
  readonly url: string;
  readonly host?: string;
  readonly duration: number;
  readonly output?: string;
  readonly target?: string;
  readonly takeSlot?: true;
  readonly "config.file"?: string;
}

/** `record`: write a trace, to try scaling policies on with `backtest`. */
export function register(program: Command): void {
  const command = program
    .command("record")
    .summary("write what a running exporter receives to a trace, for backtest")
    .description(
      "Write a trace: one JSON line per sample, as they arrive at a running exporter (its /api/v1/stream). Recording " +
        "this way disturbs nobody. Ctrl-C ends it early, with what there is until then.",
    )
    .option("--url <url>", "where the exporter is reached", exporterUrl, DEFAULT_URL)
    .option("--host <name>", "record this target only (default: all of the exporter's)")
    .addOption(
      new Option("--duration <duration>", "how long to record")
        .default(DEFAULT_DURATION_MS, formatDuration(DEFAULT_DURATION_MS))
        .argParser(durationMs),
    )
    .option(
      "-o, --output <file>",
      "append to this file, compressed if it ends in .gz (default: print the trace)",
      path,
    )
    .addOption(
      new Option(
        "--target <name>",
        "without an exporter: subscribe to this target of the configuration; needs --take-slot",
      ).conflicts(["url", "host"]),
    )
    .option("--take-slot", "take the target's slots from whoever has them, such as a running exporter")
    .option(
      "--config.file <file>",
      "configuration that has the target (default: config.yaml here, if there is one)",
      path,
    );
  withAccessFlags(command)
    .addHelpText(
      "after",
      `
Between the samples: {"time","host","event":"info","vms":[...]} for each unikernel info, and what the last one said at the
beginning; {"time","host","event":"connection","up"} when a host's statistics no longer arrive (false) and when they do again;
{"time","event":"tick"} for each evaluation of the scaler, and before it {"time","event":"load","host","path","group","value"}
for each group whose policy asks for its load, null where that was not known. One recorder writes to a file; half a line at its end is cut back.
The exit code is 1 when the exporter cannot be reached, the file cannot be written or the recording ends before its time.

Examples: an hour of one host; of an exporter with a web configuration, the password asked of a manager of passwords
  albatross-exporter record --host local --duration 1h -o local.ndjson.gz
  ALBATROSS_EXPORTER_PASSWORD=$(pass exporter) albatross-exporter record --url https://alice@box1:10042 --tls.ca ca.pem`,
    )
    .action(record);
}

async function record(flags: RecordFlags, command: Command): Promise<void> {
  if (flags.target !== undefined && !flags.takeSlot) {
    command.error(
      "error: --target takes the slot from whoever has it, such as a running exporter: add --take-slot if that is what you want",
    );
  }
  if (flags.takeSlot && flags.target === undefined) command.error("error: --take-slot needs --target");
  const stop = new AbortController();
  const { signal } = stop;
  untilSignal().then(() => stop.abort());
  const { openTraceFile } = await import("../trace/file.ts");
  const trace = await import("../trace/record.ts");
  const clock = systemClock({ unref: true });
  const report = (line: string) => console.error(line);
  const { output: file, duration } = flags;
  const output =
    file === undefined
      ? trace.printedTrace(process.stdout)
      : await openTraceFile(file, { clock, report: (line) => report(`albatross-exporter: ${line}`) });
  try {
    const lines =
      flags.target === undefined
        ? await trace.openStream({ ...(await reached(flags)), host: flags.host ?? null, signal })
        : trace.subscribedLines({
            config: trace.findTarget(flags.target, flags["config.file"]),
            clock: systemClock(),
            log: createLogger({ level: "warn", format: "logfmt" }),
            signal,
          });
    clock.after(duration, () => stop.abort());
    process.exitCode = await trace.recordTrace({
      lines,
      output,
      clock,
      durationMs: duration,
      progress: process.stderr.isTTY ? process.stderr : null,
      report,
    });
  } catch (error) {
    // asked to end before it began
    if (!signal.aborted) throw error;
  } finally {
    stop.abort();
    await output.close();
  }
}

/** The URL without the user, who is asked as. */
async function reached(flags: RecordFlags) {
  const { username } = new URL(flags.url);
  const user = username === "" ? null : decodeURIComponent(username);
  return { url: flags.url.replace(/\/\/[^/@]*@/, "//"), access: await accessOf(flags, user) };
}

const URL_ALLOWED = `an http or https URL such as ${DEFAULT_URL} or https://alice@host:10042, the password not in it but in --password-file`;

const exporterUrl = flagValue(URL_ALLOWED, (text) => {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && /^https?:$/.test(url.protocol) && url.password === "" ? text : null;
});

const durationMs = durationFlag("a duration such as 10m or 1h30m", 1);
