import type { Clock } from "../clock.ts";
import { formatDuration } from "../config/units.ts";
import { RecordError, type TraceOutput } from "./output.ts";

const EVENT = /^\{"time":"[^"]*",(?:"host":"(?:[^"\\]|\\.)*",)?"event":"(\w+)"/;
const PROGRESS_MS = 1_000;

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
  const { output, clock, report } = recording;
  const startUs = clock.nowUs();
  const tally = new Tally();
  const stopProgress = showProgress(recording, tally, startUs);
  const failure = await copy(recording, tally);
  stopProgress();
  const took = formatDuration(wholeSeconds((clock.nowUs() - startUs) / 1000));
  if (failure !== null) report(`albatross-exporter: ended early, after ${took}: ${failure.message}`);
  report(`recorded ${tally.text()} in ${took} to ${output.name}`);
  return failure === null ? 0 : 1;
}

/** Null when the recording came to its proper end. */
async function copy({ lines, output }: Recording, tally: Tally): Promise<RecordError | null> {
  let failure: RecordError | null = null;
  try {
    for await (const some of lines) {
      await output.write(some);
      tally.add(some);
    }
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    failure = error;
  }
  try {
    // also after a failure: what was recorded before is worth keeping
    await output.close();
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    failure ??= error;
  }
  return failure;
}

/** What has been recorded so far. */
class Tally {
  samples = 0;
  characters = 0;
  readonly #events = new Map<string, number>();

  add(lines: string): void {
    this.characters += lines.length;
    for (let start = 0; start < lines.length; ) {
      const end = lines.indexOf("\n", start);
      const event = EVENT.exec(lines.slice(start, Math.min(end, start + 1_000)))?.[1];
      if (event === undefined) this.samples++;
      else this.#events.set(event, (this.#events.get(event) ?? 0) + 1);
      start = end + 1;
    }
  }

  /** `692 samples, 13 infos (0.4 MB)` */
  text(): string {
    const parts = [
      count(this.samples, "sample"),
      ...Array.from(this.#events, ([event, n]) => count(n, event)),
    ];
    return `${parts.join(", ")} (${(this.characters / 1e6).toFixed(1)} MB)`;
  }
}

/** Shows how far the recording is, once a second, on one line. Returns what ends and clears it. */
function showProgress({ clock, durationMs, progress }: Recording, tally: Tally, startUs: number): () => void {
  if (progress === null) return () => undefined;
  const clearLine = "\r\u001b[K";
  const show = () => {
    const tookMs = wholeSeconds((clock.nowUs() - startUs) / 1000);
    progress.write(`${clearLine}${formatDuration(tookMs)} of ${formatDuration(durationMs)}: ${tally.text()}`);
    cancel = clock.after(PROGRESS_MS, show);
  };
  let cancel = clock.after(PROGRESS_MS, show);
  return () => {
    cancel();
    progress.write(clearLine);
  };
}

function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? "" : "s"}`;
}

function wholeSeconds(ms: number): number {
  return Math.round(ms / 1000) * 1000;
}
