import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { metricsDocument } from "../../scripts/metricsDoc.ts";
import { metricTables } from "../../src/exporter/collect.ts";
import { groupTable } from "../../src/exporter/hostTables.ts";
import { type SelfRow, selfRows } from "../../src/exporter/selfMetrics.ts";
import { type InstrumentRow, ownLabels, type RowHead, typeOf, unitOf } from "../../src/exposition/row.ts";
import { actionInstrumentRows, actionRows } from "../../src/scaler/report/actionMetrics.ts";
import { instrumentRows, scalerGroupRows } from "../../src/scaler/report/metrics.ts";

const sections = metricTables.flatMap(({ labels, rows }) =>
  rows.map((row) => ({
    ...row,
    labels: [...labels, ...ownLabels(row)].map((label) => label.name),
  })),
);
const scaler = [...scalerGroupRows, ...actionRows].map((row) => ({
  ...row,
  labels: [...groupTable.labels, ...ownLabels(row)].map((label) => label.name),
}));
const instruments = Object.values<InstrumentRow>({ ...instrumentRows, ...actionInstrumentRows }).map(
  (row) => ({ ...row, labels: ownLabels(row).map(({ name }) => name) }),
);
const self = Object.values<SelfRow>(selfRows).map((row) => ({ ...row, labels: row.labels ?? [] }));
const everyRow = [...sections, ...scaler, ...instruments, ...self];

/** Names of the rows that a rule does not hold for. */
function offenders(holds: (row: (typeof everyRow)[number]) => boolean): string[] {
  return everyRow.filter((row) => !holds(row)).map(({ name }) => name);
}

describe("every metric", () => {
  it("has the prefix, and nothing but lower-case words", () => {
    expect(offenders(({ name }) => /^albatross_[a-z]+(_[a-z]+)*$/.test(name))).toEqual([]);
  });

  it("ends in _total if and only if it is a counter", () => {
    expect(typeOf({ name: "albatross_things_total" })).toBe("counter");
    expect(offenders((row) => row.name.endsWith("_total") === (typeOf(row) === "counter"))).toEqual([]);
  });

  it("has help that is a sentence", () => {
    expect(offenders(({ help }) => /^[A-Z0-9].*\.$/s.test(help))).toEqual([]);
  });

  it("names its unit where that is a base unit", () => {
    const named = ({ name }: { name: string }) => /_(seconds|bytes|percent)(_total)?$/.exec(name)?.[1];
    const base = /second|byte|percent/;
    const holds = (row: Pick<RowHead, "name" | "unit">) => {
      const unit = named(row);
      return unit === undefined ? !base.test(unitOf(row)) : unitOf(row).includes(unit);
    };
    expect(offenders(holds)).toEqual([]);
  });

  it("has no unit in its name that is not a base unit", () => {
    const other = /milli|micro|nano|kilo|mega|_(ms|us|kb|mb|kib|mib|bits|pages)(_|$)/;
    expect(offenders(({ name }) => !other.test(name))).toEqual([]);
  });

  it("has labels that are different words, none of them Prometheus' own", () => {
    const reserved = ["job", "instance", "le", "quantile"];
    const good = (label: string) => /^[a-z]+$/.test(label) && !reserved.includes(label);
    expect(offenders(({ labels }) => new Set(labels).size === labels.length && labels.every(good))).toEqual(
      [],
    );
  });
});

it("every name is used once, also without the suffix that OpenMetrics takes off counters", () => {
  const names = everyRow.map(({ name }) => name.replace(/_total$/, ""));
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});

it("help about a figure from the wire names its field", () => {
  const unnamed = metricTables
    .flatMap(({ rows }) => rows)
    .filter(({ source, help }) => /^(rusage|kinfo_mem|ifdata|vmm)\b/.test(source) && !help.includes("`"));
  expect(unnamed).toEqual([]);
});

/** What albatross-influx 2.7 sends, by measurement. Its misspelt names are its own. */
const INFLUX_FIELDS: Readonly<Record<string, string>> = {
  resource_usage:
    "utime stime maxrss ixrss idrss isrss minflt maxflt nswap inblock outblock msgsnd msgrcv nsignals nvcsw nivcsw",
  kinfo_mem: "vsize rss tsize dsize ssize cow_fauls runtime uptime",
  interface:
    "send_queue_length max_send_queue_length send_queue_drops mtu baudrate vm_to_host_packets vm_to_host_errors vm_to_host_bytes vm_to_host_mcast vm_to_host_dropped collisions host_to_vm_packets host_to_vm_errors host_to_vm_bytes host_to_vm_mcast host_to_vm_dropped",
};
const influxFields = Object.entries(INFLUX_FIELDS).flatMap(([measurement, fields]) =>
  fields.split(" ").map((field) => [measurement, field] as const),
);

it.each(influxFields)("albatross-influx's %s: %s has a metric", (measurement, field) => {
  const carrying = sections.filter(({ influx }) =>
    influx
      ?.split("; ")
      .some((part) => part.includes(`${measurement}:`) && new RegExp(`\\b${field}\\b`).test(part)),
  );
  expect(carrying).not.toEqual([]);
});

it("docs/metrics.md says what the tables say", () => {
  const file = new URL("../../docs/metrics.md", import.meta.url);
  expect(readFileSync(file, "utf8")).toBe(metricsDocument());
});
