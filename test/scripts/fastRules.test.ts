import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { divideDuration, speedUpExpression, speedUpRules } from "../../scripts/fastRules.ts";

const RULES = `# why
groups:
  - name: slow # a name
    interval: 1m
    rules:
      - record: group:load:avg5m
        expr: avg_over_time(load{range="[5m]"}[5m])
      - alert: Loaded
        expr: |
          group:load:avg5m > 600
            unless on (group)
          max_over_time(load[1h:30s] offset 1d) > 5
        for: 15m
        keep_firing_for: 1h30m
        labels: { severity: critical }
        annotations:
          summary: "loaded for 15m: {{ $value }}"
          for: 15m of load
`;

describe("a rule file made faster", () => {
  const faster = parse(speedUpRules(RULES.replace("          for: 15m of load\n", ""), 60));
  const [{ interval, rules }] = faster.groups;

  test("is evaluated more often", () => {
    expect(interval).toBe("1s");
  });

  test("waits less before an alert fires and after", () => {
    expect(rules[1]).toMatchObject({ for: "15s", keep_firing_for: "90s" });
  });

  test("looks back less, and not as far", () => {
    expect(rules[0].expr).toBe('avg_over_time(load{range="[5m]"}[5s])');
    expect(rules[1].expr).toBe(
      "group:load:avg5m > 600\n  unless on (group)\nmax_over_time(load[60s:500ms] offset 1440s) > 5\n",
    );
  });

  test("is the same otherwise, comments included", () => {
    const text = speedUpRules(RULES.replace("          for: 15m of load\n", ""), 60);
    expect(text).toContain("# why\n");
    expect(text).toContain("name: slow # a name");
    expect(rules[1].annotations).toEqual({ summary: "loaded for 15m: {{ $value }}" });
    expect(rules[1].labels).toEqual({ severity: "critical" });
    expect(rules[0].record).toBe("group:load:avg5m");
  });

  test("is refused where a duration is none", () => {
    expect(() => speedUpRules(RULES, 60)).toThrow("no duration: 15m of load");
  });

  test("is refused where an expression is none", () => {
    expect(() => speedUpRules(RULES.replace("[5m])", "[5m)"), 60)).toThrow("no PromQL");
  });
});

test.each([
  ["5m", 60, "5s"],
  ["1h30m", 60, "90s"],
  ["15s", 60, "250ms"],
  ["1d", 24, "3600s"],
  ["1w2d3h4m5s6ms", 1, "788645006ms"],
  ["1y", 365, "86400s"],
  ["10ms", 1000, "1ms"],
  ["1s", 0.5, "2s"],
])("%s divided by %d is %s", (duration, factor, expected) => {
  expect(divideDuration(duration, factor)).toBe(expected);
});

test.each([
  ["5", "no duration: 5"],
  ["", "no duration: "],
  ["5m1h", "no duration: 5m1h"],
])("'%s' is refused", (duration, message) => {
  expect(() => divideDuration(duration, 2)).toThrow(message);
});

test.each([0, -1, Number.NaN])("a factor of %d is refused", (factor) => {
  expect(() => divideDuration("5m", factor)).toThrow("cannot make time pass");
});

test.each([
  ["rate(a[5m])", "rate(a[5s])"],
  ["a offset -1h30m", "a offset -90s"],
  ["a[300] > 300", "a[5s] > 300"],
  ["time() - a > 5m", "time() - a > 5s"],
  ["a @ 1609746000", "a @ 1609746000"],
  ['label_replace(a, "b", "5m", "", "")', 'label_replace(a, "b", "5m", "", "")'],
])("%s becomes %s", (expression, expected) => {
  expect(speedUpExpression(expression, 60)).toBe(expected);
});

test("faster and then slower again is as it was, up to the way durations are written", () => {
  const milliseconds = fc.integer({ min: 1, max: 1_000_000_000 });
  fc.assert(
    fc.property(milliseconds, fc.integer({ min: 1, max: 1000 }), (ms, factor) => {
      const there = divideDuration(`${ms * factor}ms`, factor);
      expect(divideDuration(there, 1 / factor)).toBe(divideDuration(`${ms * factor}ms`, 1));
    }),
  );
});

describe.each(["recording", "alerts"])("alerts/%s.rules.yml", (name) => {
  const text = readFileSync(new URL(`../../alerts/${name}.rules.yml`, import.meta.url), "utf8");

  test("has no duration left that is not divided", () => {
    const durations = (rules: string) =>
      [...rules.matchAll(DURATIONS_IN_USE)].map(([, duration]) => duration);
    const slow = durations(text);
    expect(slow.length).toBeGreaterThan(5);
    expect(durations(speedUpRules(text, 1000))).toEqual(slow.map((d) => divideDuration(d ?? "", 1000)));
  });

  // Such a number would stay as it is.
  test("compares with no number of seconds", () => {
    const { groups } = parse(text) as { groups: { rules: { expr: string }[] }[] };
    const expressions = groups.flatMap(({ rules }) => rules.map(({ expr }) => expr));
    // a certificate's days are the calendar's, which nothing makes pass faster
    const inSeconds = expressions.filter((expr) => !/_certificate_not_after_/.test(expr));
    expect(inSeconds.filter((expr) => /\btime\(\)|timestamp\(/.test(expr))).toEqual([]);
  });
});

/** Durations where rule files have them, found without a grammar. */
const DURATIONS_IN_USE = /(?:^ *(?:interval|for|keep_firing_for): |\[|offset )(\d+(?:ms|[smhdwy]))/gm;
