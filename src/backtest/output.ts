/** What `backtest` prints: sums over the evaluations, JSON for programs, tables for people. */
import type { DecisionJson } from "../scaler/report/json.ts";
import { clonesOf } from "../scaler/report/words.ts";
import type { Evaluation, GroupName } from "../scaler/rules/types.ts";
import { settingsOf, type Variant } from "./variants.ts";

type Counts = Record<string, Record<string, number>>;

interface Figures {
  /** evaluations by decision and reason */
  readonly decisions: Counts;
  /** time during which the average that scale-ups are decided on was above its threshold */
  readonly seconds_above_up_threshold: number;
  readonly most_clones: number;
  readonly clone_hours: number;
}

/** The figures are of all groups together: sums, except the most clones that one of them had. */
export interface Summary extends Figures {
  /** wall time of the first and the last sample; null without any */
  readonly from: string | null;
  readonly to: string | null;
  readonly samples: number;
  /** lines of the traces that were no samples */
  readonly skipped_lines: number;
  readonly groups: readonly (GroupName & Figures)[];
}

class Tally {
  readonly decisions: Counts = {};
  aboveMs = 0;
  mostClones = 0;
  cloneMs = 0;

  count(decision: string, reason: string, times: number): void {
    const reasons = this.decisions[decision] ?? {};
    this.decisions[decision] = reasons;
    reasons[reason] = (reasons[reason] ?? 0) + times;
  }

  add(other: Tally): void {
    for (const [decision, reasons] of Object.entries(other.decisions)) {
      for (const [reason, times] of Object.entries(reasons)) this.count(decision, reason, times);
    }
    this.aboveMs += other.aboveMs;
    this.mostClones = Math.max(this.mostClones, other.mostClones);
    this.cloneMs += other.cloneMs;
  }

  figures(): Figures {
    return {
      decisions: this.decisions,
      seconds_above_up_threshold: this.aboveMs / 1000,
      most_clones: this.mostClones,
      clone_hours: Math.round((this.cloneMs / 3_600_000) * 10_000) / 10_000,
    };
  }
}

/** Adds evaluations up. An evaluation stands for the time since the tick before it. */
export class Summariser {
  readonly #groups = new Map<string, { readonly name: GroupName; readonly tally: Tally }>();

  /** Counts one evaluation that covers `windowMs` of time. */
  add({ observation, decision, averages, policy, clones }: Evaluation, windowMs: number): void {
    const { key, host, path, group } = observation;
    const known = this.#groups.get(key) ?? { name: { host, path, group }, tally: new Tally() };
    this.#groups.set(key, known);
    const { tally } = known;
    tally.count(decision.decision, decision.reason, 1);
    if (policy !== null && averages.forUp !== null && averages.forUp > policy.scaleUpThresholdPercent) {
      tally.aboveMs += windowMs;
    }
    tally.mostClones = Math.max(tally.mostClones, clones);
    tally.cloneMs += clones * windowMs;
  }

