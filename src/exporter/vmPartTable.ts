import type { IfData, VmmStat } from "../wire/messages.ts";
import { labelMaker, type PartTable, VM_LABELS } from "./families.ts";
import { bitsAsBytes, unsigned } from "./numbers.ts";

const deviceLabel = labelMaker("device");
const statLabel = labelMaker("stat");
const NO_STATS: readonly VmmStat[] = [];

function from(field: string, influx: string) {
  return { source: `ifdata.${field}`, influx: `interface: ${influx}` };
}

export const networkTable: PartTable<IfData> = {
  title: "Network of a VM",
  text: "Seen from the VM: Albatross counts on the host's side of the tap, where input is what the VM transmits.",
  collector: "network",
  labels: [...VM_LABELS, { name: "device", holds: "the VM's name for the device (`bridge` on the wire)" }],
  partsOf: (vm) => vm.sample.stats.ifdata,
  labelOf: ({ bridge }) => deviceLabel(bridge),
  rows: [
    {
      name: "albatross_vm_network_transmit_bytes_total",
      help: "Bytes that the VM sent: `input-bytes` of the host's side.",
      ...from("input_bytes", "vm_to_host_bytes"),
      value: (device) => unsigned(device.inputBytes),
    },
    {
      name: "albatross_vm_network_transmit_packets_total",
      help: "Packets that the VM sent: `input-packets` of the host's side.",
      ...from("input_packets", "vm_to_host_packets"),
      value: (device) => unsigned(device.inputPackets),
    },
    {
      name: "albatross_vm_network_transmit_errors_total",
      help: "Errors on packets that the VM sent: `input-errors` of the host's side.",
      ...from("input_errors", "vm_to_host_errors"),
      value: (device) => unsigned(device.inputErrors),
    },
    {
      name: "albatross_vm_network_transmit_dropped_total",
      help: "Packets that the VM sent and the host dropped: `input-dropped` of the host's side.",
      ...from("input_dropped", "vm_to_host_dropped"),
      unit: "packets",
      value: (device) => unsigned(device.inputDropped),
    },
    {
      name: "albatross_vm_network_transmit_multicast_total",
      help: "Multicast packets that the VM sent: `input-mcast` of the host's side.",
      ...from("input_mcast", "vm_to_host_mcast"),
      unit: "packets",
      value: (device) => unsigned(device.inputMcast),
    },
    {
      name: "albatross_vm_network_receive_bytes_total",
      help: "Bytes that the VM was sent: `output-bytes` of the host's side.",
      ...from("output_bytes", "host_to_vm_bytes"),
      value: (device) => unsigned(device.outputBytes),
    },
    {
      name: "albatross_vm_network_receive_packets_total",
      help: "Packets that the VM was sent: `output-packets` of the host's side.",
      ...from("output_packets", "host_to_vm_packets"),
      value: (device) => unsigned(device.outputPackets),
    },
    {
      name: "albatross_vm_network_receive_errors_total",
      help: "Errors on packets that the VM was sent: `output-errors` of the host's side.",
      ...from("output_errors", "host_to_vm_errors"),
      value: (device) => unsigned(device.outputErrors),
    },
    {
      name: "albatross_vm_network_receive_dropped_total",
      help: "Packets for the VM that were dropped: `output-dropped` of the host's side.",
      ...from("output_dropped", "host_to_vm_dropped"),
      unit: "packets",
      value: (device) => unsigned(device.outputDropped),
    },
    {
      name: "albatross_vm_network_receive_multicast_total",
      help: "Multicast packets that the VM was sent: `output-mcast` of the host's side.",
      ...from("output_mcast", "host_to_vm_mcast"),
      unit: "packets",
      unfilledOn: ["linux"],
      value: (device) => unsigned(device.outputMcast),
    },
    {
      name: "albatross_vm_network_collisions_total",
      help: "Collisions: `collisions`.",
      ...from("collisions", "collisions"),
      value: (device) => unsigned(device.collisions),
    },
    {
      name: "albatross_vm_network_mtu_bytes",
      help: "Largest packet that the device takes: `mtu`.",
      ...from("mtu", "mtu"),
      value: (device) => unsigned(device.mtu),
    },
    {
      name: "albatross_vm_network_speed_bytes",
      help: "Link speed in bytes per second: `baudrate`, bits per second on the wire.",
      ...from("baudrate", "baudrate"),
      unit: "bytes per second",
      unfilledOn: ["linux"],
      value: (device) => bitsAsBytes(device.baudrate),
    },
    {
      name: "albatross_vm_network_send_queue_length",
      help: "Packets waiting in the host's send queue to the VM: `send-length`.",
      ...from("send_length", "send_queue_length"),
      unit: "packets",
      unfilledOn: ["linux"],
      value: (device) => unsigned(device.sendLength),
    },
    {
      name: "albatross_vm_network_send_queue_capacity",
      help: "Packets that the host's send queue to the VM holds at most: `max-send-length`.",
      ...from("max_send_length", "max_send_queue_length"),
      unit: "packets",
      unfilledOn: ["linux"],
      value: (device) => unsigned(device.maxSendLength),
    },
    {
      name: "albatross_vm_network_send_queue_drops_total",
      help: "Packets dropped from the host's send queue to the VM: `send-drops`.",
      ...from("send_drops", "send_queue_drops"),
      unit: "packets",
      unfilledOn: ["linux"],
      value: (device) => unsigned(device.sendDrops),
    },
    {
      name: "albatross_vm_network_flags",
      help: "Interface flags of the operating system as a number (bit mask): `flags`.",
      source: "ifdata.flags",
      unit: "bit mask",
      value: (device) => unsigned(device.flags),
    },
  ],
};

export const vmmTable: PartTable<VmmStat> = {
  title: "Virtual machine monitor",
  collector: "vmm",
  labels: [...VM_LABELS, { name: "stat", holds: "the monitor's name for the figure" }],
  partsOf: (vm) => vm.sample.stats.vmm ?? NO_STATS,
  labelOf: ({ key }) => statLabel(key),
  rows: [
    {
      name: "albatross_vm_vmm_stat",
      help: "A figure of the virtual machine monitor under its own name: `vmm-stats`. Sent by Albatross before 2.8, for bhyve.",
      source: "vmm",
      influx: "vmm: every field",
      unit: "as the monitor counts",
      value: (stat) => unsigned(stat.value),
    },
  ],
};
