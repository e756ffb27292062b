import type { Sample } from "../exposition/row.ts";
import type { VmRecord } from "../fleet/types.ts";
import { millisAsSeconds, seconds, unsigned } from "./numbers.ts";
import type { HostFacts, Row } from "./row.ts";

/** Collector `process`: what the VM's process did, and its restarts. */
export const vmProcessRows: readonly Row<VmRecord>[] = [
  {
    name: "albatross_vm_page_faults_total",
    type: "counter",
    help: "Page faults: `minflt` (minor, served without I/O) and `majflt` (major).",
    collector: "process",
    source: "rusage.minflt, rusage.majflt",
    influx: "resource_usage: minflt, maxflt (sic)",
    unit: "faults",
    by: "kind",
    values: {
      minor: ({ stats: { rusage } }) => unsigned(rusage.minflt),
      major: ({ stats: { rusage } }) => unsigned(rusage.majflt),
    },
  },
  {
    name: "albatross_vm_context_switches_total",
    type: "counter",
    help: "Context switches: `nvcsw` (voluntary) and `nivcsw` (involuntary).",
    collector: "process",
    source: "rusage.nvcsw, rusage.nivcsw",
    influx: "resource_usage: nvcsw, nivcsw",
    unit: "switches",
    by: "kind",
    values: {
      voluntary: ({ stats: { rusage } }) => unsigned(rusage.nvcsw),
      involuntary: ({ stats: { rusage } }) => unsigned(rusage.nivcsw),
    },
  },
  {
    name: "albatross_vm_swaps_total",
    type: "counter",
    help: "Times the process was swapped out: `nswap`.",
    collector: "process",
    source: "rusage.nswap",
    influx: "resource_usage: nswap",
    unit: "swaps",
    unfilledOn: ["linux"],
    value: ({ stats: { rusage } }) => unsigned(rusage.nswap),
  },
  {
    name: "albatross_vm_block_operations_total",
    type: "counter",
    help: "Block input and output operations: `inblock` (in) and `outblock` (out).",
    collector: "process",
    source: "rusage.inblock, rusage.outblock",
    influx: "resource_usage: inblock, outblock",
    unit: "operations",
    unfilledOn: ["linux"],
    by: "direction",
    values: {
      in: ({ stats: { rusage } }) => unsigned(rusage.inblock),
      out: ({ stats: { rusage } }) => unsigned(rusage.outblock),
    },
  },
  {
    name: "albatross_vm_ipc_messages_total",
    type: "counter",
    help: "IPC messages: `msgsnd` (out, sent) and `msgrcv` (in, received).",
    collector: "process",
    source: "rusage.msgrcv, rusage.msgsnd",
    influx: "resource_usage: msgrcv, msgsnd",
    unit: "messages",
    unfilledOn: ["linux"],
    by: "direction",
    values: {
      in: ({ stats: { rusage } }) => unsigned(rusage.msgrcv),
      out: ({ stats: { rusage } }) => unsigned(rusage.msgsnd),
    },
  },
  {
    name: "albatross_vm_signals_total",
    type: "counter",
    help: "Signals received: `nsignals`.",
    collector: "process",
    source: "rusage.nsignals",
    influx: "resource_usage: nsignals",
    unit: "signals",
    unfilledOn: ["linux"],
    value: ({ stats: { rusage } }) => unsigned(rusage.nsignals),
  },
  {
    name: "albatross_vm_cow_faults_total",
    type: "counter",
    help: "Copy-on-write faults: `cow` of kinfo_mem.",
    collector: "process",
    source: "kinfo_mem.cow",
    influx: "kinfo_mem: cow_fauls (sic; cow_faults in 2.8)",
    unit: "faults",
    unfilledOn: ["linux"],
    value: ({ stats: { kinfoMem } }) => (kinfoMem === null ? null : unsigned(kinfoMem.cow)),
  },
  {
    name: "albatross_vm_start_time_seconds",
    type: "gauge",
    help: "Start of the VM since the epoch: `started` of unikernel info, else, on FreeBSD, `start` of kinfo_mem.",
    collector: "process",
    source: "started of unikernel info; on FreeBSD without it kinfo_mem.start",
    influx: "kinfo_mem: uptime (time() - this)",
    unit: "seconds",
    value: startTime,
  },
  {
    name: "albatross_vm_last_sample_timestamp_seconds",
    type: "gauge",
    help: "Wall time at which the last statistics message about the VM arrived here. The message carries no time.",
    collector: "process",
    source: "arrival of the message",
    influx: null,
    unit: "seconds",
    value: (vm) => millisAsSeconds(vm.arrivalWallMs),
  },
  {
    name: "albatross_vm_restarts_total",
    type: "counter",
    help: "Restarts seen: a decrease of `utime` + `stime`, `minflt` or `nvcsw`, or a changed `started` in unikernel info.",
    collector: "process",
    source: "consecutive messages, and started of unikernel info",
    influx: null,
    unit: "restarts",
    value: (vm) => vm.restarts,
  },
];

function startTime({ info, stats: { kinfoMem } }: VmRecord, host: HostFacts): Sample {
  if (info !== null && info.startedMs !== null) return millisAsSeconds(info.startedMs);
  // on Linux it is the change time of /proc/PID, which may move without a restart
  if (kinfoMem === null || host.os === "linux") return null;
  return seconds(kinfoMem.startSec, kinfoMem.startUsec);
}
