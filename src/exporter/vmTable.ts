import type { Family } from "../exposition/family.ts";
import type { LabelDoc } from "../exposition/row.ts";
import type { VmRecord } from "../fleet/types.ts";
import type { IfData, VmmStat } from "../wire/messages.ts";
import { labelMaker, type Repeated, VmFamilies, type VmFamilyOptions } from "./families.ts";
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

const deviceLabel = labelMaker(DEVICE_LABEL.name);
const DEVICES: Repeated<IfData> = {
  parts: (vm) => vm.stats.ifdata,
  label: ({ bridge }) => deviceLabel(bridge),
};

const statLabel = labelMaker(STAT_LABEL.name);
const NO_STATS: readonly VmmStat[] = [];
const VMM_STATS: Repeated<VmmStat> = {
  parts: (vm) => vm.stats.vmm ?? NO_STATS,
  label: ({ key }) => statLabel(key),
};

/** The families over `vms`, in the order of the tables. Nothing is computed before they are written. */
export function vmFamilies(vms: readonly VmRecord[], options: VmFamilyOptions): Family[] {
  const families = new VmFamilies(vms, options);
  return [
    ...families.of(vmRows),
    ...families.ofRepeated(vmNetworkRows, DEVICES),
    ...families.ofRepeated(vmmRows, VMM_STATS),
  ];
}
