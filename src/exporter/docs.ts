import { labelList, ownLabels, tableLine, typeOf } from "../exposition/row.ts";
import { metricTables } from "./collect.ts";
import type { AnyTable } from "./families.ts";
import { type SelfRow, selfRows } from "./selfMetrics.ts";

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

/** docs/metrics.md, whole, with `others` as further sections before the last. */
export function documentWith(others: readonly string[]): string {
  return [INTRODUCTION, ...metricTables.map(sectionText), ...others, selfText()].join("\n");
}

function sectionText({ title, text = "", collector, labels, rows }: AnyTable): string {
  const switchedBy = collector === null ? "" : `Collector \`${collector}\`.`;
  const intro = [switchedBy, text, `Labels: ${labelList(labels)}.`].filter((part) => part !== "").join(" ");
  return [
    `## ${title}\n\n${intro}\n`,
    "| metric | type | unit | more labels | field | albatross-influx | not on | |",
    "|---|---|---|---|---|---|---|---|",
    ...rows.map(rowText),
    "",
  ].join("\n");
}

function rowText(row: AnyTable["rows"][number]): string {
  const names = { linux: "Linux", freebsd: "FreeBSD" } as const;
  const cells = [
    `\`${row.name}\``,
    typeOf(row),
    row.unit,
    labelList(ownLabels(row)),
    row.source,
    row.influx ?? "",
    (row.unfilledOn ?? []).map((os) => names[os]).join(", "),
    row.help,
  ];
  return tableLine(cells);
}

function selfText(): string {
  const rows: readonly SelfRow[] = Object.values(selfRows);
  return [
    `## The exporter itself\n\n${RUNTIME_NOTE}`,
    "| metric | type | unit | labels | |",
    "|---|---|---|---|---|",
    ...rows.map((row) => {
      const labels = (row.labels ?? []).map((label) => `\`${label}\``).join(", ");
      return tableLine([
        `\`${row.name}\`${row.runtime ? " *" : ""}`,
        typeOf(row),
        row.unit,
        labels,
        row.help,
      ]);
    }),
    "",
  ].join("\n");
}
