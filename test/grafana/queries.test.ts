import { describe, expect, it } from "vitest";
import { unusedMetrics } from "../../grafana/unusedMetrics.ts";
import {
  dashboardNames,
  dashboardQueries,
  figurePanels,
  isQuery,
  readDashboard,
  variableExpression,
} from "../support/dashboards.ts";
import { fillVariables, variablesIn } from "../support/grafanaVariables.ts";
import { exportedMetrics, knownMetricsAndRules, rules } from "../support/knownMetrics.ts";
import { groupingsThatMixExporters, metricNames, selectorsOf } from "../support/promql.ts";
import { checkPromql } from "../support/promqlCheck.ts";

/** What somebody may have chosen on a dashboard. */
const CHOSEN: Readonly<Record<string, string>> = {
  job: "albatross",
  host: "local|other",
  path: "^user$|^$",
  group: ".*",
  vm: "web|web-clone-1",
  instance: "localhost:10042",
};

const known = await knownMetricsAndRules();
const everyQuery = dashboardNames.flatMap(dashboardQueries);

describe.each(dashboardNames)("expressions of the dashboard %s", (name) => {
  it.each(dashboardQueries(name))(
    "$kind $name: parses, and finds its metrics and labels",
    ({ expression }) => {
      expect(checkPromql(fillVariables(expression, CHOSEN), known).problems).toEqual([]);
    },
  );

  it("use no variable that the dashboard does not have", () => {
    const there = readDashboard(name).templating.list.map((variable) => variable.name);
    const used = dashboardQueries(name).flatMap(({ expression }) => variablesIn(expression));
    expect(used.filter((variable) => !variable.startsWith("__") && !there.includes(variable))).toEqual([]);
  });

  it("of variables yield the label that they list", () => {
    for (const variable of readDashboard(name).templating.list.filter(isQuery)) {
      const { expression, label } = variableExpression(variable);
      const { labels } = checkPromql(fillVariables(expression, CHOSEN), known);
      if (label !== null) expect(labels).toContain(label);
    }
  });

  it("have the labels that their legends and titles name", () => {
    const dashboard = readDashboard(name);
    const legends = [
      ...dashboard.panels
        .flatMap((panel) => [panel, ...(panel.panels ?? [])])
        .flatMap(({ targets = [] }) => targets)
        .map(({ expr, legendFormat = "" }) => [expr, legendFormat] as const),
      ...(dashboard.annotations.list ?? []).map(
        ({ expr, titleFormat, textFormat, tagKeys }) =>
          [expr, `${titleFormat} ${textFormat} {{${tagKeys.replaceAll(",", "}}{{")}}}`] as const,
      ),
    ];
    const missing = legends.flatMap(([expression, legend]) => {
      const { labels } = checkPromql(fillVariables(expression, CHOSEN), known);
      const named = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label ?? "");
      return named.filter((label) => !labels?.includes(label)).map((label) => `${label} of ${expression}`);
    });
    expect(missing).toEqual([]);
  });
});

describe("exporters that call their hosts by one name are kept apart:", () => {
  const variables = ["job", "instance", "host", "path", "group", "vm"];
  const figures = everyQuery.filter(({ kind }) => kind !== "variable");

  it.each(figures)("$dashboard $kind $name asks for those that are chosen", ({ expression }) => {
    for (const { metric, matchers } of selectorsOf(fillVariables(expression, CHOSEN))) {
      const chosen = matchers.filter(({ label, value }) => value === CHOSEN[label]).map(({ label }) => label);
      const wanted = known.get(metric ?? "")?.has("host") ? ["job", "instance", "host"] : ["job", "instance"];
      expect(chosen).toEqual(expect.arrayContaining(wanted));
    }
  });

  it.each(figures)("$dashboard $kind $name neither adds them up nor mixes them", ({ expression }) => {
    expect(groupingsThatMixExporters(fillVariables(expression, CHOSEN))).toEqual([]);
  });

  it.each(dashboardNames)("%s offers hosts, paths, groups and VMs of those that are chosen", (name) => {
    for (const variable of readDashboard(name).templating.list.filter(isQuery)) {
      const before = ["job", "instance", "host"].slice(0, variables.indexOf(variable.name));
      const [selector] = selectorsOf(fillVariables(variableExpression(variable).expression, CHOSEN));
      const labels = selector?.matchers.map(({ label }) => label) ?? [];
      expect(labels).toEqual(expect.arrayContaining(before));
    }
  });

  it("links to a VM or a group choose its exporter and its host", () => {
    const links = dashboardNames.flatMap((name) => [
      ...JSON.stringify(readDashboard(name)).matchAll(/"url":"\/d\/[\w-]+\?(?<query>[^"]*var-[^"]*)"/g),
    ]);
    expect(links.length).toBeGreaterThan(4);
    for (const { groups } of links) {
      for (const variable of ["job", "instance", "host"]) {
        expect(groups?.["query"]).toMatch(
          new RegExp(`var-${variable}=\\$\\{__(field\\.labels|data\\.fields)\\.${variable}:percentencode\\}`),
        );
      }
    }
  });
});

it("every query of a table yields the same labels, none of them empty at the root, so that Grafana finds the rows", () => {
  const uneven = dashboardNames.flatMap((name) =>
    figurePanels(readDashboard(name))
      .filter(({ type }) => type === "table")
      .filter(({ targets = [] }) => {
        const labels = targets.map(
          ({ expr }) => checkPromql(fillVariables(expr, CHOSEN), known).labels ?? [],
        );
        return labels.some((some) => String(some) !== String(labels[0]) || some.includes("path"));
      })
      .map(({ title }) => `${name}: ${title}`),
  );
  expect(uneven).toEqual([]);
});

describe("what the program exports", async () => {
  const exported = await exportedMetrics();
  const used = new Set(
    [
      ...everyQuery.map(({ expression }) => fillVariables(expression, CHOSEN)),
      ...rules().map(({ expr }) => expr),
    ]
      .flatMap(metricNames)
      .map((metric) => exported.find((family) => isOf(metric, family)) ?? metric),
  );
  const unused = Object.keys(unusedMetrics);

  it("is on a dashboard, in a rule, or left out on purpose", () => {
    expect(exported.filter((metric) => !used.has(metric) && !unused.includes(metric))).toEqual([]);
  });

  it("is not said to be left out when it is used, or when there is no such metric", () => {
    expect(unused.filter((metric) => used.has(metric) || !exported.includes(metric))).toEqual([]);
  });

  it("is left out for a reason", () => {
    for (const reason of Object.values(unusedMetrics)) expect(reason).toMatch(/^[A-Z].{20,}\.$/);
  });
});

/** A series of a histogram is the histogram's. */
function isOf(metric: string, family: string): boolean {
  return metric === family || metric.replace(/_(bucket|sum|count)$/, "") === family;
}
