import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  TableCellDisplayMode,
  type TableCellOptions,
  TableFooterOptionsBuilder,
  TableSortByFieldStateBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import type { DynamicConfigValue, Panel, ValueMapping } from "@grafana/grafana-foundation-sdk/dashboard";
import { PanelBuilder } from "@grafana/grafana-foundation-sdk/table";
import type { DataLink } from "./links.ts";
import { type Colours, dressed, type PanelFacts, steps, withQueries } from "./panels.ts";
import { BY_HOST, withAt } from "./selectors.ts";

/** A column of figures: an instant query whose series carry the keys of the table and no other labels. */
export interface Column {
  readonly title: string;
  readonly expression: string;
  readonly unit: string;
  readonly decimals?: number;
  readonly colours?: Colours;
  readonly mappings?: readonly ValueMapping[];
  readonly width?: number;
}

/**
 * A figure of each VM, group or path for a table, which brings queries together by labels that all of their results have.
 * The label `path` is empty at the root, so that a result about nothing else would be without it. In its place: `shown`, the
 * path as a subscription is written (`user:`, `:`), and `at` for links.
 */
export function placed(expression: string, ...labels: readonly string[]): string {
  const by = [BY_HOST, "shown", "at", ...labels].join(", ");
  return `max by (${by}) (label_replace(${withAt(expression)}, "shown", "$1:", "path", "(.*)"))`;
}

/** The columns that tell a host. */
export const HOST: readonly Key[] = [
  { label: "job", title: null },
  { label: "instance", title: "Exporter" },
  { label: "host", title: "Host" },
];

/** The columns that tell where something is. */
export const PLACE: readonly Key[] = [
  ...HOST,
  { label: "shown", title: "Path" },
  { label: "at", title: null },
];

/** A column of a label, `title: null` for one that only links need. */
export interface Key {
  readonly label: string;
  readonly title: string | null;
  readonly width?: number;
}

export interface TableFacts extends Pick<PanelFacts, "title" | "means" | "todo" | "links" | "noValue"> {
  readonly keys: readonly Key[];
  readonly columns: readonly Column[];
  /** title of the column to sort by */
  readonly sortBy: string;
  readonly descending?: boolean;
}

/** Rows of one figure each of several queries, brought together by their labels. */
export function table(facts: TableFacts): Builder<Panel> {
  const { keys, columns, sortBy, descending = false, links } = facts;
  const { links: _, ...about } = facts;
  const queries = columns.map(({ expression }) => [expression, ""] as const);
  const panel = dressed(new PanelBuilder(), {
    ...about,
    unit: "none",
    decimals: 0,
    colours: ["text"],
    queries,
  })
    .sortBy([new TableSortByFieldStateBuilder().displayName(sortBy).desc(descending)])
    .footer(new TableFooterOptionsBuilder().show(false).reducer([]).enablePagination(true))
    .withTransformation({ id: "merge", options: {} })
    .withTransformation({
      id: "organize",
      options: {
        excludeByName: { Time: true },
        indexByName: Object.fromEntries(
          [...keys.map(({ label }) => label), ...columns.map(nameOf)].map(indexed),
        ),
        renameByName: {},
      },
    });
  for (const key of keys) panel.overrideByName(key.label, keySettings(key, links));
  columns.forEach((column, index) => {
    panel.overrideByName(nameOf(column, index, columns), columnSettings(column));
  });
  return withQueries(panel, queries, "table");
}

/** How Grafana calls the values of a query: by its letter where there are several. */
function nameOf(_: Column, index: number, columns: readonly Column[]): string {
  return columns.length === 1 ? "Value" : `Value #${String.fromCharCode("A".charCodeAt(0) + index)}`;
}

function indexed(name: string, index: number): [string, number] {
  return [name, index];
}

function keySettings({ title, width }: Key, links: readonly DataLink[] = []): DynamicConfigValue[] {
  if (title === null) {
    // the one before Grafana 12.2, the other since
    return [
      { id: "custom.hidden", value: true },
      { id: "custom.hideFrom.viz", value: true },
    ];
  }
  return [
    { id: "displayName", value: title },
    ...(width === undefined ? [] : [{ id: "custom.width", value: width }]),
    ...(links.length === 0 ? [] : [{ id: "links", value: links }]),
  ];
}

function columnSettings(column: Column): DynamicConfigValue[] {
  const { title, unit, decimals = 0, colours, mappings, width } = column;
  const settings: DynamicConfigValue[] = [
    { id: "displayName", value: title },
    { id: "unit", value: unit },
    { id: "decimals", value: decimals },
  ];
  if (width !== undefined) settings.push({ id: "custom.width", value: width });
  if (mappings !== undefined) settings.push({ id: "mappings", value: mappings });
  if (colours !== undefined)
    settings.push({ id: "thresholds", value: { mode: "absolute", steps: steps(colours) } });
  if (colours !== undefined || mappings !== undefined) {
    const coloured: TableCellOptions = { type: TableCellDisplayMode.ColorText };
    settings.push({ id: "custom.cellOptions", value: coloured });
  }
  return settings;
}
