/** What the kernel and the monitor tell of the process behind a VM; much of it on FreeBSD only. */
import { graph } from "../shared/panels.ts";
import { RATE, VM_LEGEND, VMS } from "../shared/selectors.ts";

export const memoryKinds = graph(
  {
    title: "Memory by kind",
    means:
      "Address space (virtual), and the parts of it that are code, data and stack; the largest resident size so far on FreeBSD.",
    todo: "Address space that is never touched costs nothing; resident memory above is what counts.",
    unit: "bytes",
    decimals: 1,
    colours: ["green"],
    queries: [
      [`albatross_vm_memory_virtual_bytes{${VMS}}`, `${VM_LEGEND} virtual`],
      [`albatross_vm_memory_text_bytes{${VMS}}`, `${VM_LEGEND} text`],
      [`albatross_vm_memory_data_bytes{${VMS}}`, `${VM_LEGEND} data`],
      [`albatross_vm_memory_stack_bytes{${VMS}}`, `${VM_LEGEND} stack`],
      [`albatross_vm_memory_max_resident_bytes{${VMS}}`, `${VM_LEGEND} most resident`],
    ],
  },
  { min: 0 },
);

export const memoryIntegral = graph(
  {
    title: "Memory over CPU time",
    means:
      "Memory used per second of CPU time by segment, in KiB times clock ticks, as the kernel integrates it. FreeBSD only.",
    todo: "Of use beside the CPU usage only; empty on Linux.",
    unit: "none",
    decimals: 1,
    colours: ["green"],
    queries: [[`rate(albatross_vm_memory_integral_total{${VMS}}${RATE})`, `${VM_LEGEND} {{segment}}`]],
    noValue: "not on Linux",
  },
  { min: 0 },
);

export const operations = graph(
  {
    title: "Swaps, block operations, messages, signals, copies",
    means:
      "Events per second of the VM's process: times it was swapped out, block operations, IPC messages, signals, pages copied on write. FreeBSD only.",
    todo: "Swaps: the host is short of memory. Block operations show how busy its disks are.",
    unit: "cps",
    decimals: 2,
    colours: ["green"],
    queries: [
      [`rate(albatross_vm_swaps_total{${VMS}}${RATE})`, `${VM_LEGEND} swaps`],
      [`rate(albatross_vm_block_operations_total{${VMS}}${RATE})`, `${VM_LEGEND} block {{direction}}`],
      [`rate(albatross_vm_ipc_messages_total{${VMS}}${RATE})`, `${VM_LEGEND} IPC {{direction}}`],
      [`rate(albatross_vm_signals_total{${VMS}}${RATE})`, `${VM_LEGEND} signals`],
      [`rate(albatross_vm_cow_faults_total{${VMS}}${RATE})`, `${VM_LEGEND} copies on write`],
    ],
    noValue: "not on Linux",
  },
  { min: 0 },
);

export const monitor = graph({
  title: "Figures of the monitor",
  means:
    "What the virtual machine monitor counts, under its own names. Sent by Albatross before 2.8, for bhyve.",
  todo: "See the monitor's documentation for what a name means. Empty for solo5.",
  unit: "none",
  decimals: 0,
  colours: ["green"],
  queries: [[`albatross_vm_vmm_stat{${VMS}}`, `${VM_LEGEND} {{stat}}`]],
  noValue: "no monitor's figures",
});
