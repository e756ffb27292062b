import type { TargetSnapshot } from "../client/target.ts";
import { compileGlobs } from "../config/glob.ts";
import type { Config, ExporterConfig } from "../config/sections.ts";
import type { Family } from "../exposition/family.ts";
import { type ItemFacts, LABELLED, tableFamily } from "../exposition/row.ts";
import type { FleetSnapshot, VmIdentity, VmRecord } from "../fleet/types.ts";
import { type AnyTable, type Table, VmFamilies } from "./families.ts";
import {
  groupLabels,
  groupTable,
  hostLabels,
  hostTable,
  policyLabels,
  policyTable,
  subscriptionItems,
  subscriptionTable,
  targetItems,
  targetTable,
} from "./hostTables.ts";
import { networkTable, vmmTable } from "./vmPartTable.ts";
import { cpuTable, infoTable, memoryTable, processTable } from "./vmTable.ts";

/** Every table, in the order of docs/metrics.md. */
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
  subscriptionTable,
];

/** What one scrape is made from. */
export interface CollectInput {
  readonly snapshot: FleetSnapshot;
  readonly targets: readonly TargetSnapshot[];
  readonly config: Pick<Config, "targets" | "exporter">;
  readonly counts: CollectCounts;
}

/** Where a scrape tells what it left out. */
export interface CollectCounts {
  /** VMs that passed the filters but were above `exporter.max_vms`. Called once per scrape. */
  vmsDropped(vms: number): void;
  /** Series left out because an equal label set of the same VM came before them. Called while a family is written. */
  duplicateSeries(series: number): void;
}

/**
 * The families of targets, hosts, policies, groups and VMs, in that order. Filters, the cap and the collectors act on what
 * is written here only; groups come from all VMs. Cheap: the work is done family by family as they are written.
 */
export function collectFamilies({ snapshot, targets, config, counts }: CollectInput): Family[] {
  const { exporter } = config;
  const { vms, dropped } = selectVms(snapshot.served, exporter);
  counts.vmsDropped(dropped);
  const ofVms = new VmFamilies(vms, config.targets, exporter.unfilledFields);
  const onDuplicates = (series: number) => counts.duplicateSeries(series);
  const wants = ({ collector }: Pick<AnyTable, "collector">) =>
    collector === null || exporter.collectors[collector];
  return [
    ...familiesOf(targetTable, targetItems(targets), LABELLED),
    ...familiesOf(hostTable, snapshot.hosts, labelledBy(hostLabels)),
    ...familiesOf(subscriptionTable, subscriptionItems(targets), LABELLED),
    ...(wants(policyTable) ? familiesOf(policyTable, snapshot.policies, labelledBy(policyLabels)) : []),
    ...familiesOf(groupTable, snapshot.servedGroups(), labelledBy(groupLabels)),
    ...[cpuTable, memoryTable, processTable, infoTable].filter(wants).flatMap((table) => ofVms.of(table)),
    ...(wants(networkTable) ? ofVms.ofParts(networkTable, onDuplicates) : []),
    ...(wants(vmmTable) ? ofVms.ofParts(vmmTable, onDuplicates) : []),
  ];
}

function familiesOf<T>(
  { rows }: Table<T, null>,
  items: readonly T[],
  facts: ItemFacts<T, null>,
): Family<T>[] {
  return rows.map((row) => tableFamily(row, items, facts));
}

function labelledBy<T>(labelsOf: (item: T) => string): ItemFacts<T, null> {
  return { labelsOf, contextOf: () => null };
}

/**
 * The VMs that the filters and the cap let through, in the order given; `dropped` counts those that the cap cut off.
 * A VM must match `include` (empty takes all) and not match `exclude`.
 */
export function selectVms(
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

/** Each configuration's filter is made once and remembers the answer for every VM, since each scrape asks again. */
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
