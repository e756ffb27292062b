import type { Value } from "../exposition/family.ts";
import type { VmRecord } from "../fleet/types.ts";
import { times, unsigned } from "./numbers.ts";
import type { HostFacts, Row } from "./row.ts";

const KIB = 1024;

/** Collector `memory`: sizes in bytes (the wire has pages and KiB) and the integrals of rusage. */
export const vmMemoryRows: readonly Row<VmRecord>[] = [
  {
    name: "albatross_vm_memory_resident_bytes",
    type: "gauge",
    help: "Resident set size: `rss` of kinfo_mem times the page size. On Linux, without kinfo_mem, `maxrss`, which is the current resident set there, in pages.",
    collector: "memory",
    source: "kinfo_mem.rss; on Linux without kinfo_mem rusage.maxrss",
    influx: "kinfo_mem: rss; on Linux also resource_usage: maxrss",
    unit: "bytes",
    value: residentBytes,
  },
  {
    name: "albatross_vm_memory_virtual_bytes",
    type: "gauge",
    help: "Virtual size: `vsize` of kinfo_mem.",
    collector: "memory",
    source: "kinfo_mem.vsize",
    influx: "kinfo_mem: vsize",
    unit: "bytes",
    value: ({ stats: { kinfoMem } }) => (kinfoMem === null ? null : unsigned(kinfoMem.vsize)),
  },
  {
    name: "albatross_vm_memory_text_bytes",
    type: "gauge",
    help: "Text (code) size: `tsize` of kinfo_mem times the page size.",
    collector: "memory",
    source: "kinfo_mem.tsize",
    influx: "kinfo_mem: tsize",
    unit: "bytes",
    value: ({ stats: { kinfoMem } }, host) =>
      kinfoMem === null ? null : times(kinfoMem.tsize, host.pageSizeBytes),
  },
  {
    name: "albatross_vm_memory_data_bytes",
    type: "gauge",
    help: "Data size: `dsize` of kinfo_mem times the page size. On Linux it includes the stack.",
    collector: "memory",
    source: "kinfo_mem.dsize",
    influx: "kinfo_mem: dsize",
    unit: "bytes",
    value: ({ stats: { kinfoMem } }, host) =>
      kinfoMem === null ? null : times(kinfoMem.dsize, host.pageSizeBytes),
  },
  {
    name: "albatross_vm_memory_stack_bytes",
    type: "gauge",
    help: "Stack size: `ssize` of kinfo_mem times the page size. On Linux the field repeats `dsize`.",
    collector: "memory",
    source: "kinfo_mem.ssize",
    influx: "kinfo_mem: ssize",
    unit: "bytes",
    unfilledOn: ["linux"],
    value: ({ stats: { kinfoMem } }, host) =>
      kinfoMem === null ? null : times(kinfoMem.ssize, host.pageSizeBytes),
  },
  {
    name: "albatross_vm_memory_max_resident_bytes",
    type: "gauge",
    help: "Largest resident set so far: `maxrss`, KiB on the wire. On Linux the field is the current resident set, in pages.",
    collector: "memory",
    source: "rusage.maxrss",
    influx: "resource_usage: maxrss",
    unit: "bytes",
    unfilledOn: ["linux"],
    value: ({ stats: { rusage } }, host) => times(rusage.maxrss, maxrssUnitBytes(host)),
  },
  {
    name: "albatross_vm_memory_integral_total",
    type: "counter",
    help: "Memory used over CPU time, in KiB times clock ticks: `ixrss` (text), `idrss` (data), `isrss` (stack).",
    collector: "memory",
    source: "rusage.ixrss, rusage.idrss, rusage.isrss",
    influx: "resource_usage: ixrss, idrss, isrss",
    unit: "KiB x ticks",
    unfilledOn: ["linux"],
    by: "segment",
    values: {
      text: ({ stats: { rusage } }) => unsigned(rusage.ixrss),
      data: ({ stats: { rusage } }) => unsigned(rusage.idrss),
      stack: ({ stats: { rusage } }) => unsigned(rusage.isrss),
    },
  },
];

/** The current resident set; null where the sample does not say. */
export function residentBytes({ stats: { kinfoMem, rusage } }: VmRecord, host: HostFacts): Value | null {
  if (kinfoMem !== null) return times(kinfoMem.rss, host.pageSizeBytes);
  return host.os === "linux" ? times(rusage.maxrss, host.pageSizeBytes) : null;
}

function maxrssUnitBytes(host: HostFacts): number {
  return host.os === "linux" ? host.pageSizeBytes : KIB;
}
