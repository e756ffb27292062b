import { escapeLabelValue } from "../exposition/family.ts";
import type { Sample } from "../exposition/row.ts";
import type { VmRecord } from "../fleet/types.ts";
import type { Int64, KinfoMem, Rusage } from "../wire/messages.ts";
import { type HostFacts, type Table, VM_LABELS, vmLabels } from "./families.ts";
import { microsAsSeconds, millisAsSeconds, seconds, times, unsigned } from "./numbers.ts";

const KIB = 1024;

/** What a row's figures come from, here and in albatross-influx. */
function from(struct: "rusage" | "kinfo_mem", ...fields: readonly string[]) {
  const measurement = { rusage: "resource_usage", kinfo_mem: "kinfo_mem" }[struct];
  const source = fields.map((field) => `${struct}.${field}`).join(", ");
  return { source, influx: `${measurement}: ${fields.join(", ")}` };
}

export const cpuTable: Table<VmRecord> = {
  title: "CPU of a VM",
  collector: "cpu",
  labels: VM_LABELS,
  rows: [
    {
      name: "albatross_vm_cpu_usage_percent",
      help: "CPU usage over the last stats interval, in percent of the VM's CPUs (100 is all of them), from `utime` + `stime`. Absent while there is no rate.",
      source: "rusage.utime + rusage.stime over time, per CPU of unikernel info",
      value: (vm) => vm.usagePercent,
    },
    {
      name: "albatross_vm_cpu_seconds_total",
      help: "CPU time used: `utime` (user) and `stime` (system). 10 ms steps on Linux.",
      ...from("rusage", "utime", "stime"),
      by: "mode",
      values: {
        user: (vm) => seconds(rusage(vm).utimeSec, rusage(vm).utimeUsec),
        system: (vm) => seconds(rusage(vm).stimeSec, rusage(vm).stimeUsec),
      },
    },
    {
      name: "albatross_vm_cpu_runtime_seconds_total",
      help: "CPU time used as the scheduler accounts for it: `runtime` of kinfo_mem, microseconds on the wire.",
      ...from("kinfo_mem", "runtime"),
      value: ofKinfo((kinfoMem) => microsAsSeconds(kinfoMem.runtime)),
    },
  ],
};

export const memoryTable: Table<VmRecord> = {
  title: "Memory of a VM",
  collector: "memory",
  labels: VM_LABELS,
  rows: [
    {
      name: "albatross_vm_memory_resident_bytes",
      help: "Resident set size: `rss` of kinfo_mem times the page size. On Linux, without kinfo_mem, `maxrss`, which is the current resident set there, in pages.",
      source: "kinfo_mem.rss; on Linux without kinfo_mem rusage.maxrss",
      influx: "kinfo_mem: rss; on Linux also resource_usage: maxrss",
      value: residentBytes,
    },
    {
      name: "albatross_vm_memory_virtual_bytes",
      help: "Virtual size: `vsize` of kinfo_mem.",
      ...from("kinfo_mem", "vsize"),
      value: ofKinfo((kinfoMem) => unsigned(kinfoMem.vsize)),
    },
    {
      name: "albatross_vm_memory_text_bytes",
      help: "Text (code) size: `tsize` of kinfo_mem times the page size.",
      ...from("kinfo_mem", "tsize"),
      value: ofKinfo((kinfoMem, host) => times(kinfoMem.tsize, host.pageSizeBytes)),
    },
    {
      name: "albatross_vm_memory_data_bytes",
      help: "Data size: `dsize` of kinfo_mem times the page size. On Linux it includes the stack.",
      ...from("kinfo_mem", "dsize"),
      value: ofKinfo((kinfoMem, host) => times(kinfoMem.dsize, host.pageSizeBytes)),
    },
    {
      name: "albatross_vm_memory_stack_bytes",
      help: "Stack size: `ssize` of kinfo_mem times the page size. On Linux the field repeats `dsize`.",
      ...from("kinfo_mem", "ssize"),
      unfilledOn: ["linux"],
      value: ofKinfo((kinfoMem, host) => times(kinfoMem.ssize, host.pageSizeBytes)),
    },
    {
      name: "albatross_vm_memory_max_resident_bytes",
      help: "Largest resident set so far: `maxrss`, KiB on the wire. On Linux the field is the current resident set, in pages.",
      ...from("rusage", "maxrss"),
      unfilledOn: ["linux"],
      value: (vm, host) => times(rusage(vm).maxrss, host.os === "linux" ? host.pageSizeBytes : KIB),
    },
    {
      name: "albatross_vm_memory_integral_total",
      help: "Memory used over CPU time, in KiB times clock ticks: `ixrss` (text), `idrss` (data), `isrss` (stack).",
      ...from("rusage", "ixrss", "idrss", "isrss"),
      unit: "KiB x ticks",
      unfilledOn: ["linux"],
      by: "segment",
      values: {
        text: (vm) => unsigned(rusage(vm).ixrss),
        data: (vm) => unsigned(rusage(vm).idrss),
        stack: (vm) => unsigned(rusage(vm).isrss),
      },
    },
  ],
};

