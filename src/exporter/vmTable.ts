import type { TargetOs } from "../config/types.ts";
import type { Family } from "../exposition/family.ts";
import type { LabelDoc } from "../exposition/row.ts";
import type { VmRecord } from "../fleet/types.ts";
import type { IfData, VmmStat } from "../wire/messages.ts";
import { LabelText, repeatedFamily, vmFamily } from "./families.ts";
import type { FactsOf, RowMeta } from "./row.ts";
import { vmCpuRows } from "./vmCpu.ts";
import { vmInfoRows, vmmRows } from "./vmInfo.ts";
import { vmMemoryRows } from "./vmMemory.ts";
import { vmNetworkRows } from "./vmNetwork.ts";
import { vmProcessRows } from "./vmProcess.ts";

/** Every row that is about one VM as a whole. */
export const vmRows = [...vmCpuRows, ...vmMemoryRows, ...vmProcessRows, ...vmInfoRows];

export const DEVICE_LABEL: LabelDoc = {
  name: "device",
  holds: "the VM's name for the device (`bridge` on the wire)",
};
export const STAT_LABEL: LabelDoc = { name: "stat", holds: "the monitor's name for the figure" };

const deviceLabels = new LabelText(DEVICE_LABEL.name);
const statLabels = new LabelText(STAT_LABEL.name);

const devicesOf = (vm: VmRecord): readonly IfData[] => vm.stats.ifdata;
const deviceName = (device: IfData): string => device.bridge;
const NO_STATS: readonly VmmStat[] = [];
const vmmStatsOf = (vm: VmRecord): readonly VmmStat[] => vm.stats.vmm ?? NO_STATS;
const statName = (stat: VmmStat): string => stat.key;

export interface VmFamilyOptions {
  readonly facts: FactsOf;
  /** is the row switched on by `exporter.collectors`? */
  readonly wants: (row: RowMeta) => boolean;
  /** export fields that the operating system of the VM's host does not fill, too */
  readonly unfilledFields: boolean;
  readonly onDuplicates: (series: number) => void;
}

/** The families over `vms`, in the order of the tables. Nothing is computed before they are written. */
export function vmFamilies(
  vms: readonly VmRecord[],
  { facts, wants, unfilledFields, onDuplicates }: VmFamilyOptions,
): Family[] {
  const vmsFor = filledIn(vms, facts);
  const itemsOf = (row: RowMeta) => (unfilledFields ? vms : vmsFor(row.unfilledOn));
  const devices = { parts: devicesOf, key: deviceName, label: deviceLabels, onDuplicates };
  const stats = { parts: vmmStatsOf, key: statName, label: statLabels, onDuplicates };
  return [
    ...vmRows.filter(wants).map((row) => vmFamily(row, itemsOf(row), facts)),
    ...vmNetworkRows.filter(wants).map((row) => repeatedFamily(row, itemsOf(row), facts, devices)),
    ...vmmRows.filter(wants).map((row) => repeatedFamily(row, itemsOf(row), facts, stats)),
  ];
}

/** Picks, once per set of operating systems, the VMs on hosts of the others. `vms` are ordered by host. */
function filledIn(
  vms: readonly VmRecord[],
  facts: FactsOf,
): (unfilledOn: readonly TargetOs[] | undefined) => readonly VmRecord[] {
  const picked = new Map<string, readonly VmRecord[]>();
  return (unfilledOn = []) => {
    const key = unfilledOn.join();
    const known = picked.get(key);
    if (known !== undefined) return known;
    const filled = vmsOnHosts(vms, (host) => !unfilledOn.includes(facts(host).os));
    picked.set(key, filled);
    return filled;
  };
}

/** The VMs of some hosts, found without looking at each VM: at 100,000 that would hold the event loop up for 12 ms. */
function vmsOnHosts(vms: readonly VmRecord[], wants: (host: string) => boolean): readonly VmRecord[] {
  const runs: (readonly VmRecord[])[] = [];
  for (let start = 0; start < vms.length; ) {
    const host = vms[start]?.host ?? "";
    const end = endOfRun(vms, start, host);
    if (wants(host)) runs.push(start === 0 && end === vms.length ? vms : vms.slice(start, end));
    start = end;
  }
  const [only] = runs;
  return runs.length === 1 && only !== undefined ? only : runs.flat();
}

/** The first index after `start` whose VM is on another host. */
function endOfRun(vms: readonly VmRecord[], start: number, host: string): number {
  let same = start;
  let other = vms.length;
  while (other - same > 1) {
    const middle = (same + other) >>> 1;
    if (vms[middle]?.host === host) same = middle;
    else other = middle;
  }
  return other;
}
