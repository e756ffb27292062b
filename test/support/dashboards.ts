/** The committed dashboards, and every expression in them. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../../grafana/dashboards/", import.meta.url));

export interface GridPos {
  readonly h: number;
  readonly w: number;
  readonly x: number;
  readonly y: number;
}

interface Datasource {
  readonly type?: string;
  readonly uid?: string;
}

export interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat?: string;
  readonly instant?: boolean;
  readonly format?: string;
  readonly datasource?: Datasource;
}

interface Threshold {
  readonly value: number | null;
  readonly color: string;
}

export interface PanelJson {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: Datasource;
  readonly gridPos: GridPos;
  readonly targets?: readonly Target[];
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string;
      readonly decimals?: number;
      readonly thresholds?: { readonly steps: readonly Threshold[] };
      readonly mappings?: readonly {
        readonly options: Readonly<Record<string, { readonly text: string; readonly color: string }>>;
      }[];
    };
    readonly overrides?: readonly {
      readonly matcher: { readonly id: string; readonly options: unknown };
      readonly properties: readonly { readonly id: string }[];
    }[];
  };
  readonly transformations?: readonly {
    readonly id: string;
    readonly options: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  }[];
  readonly options?: { readonly sortBy?: readonly { readonly displayName: string }[] };
  /** of a row that is folded up */
  readonly panels?: readonly PanelJson[];
  readonly collapsed?: boolean;
}

export interface VariableJson {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
  readonly regex?: string;
  readonly includeAll?: boolean;
  readonly allValue?: string;
  readonly multi?: boolean;
  readonly hide?: number;
  readonly datasource?: Datasource;
  readonly current?: unknown;
}

export interface DashboardJson {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly schemaVersion: number;
  readonly tags: readonly string[];
  readonly panels: readonly PanelJson[];
  readonly templating: { readonly list: readonly VariableJson[] };
  readonly annotations: {
    readonly list?: readonly {
      readonly name: string;
      readonly expr: string;
      readonly titleFormat: string;
      readonly textFormat: string;
      readonly tagKeys: string;
      readonly target: Target;
      readonly datasource?: Datasource;
    }[];
  };
  readonly links: readonly {
    readonly title: string;
    readonly url: string;
    readonly includeVars: boolean;
    readonly keepTime: boolean;
  }[];
}

/** Names of the committed dashboards: their files' without `.json`. */
export const dashboardNames: readonly string[] = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".json"))
  .map((file) => file.replace(/\.json$/, ""))
  .sort();

export function dashboardText(name: string): string {
  return readFileSync(`${FOLDER}${name}.json`, "utf8");
}

export function readDashboard(name: string): DashboardJson {
  return JSON.parse(dashboardText(name));
}

/** Panels with figures: those in folded rows too, headings not. */
export function figurePanels({ panels }: DashboardJson): PanelJson[] {
  return panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]).filter(({ type }) => type !== "row");
}

/** An expression and where it stands. Grafana's variables are still in it: see fillVariables. */
export interface DashboardQuery {
  readonly dashboard: string;
  readonly kind: "panel" | "variable" | "annotation";
  /** title of the panel with the letter of the query, or name of the variable or annotation */
  readonly name: string;
  readonly expression: string;
  /** asked for one moment, or for a range */
  readonly instant: boolean;
}

/** Every expression of a dashboard: of panels, variables and annotations. */
export function dashboardQueries(name: string): DashboardQuery[] {
  const dashboard = readDashboard(name);
  const ofPanels = figurePanels(dashboard).flatMap(({ title, targets = [] }) =>
    targets.map(({ refId, expr, instant = false }) => ({
      dashboard: name,
      kind: "panel" as const,
      name: `${title} ${refId}`,
      expression: expr,
      instant,
    })),
  );
  const ofVariables = dashboard.templating.list.filter(isQuery).map((variable) => ({
    dashboard: name,
    kind: "variable" as const,
    name: variable.name,
    expression: variableExpression(variable).expression,
    instant: true,
  }));
  const ofAnnotations = (dashboard.annotations.list ?? []).map((annotation) => ({
    dashboard: name,
    kind: "annotation" as const,
    name: annotation.name,
    expression: annotation.expr,
    instant: false,
  }));
  return [...ofPanels, ...ofVariables, ...ofAnnotations];
}

export function isQuery({ type }: VariableJson): boolean {
  return type === "query";
}

/** The PromQL of `label_values(PROMQL, LABEL)` or `query_result(PROMQL)`, and the label. Throws on anything else. */
export function variableExpression({ name, query }: VariableJson): {
  readonly expression: string;
  readonly label: string | null;
} {
  const text = typeof query === "string" ? query : query.query;
  const values = /^label_values\((?<expression>.+), (?<label>\w+)\)$/s.exec(text)?.groups;
  if (values) return { expression: values["expression"] ?? "", label: values["label"] ?? "" };
  const result = /^query_result\((?<expression>.+)\)$/s.exec(text)?.groups;
  if (result) return { expression: result["expression"] ?? "", label: null };
  throw new Error(`the query of variable ${name} is of an unknown kind: ${text}`);
}