export const processTable: Table<VmRecord> = {
  title: "Process of a VM",
  collector: "process",
  labels: VM_LABELS,
  rows: [
    {
      name: "albatross_vm_page_faults_total",
      help: "Page faults: `minflt` (minor, served without I/O) and `majflt` (major).",
      ...from("rusage", "minflt", "majflt"),
      influx: "resource_usage: minflt, maxflt (sic)",
      by: "kind",
      values: {
        minor: (vm) => unsigned(rusage(vm).minflt),
        major: (vm) => unsigned(rusage(vm).majflt),
      },
    },
    {
      name: "albatross_vm_context_switches_total",
      help: "Context switches: `nvcsw` (voluntary) and `nivcsw` (involuntary).",
      ...from("rusage", "nvcsw", "nivcsw"),
      by: "kind",
      values: {
        voluntary: (vm) => unsigned(rusage(vm).nvcsw),
        involuntary: (vm) => unsigned(rusage(vm).nivcsw),
      },
    },
    {
      name: "albatross_vm_swaps_total",
      help: "Times the process was swapped out: `nswap`.",
      ...from("rusage", "nswap"),
      unfilledOn: ["linux"],
      value: (vm) => unsigned(rusage(vm).nswap),
    },
    {
      name: "albatross_vm_block_operations_total",
      help: "Block input and output operations: `inblock` (in) and `outblock` (out).",
      ...from("rusage", "inblock", "outblock"),
      unfilledOn: ["linux"],
      by: "direction",
      values: {
        in: (vm) => unsigned(rusage(vm).inblock),
        out: (vm) => unsigned(rusage(vm).outblock),
      },
    },
    {
      name: "albatross_vm_ipc_messages_total",
      help: "IPC messages: `msgsnd` (out, sent) and `msgrcv` (in, received).",
      ...from("rusage", "msgrcv", "msgsnd"),
      unfilledOn: ["linux"],
      by: "direction",
      values: {
        in: (vm) => unsigned(rusage(vm).msgrcv),
        out: (vm) => unsigned(rusage(vm).msgsnd),
      },
    },
    {
      name: "albatross_vm_signals_total",
      help: "Signals received: `nsignals`.",
      ...from("rusage", "nsignals"),
      unfilledOn: ["linux"],
      value: (vm) => unsigned(rusage(vm).nsignals),
    },
    {
      name: "albatross_vm_cow_faults_total",
      help: "Copy-on-write faults: `cow` of kinfo_mem.",
      ...from("kinfo_mem", "cow"),
      influx: "kinfo_mem: cow_fauls (sic; cow_faults in 2.8)",
      unfilledOn: ["linux"],
      value: ofKinfo((kinfoMem) => unsigned(kinfoMem.cow)),
    },
    {
      name: "albatross_vm_start_time_seconds",
      help: "Start of the VM since the epoch: `started` of unikernel info, else, on FreeBSD, `start` of kinfo_mem.",
      source: "started of unikernel info; on FreeBSD without it kinfo_mem.start",
      influx: "kinfo_mem: uptime (time() - this)",
      value: startTime,
    },
    {
      name: "albatross_vm_last_sample_timestamp_seconds",
      help: "Wall time at which the last statistics message about the VM arrived here. The message carries no time.",
      source: "arrival of the message",
      value: (vm) => millisAsSeconds(vm.sample.arrivalWallMs),
    },
    {
      name: "albatross_vm_restarts_total",
      help: "Restarts seen: a decrease of `utime` + `stime`, `minflt` or `nvcsw`, or a changed `started` in unikernel info.",
      source: "consecutive messages, and started of unikernel info",
      value: (vm) => vm.restarts,
    },
  ],
};

export const infoTable: Table<VmRecord> = {
  title: "Unikernel info",
  text: "Absent where vmmd.sock cannot be read. Arguments of unikernels are never kept.",
  collector: "info",
  labels: VM_LABELS,
  rows: [
    {
      name: "albatross_vm_info",
      help: "Always 1; the labels are `typ`, `digest` (SHA-256 of the image; for bhyve the VM's name) and `cpuids` of unikernel info.",
      source: "typ, digest, cpuids of unikernel info",
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
      help: "Memory that the VM may use: `memory` of unikernel info, MB on the wire.",
      source: "memory of unikernel info",
      value: ({ info }) => (info === null ? null : unsigned(info.memoryLimitBytes)),
    },
    {
      name: "albatross_vm_cpus",
      help: "CPUs that the VM has: `cpus` of unikernel info.",
      source: "cpus of unikernel info",
      unit: "CPUs",
      value: ({ info }) => (info === null ? null : info.cpus),
    },
  ],
};

/** The current resident set; null where the sample does not say. */
export function residentBytes({ sample }: VmRecord, host: HostFacts): Int64 | null {
  const { kinfoMem, rusage } = sample.stats;
  if (kinfoMem !== null) return times(kinfoMem.rss, host.pageSizeBytes);
  return host.os === "linux" ? times(rusage.maxrss, host.pageSizeBytes) : null;
}

function rusage({ sample }: VmRecord): Rusage {
  return sample.stats.rusage;
}

function ofKinfo(value: (kinfoMem: KinfoMem, host: HostFacts) => Sample) {
  return ({ sample }: VmRecord, host: HostFacts) => {
    const { kinfoMem } = sample.stats;
    return kinfoMem === null ? null : value(kinfoMem, host);
  };
}

function startTime({ info, sample }: VmRecord, host: HostFacts): Sample {
  const { kinfoMem } = sample.stats;
  if (info !== null && info.startedMs !== null) return millisAsSeconds(info.startedMs);
  // on Linux it is the change time of /proc/PID, which may move without a restart
  if (kinfoMem === null || host.os === "linux") return null;
  return seconds(kinfoMem.startSec, kinfoMem.startUsec);
}
