import { escapeLabelValue } from "../exposition/family.ts";
import type { VmRecord } from "../fleet/types.ts";
import type { VmmStat } from "../wire/messages.ts";
import { vmLabels } from "./families.ts";
import { unsigned } from "./numbers.ts";
import type { PlainRow, Row } from "./row.ts";

/** Collector `vmm`: one series per counter of the virtual machine monitor (bhyve), by the monitor's own name for it. */
export const vmmRows: readonly PlainRow<VmmStat>[] = [
  {
    name: "albatross_vm_vmm_stat",
    type: "gauge",
    help: "A figure of the virtual machine monitor under its own name: `vmm-stats`. Sent by Albatross before 2.8, for bhyve.",
    collector: "vmm",
    source: "vmm",
    influx: "vmm: every field",
    unit: "as the monitor counts",
    value: (stat) => unsigned(stat.value),
  },
];

/** Collector `info`: what albatrossd's unikernel info says about the VM. */
export const vmInfoRows: readonly Row<VmRecord>[] = [
  {
    name: "albatross_vm_info",
    type: "gauge",
    help: "Always 1; the labels are `typ`, `digest` (SHA-256 of the image; for bhyve the VM's name) and `cpuids` of unikernel info.",
    collector: "info",
    source: "typ, digest, cpuids of unikernel info",
    influx: null,
    unit: "1",
    labels: [
      { name: "type", holds: "solo5, bhyve" },
      { name: "digest", holds: "hex digits; for bhyve the VM's name" },
      { name: "cpuids", holds: "comma-separated, ascending" },
    ],
    emit: ({ identity, info }, out) => {
      if (info === null) return;
      const digest = escapeLabelValue(info.digest);
      out.series(`${vmLabels(identity)},type="${info.type}",digest="${digest}",cpuids="${info.cpuids}"`, 1);
    },
  },
  {
    name: "albatross_vm_memory_limit_bytes",
    type: "gauge",
    help: "Memory that the VM may use: `memory` of unikernel info, MB on the wire.",
    collector: "info",
    source: "memory of unikernel info",
    influx: null,
    unit: "bytes",
    value: ({ info }) => (info === null ? null : unsigned(info.memoryLimitBytes)),
  },
  {
    name: "albatross_vm_cpus",
    type: "gauge",
    help: "CPUs that the VM has: `cpus` of unikernel info.",
    collector: "info",
    source: "cpus of unikernel info",
    influx: null,
    unit: "CPUs",
    value: ({ info }) => (info === null ? null : info.cpus),
  },
];
