/** What a VM uses: CPU, memory, faults, context switches. */
import { dashed, figure, graph } from "../shared/panels.ts";
import { RATE, VM_LEGEND, VMS } from "../shared/selectors.ts";

export const cpuNow = figure({
  title: "CPU",
  means: "CPU usage over the last stats interval; 100 % is all CPUs of the VM.",
  todo: "At 100 % for long: give it more CPUs, or let its group have clones.",
  unit: "percent",
  decimals: 1,
  colours: ["green", [70, "yellow"], [90, "red"]],
  queries: [[`albatross_vm_cpu_usage_percent{${VMS}}`, VM_LEGEND]],
  noValue: "no rate yet",
});

export const memoryNow = figure({
  title: "Memory",
  means: "Memory in use on the host (resident set size).",
  todo: "Compare with its limit beside.",
  unit: "bytes",
  decimals: 1,
  colours: ["text"],
  queries: [[`albatross_vm_memory_resident_bytes{${VMS}}`, VM_LEGEND]],
});

export const memoryOfLimit = figure({
  title: "Memory of its limit",
  means:
    "Part of the memory it may use that it has touched since its start. A unikernel seldom gives any back.",
  todo: "Near 100 % says little about what is free inside; when it runs out of memory there, raise the limit. Without unikernel info there is no limit to compare with.",
  unit: "percent",
  decimals: 0,
  colours: ["green", [80, "yellow"], [90, "red"]],
  queries: [
    [`100 * albatross_vm_memory_resident_bytes{${VMS}} / albatross_vm_memory_limit_bytes{${VMS}}`, VM_LEGEND],
  ],
  noValue: "no limit known",
});

export const upSince = figure({
  title: "Started",
  means: "When the VM was started, by unikernel info, or by the kernel on FreeBSD.",
  todo: "Later than expected: see the restarts below.",
  unit: "dateTimeFromNow",
  decimals: 0,
  colours: ["text"],
  queries: [[`albatross_vm_start_time_seconds{${VMS}} * 1000`, VM_LEGEND]],
  noValue: "not known",
});

export const restartsNow = figure({
  title: "Restarts",
  means: "Restarts within the time shown.",
  todo: "Restarts nobody asked for: read the VM's console on its host.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "yellow"], [3, "red"]],
  queries: [[`increase(albatross_vm_restarts_total{${VMS}}[$__range])`, VM_LEGEND]],
});

export const lastSample = figure({
  title: "Last sample",
  means: "How long ago the last statistics about the VM arrived.",
  todo: "More than 30 s with an interval of 10 s: it stopped, or albatross-stats lost it. See the Exporter dashboard.",
  unit: "s",
  decimals: 0,
  colours: ["green", [30, "yellow"], [60, "red"]],
  queries: [[`time() - albatross_vm_last_sample_timestamp_seconds{${VMS}}`, VM_LEGEND]],
  noValue: "gone",
});

/** The number of CPUs, one where unikernel info does not tell. */
const CPUS = `(albatross_vm_cpus{${VMS}} or sum without (mode) (albatross_vm_cpu_seconds_total{${VMS}}) * 0 + 1)`;

export const cpu = graph(
  {
    title: "CPU usage",
    means:
      "Usage of the VM's CPUs over the last stats interval, and how much of it is user and system time of its process on the host. 100 % is all its CPUs.",
    todo: "Mostly system time: it is busy with the network or block devices. At 100 % for long it needs more CPUs or clones.",
    unit: "percent",
    decimals: 1,
    colours: ["green", [90, "red"]],
    queries: [
      [`albatross_vm_cpu_usage_percent{${VMS}}`, VM_LEGEND],
      [
        `100 * rate(albatross_vm_cpu_seconds_total{${VMS}}${RATE}) / ignoring (mode) group_left () ${CPUS}`,
        `${VM_LEGEND} {{mode}}`,
      ],
    ],
  },
  { min: 0 },
);

export const memory = graph(
  {
    title: "Memory against its limit",
    means: "Memory in use on the host (resident set size), and what unikernel info says it may use (dashed).",
    todo: "A line that climbs to the limit and stays is usual for a unikernel; one that climbs again after each restart may be a leak.",
    unit: "bytes",
    decimals: 1,
    colours: ["green"],
    queries: [
      [`albatross_vm_memory_resident_bytes{${VMS}}`, `${VM_LEGEND} in use`],
      [`albatross_vm_memory_limit_bytes{${VMS}}`, `${VM_LEGEND} limit`],
    ],
    overrides: [dashed("/ limit$/")],
  },
  { min: 0 },
);

export const faults = graph(
  {
    title: "Page faults",
    means:
      "Page faults per second of the VM's process: minor ones are served from memory, major ones from disk.",
    todo: "Major faults that go on: the host is short of memory.",
    unit: "cps",
    decimals: 1,
    colours: ["green"],
    queries: [[`rate(albatross_vm_page_faults_total{${VMS}}${RATE})`, `${VM_LEGEND} {{kind}}`]],
  },
  { min: 0 },
);

export const switches = graph(
  {
    title: "Context switches",
    means:
      "Context switches per second: voluntary when the VM waits, involuntary when another process takes its CPU.",
    todo: "Many involuntary ones: more is running on the host than it has CPUs.",
    unit: "cps",
    decimals: 1,
    colours: ["green"],
    queries: [[`rate(albatross_vm_context_switches_total{${VMS}}${RATE})`, `${VM_LEGEND} {{kind}}`]],
  },
  { min: 0 },
);
