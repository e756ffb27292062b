/** Puts panels on Grafana's grid of 24 columns, line by line. */
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  type Panel,
  RowBuilder,
  type RowPanel,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { type DashboardName, linksFrom, UIDS } from "./links.ts";
import { type VariableName, variables } from "./variables.ts";

const COLUMNS = 24;
/** That of Grafana 11.0. What 40 to 43 migrate (no refresh, time_options, custom.hideFrom, formatTime) is not used here. */
const SCHEMA_VERSION = 39;
/** What fits on a screen of 1080 lines below Grafana's own bars and the variables. */
export const SCREENFUL = 21;

/** Panels beside each other: all of one height, their widths 24 together. */
export interface Line {
  readonly height: number;
  readonly panels: readonly (readonly [width: number, panel: Builder<Panel>])[];
}

/** Lines under a heading. What is not needed at first sight is folded up: Grafana asks for it when it is opened. */
export interface Section {
  readonly title: string;
  readonly collapsed: boolean;
  readonly lines: readonly Line[];
}

export interface DashboardFacts {
  readonly name: DashboardName;
  readonly title: string;
  readonly description: string;
  readonly shown: readonly VariableName[];
  /** what is seen without scrolling */
  readonly top: readonly Line[];
  readonly sections: readonly Section[];
  readonly annotations?: DashboardBuilderAnnotations;
}
type DashboardBuilderAnnotations = Parameters<DashboardBuilder["annotations"]>[0];

/** The dashboard as Grafana imports it. Throws where lines are not as wide as the grid or the top does not fit. */
export function dashboard(facts: DashboardFacts): Dashboard {
  const { name, title, description, shown, top, sections, annotations = [] } = facts;
  const topHeight = top.reduce((height, line) => height + line.height, 0);
  if (topHeight > SCREENFUL)
    throw new Error(`the top of ${title} is ${topHeight} units high, not ${SCREENFUL}`);
  const built = new DashboardBuilder(title)
    .uid(UIDS[name])
    .description(description)
    .tags(["albatross"])
    .time({ from: "now-3h", to: "now" })
    .refresh("30s")
    .timezone("browser")
    .tooltip(DashboardCursorSync.Crosshair)
    .variables(variables(shown))
    .annotations(annotations)
    .links(linksFrom(name))
    .build();
  return { ...built, schemaVersion: SCHEMA_VERSION, panels: panelsOf(top, sections) };
}

function panelsOf(top: readonly Line[], sections: readonly Section[]): (Panel | RowPanel)[] {
  const placed: (Panel | RowPanel)[] = [];
  let y = 0;
  let id = 1;
  const place = (lines: readonly Line[], into: Panel[] | (Panel | RowPanel)[]) => {
    for (const { height, panels } of lines) {
      let x = 0;
      for (const [width, builder] of panels) {
        into.push({ ...builder.build(), id: id++, gridPos: { h: height, w: width, x, y } });
        x += width;
      }
      if (x !== COLUMNS) throw new Error(`a line is ${x} columns wide, not ${COLUMNS}`);
      y += height;
    }
  };
  place(top, placed);
  for (const { title, collapsed, lines } of sections) {
    const row = new RowBuilder(title)
      .collapsed(collapsed)
      .id(id++)
      .gridPos({ h: 1, w: COLUMNS, x: 0, y })
      .build();
    placed.push(row);
    y += 1;
    place(lines, collapsed ? row.panels : placed);
  }
  return placed;
}
