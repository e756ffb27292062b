/** Several replays of the same traces side by side: the traces are read once, however many variants are compared. */
import { type DecisionJson, decisionJson } from "../scaler/report/json.ts";
import { Transitions } from "../scaler/report/log.ts";
import { mergeTraces, type TraceSource } from "../trace/reader.ts";
import { Replay, type ReplayTick, type TickMode } from "./replay.ts";
import { Summariser, type Summary } from "./summary.ts";
import type { Variant } from "./variants.ts";

export interface BacktestOptions {
  readonly sources: readonly TraceSource[];
  readonly variants: readonly Variant[];
  readonly ticks: TickMode;
  /** every evaluation, not only scale decisions and changes of hold */
  readonly all: boolean;
  /** told of each decision as it is taken, `run` counting the variants from 0 */
  readonly onDecision: (run: number, decision: DecisionJson) => void;
  /** called between batches: for progress, and to let the output drain */
  readonly onBatch: (samples: number) => Promise<void> | void;
}

export interface RunResult {
  readonly set: Variant["set"];
  readonly ticks: number;
  readonly evaluations: number;
  readonly summary: Summary;
}

/** Replays the traces under every variant. Throws TraceError. */
export async function backtest(options: BacktestOptions): Promise<readonly RunResult[]> {
  const runs = options.variants.map(
    (variant, index) => new Run(variant, options.ticks, options.all, (d) => options.onDecision(index, d)),
  );
  try {
    for await (const events of mergeTraces(options.sources)) {
      for (const event of events) for (const run of runs) run.replay.take(event);
      await options.onBatch(runs[0]?.replay.samples ?? 0);
    }
  } finally {
    for (const source of options.sources) source.close();
  }
  const skipped = options.sources.reduce((sum, source) => sum + source.skipped, 0);
  return runs.map((run) => {
    run.replay.end();
    return run.result(skipped);
  });
}

/** One variant's way through the traces. */
class Run {
  readonly replay: Replay;
  readonly #set: Variant["set"];
  readonly #all: boolean;
  readonly #onDecision: (decision: DecisionJson) => void;
  readonly #transitions = new Transitions();
  readonly #summariser = new Summariser();
  #ticks = 0;
  #evaluations = 0;
  #lastTickMs: number | null = null;

  constructor(
    { set, config }: Variant,
    ticks: TickMode,
    all: boolean,
    onDecision: (decision: DecisionJson) => void,
  ) {
    this.replay = new Replay(config, ticks, (tick) => this.#follow(tick));
    this.#set = set;
    this.#all = all;
    this.#onDecision = onDecision;
  }

  #follow({ timeMs, evaluations }: ReplayTick): void {
    const windowMs = timeMs - (this.#lastTickMs ?? this.replay.span?.fromMs ?? timeMs);
    this.#lastTickMs = timeMs;
    this.#ticks += 1;
    this.#evaluations += evaluations.length;
    for (const evaluation of evaluations) {
      this.#summariser.add(evaluation, windowMs);
      const isTransition = this.#transitions.isTransition(evaluation);
      if (isTransition || this.#all) this.#onDecision(decisionJson(evaluation, timeMs));
    }
  }

  result(skippedLines: number): RunResult {
    const { span, samples } = this.replay;
    const summary = this.#summariser.summary({
      from: span === null ? null : new Date(span.fromMs).toISOString(),
      to: span === null ? null : new Date(span.toMs).toISOString(),
      samples,
      skipped_lines: skippedLines,
    });
    return { set: this.#set, ticks: this.#ticks, evaluations: this.#evaluations, summary };
  }
}
