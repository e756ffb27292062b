/** Asks a real Prometheus what the dashboards ask it, with time as much faster as in its rules. */
import { speedUpExpression } from "../../../scripts/fastRules.ts";
import {
  type DashboardJson,
  type DashboardQuery,
  isQuery,
  type VariableJson,
  variableExpression,
} from "../../support/dashboards.ts";
import { fillVariables } from "../../support/grafanaVariables.ts";

/** Grafana asks for about as many moments of a range. */
const POINTS = 200;

/** One series of an answer: when, in seconds, and what. */
export interface PanelSeries {
  readonly labels: Readonly<Record<string, string>>;
  readonly points: readonly (readonly [seconds: number, value: number])[];
}

/** Where to ask, and about which time. */
export interface Asked {
  readonly prometheusUrl: string;
  readonly speed: number;
  /** the time range of the dashboard, wall-clock milliseconds */
  readonly fromMs: number;
  readonly toMs: number;
}

/** The variables of a dashboard by name, as regular expressions for `=~`. */
export type Choices = Readonly<Record<string, string>>;

/** What the lists of a dashboard's variables offer, by name; `All` is chosen in each before the next is asked for. */
export async function offeredValues(
  dashboard: DashboardJson,
  asked: Asked,
): Promise<{ readonly offered: Readonly<Record<string, readonly string[]>>; readonly all: Choices }> {
  const offered: Record<string, readonly string[]> = {};
  const all: Record<string, string> = {};
  for (const variable of dashboard.templating.list.filter(isQuery)) {
    const values = await valuesOf(variable, all, asked);
    offered[variable.name] = values;
    all[variable.name] = variable.allValue ?? `(${values.map(escapeRegExp).join("|")})`;
  }
  return { offered, all };
}

/** The series that a query of a dashboard gets for these choices; NaN, which no panel draws, is left out. */
export async function askAs(
  { expression, instant }: Pick<DashboardQuery, "expression" | "instant">,
  choices: Choices,
  asked: Asked,
): Promise<PanelSeries[]> {
  const { fromMs, toMs } = asked;
  const query = speedUpExpression(fillVariables(expression, choices), asked.speed);
  const [path, time] = instant
    ? ["query", { time: String(toMs / 1000) }]
    : [
        "query_range",
        {
          start: String(fromMs / 1000),
          end: String(toMs / 1000),
          step: String(Math.max(0.25, (toMs - fromMs) / 1000 / POINTS)),
        },
      ];
  const result = await get<{ result: readonly RawSeries[] }>(asked, path ?? "", { query, ...time });
  return result.result
    .map(({ metric, value, values = value === undefined ? [] : [value] }) => ({
      labels: metric,
      points: values
        .map(([seconds, text]) => [seconds, Number(text)] as const)
        .filter(([, number]) => !Number.isNaN(number)),
    }))
    .filter(({ points }) => points.length > 0);
}

interface RawSeries {
  readonly metric: Readonly<Record<string, string>>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
}

/** As Grafana gets them: `label_values` from the labels of the series, `query_result` from the text of the samples. */
async function valuesOf(variable: VariableJson, choices: Choices, asked: Asked): Promise<readonly string[]> {
  const { expression, label } = variableExpression(variable);
  const filled = fillVariables(expression, choices);
  if (label !== null) {
    return get<string[]>(asked, `label/${label}/values`, {
      "match[]": filled,
      start: String(asked.fromMs / 1000),
      end: String(asked.toMs / 1000),
    });
  }
  const series = await askAs({ expression, instant: true }, choices, asked);
  const regex = new RegExp(
    /^\/(?<body>.*)\/$/s.exec(variable.regex ?? "")?.groups?.["body"] ?? "(?<value>.*)",
  );
  return series.map(({ labels }) => {
    const text = `{${Object.entries(labels)
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
      .join(",")}}`;
    const value = regex.exec(text)?.groups?.["value"];
    if (value === undefined) throw new Error(`the variable ${variable.name} does not take ${text}`);
    return value;
  });
}

async function get<T>(
  { prometheusUrl }: Asked,
  path: string,
  parameters: Readonly<Record<string, string>>,
): Promise<T> {
  const response = await fetch(`${prometheusUrl}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const answer = (await response.json()) as { data?: T; error?: string };
  if (answer.data === undefined) throw new Error(`${JSON.stringify(parameters)}: ${answer.error}`);
  return answer.data;
}

/** For a regular expression within a string of PromQL, as Grafana does it. */
function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\\\$&");
}
