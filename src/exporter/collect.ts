import type { TargetSnapshot } from "../client/target.ts";
import { compileGlobs } from "../config/glob.ts";
import type { Config, ExporterConfig } from "../config/sections.ts";
import type { Family } from "../exposition/family.ts";
import { LABELLED, tableFamily } from "../exposition/row.ts";
import type { FleetSnapshot, VmRecord } from "../fleet/types.ts";
import { groupLabels, groupRows } from "./groupTable.ts";
import { policyLabels, policyRows } from "./policyTable.ts";
import type { RowMeta } from "./row.ts";
import { subscriptionItems, subscriptionRows, targetItems, targetRows } from "./targetTable.ts";
import { vmFamilies } from "./vmTable.ts";

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

const GROUPS = { labelsOf: groupLabels, contextOf: () => null };
const POLICIES = { labelsOf: policyLabels, contextOf: () => null };

/**
 * The families of targets, policies, groups and VMs, in that order. Filters, the cap and the collectors act on what
 * is written here only; groups come from all VMs. Cheap: the work is done family by family as they are written.
 */
export function collectFamilies({ snapshot, targets, config, counts }: CollectInput): Family[] {
  const { exporter } = config;
  const wants = (row: RowMeta) => row.collector === null || exporter.collectors[row.collector];
  const { vms, dropped } = selectVms(snapshot.served, exporter);
  counts.vmsDropped(dropped);
  const targetsSeen = targetItems(targets);
  const subscriptions = subscriptionItems(targets);
  const groups = snapshot.servedGroups();
  return [
    ...targetRows.filter(wants).map((row) => tableFamily(row, targetsSeen, LABELLED)),
    ...subscriptionRows.filter(wants).map((row) => tableFamily(row, subscriptions, LABELLED)),
    ...policyRows.filter(wants).map((row) => tableFamily(row, snapshot.policies, POLICIES)),
    ...groupRows.filter(wants).map((row) => tableFamily(row, groups, GROUPS)),
    ...vmFamilies(vms, {
      targets: config.targets,
      wants,
      unfilledFields: exporter.unfilledFields,
      onDuplicates: (series) => counts.duplicateSeries(series),
    }),
  ];
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

/** Beyond it a filter forgets what it knows of names: VMs come and go, the memory must not grow with all of them. */
const MAX_REMEMBERED_NAMES = 250_000;

const nameFilters = new WeakMap<ExporterConfig, NameFilter>();

/** Each configuration's filter is made once and remembers every name's answer, since each scrape asks again. */
function nameFilter(exporter: ExporterConfig): NameFilter {
  const known = nameFilters.get(exporter);
  if (known !== undefined) return known;
  const included = exporter.include.length === 0 ? () => true : compileGlobs(exporter.include);
  const excluded = compileGlobs(exporter.exclude);
  const answers = new Map<string, boolean>();
  const filter: NameFilter = ({ fullName }) => {
    const before = answers.get(fullName);
    if (before !== undefined) return before;
    const answer = included(fullName) && !excluded(fullName);
    if (answers.size >= MAX_REMEMBERED_NAMES) answers.clear();
    answers.set(fullName, answer);
    return answer;
  };
  nameFilters.set(exporter, filter);
  return filter;
}
