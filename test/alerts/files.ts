import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";

export const ALERTS = fileURLToPath(new URL("../../alerts", import.meta.url));
const DOCS = fileURLToPath(new URL("../../docs", import.meta.url));

export interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly keep_firing_for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface RuleFile {
  readonly groups: readonly {
    readonly name: string;
    readonly interval: string;
    readonly rules: readonly (RecordingRule | AlertRule)[];
  }[];
}

/** A case of promtool's: what a rule is to give at a time. */
interface UnitTest {
  readonly alert_rule_test?: readonly {
    readonly alertname: string;
    readonly exp_alerts?: readonly unknown[];
  }[];
  readonly promql_expr_test?: readonly { readonly expr: string; readonly exp_samples?: readonly unknown[] }[];
}

/** Paths below alerts/ that end so, sorted. */
export function filesEnding(ending: string, folder = ALERTS): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => `${folder}/${name}`);
}

export const ruleFiles = filesEnding(".rules.yml").map(
  (file) => parse(readFileSync(file, "utf8")) as RuleFile,
);
const rules = ruleFiles.flatMap(({ groups }) => groups.flatMap((group) => group.rules));
export const recordings = rules.filter((rule): rule is RecordingRule => "record" in rule);
export const alerts = rules.filter((rule): rule is AlertRule => "alert" in rule);

export const testFiles = filesEnding(".test.yml", `${ALERTS}/tests`);
export const unitTests = testFiles.flatMap(
  (file) => (parse(readFileSync(file, "utf8")) as { tests: UnitTest[] }).tests,
);

export const alertmanagerFile = `${ALERTS}/alertmanager.yml`;
export const alertsPage = readFileSync(`${DOCS}/alerts.md`, "utf8");
export const runbook = readFileSync(`${DOCS}/runbook.md`, "utf8");
