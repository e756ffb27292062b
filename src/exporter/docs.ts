import { type LabelDoc, labelList, ownLabels, tableLine } from "../exposition/row.ts";
import { groupRows } from "./groupTable.ts";
import { policyRows } from "./policyTable.ts";
import type { Row, RowMeta } from "./row.ts";
import { type SelfRow, selfRows } from "./selfTable.ts";
import { subscriptionRows, targetRows } from "./targetTable.ts";
import { vmCpuRows } from "./vmCpu.ts";
import { vmInfoRows, vmmRows } from "./vmInfo.ts";
import { vmMemoryRows } from "./vmMemory.ts";
import { vmNetworkRows } from "./vmNetwork.ts";
import { vmProcessRows } from "./vmProcess.ts";
import { DEVICE_LABEL, STAT_LABEL } from "./vmTable.ts";

type AnyRow = Row<never, never>;

/** Rows that are told about together, and the labels that each of their series has. */
export interface MetricSection {
  readonly title: string;
  readonly text: string;
  readonly labels: readonly LabelDoc[];
  readonly rows: readonly AnyRow[];
}

const HOST: LabelDoc = { name: "host", holds: "name of the target" };
const PATH: LabelDoc = { name: "path", holds: "`user`, `user:sub`; empty at the root" };
const VM: readonly LabelDoc[] = [HOST, PATH, { name: "vm", holds: "the VM's name without its path" }];
const SUBSCRIPTION: LabelDoc = { name: "subscription", holds: "what is subscribed to: `:`, `user:`" };
const GROUP: LabelDoc = { name: "group", holds: "name of the group's primary" };

/** Every table of rows, in the order of the document. */
export const metricSections: readonly MetricSection[] = [
  { title: "CPU of a VM", text: "Collector `cpu`.", labels: VM, rows: vmCpuRows },
  { title: "Memory of a VM", text: "Collector `memory`.", labels: VM, rows: vmMemoryRows },
  { title: "Process of a VM", text: "Collector `process`.", labels: VM, rows: vmProcessRows },
  {
    title: "Network of a VM",
    text: "Collector `network`. Seen from the VM: Albatross counts on the host's side of the tap, where input is what the VM transmits.",
    labels: [...VM, DEVICE_LABEL],
    rows: vmNetworkRows,
  },
  { title: "Virtual machine monitor", text: "Collector `vmm`.", labels: [...VM, STAT_LABEL], rows: vmmRows },
  {
    title: "Unikernel info",
    text: "Collector `info`. Absent where vmmd.sock cannot be read. Arguments of unikernels are never kept.",
    labels: VM,
    rows: vmInfoRows,
  },
  { title: "Policies", text: "Collector `policy`.", labels: [HOST, PATH], rows: policyRows },
  {
    title: "Groups",
    text: "A primary and its clones, `PRIMARY-clone-N`, on the same host and path. Groups see every VM, whatever filters and caps leave out above.",
    labels: [HOST, PATH, GROUP],
    rows: groupRows,
  },
  { title: "Hosts", text: "", labels: [HOST], rows: targetRows },
  { title: "Subscriptions", text: "", labels: [HOST, SUBSCRIPTION], rows: subscriptionRows },
];

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
  return [INTRODUCTION, ...metricSections.map(sectionText), ...others, selfText()].join("\n");
}

function sectionText({ title, text, labels, rows }: MetricSection): string {
  const intro = [text, `Labels: ${labelList(labels)}.`].filter((part) => part !== "").join(" ");
  return [
    `## ${title}\n\n${intro}\n`,
    "| metric | type | unit | more labels | field | albatross-influx | not on | |",
    "|---|---|---|---|---|---|---|---|",
    ...rows.map(rowText),
    "",
  ].join("\n");
}

function rowText(row: AnyRow): string {
  const cells = [
    `\`${row.name}\``,
    row.type,
    row.unit,
    labelList(ownLabels(row)),
    row.source,
    row.influx ?? "",
    notOn(row),
    row.help,
  ];
  return tableLine(cells);
}

function notOn({ unfilledOn = [] }: RowMeta): string {
  const names = { linux: "Linux", freebsd: "FreeBSD" } as const;
  return unfilledOn.map((os) => names[os]).join(", ");
}

function selfText(): string {
  const rows: readonly SelfRow[] = Object.values(selfRows);
  return [
    `## The exporter itself\n\n${RUNTIME_NOTE}`,
    "| metric | type | unit | labels | |",
    "|---|---|---|---|---|",
    ...rows.map(({ name, type, unit, labels, runtime, help }) =>
      tableLine([
        `\`${name}\`${runtime ? " *" : ""}`,
        type,
        unit,
        labels.map((l) => `\`${l}\``).join(", "),
        help,
      ]),
    ),
    "",
  ].join("\n");
}
