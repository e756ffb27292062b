import {
  type Asked,
  askAs,
  type Choices,
  offeredValues,
  type PanelSeries,
} from "../../test/e2e/support/panelQueries.ts";
import { figurePanels, readDashboard } from "../../test/support/dashboards.ts";

/** Which panel to ask for, and for what. */
export interface Wanted {
  readonly dashboard: string;
  readonly title: string;
  /** letters of its queries; all by default */
  readonly queries?: string;
  /** over All in the dashboard's variables */
  readonly choices?: Choices;
}

export interface NamedSeries {
  /** by the panel's legend, without the host */
  readonly name: string;
  readonly points: PanelSeries["points"];
}

/** Text and colour of a value, as a state timeline maps it. */
export interface Mapping {
  readonly text: string;
  /** a name of Grafana's */
  readonly color: string;
}

/** A panel with what Prometheus answered to its queries. */
export interface AnsweredPanel {
  readonly dashboard: string;
  readonly title: string;
  /** an id of Grafana's */
  readonly unit: string;
  readonly series: readonly NamedSeries[];
  readonly mappings: Readonly<Record<string, Mapping>>;
}

/** A moment that an annotation marks. */
export interface Mark {
  readonly atMs: number;
  readonly text: string;
}

/** Asks Prometheus what a committed panel asks. Throws where nothing is answered. */
export async function askPanel(wanted: Wanted, asked: Asked): Promise<AnsweredPanel> {
  const dashboard = readDashboard(wanted.dashboard);
  const panel = figurePanels(dashboard).find(({ title }) => title === wanted.title);
  if (panel === undefined) throw new Error(`${wanted.dashboard} has no panel ${wanted.title}`);
  const choices = { ...(await offeredValues(dashboard, asked)).all, ...wanted.choices };
  const series: NamedSeries[] = [];
  for (const { refId, expr, legendFormat = "", instant = false } of panel.targets ?? []) {
    if (wanted.queries !== undefined && !wanted.queries.includes(refId)) continue;
    const answer = await askAs({ expression: expr, instant }, choices, asked);
    if (answer.length === 0) throw new Error(`no data for query ${refId} of ${wanted.title}`);
    series.push(...answer.map(({ labels, points }) => ({ name: legendOf(legendFormat, labels), points })));
  }
  const { unit = "none", mappings = [] } = panel.fieldConfig?.defaults ?? {};
  return {
    dashboard: dashboard.title,
    title: panel.title,
    unit,
    series: series.sort((a, b) => (a.name < b.name ? -1 : 1)),
    mappings: Object.assign({}, ...mappings.map(({ options }) => options)),
  };
}

/** The scale decisions that the scaler's dashboard marks in its graphs, each once. */
export async function askScaleDecisions(choices: Choices, asked: Asked): Promise<Mark[]> {
  const dashboard = readDashboard("scaler");
  const { all } = await offeredValues(dashboard, asked);
  const marks: Mark[] = [];
  for (const { expr } of dashboard.annotations.list ?? []) {
    for (const { labels, points } of await askAs(
      { expression: expr, instant: false },
      { ...all, ...choices },
      asked,
    )) {
      const [text = ""] = [labels["decision"]?.replace("_", " ")];
      // Prometheus answers for as long as the increase is in sight: where that begins is the decision.
      let lastSeconds = Number.NEGATIVE_INFINITY;
      for (const [seconds] of points) {
        if (seconds - lastSeconds > 2.5) marks.push({ atMs: seconds * 1000, text });
        lastSeconds = seconds;
      }
    }
  }
  return marks.sort((a, b) => a.atMs - b.atMs);
}

/** `{{path}}:{{vm}} limit` with the labels filled in; without the host, for there is one. */
function legendOf(format: string, labels: Readonly<Record<string, string>>): string {
  return (
    format.replace(/\{\{host\}\} ?/, "").replace(/\{\{(\w+)\}\}/g, (_, label) => labels[label] ?? "") ||
    "demo"
  );
}
