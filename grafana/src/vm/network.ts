/** What a VM sends and receives, by device. */
import { dashed, graph } from "../shared/panels.ts";
import { RATE, VM_LEGEND, VMS } from "../shared/selectors.ts";
import { placed, table } from "../shared/tables.ts";
import { VM_KEYS } from "./facts.ts";

const DEVICE_LEGEND = `${VM_LEGEND} {{device}}`;

export const network = graph({
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

export const packets = graph({
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

export const losses = graph(
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

export const queue = graph(
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
    overrides: [dashed("/ capacity$/")],
    noValue: "not on Linux",
  },
  { min: 0 },
);

export const devices = table({
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
