import { Target } from "../client/target.ts";
import type { Clock } from "../clock.ts";
import { formatProblem } from "../config/problem.ts";
import { loadSettings } from "../config/settings.ts";
import type { TargetConfig } from "../config/types.ts";
import type { Log } from "../log.ts";
import { TraceLines, type TraceListener } from "./lines.ts";
import { RecordError } from "./output.ts";

/** An output that takes this much less than what arrives will not catch up. */
const MAX_WAITING_CHARACTERS = 64 * 1024 * 1024;

/** The target of that name in the configuration that `serve` would run with. Throws a RecordError if there is none. */
export function findTarget(name: string, configFile: string | undefined): TargetConfig {
  const settings = loadSettings(configFile === undefined ? {} : { configFile });
  if (!settings.ok) throw new RecordError(settings.problems.map(formatProblem).join("\n"));
  const target = settings.config.targets.find((one) => one.name === name);
  if (target !== undefined) return target;
  const names = settings.config.targets.map((one) => one.name).join(", ");
  throw new RecordError(
    `${settings.file ?? "the default configuration"} has no target called ${name} (it has: ${names})`,
  );
}

export interface TargetSource {
  readonly config: TargetConfig;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the recording. */
  readonly signal: AbortSignal;
}

/**
 * Subscribes to the target itself, which takes its slots from whoever has them, and yields the lines of the trace as
 * they arrive until `signal` is aborted. Throws a RecordError when the lines are not taken fast enough.
 */
export async function* subscribedLines({ config, clock, log, signal }: TargetSource): AsyncGenerator<string> {
  const queue = new LineQueue(signal);
  const trace = new TraceLines(queue, clock);
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
    for (;;) {
      const lines = await queue.next();
      if (lines === null) return;
      yield lines;
    }
  } finally {
    await target.stop();
  }
}

/** Lines that arrived and are not taken yet. */
class LineQueue implements TraceListener {
  readonly hasSubscribers = true;
  readonly #signal: AbortSignal;
  #waiting = "";
  #wake: () => void = () => undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake(), { once: true });
  }

  publish(line: string): void {
    this.#waiting += `${line}\n`;
    this.#wake();
  }

  /** All lines that wait, or those that come next; null when the recording is over. */
  async next(): Promise<string | null> {
    while (this.#waiting === "") {
      if (this.#signal.aborted) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#waiting.length > MAX_WAITING_CHARACTERS) {
      throw new RecordError("the output does not take the lines as fast as they arrive");
    }
    const lines = this.#waiting;
    this.#waiting = "";
    return lines;
  }
}
