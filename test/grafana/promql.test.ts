import { describe, expect, it } from "vitest";
import { fillVariables, variablesIn } from "../support/grafanaVariables.ts";
import { knownMetrics, tabledMetrics } from "../support/knownMetrics.ts";
import {
  groupingsOf,
  groupingsThatMixExporters,
  labelNames,
  metricNames,
  PromqlError,
  selectorsOf,
} from "../support/promql.ts";
import { checkPromql, type MetricLabels, withRecorded } from "../support/promqlCheck.ts";

describe("reading PromQL", () => {
  it("finds metrics and matchers, wherever they stand", () => {
    expect(
      selectorsOf('rate(a_total{host=~"x|y",mode!="user"}[5m]) / on (host) {__name__="b"} + {"c"}'),
    ).toEqual([
      {
        metric: "a_total",
        matchers: [
          { label: "host", operator: "=~", value: "x|y" },
          { label: "mode", operator: "!=", value: "user" },
        ],
      },
      { metric: "b", matchers: [] },
      { metric: "c", matchers: [] },
    ]);
  });

  it("names metrics and labels once", () => {
    const expression =
      'sum by (path, host) (a{vm="x"}) + on (host) group_left (path) sum without (vm) (b:a:sum) - a';
    expect(metricNames(expression)).toEqual(["a", "b:a:sum"]);
    expect(labelNames(expression)).toEqual(["host", "path", "vm"]);
  });

  it("finds what series are put together and found by", () => {
    expect(
      groupingsOf("sum by (host) (a) + on (job) group_left (vm) max without (le) (b) / ignoring (x) c"),
    ).toEqual([
      { kind: "by", labels: ["host"] },
      { kind: "without", labels: ["le"] },
      { kind: "on", labels: ["job"] },
      { kind: "ignoring", labels: ["x"] },
    ]);
  });

  it.each([
    ["sum by (job, instance, host) (a)", []],
    ["sum by (host) (a)", ["by"]],
    ["sum by (job, vm) (a)", ["by"]],
    ["sum by (state) (a)", []],
    ["sum without (mode) (a)", []],
    ["sum without (instance) (a)", ["without"]],
    ["a * on (instance, host) b", ["on"]],
    ["a * ignoring (job) b", ["ignoring"]],
    ["a * ignoring (mode) b", []],
  ])("finds where exporters are mixed in %s", (expression, kinds) => {
    expect(groupingsThatMixExporters(expression).map(({ kind }) => kind)).toEqual(kinds);
  });

  it.each([
    ["", 0],
    ["a b", 2],
    ["sum(a", 5],
    ["sum by (host (a)", 13],
    ['a{host="x"', 10],
    ["rate(a[5])]", 10],
    ["a{host=~$host}", 8],
    ["nosuchfunction(a)", 14],
  ])("refuses %j at the place", (expression, offset) => {
    expect(() => metricNames(expression)).toThrow(PromqlError);
    try {
      metricNames(expression);
    } catch (error) {
      expect((error as PromqlError).offset).toBe(offset);
    }
  });
});

const known = new Map<string, MetricLabels>([
  [
    "vm",
    new Map([
      ["host", null],
      ["vm", null],
      ["mode", new Set(["user", "system"])],
    ]),
  ],
  [
    "cpus",
    new Map([
      ["host", null],
      ["vm", null],
    ]),
  ],
  [
    "group",
    new Map([
      ["host", null],
      ["group", null],
    ]),
  ],
  [
    "took_bucket",
    new Map([
      ["host", null],
      ["le", null],
    ]),
  ],
]);

