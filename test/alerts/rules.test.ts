import { beforeAll, describe, expect, test } from "vitest";
import { knownMetricsAndRules } from "../support/knownMetrics.ts";
import { groupingsThatMixExporters, selectorsOf } from "../support/promql.ts";
import { checkPromql, type KnownMetrics } from "../support/promqlCheck.ts";
import { alerts, alertsPage, recordings, ruleFiles, runbook, unitTests } from "./files.ts";

let known: KnownMetrics;
beforeAll(async () => {
  known = await knownMetricsAndRules();
});

/** The queries in an annotation, with the parts that Go's printf puts in made up. */
function queriesIn(annotation: string): string[] {
  return [...annotation.matchAll(/printf ("(?:[^"\\]|\\.)*")[^|}]*\| query/g)].map(([, format = '""']) =>
    JSON.parse(format).replaceAll("%q", '"x"').replaceAll("%s", 'job="x",instance="x"'),
  );
}

test("there is something to check", () => {
  expect(recordings.length).toBeGreaterThan(5);
  expect(alerts.length).toBeGreaterThan(16);
  expect(
    alerts.flatMap(({ annotations }) => Object.values(annotations).flatMap(queriesIn)).length,
  ).toBeGreaterThan(15);
});

test("every group of rules says how often it is evaluated", () => {
  for (const { interval } of ruleFiles.flatMap(({ groups }) => groups)) expect(interval).toMatch(/^\d+s$/);
});

describe.each(recordings)("$record", ({ record, expr }) => {
  test("is named level:metric:operations after what it is made of", () => {
    const [, metric = "", operations] = /^[a-z_]+:([a-z0-9_]+):([a-z0-9_]+)$/.exec(record) ?? [];
    expect(operations).toBeDefined();
    // of a ratio the name tells both sides: a_per_b
    expect(expr).toContain(metric.split("_per_")[0]);
  });

  test("names only metrics and labels that there are", () => {
    expect(checkPromql(expr, known).problems).toEqual([]);
  });

  test("keeps job and instance, and has a level that tells its other labels", () => {
    const [level = ""] = record.split(":");
    expect(groupingsThatMixExporters(expr)).toEqual([]);
    expect(checkPromql(expr, known).labels).toEqual([...(LEVELS[level] ?? []), "instance", "job"].sort());
  });

  test("has a case with values", () => {
    const cases = unitTests.flatMap(({ promql_expr_test = [] }) => promql_expr_test);
    expect(cases.some((one) => one.expr === record && (one.exp_samples?.length ?? 0) > 0)).toBe(true);
  });
});

/** As the head of alerts/recording.rules.yml says. */
const LEVELS: Readonly<Record<string, readonly string[]>> = {
  host: ["host"],
  host_cpu: ["cpu", "host"],
  path: ["host", "path"],
  group: ["host", "path", "group"],
  group_decision: ["host", "path", "group", "decision"],
  vm: ["host", "path", "vm"],
};

/** It fires at all times. */
const DEAD_MANS_SWITCH = "AlbatrossDeadMansSwitch";

describe.each(alerts)("$alert", ({ alert, expr, for: duration, labels, annotations }) => {
  test("waits, has a severity and tells what is the matter with figures or names", () => {
    expect(duration).toMatch(/^\d+[smhd]$/);
    expect(["critical", "warning", "info", ...(alert === DEAD_MANS_SWITCH ? ["none"] : [])]).toContain(
      labels["severity"],
    );
    expect(Object.keys(annotations).sort()).toEqual(["description", "runbook_url", "summary"]);
  });

  test("names only metrics and labels that there are, also where it tells figures", () => {
    expect(checkPromql(expr, known).problems).toEqual([]);
    for (const query of Object.values(annotations).flatMap(queriesIn)) {
      expect(checkPromql(query, known).problems).toEqual([]);
    }
  });

  test("is of one exporter, and tells figures of that one", () => {
    expect(groupingsThatMixExporters(expr)).toEqual([]);
    for (const selector of Object.values(annotations).flatMap(queriesIn).flatMap(selectorsOf)) {
      const labels = selector.matchers.map(({ label }) => label);
      expect(labels).toEqual(expect.arrayContaining(["job", "instance"]));
    }
  });

  test("speaks only of labels that it has", () => {
    const has = new Set([...(checkPromql(expr, known).labels ?? []), ...Object.keys(labels)]);
    const spoken = Object.values(annotations).flatMap((text) =>
      [...text.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label),
    );
    expect(spoken.filter((label) => !has.has(label ?? ""))).toEqual([]);
  });

  test("has a case in which it fires and one in which it does not", () => {
    const cases = unitTests.flatMap(({ alert_rule_test = [] }) => alert_rule_test);
    const fired = cases
      .filter(({ alertname }) => alertname === alert)
      .map(({ exp_alerts = [] }) => exp_alerts.length > 0);
    expect(new Set(fired)).toEqual(new Set(alert === DEAD_MANS_SWITCH ? [true] : [true, false]));
  });

  test("leads to its section of the runbook", () => {
    expect(annotations["runbook_url"]).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
    const section = new RegExp(`^## ${alert}\\n(?<text>(?:(?!^## ).*\\n)*)`, "m").exec(runbook)?.groups?.[
      "text"
    ];
    expect(section).toMatch(/^\*\*Means\*\* /m);
    expect(section).toMatch(/^\*\*Check\*\* /m);
    expect(section).toMatch(/^\*\*Do\*\* /m);
  });
});

test("docs/alerts.md has a table of every alert's severity and times", () => {
  const rows = alerts.map(({ alert, expr, for: duration, keep_firing_for: kept = "", labels }) => {
    const ranges = [...expr.matchAll(/\[(\w+)\]|offset (\w+)/g)].map(([, range, offset]) => range ?? offset);
    const link = `[${alert}](runbook.md#${alert.toLowerCase()})`;
    return `| ${link} | ${labels["severity"]} | ${[...new Set(ranges)].join(", ")} | ${duration} | ${kept} |`;
  });
  const table = alertsPage.split("\n").filter((line) => line.startsWith("| [Albatross"));
  expect(table).toEqual(rows);
});

test("every alert has a name of its own", () => {
  const names = alerts.map(({ alert }) => alert);
  expect(names).toEqual([...new Set(names)]);
});

test("every section of the runbook has its alert, in the order of the rules", () => {
  const sections = [...runbook.matchAll(/^## (Albatross\w+)$/gm)].map(([, name]) => name);
  expect(sections).toEqual(alerts.map(({ alert }) => alert));
});

test("every case is about a rule that there is", () => {
  const names = new Set([...alerts.map(({ alert }) => alert), ...recordings.map(({ record }) => record)]);
  const tested = unitTests.flatMap(({ alert_rule_test = [], promql_expr_test = [] }) => [
    ...alert_rule_test.map(({ alertname }) => alertname),
    ...promql_expr_test.map(({ expr }) => expr),
  ]);
  expect(tested.filter((name) => !names.has(name))).toEqual([]);
});
