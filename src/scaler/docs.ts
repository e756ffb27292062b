import { labelList, tableLine } from "../exposition/metricDocs.ts";
import { type LabelDoc, ownLabels, type RowHead } from "../exposition/row.ts";
import { scalerGroupRows } from "./groupTable.ts";
import { instrumentRows } from "./instruments.ts";

/** The labels that every series about a group has. */
export const GROUP_LABELS: readonly LabelDoc[] = [
  { name: "host", holds: "name of the target" },
  { name: "path", holds: "`user`, `user:sub`; empty at the root" },
  { name: "group", holds: "name of the group's primary" },
];

/** The scaler's sections of docs/metrics.md. */
export function scalerSections(): string[] {
  return [
    section(
      "Scaler: groups",
      `For each group that a policy matches, as of the scaler's last evaluation; gone when the group is. Labels: ${labelList(GROUP_LABELS)}.`,
      scalerGroupRows.map((row) => line(row, labelList(ownLabels(row)))),
    ),
    section(
      "Scaler: as a whole",
      "No labels.",
      Object.values(instrumentRows).map((row) => line(row, "")),
    ),
  ];
}

function section(title: string, text: string, lines: readonly string[]): string {
  return [
    `## ${title}\n\n${text}\n`,
    "| metric | type | unit | more labels | from | |",
    "|---|---|---|---|---|---|",
    ...lines,
    "",
  ].join("\n");
}

function line({ name, type, unit, source, help }: RowHead, labels: string): string {
  return tableLine([`\`${name}\``, type, unit, labels, source, help]);
}
