/**
 * Writes docs/metrics.md from the metric tables. With --check it writes nothing and exits 1 if the file differs.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { metricTables } from "../src/exporter/collect.ts";
import type { AnyTable } from "../src/exporter/families.ts";
import { groupTable } from "../src/exporter/hostTables.ts";
import { type SelfRow, selfRows } from "../src/exporter/selfMetrics.ts";
import { type InstrumentRow, type LabelDoc, ownLabels, typeOf, unitOf } from "../src/exposition/row.ts";
import { actionInstrumentRows, actionRows } from "../src/scaler/report/actionMetrics.ts";
import { instrumentRows, scalerGroupRows } from "../src/scaler/report/metrics.ts";

const INTRODUCTION = `# Metrics

<!-- Written by \`npm run docs\` from the tables in src/exporter and src/scaler. Change those, not this file. -->

Everything that \`/metrics\` serves. All fields are taken as unsigned 64-bit integers, and integers above 2^53 keep every
digit. The column albatross-influx names the measurement and field that carry the same figure there, for moving over.

*Not on* lists the operating systems that leave a field at zero or put something else there: it is not exported for their
hosts unless \`exporter.unfilled_fields\` is on. A figure that is not known has no series; nothing is ever exported as NaN.
`;

const RUNTIME_NOTE = `With \`web.disable_exporter_metrics\` those marked * are left out, and so are the ones that prom-client collects about
the process: \`process_*\` and \`nodejs_*\`.
`;

/** docs/metrics.md, whole. */
export function metricsDocument(): string {
  const groups = `For each group that a policy matches, as of the scaler's last evaluation; gone when the group is. Labels: ${labelList(groupTable.labels)}.`;
  return [
    INTRODUCTION,
    ...metricTables.map(tableSection),
    section("Scaler: groups", groups, SCALER_COLUMNS, [...scalerGroupRows, ...actionRows].map(scalerCells)),
    section(
      "Scaler: as a whole",
      "No labels.",
      SCALER_COLUMNS,
      Object.values({ ...instrumentRows, ...actionInstrumentRows }).map(scalerCells),
    ),
    section(
      "The exporter itself",
      RUNTIME_NOTE,
      ["metric", "type", "unit", "labels", ""],
      Object.values(selfRows).map(selfCells),
    ),
  ].join("\n");
}

const SCALER_COLUMNS = ["metric", "type", "unit", "more labels", "from", ""];
const TABLE_COLUMNS = ["metric", "type", "unit", "more labels", "field", "albatross-influx", "not on", ""];
const SYSTEMS = { linux: "Linux", freebsd: "FreeBSD" } as const;

function tableSection({ title, text = "", collector, labels, rows }: AnyTable): string {
  const switchedBy = collector === undefined ? "" : `Collector \`${collector}\`.`;
  const intro = [switchedBy, text, `Labels: ${labelList(labels)}.`].filter((part) => part !== "").join(" ");
  const cells = rows.map((row) => [
    `\`${row.name}\``,
    typeOf(row),
    unitOf(row),
    labelList(ownLabels(row)),
    row.source,
    row.influx ?? "",
    (row.unfilledOn ?? []).map((os) => SYSTEMS[os]).join(", "),
    row.help,
  ]);
  return section(title, intro, TABLE_COLUMNS, cells);
}

function scalerCells(row: (typeof scalerGroupRows)[number] | InstrumentRow): string[] {
  return [`\`${row.name}\``, typeOf(row), unitOf(row), labelList(ownLabels(row)), row.source, row.help];
}

function selfCells(row: SelfRow): string[] {
  const labels = (row.labels ?? []).map((label) => `\`${label}\``).join(", ");
  return [`\`${row.name}\`${row.runtime ? " *" : ""}`, typeOf(row), unitOf(row), labels, row.help];
}

function section(
  title: string,
  text: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const rule = `|${"---|".repeat(columns.length)}`;
  return [`## ${title}\n\n${text}\n`, tableLine(columns), rule, ...rows.map(tableLine), ""].join("\n");
}

/** Labels and what they hold. */
function labelList(labels: readonly LabelDoc[]): string {
  return labels.map(({ name, holds }) => `\`${name}\` (${holds})`).join(", ");
}

/** One line of a Markdown table. */
function tableLine(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = new URL("../docs/metrics.md", import.meta.url);
  const wanted = metricsDocument();
  if (!process.argv.includes("--check")) {
    writeFileSync(file, wanted);
  } else if (readFileSync(file, "utf8") !== wanted) {
    console.error(
      "docs/metrics.md does not say what the metric tables say: run `npm run docs` and commit the result",
    );
    process.exitCode = 1;
  }
}
