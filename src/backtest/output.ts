/** What `backtest` prints: JSON for programs, tables for people. Both are written as the decisions come. */
import type { DecisionJson } from "../scaler/report/json.ts";
import type { RunResult } from "./backtest.ts";

export interface BacktestOutput {
  decision(run: number, decision: DecisionJson): void;
  end(results: readonly RunResult[]): void;
}

/**
 * One JSON object: `{decisions, ticks, evaluations, summary}`; with several variants `{runs: [...]}` of these, each
 * with what was `set`. Decisions of one run are written as they come; those of several are kept until the end.
 */
export function jsonOutput(write: (text: string) => void, runs: number): BacktestOutput {
  if (runs > 1) return comparedJson(write);
  let separator = "\n";
  write(`{"decisions":[`);
  return {
    decision(_, decision) {
      write(`${separator}${JSON.stringify(decision)}`);
      separator = ",\n";
    },
    end(results) {
      for (const { ticks, evaluations, summary } of results) {
        write(`\n],"ticks":${ticks},"evaluations":${evaluations},"summary":${JSON.stringify(summary)}}\n`);
      }
    },
  };
}

function comparedJson(write: (text: string) => void): BacktestOutput {
  const decisions: DecisionJson[][] = [];
  return {
    decision(run, decision) {
      const taken = decisions[run];
      if (taken === undefined) decisions[run] = [decision];
      else taken.push(decision);
    },
    end(results) {
      const runs = results.map(({ set, ticks, evaluations, summary }, run) =>
        JSON.stringify({ set, ticks, evaluations, decisions: decisions[run] ?? [], summary }),
      );
      write(`{"runs":[\n${runs.join(",\n")}\n]}\n`);
    },
  };
}

const COLUMNS = [
  "time",
  "group",
  "decision",
  "reason",
  "clone",
  "avg %",
  "up %",
  "down %",
  "clones",
  "ticks",
];
const WIDTHS = [24, 28, 10, 15, 24, 6, 6, 6, 6, 7];

/** Decisions as lines, then the summary; with several variants only their summaries, side by side. */
export function tableOutput(write: (text: string) => void, runs: number): BacktestOutput {
  let headed = false;
  return {
    decision(_, decision) {
      if (runs > 1) return;
      if (!headed) write(row(COLUMNS));
      headed = true;
      write(row(cells(decision)));
    },
    end(results) {
      if (headed) write("\n");
      write(sideBySide(results));
    },
  };
}

function cells(d: DecisionJson): string[] {
  const would = d.would === null ? d.clone : `(${d.would.decision} ${d.would.clone})`;
  return [
    d.time,
    `${d.host} ${d.path}:${d.group}`,
    d.decision,
    d.reason,
    would ?? "",
    percent(d.average_percent),
    percent(d.average_for_up_percent),
    percent(d.average_for_down_percent),
    String(d.clones),
    `${d.high_ticks}/${d.low_ticks}`,
  ];
}

function percent(value: number | null): string {
  return value === null ? "-" : value.toFixed(1);
}

function row(texts: readonly string[]): string {
  return `${texts
    .map((text, i) => text.padEnd(WIDTHS[i] ?? 0))
    .join("  ")
    .trimEnd()}\n`;
}

/** One column per variant, one line per figure. */
function sideBySide(results: readonly RunResult[]): string {
  const lines: [string, (result: RunResult) => string][] = [
    ["samples", (r) => String(r.summary.samples)],
    ["skipped lines", (r) => String(r.summary.skipped_lines)],
    ["from", (r) => r.summary.from ?? "-"],
    ["to", (r) => r.summary.to ?? "-"],
    ["groups", (r) => String(r.summary.groups.length)],
    ["ticks", (r) => String(r.ticks)],
    ["evaluations", (r) => String(r.evaluations)],
    ...decisionKinds(results).map(([decision, reason]): [string, (result: RunResult) => string] => [
      `${decision} / ${reason}`,
      (r) => String(r.summary.decisions[decision]?.[reason] ?? 0),
    ]),
    ["time above the up threshold", (r) => `${r.summary.seconds_above_up_threshold} s`],
    ["most clones", (r) => String(r.summary.most_clones)],
    ["clone-hours", (r) => String(r.summary.clone_hours)],
  ];
  const names = results.map(({ set }) => Object.entries(set).map(([key, value]) => `${key}=${value}`));
  const table = [
    ...(names.some((n) => n.length > 0) ? [["", ...names.map((n) => n.join(" "))]] : []),
    ...lines.map(([title, figure]) => [title, ...results.map(figure)]),
  ];
  const widths = table[0]?.map((_, i) => Math.max(...table.map((line) => line[i]?.length ?? 0))) ?? [];
  return table
    .map(
      (line) =>
        `${line
          .map((text, i) => text.padEnd(widths[i] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** Scale decisions first, then holds, each by name. */
function decisionKinds(results: readonly RunResult[]): [string, string][] {
  const kinds = new Map<string, [string, string]>();
  for (const { summary } of results) {
    for (const [decision, reasons] of Object.entries(summary.decisions)) {
      for (const reason of Object.keys(reasons)) kinds.set(`${decision} ${reason}`, [decision, reason]);
    }
  }
  const order = ([decision, reason]: [string, string]) =>
    `${decision === "hold" ? 1 : 0}${decision}${reason}`;
  return [...kinds.values()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
}