describe("following labels through an expression", () => {
  it.each([
    ['sum by (host) (rate(vm{mode="user"}[5m]))', ["host"]],
    ["sum without (mode) (vm) / cpus", ["host", "vm"]],
    ["vm / on (host, vm) group_left cpus", ["host", "mode", "vm"]],
    ["vm / ignoring (mode) group_left () cpus", ["host", "mode", "vm"]],
    ["cpus * on (host) group_right (vm) group", ["group", "host", "vm"]],
    ["sum(cpus) + 1", []],
    ["1 + 2 * time()", null],
    ["topk(5, max_over_time(vm[1h:1m] offset 1d)) > 3", ["host", "mode", "vm"]],
    ['count_values("n", cpus)', ["n"]],
    ["histogram_quantile(0.9, sum by (le) (took_bucket))", []],
    ['label_replace(cpus, "unit", "$1", "vm", "(.*)")', ["host", "unit", "vm"]],
    ['absent(cpus{host="a", vm=~"b"})', ["host"]],
    ["group unless on (host) vm", ["group", "host"]],
    ["group or vm", ["group", "host", "mode", "vm"]],
  ])("%s", (expression, labels) => {
    expect(checkPromql(expression, known)).toEqual({ problems: [], labels });
  });

  it.each([
    ["nosuch", "there is no metric nosuch"],
    ['{host="a"}', '{host="a"} names no metric'],
    ['vm{group="a"}', "no label group in vm"],
    ['vm{mode="usr"}', 'mode of vm is never "usr"'],
    ["sum by (group) (vm)", "no label group in sum by (group) (vm)"],
    ["sum by (vm) (sum by (host) (vm))", "no label vm in sum by (vm) (sum by (host) (vm))"],
    ["vm / cpus", "only one side has mode in vm / cpus"],
    ["vm / ignoring (vm) cpus", "only one side has mode in vm / ignoring (vm) cpus"],
    ["vm and on (group) group", "no label group in the left of vm and on (group) group"],
    ["cpus * on (host) group_left (mode) group", "no label mode in cpus * on (host) group_left (mode) group"],
    ["histogram_quantile(0.9, cpus)", "no label le in histogram_quantile(0.9, cpus)"],
    [
      'label_replace(cpus, "a", "$1", "group", "(.*)")',
      'no label group in label_replace(cpus, "a", "$1", "group", "(.*)")',
    ],
  ])("finds what is wrong with %s", (expression, problem) => {
    expect(checkPromql(expression, known).problems).toEqual([problem]);
  });

  it("knows recorded series by the labels of their expressions, also those that build on others", () => {
    const recorded = withRecorded(known, [
      { record: "host:cpus:sum", expr: "sum by (host) (cpus)", labels: { site: "here" } },
      { record: "site:cpus:sum", expr: "sum by (site) (host:cpus:sum)" },
    ]);
    expect(checkPromql("host:cpus:sum", recorded)).toEqual({ problems: [], labels: ["host", "site"] });
    expect(checkPromql("site:cpus:sum", recorded)).toEqual({ problems: [], labels: ["site"] });
  });
});

describe("the metrics that there are", () => {
  it("come from the tables, with Prometheus' own labels and the values of theirs", async () => {
    const metrics = await knownMetrics();
    expect(metrics.get("albatross_vm_cpu_seconds_total")).toEqual(
      new Map([
        ["host", null],
        ["path", null],
        ["vm", null],
        ["mode", new Set(["user", "system"])],
        ["job", null],
        ["instance", null],
      ]),
    );
    for (const suffix of ["bucket", "sum", "count"]) {
      expect(metrics.has(`albatross_scaler_tick_duration_seconds_${suffix}`)).toBe(true);
    }
    expect(metrics.has("albatross_scaler_tick_duration_seconds")).toBe(false);
    expect(metrics.has("process_resident_memory_bytes")).toBe(true);
  });

  it("are in the tables once each", () => {
    const names = tabledMetrics().map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(70);
  });
});

describe("filling in Grafana's variables", () => {
  it("takes every way of writing one, and the macros", () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is Grafana that fills these in
    const text = 'a{host=~"$host", path=~"${path:pipe}", vm="[[vm]]"}[$__rate_interval] ${__range}';
    expect(fillVariables(text, { host: "h", path: ".*", vm: "web" })).toBe(
      'a{host=~"h", path=~".*", vm="web"}[1m] 1h',
    );
    expect(variablesIn(text)).toEqual(["host", "path", "vm", "__rate_interval", "__range"]);
  });

  it("leaves what label_replace puts in alone", () => {
    expect(fillVariables('label_replace(a, "b", "$1", "c", "(.*)")', {})).toContain('"$1"');
  });

  it("refuses a variable that is not there", () => {
    expect(() => fillVariables("a$hots", { host: "h" })).toThrow("$hots is no variable");
  });
});
