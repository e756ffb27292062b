import type { VmRecord } from "../fleet/types.ts";
import { microsAsSeconds, seconds } from "./numbers.ts";
import type { Row } from "./row.ts";

/** Collector `cpu`: CPU time and the usage made of it. */
export const vmCpuRows: readonly Row<VmRecord>[] = [
  {
    name: "albatross_vm_cpu_usage_percent",
    type: "gauge",
    help: "CPU usage over the last stats interval, in percent of the VM's CPUs (100 is all of them), from `utime` + `stime`. Absent while there is no rate.",
    collector: "cpu",
    source: "rusage.utime + rusage.stime over time, per CPU of unikernel info",
    influx: null,
    unit: "percent",
    value: (vm) => vm.usagePercent,
  },
  {
    name: "albatross_vm_cpu_seconds_total",
    type: "counter",
    help: "CPU time used: `utime` (user) and `stime` (system). 10 ms steps on Linux.",
    collector: "cpu",
    source: "rusage.utime, rusage.stime",
    influx: "resource_usage: utime, stime",
    unit: "seconds",
    by: "mode",
    values: {
      user: ({ stats: { rusage } }) => seconds(rusage.utimeSec, rusage.utimeUsec),
      system: ({ stats: { rusage } }) => seconds(rusage.stimeSec, rusage.stimeUsec),
    },
  },
  {
    name: "albatross_vm_cpu_runtime_seconds_total",
    type: "counter",
    help: "CPU time used as the scheduler accounts for it: `runtime` of kinfo_mem, microseconds on the wire.",
    collector: "cpu",
    source: "kinfo_mem.runtime",
    influx: "kinfo_mem: runtime",
    unit: "seconds",
    value: ({ stats: { kinfoMem } }) => (kinfoMem === null ? null : microsAsSeconds(kinfoMem.runtime)),
  },
];
