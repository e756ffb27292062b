import { existsSync, readdirSync, readFileSync } from "node:fs";
import { collectDefaultMetrics, Registry } from "prom-client";
import { parse } from "yaml";
import { metricTables } from "../../src/exporter/collect.ts";
import { groupTable } from "../../src/exporter/hostTables.ts";
import { type SelfRow, selfRows } from "../../src/exporter/selfMetrics.ts";
import { type InstrumentRow, ownLabels, type TableRow, typeOf } from "../../src/exposition/row.ts";
import { actionInstrumentRows, actionRows } from "../../src/scaler/report/actionMetrics.ts";
import { instrumentRows, scalerGroupRows } from "../../src/scaler/report/metrics.ts";
import { type KnownMetrics, type MetricLabels, type RecordingRule, withRecorded } from "./promqlCheck.ts";

const RULES = new URL("../../alerts/", import.meta.url);

/** What Prometheus puts on every series that it scrapes. */
const SCRAPED = ["job", "instance"];

/** What Prometheus says of a scrape itself, and of alerts. */
const OF_PROMETHEUS: Readonly<Record<string, readonly string[]>> = {
  up: [],
  scrape_duration_seconds: [],
  scrape_samples_scraped: [],
  scrape_series_added: [],
  ALERTS: ["alertname", "alertstate", "severity", "host", "path", "group", "vm"],
};

interface Documented {
  readonly name: string;
  readonly type: string;
  readonly labels: MetricLabels;
}

/** The metrics in the tables: what `/metrics` may serve, apart from what prom-client tells of the process. */
export function tabledMetrics(): Documented[] {
  const sections = metricTables.flatMap(({ labels, rows }) => rows.map((row) => documented(labels, row)));
  const scaler = [...scalerGroupRows, ...actionRows].map((row) => documented(groupTable.labels, row));
  const instruments = Object.values<InstrumentRow>({ ...instrumentRows, ...actionInstrumentRows }).map(
    (row) => documented([], row),
  );
  const self = Object.values<SelfRow>(selfRows).map((row) => ({
    name: row.name,
    type: typeOf(row),
    labels: open(row.labels ?? []),
  }));
  return [...sections, ...scaler, ...instruments, ...self];
}

/** Every metric that an expression may name, under the names that Prometheus stores: a histogram's are three. */
export async function knownMetrics(): Promise<KnownMetrics> {
  const known = new Map<string, MetricLabels>();
  for (const { name, type, labels } of [...tabledMetrics(), ...(await processMetrics())]) {
    const whole = new Map([...labels, ...open(SCRAPED)]);
    if (type !== "histogram") known.set(name, whole);
    else {
      known.set(`${name}_bucket`, new Map([...whole, ...open(["le"])]));
      known.set(`${name}_sum`, whole).set(`${name}_count`, whole);
    }
  }
  for (const [name, labels] of Object.entries(OF_PROMETHEUS)) known.set(name, open([...labels, ...SCRAPED]));
  return known;
}

/** The same with the series that the shipped rules record. */
export async function knownMetricsAndRules(): Promise<KnownMetrics> {
  return withRecorded(await knownMetrics(), recordingRules());
}

/** The shipped recording rules, in the order of evaluation. */
export function recordingRules(): RecordingRule[] {
  return rules().filter((rule): rule is RecordingRule => "record" in rule);
}

/** Every shipped rule, those that record and those that alert. */
export function rules(): (RecordingRule | { readonly alert: string; readonly expr: string })[] {
  const files = existsSync(RULES) ? readdirSync(RULES).filter((file) => file.endsWith(".rules.yml")) : [];
  return files.sort().flatMap((file) => {
    const { groups }: { groups: { rules: RecordingRule[] }[] } = parse(
      readFileSync(new URL(file, RULES), "utf8"),
    );
    return groups.flatMap((group) => group.rules);
  });
}

/** Names of everything that `/metrics` may serve, a histogram under one name. */
export async function exportedMetrics(): Promise<string[]> {
  return [...tabledMetrics(), ...(await processMetrics())].map(({ name }) => name);
}

/**
 * `process_*` and `nodejs_*`: prom-client keeps no table of them, so from a registry that is filled as the program's is.
 * Gauges that are called like counters are left out there.
 */
async function processMetrics(): Promise<Documented[]> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const families = await registry.getMetricsAsJSON();
  return families
    .map(({ name, type }) => ({ name, type: String(type), labels: open(PROCESS_LABELS[name] ?? []) }))
    .filter(({ name, type }) => name.endsWith("_total") === (type === "counter"));
}

const PROCESS_LABELS: Readonly<Record<string, readonly string[]>> = {
  nodejs_version_info: ["version", "major", "minor", "patch"],
  nodejs_gc_duration_seconds: ["kind"],
  nodejs_active_handles: ["type"],
  nodejs_active_requests: ["type"],
  nodejs_active_resources: ["type"],
  nodejs_heap_space_size_total_bytes: ["space"],
  nodejs_heap_space_size_used_bytes: ["space"],
  nodejs_heap_space_size_available_bytes: ["space"],
};

function documented(
  common: readonly { name: string }[],
  row: InstrumentRow | TableRow<never, never>,
): Documented {
  const own =
    "by" in row ? [[row.by, new Set(Object.keys(row.values))] as const] : open(names(ownLabels(row)));
  return { name: row.name, type: typeOf(row), labels: new Map([...open(names(common)), ...own]) };
}

function names(labels: readonly { name: string }[]): string[] {
  return labels.map(({ name }) => name);
}

/** Labels with any values. */
function open(labels: readonly string[]): MetricLabels {
  return new Map(labels.map((label) => [label, null]));
}
