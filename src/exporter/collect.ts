import type { TargetSnapshot } from "../client/target.ts";
import { compileGlobs } from "../config/glob.ts";
import type { CollectorName, Config, ExporterConfig } from "../config/sections.ts";
import type { Family } from "../exposition/family.ts";
import { tableFamily } from "../exposition/row.ts";
import type { FleetSnapshot, VmIdentity, VmRecord } from "../fleet/types.ts";
import { type AnyTable, type DuplicateCount, itemLabels, type Table, vmFamilies } from "./families.ts";
import {
  coreFamilies,
  coreTable,
  groupTable,
  hostTable,
  policyTable,
  subscriptionTable,
  targetTable,
} from "./hostTables.ts";
import { networkTable, vmmTable } from "./vmPartTable.ts";
import { cpuTable, infoTable, memoryTable, processTable } from "./vmTable.ts";

export const metricTables: readonly AnyTable[] = [
  cpuTable,
  memoryTable,
  processTable,
  networkTable,
  vmmTable,
  infoTable,
  policyTable,
  groupTable,
  targetTable,
  hostTable,
  coreTable,
  subscriptionTable,
];

export interface CollectInput {
  readonly snapshot: FleetSnapshot;
  readonly targets: readonly TargetSnapshot[];
  readonly config: Pick<Config, "targets" | "exporter">;
  readonly counts: CollectCounts;
  /** of the collectors that are on, by `collect[]` or `exclude[]` of a scrape */
  readonly isAsked?: (collector: CollectorName) => boolean;
}

export interface CollectCounts extends DuplicateCount {
  /** VMs that passed the filters but were above `exporter.max_vms`; once per scrape. */
  vmsDropped(vms: number): void;
}

/** Filters, cap and collectors act here only: groups come from all VMs. The work is done as families are written. */
export function collectFamilies({ snapshot, targets, config, counts, isAsked }: CollectInput): Family[] {
  const { exporter } = config;
  const { vms, dropped } = selectVms(snapshot.served, exporter);
  counts.vmsDropped(dropped);
  const ofVms = vmFamilies(vms, config.targets, exporter.unfilledFields);
  const wants = ({ collector }: Pick<AnyTable, "collector">) =>
    collector === undefined || (exporter.collectors[collector] && isAsked?.(collector) !== false);
  const hosts = targets.map((target) => ({ ...target, host: target.name }));
  return [
    ...familiesOf(targetTable, hosts),
    ...familiesOf(hostTable, snapshot.hosts),
    ...coreFamilies(snapshot.served),
    ...familiesOf(
      subscriptionTable,
      hosts.flatMap(({ host, subscriptions }) => subscriptions.map((one) => ({ ...one, host }))),
    ),
    ...(wants(policyTable) ? familiesOf(policyTable, snapshot.policies) : []),
    ...familiesOf(groupTable, snapshot.servedGroups()),
    ...[cpuTable, memoryTable, processTable, infoTable].filter(wants).flatMap((table) => ofVms.of(table)),
    ...(wants(networkTable) ? ofVms.ofParts(networkTable, counts) : []),
    ...(wants(vmmTable) ? ofVms.ofParts(vmmTable, counts) : []),
  ];
}

function familiesOf<T extends object>(table: Table<T, null>, items: readonly T[]): Family<T>[] {
  const facts = { labelsOf: (item: T) => itemLabels(table, item), contextOf: () => null };
  return table.rows.map((row) => tableFamily(row, items, facts));
}

/** The VMs that the filters and the cap let through, in the order given; `dropped` counts what the cap cut off. */
function selectVms(
  vms: readonly VmRecord[],
  exporter: ExporterConfig,
): { vms: readonly VmRecord[]; dropped: number } {
  const unfiltered = exporter.include.length === 0 && exporter.exclude.length === 0;
  const wanted = unfiltered ? vms : vms.filter(nameFilter(exporter));
  if (exporter.maxVms === 0 || wanted.length <= exporter.maxVms) return { vms: wanted, dropped: 0 };
  return { vms: wanted.slice(0, exporter.maxVms), dropped: wanted.length - exporter.maxVms };
}

type NameFilter = (vm: VmRecord) => boolean;

const nameFilters = new WeakMap<ExporterConfig, NameFilter>();

/** Made once for a configuration: it remembers the answer for every VM, since each scrape asks again. */
function nameFilter(exporter: ExporterConfig): NameFilter {
  const known = nameFilters.get(exporter);
  if (known !== undefined) return known;
  const included = exporter.include.length === 0 ? () => true : compileGlobs(exporter.include);
  const excluded = compileGlobs(exporter.exclude);
  const answers = new WeakMap<VmIdentity, boolean>();
  const filter: NameFilter = ({ identity, fullName }) => {
    const answer = answers.get(identity) ?? (included(fullName) && !excluded(fullName));
    answers.set(identity, answer);
    return answer;
  };
  nameFilters.set(exporter, filter);
  return filter;
}
