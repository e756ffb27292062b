/** One VM in full, or the few that are chosen beside each other. */
import { annotation } from "./shared/annotations.ts";
import { dashboard, type Section } from "./shared/layout.ts";
import { figure, graph } from "./shared/panels.ts";
import { GROUPS, VM_LEGEND, VMS } from "./shared/selectors.ts";
import { PLACE, placed, table } from "./shared/tables.ts";

const DEVICE_LEGEND = `${VM_LEGEND} {{device}}`;
const RATE = "[$__rate_interval]";

const cpuNow = figure({
  title: "CPU",
  means: "CPU usage over the last stats interval; 100 % is all CPUs of the VM.",
  todo: "At 100 % for long: give it more CPUs, or let its group have clones.",
  unit: "percent",
  decimals: 1,
  colours: ["green", [70, "yellow"], [90, "red"]],
  queries: [[`albatross_vm_cpu_usage_percent{${VMS}}`, VM_LEGEND]],
  noValue: "no rate yet",
});

const memoryNow = figure({
  title: "Memory",
  means: "Memory in use on the host (resident set size).",
  todo: "Compare with its limit beside.",
  unit: "bytes",
  decimals: 1,
  colours: ["text"],
  queries: [[`albatross_vm_memory_resident_bytes{${VMS}}`, VM_LEGEND]],
});