  /** The sums so far, groups in order of host, path and name. */
  summary(run: Pick<Summary, "from" | "to" | "samples" | "skipped_lines">): Summary {
    const groups = [...this.#groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
    const total = new Tally();
    for (const { tally } of groups) total.add(tally);
    return {
      ...run,
      ...total.figures(),
      groups: groups.map(({ name, tally }) => ({ ...name, ...tally.figures() })),
    };
  }
}

export interface RunResult extends Pick<Variant, "set"> {
  readonly ticks: number;
  /** at which no group had a member */
  readonly skippedTicks: number;
  /** groups that were left out while the trace had no answer of their load: `h user:web` */
  readonly withoutLoad: readonly string[];
  readonly evaluations: number;
  readonly summary: Summary;
}

/** Turns decisions into text as they come, and then the results. */
export interface BacktestOutput {
  readonly head: string;
  decision(run: number, decision: DecisionJson): string;
  end(results: readonly RunResult[]): string;
}

/**
 * One JSON object: `{decisions, ticks, evaluations, summary}`; with several variants `{runs: [...]}` of these, each
 * with what was `set`. Decisions of one run are written as they come; those of several are kept until the end.
 */
export function jsonOutput(runs: number): BacktestOutput {
  if (runs > 1) return comparedJson(runs);
  let separator = "\n";
  return {
    head: `{"decisions":[`,
    decision(_, decision) {
      const text = separator + JSON.stringify(decision);
      separator = ",\n";
      return text;
    },
    end: ([run]) =>
      `\n],"ticks":${run?.ticks},"evaluations":${run?.evaluations},"summary":${JSON.stringify(run?.summary)}}\n`,
  };
}

function comparedJson(runs: number): BacktestOutput {
  const taken = Array.from({ length: runs }, (): DecisionJson[] => []);
  return {
    head: "",
    decision(run, decision) {
      taken[run]?.push(decision);
      return "";
    },
    end(results) {
      const texts = results.map(({ set, ticks, evaluations, summary }, run) =>
        JSON.stringify({ set, ticks, evaluations, decisions: taken[run], summary }),
      );
      return `{"runs":[\n${texts.join(",\n")}\n]}\n`;
    },
  };
}

const COLUMNS: readonly (readonly [title: string, width: number, (d: DecisionJson) => string])[] = [
  ["time", 24, (d) => d.time],
  ["group", 28, nameOf],
  ["decision", 10, (d) => d.decision],
  ["reason", 15, (d) => d.reason],
  ["clone", 24, clonesText],
  ["avg %", 6, (d) => percent(d.average_percent)],
  ["up %", 6, (d) => percent(d.average_for_up_percent)],
  ["down %", 6, (d) => percent(d.average_for_down_percent)],
  ["clones", 6, (d) => String(d.clones)],
  ["ticks", 7, (d) => `${d.high_ticks}/${d.low_ticks}`],
];

function clonesText({ would, clone, step }: DecisionJson): string {
  if (would !== null) return `(${would.decision} ${clonesOf(would)})`;
  return clone === null ? "" : clonesOf({ clone, step: step ?? 1 });
}

const WIDTHS = COLUMNS.map(([, width]) => width);

/** Decisions as lines, then the summary; with several variants only their summaries, side by side. */
export function tableOutput(runs: number): BacktestOutput {
  const titles = COLUMNS.map(([title]) => title);
  let isEmpty = true;
  return {
    head: "",
    decision(_, decision) {
      if (runs > 1) return "";
      const head = isEmpty ? row(titles, WIDTHS) : "";
      isEmpty = false;
      const texts = COLUMNS.map(([, , text]) => text(decision));
      return head + row(texts, WIDTHS);
    },
    end: (results) => (isEmpty ? "" : "\n") + sideBySide(results),
  };
}

function percent(value: number | null): string {
  return value === null ? "-" : value.toFixed(1);
}

/** How a group is called: `box user:web`. */
export function nameOf({ host, path, group }: GroupName): string {
  return `${host} ${path}:${group}`;
}

/** A trace may name a host as it likes: without what a terminal would take for an order, and what XML does not allow. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "\ufffd");
}

function row(texts: readonly string[], widths: readonly number[]): string {
  return `${texts
    .map((text, i) => printable(text).padEnd(widths[i] ?? 0))
    .join("  ")
    .trimEnd()}\n`;
}

/** One column per variant, one line per figure. */
function sideBySide(results: readonly RunResult[]): string {
  const line = (title: string, figure: (summary: Summary, run: RunResult) => string | number) => [
    title,
    ...results.map((run) => String(figure(run.summary, run))),
  ];
  const settings = results.map(({ set }) => settingsOf(set).join(" "));
  const table = [
    ...(settings.some((text) => text !== "") ? [["", ...settings]] : []),
    line("samples", (s) => s.samples),
    line("skipped lines", (s) => s.skipped_lines),
    line("from", (s) => s.from ?? "-"),
    line("to", (s) => s.to ?? "-"),
    line("groups", (s) => s.groups.length),
    line("ticks", (_, run) => run.ticks),
    line("evaluations", (_, run) => run.evaluations),
    ...decisionKinds(results).map((kind) => {
      const [decision = "", reason = ""] = kind.split(" / ");
      return line(kind, (s) => s.decisions[decision]?.[reason] ?? 0);
    }),
    line("recorded: above the up threshold", (s) => `${s.seconds_above_up_threshold} s`),
    line("recorded: most clones", (s) => s.most_clones),
    line("recorded: clone-hours", (s) => s.clone_hours),
  ];
  return `${aligned(table)}${RECORDED_NOTE}`;
}

const RECORDED_NOTE = `
What is recorded is as it was: none of these decisions changed it. --what-if plays what would have come of them.
`;

/** Rows as lines of columns that are as wide as they need to be. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((texts) => texts[i]?.length ?? 0))) ?? [];
  return rows.map((texts) => row(texts, widths)).join("");
}

/** Scale decisions first, then holds, each by name: `scale_up / overloaded`. */
function decisionKinds(results: readonly RunResult[]): string[] {
  const kinds = results.flatMap(({ summary }) =>
    Object.entries(summary.decisions).flatMap(([decision, reasons]) =>
      Object.keys(reasons).map((reason) => `${decision} / ${reason}`),
    ),
  );
  const order = (kind: string) => (kind.startsWith("hold") ? `1${kind}` : `0${kind}`);
  return [...new Set(kinds)].sort((a, b) => (order(a) < order(b) ? -1 : 1));
}