const memoryOfLimit = figure({
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

const upSince = figure({
  title: "Started",
  means: "When the VM was started, by unikernel info, or by the kernel on FreeBSD.",
  todo: "Later than expected: see the restarts below.",
  unit: "dateTimeFromNow",
  decimals: 0,
  colours: ["text"],
  queries: [[`albatross_vm_start_time_seconds{${VMS}} * 1000`, VM_LEGEND]],
  noValue: "not known",
});

const restartsNow = figure({
  title: "Restarts",
  means: "Restarts within the time shown.",
  todo: "Restarts nobody asked for: read the VM's console on its host.",
  unit: "none",
  decimals: 0,
  colours: ["green", [1, "yellow"], [3, "red"]],
  queries: [[`increase(albatross_vm_restarts_total{${VMS}}[$__range])`, VM_LEGEND]],
});

const lastSample = figure({
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

const cpu = graph(
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

const memory = graph(
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
    overrides: [
      {
        series: "/ limit$/",
        set: [
          { id: "custom.lineStyle", value: { fill: "dash", dash: [10, 10] } },
          { id: "custom.fillOpacity", value: 0 },
        ],
      },
    ],
  },
  { min: 0 },
);

const network = graph({
  title: "Network by device",
  means:
    "What the VM sends (above) and receives (below) on each device, in bits per second as the VM sees it.",
  todo: "Flat at a round figure: the link is full. Sends but receives nothing: look at the bridge on the host.",
  unit: "bps",
  decimals: 1,
  colours: ["green"],
  queries: [
    [`rate(albatross_vm_network_transmit_bytes_total{${VMS}}${RATE}) * 8`, `${DEVICE_LEGEND} sent`],
    [`rate(albatross_vm_network_receive_bytes_total{${VMS}}${RATE}) * -8`, `${DEVICE_LEGEND} received`],
  ],
});

const faults = graph(
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

const switches = graph(
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

const VM_KEYS = [...PLACE, { label: "vm", title: "VM" }];

const info = table({
  title: "What it is",
  means:
    "What unikernel info says: monitor, digest of the image, the CPUs it may run on and how many, its memory, its start.",
  todo: "Compare the digest with the image that was meant to run. Empty where vmmd.sock cannot be read.",
  keys: [
    ...VM_KEYS,
    { label: "type", title: "Type" },
    { label: "digest", title: "Digest" },
    { label: "cpuids", title: "CPU ids" },
  ],
  columns: [
    {
      title: "CPUs",
      expression: withInfo(`albatross_vm_cpus{${VMS}}`),
      unit: "none",
    },
    { title: "Memory limit", expression: withInfo(`albatross_vm_memory_limit_bytes{${VMS}}`), unit: "bytes" },
    {
      title: "Started",
      expression: withInfo(`albatross_vm_start_time_seconds{${VMS}} * 1000`),
      unit: "dateTimeAsIso",
    },
  ],
  sortBy: "VM",
  noValue: "no unikernel info",
});

/** A figure of each VM with the labels of its info. */
function withInfo(expression: string): string {
  const told = `${expression} * on (job, instance, host, path, vm) group_left (type, digest, cpuids) albatross_vm_info{${VMS}}`;
  return placed(told, "vm", "type", "digest", "cpuids");
}

const membership = table({
  title: "Its group",
  means: "Which group each VM belongs to: PRIMARY-clone-N is a clone of PRIMARY.",
  todo: "See on the Scaler dashboard what is decided about the group.",
  keys: [...VM_KEYS, { label: "group", title: "Group" }, { label: "role", title: "Role" }],
  columns: [
    {
      title: "Members",
      expression: placed(
        `albatross_group_member_info{${VMS}} * on (job, instance, host, path, group) group_left () sum without (state) (albatross_group_members{${GROUPS}})`,
        "vm",
        "group",
        "role",
      ),
      unit: "none",
    },
  ],
  sortBy: "VM",
});

const restarts = graph(
  {
    title: "Restarts over time",
    means: "Restarts around each moment, seen by counters that went down or a changed start time.",
    todo: "At regular distances: something makes it crash or a supervisor restarts it. Read its console.",
    unit: "none",
    decimals: 0,
    colours: ["red"],
    queries: [[`round(increase(albatross_vm_restarts_total{${VMS}}${RATE}))`, VM_LEGEND]],
  },
  { bars: true, min: 0, interval: "1m" },
);

const runtime = graph(
  {
    title: "CPUs in use, two accounts",
    means:
      "CPUs in use by user and system time, and as the scheduler accounts for them (`runtime` of kinfo_mem): 1 is one CPU all the time.",
    todo: "They should go together; the second is absent where Albatross sends no kinfo_mem.",
    unit: "none",
    decimals: 2,
    colours: ["green"],
    queries: [
      [
        `sum without (mode) (rate(albatross_vm_cpu_seconds_total{${VMS}}${RATE}))`,
        `${VM_LEGEND} user and system`,
      ],
      [`rate(albatross_vm_cpu_runtime_seconds_total{${VMS}}${RATE})`, `${VM_LEGEND} runtime`],
    ],
  },
  { min: 0 },
);

const packets = graph({
  title: "Packets",
  means:
    "Packets that the VM sends (above) and receives (below) on each device, and those of them that are multicast.",
  todo: "Many packets for few bits: small packets cost the host more CPU than large ones.",
  unit: "pps",
  decimals: 1,
  colours: ["green"],
  queries: [
    [`rate(albatross_vm_network_transmit_packets_total{${VMS}}${RATE})`, `${DEVICE_LEGEND} sent`],
    [`rate(albatross_vm_network_receive_packets_total{${VMS}}${RATE}) * -1`, `${DEVICE_LEGEND} received`],
    [
      `rate(albatross_vm_network_transmit_multicast_total{${VMS}}${RATE})`,
      `${DEVICE_LEGEND} sent, multicast`,
    ],
    [
      `rate(albatross_vm_network_receive_multicast_total{${VMS}}${RATE}) * -1`,
      `${DEVICE_LEGEND} received, multicast`,
    ],
  ],
});

const losses = graph(
  {
    title: "Errors, drops and collisions",
    means: "Packets per second that were lost or damaged on each device, by where.",
    todo: "Received ones dropped: the VM does not read fast enough. Anything else that goes on: look at the bridge and the tap on the host.",
    unit: "pps",
    decimals: 2,
    colours: ["green"],
    queries: [
      [`rate(albatross_vm_network_transmit_errors_total{${VMS}}${RATE})`, `${DEVICE_LEGEND} send errors`],
      [`rate(albatross_vm_network_receive_errors_total{${VMS}}${RATE})`, `${DEVICE_LEGEND} receive errors`],
      [`rate(albatross_vm_network_transmit_dropped_total{${VMS}}${RATE})`, `${DEVICE_LEGEND} sent, dropped`],
      [
        `rate(albatross_vm_network_receive_dropped_total{${VMS}}${RATE})`,
        `${DEVICE_LEGEND} received, dropped`,
      ],
      [`rate(albatross_vm_network_collisions_total{${VMS}}${RATE})`, `${DEVICE_LEGEND} collisions`],
      [
        `rate(albatross_vm_network_send_queue_drops_total{${VMS}}${RATE})`,
        `${DEVICE_LEGEND} dropped from send queue`,
      ],
    ],
  },
  { min: 0 },
);

const queue = graph(
  {
    title: "Send queue",
    means:
      "Packets waiting in the host's queue to the VM, and how many it holds at most (dashed). FreeBSD only.",
    todo: "Near the top for long: the VM does not read fast enough.",
    unit: "none",
    decimals: 0,
    colours: ["green"],
    queries: [
      [`albatross_vm_network_send_queue_length{${VMS}}`, `${DEVICE_LEGEND} waiting`],
      [`albatross_vm_network_send_queue_capacity{${VMS}}`, `${DEVICE_LEGEND} capacity`],
    ],
    overrides: [
      {
        series: "/ capacity$/",
        set: [{ id: "custom.lineStyle", value: { fill: "dash", dash: [10, 10] } }],
      },
    ],
    noValue: "not on Linux",
  },
  { min: 0 },
);

const devices = table({
  title: "Devices",
  means: "Largest packet, speed and flags of each device, as the host reports its side.",
  todo: "An MTU that differs from its neighbours' loses large packets.",
  keys: [...VM_KEYS, { label: "device", title: "Device" }],
  columns: [
    {
      title: "MTU",
      expression: placed(`albatross_vm_network_mtu_bytes{${VMS}}`, "vm", "device"),
      unit: "decbytes",
    },
    {
      title: "Speed",
      expression: placed(`albatross_vm_network_speed_bytes{${VMS}} * 8`, "vm", "device"),
      unit: "bps",
    },
    {
      title: "Flags",
      expression: placed(`albatross_vm_network_flags{${VMS}}`, "vm", "device"),
      unit: "hex0x",
    },
  ],
  sortBy: "Device",
});

const memoryKinds = graph(
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

const memoryIntegral = graph(
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

const operations = graph(
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

const monitor = graph({
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

const sections: readonly Section[] = [
  {
    title: "What it is, start and restarts",
    collapsed: false,
    lines: [
      {
        height: 6,
        panels: [
          [15, info],
          [9, membership],
        ],
      },
      {
        height: 7,
        panels: [
          [12, restarts],
          [12, runtime],
        ],
      },
    ],
  },
  {
    title: "Network in detail",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [12, packets],
          [12, losses],
        ],
      },
      {
        height: 8,
        panels: [
          [12, queue],
          [12, devices],
        ],
      },
    ],
  },
  {
    title: "Memory in detail",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [12, memoryKinds],
          [12, memoryIntegral],
        ],
      },
    ],
  },
  {
    title: "Process and monitor",
    collapsed: true,
    lines: [
      {
        height: 8,
        panels: [
          [12, operations],
          [12, monitor],
        ],
      },
    ],
  },
];

export const vm = () =>
  dashboard({
    name: "vm",
    title: "Albatross / VM",
    description:
      "One unikernel or VM in full. With several chosen, such as all of a group, they stand beside each other.",
    shown: ["host", "path", "group", "vm"],
    top: [
      {
        height: 4,
        panels: [
          [4, cpuNow],
          [4, memoryNow],
          [4, memoryOfLimit],
          [4, upSince],
          [4, restartsNow],
          [4, lastSample],
        ],
      },
      {
        height: 8,
        panels: [
          [12, cpu],
          [12, memory],
        ],
      },
      {
        height: 8,
        panels: [
          [12, network],
          [6, faults],
          [6, switches],
        ],
      },
    ],
    sections,
    annotations: [
      annotation({
        name: "Restarts",
        colour: "red",
        expression: `increase(albatross_vm_restarts_total{${VMS}}[$__rate_interval]) > 0`,
        title: "restart",
        text: VM_LEGEND,
        tags: ["vm"],
      }),
    ],
  });
