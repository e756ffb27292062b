import type {
  Command,
  Data,
  FailBehaviour,
  IfData,
  Int64,
  KinfoMem,
  Message,
  Payload,
  Policy,
  Rusage,
  Stats,
  Success,
  UnikernelConfig,
  UnikernelInfo,
} from "./messages.ts";
import { formatName, type Name } from "./names.ts";

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/**
 * A message in the shape that `decode` prints: field names as in the protocol, 64-bit values as signed decimal strings,
 * other integers as numbers up to 2^53 and strings beyond, octets in hex, times in RFC 3339.
 */
export function messageToJson(message: Message): JsonObject {
  const { version, sequence, name } = message.header;
  return {
    header: { version, sequence: String(sequence), ...nameToJson(name) },
    payload: payloadToJson(message.payload),
  };
}

/** A name as text and in its parts. */
export function nameToJson(name: Name): { name: string; path: readonly string[]; label: string | null } {
  return { name: formatName(name), path: name.path, label: name.label };
}

function payloadToJson(payload: Payload): JsonObject {
  switch (payload.type) {
    case "command":
      return { type: "command", ...commandToJson(payload.command) };
    case "success":
      return successToJson(payload);
    case "failure":
      return { type: "failure", message: payload.message };
    case "data":
      return dataToJson(payload);
  }
}

function commandToJson(command: Command): JsonObject {
  switch (command.class) {
    case "stats":
      return command.command === "add" ? { ...command, pid: integer(command.pid) } : { ...command };
    case "unikernel":
      return unikernelCommandToJson(command);
    case "policy":
      return command.command === "add"
        ? { ...command, policy: policyToJson(command.policy) }
        : { ...command };
    case "block":
      return blockCommandToJson(command);
    case "console":
      return consoleCommandToJson(command);
  }
}

function unikernelCommandToJson(command: Extract<Command, { class: "unikernel" }>): JsonObject {
  const kind = { class: command.class, command: command.command };
  switch (command.command) {
    case "get":
      return { ...kind, compression_level: integer(command.compressionLevel) };
    case "restart":
      return { ...kind, arguments: command.arguments === null ? null : hex(command.arguments) };
    case "create":
    case "force_create":
      return { ...kind, config: configToJson(command.config) };
    default:
      return kind;
  }
}

function blockCommandToJson(command: Extract<Command, { class: "block" }>): JsonObject {
  const kind = { class: command.class, command: command.command };
  switch (command.command) {
    case "info":
    case "remove":
      return kind;
    case "add":
      return { ...kind, size: integer(command.size) };
    case "dump":
    case "old_dump":
      return { ...kind, compression_level: integer(command.compressionLevel) };
    case "set":
      return { ...kind, compressed: command.compressed };
    case "old_add":
      return {
        ...kind,
        size: integer(command.size),
        compressed: command.compressed,
        data: command.data === null ? null : hex(command.data),
      };
    case "old_set":
      return { ...kind, compressed: command.compressed, data: hex(command.data) };
  }
}

function consoleCommandToJson(command: Extract<Command, { class: "console" }>): JsonObject {
  const kind = { class: command.class, command: command.command };
  switch (command.command) {
    case "add":
      return { ...kind, max_unikernels: integer(command.maxUnikernels) };
    case "list_inactive":
      return kind;
    case "subscribe":
      return "count" in command
        ? { ...kind, count: integer(command.count) }
        : { ...kind, since: time(command.sinceMs) };
  }
}

function successToJson(success: Success): JsonObject {
  const kind = { type: success.type, result: success.result };
  switch (success.result) {
    case "empty":
      return kind;
    case "string":
      return { ...kind, string: success.string };
    case "policies":
      return {
        ...kind,
        policies: success.policies.map(({ name, policy }) => ({
          name: formatName(name),
          policy: policyToJson(policy),
        })),
      };
    case "unikernel_info":
    case "old_unikernel_info4":
    case "old_unikernel_info5":
      return {
        ...kind,
        unikernels: success.unikernels.map(({ name, info }) => ({
          name: formatName(name),
          info: infoToJson(info),
        })),
      };
    case "unikernel_image":
    case "old_block_device_image":
      return { ...kind, compressed: success.compressed, image: hex(success.image) };
    case "block_device_image":
      return { ...kind, compressed: success.compressed };
    case "block_devices":
      return {
        ...kind,
        block_devices: success.blockDevices.map(({ name, size, active }) => ({
          name: formatName(name),
          size: integer(size),
          active,
        })),
      };
    case "consoles":
      return { ...kind, names: success.names.map(formatName) };
  }
}

function dataToJson(data: Data): JsonObject {
  switch (data.data) {
    case "stats":
      return { type: "data", data: "stats", ...statsToJson(data.stats) };
    case "console":
      return { type: "data", data: "console", timestamp: time(data.timestampMs), line: data.line };
    case "block":
      return { type: "data", data: "block", block: data.block === null ? null : hex(data.block) };
    case "unknown":
      return { type: "data", data: "unknown", tag: data.tag };
  }
}

function statsToJson(stats: Stats): JsonObject {
  return {
    rusage: rusageToJson(stats.rusage),
    kinfo_mem: stats.kinfoMem === null ? null : kinfoToJson(stats.kinfoMem),
    vmm: stats.vmm === null ? null : stats.vmm.map(({ key, value }) => ({ key, value: String(value) })),
    ifdata: stats.ifdata.map(interfaceToJson),
  };
}

function rusageToJson(rusage: Rusage): JsonObject {
  const { utimeSec, utimeUsec, stimeSec, stimeUsec, ...counters } = rusage;
  return {
    utime: timeval(utimeSec, utimeUsec),
    stime: timeval(stimeSec, stimeUsec),
    ...Object.fromEntries(Object.entries(counters).map(([key, value]) => [key, String(value)])),
  };
}

function kinfoToJson(kinfo: KinfoMem): JsonObject {
  return {
    vsize: String(kinfo.vsize),
    rss: String(kinfo.rss),
    tsize: String(kinfo.tsize),
    dsize: String(kinfo.dsize),
    ssize: String(kinfo.ssize),
    runtime: String(kinfo.runtime),
    cow: integer(kinfo.cow),
    start: timeval(kinfo.startSec, kinfo.startUsec),
  };
}

function interfaceToJson(one: IfData): JsonObject {
  return {
    bridge: one.bridge,
    flags: integer(one.flags),
    send_length: integer(one.sendLength),
    max_send_length: integer(one.maxSendLength),
    send_drops: integer(one.sendDrops),
    mtu: integer(one.mtu),
    baudrate: String(one.baudrate),
    input_packets: String(one.inputPackets),
    input_errors: String(one.inputErrors),
    output_packets: String(one.outputPackets),
    output_errors: String(one.outputErrors),
    collisions: String(one.collisions),
    input_bytes: String(one.inputBytes),
    output_bytes: String(one.outputBytes),
    input_mcast: String(one.inputMcast),
    output_mcast: String(one.outputMcast),
    input_dropped: String(one.inputDropped),
    output_dropped: String(one.outputDropped),
  };
}

function policyToJson(policy: Policy): JsonObject {
  return {
    cpuids: policy.cpuids.map(integer),
    unikernels: integer(policy.unikernels),
    memory: integer(policy.memory),
    block: optional(policy.block),
    bridges: policy.bridges,
  };
}

function infoToJson(info: UnikernelInfo): JsonObject {
  return {
    typ: info.typ,
    startup: optional(info.startup),
    fail_behaviour: failBehaviourToJson(info.failBehaviour),
    cpuids: info.cpuids.map(integer),
    memory: integer(info.memory),
    digest: hex(info.digest),
    block_devices: info.blockDevices.map((block) => ({
      unikernel_device: block.unikernelDevice,
      host_device: block.hostDevice,
      sector_size: integer(block.sectorSize),
      size: integer(block.size),
    })),
    bridges: info.bridges.map((bridge) => ({
      unikernel_device: bridge.unikernelDevice,
      host_device: bridge.hostDevice,
      mac: bridge.mac,
    })),
    argv: info.argv,
    // Albatross itself reads an absent start time as the epoch.
    started: time(info.startedMs ?? 0),
    numcpus: integer(info.numcpus),
    linux_boot_partition: info.linuxBootPartition,
  };
}

function configToJson(config: UnikernelConfig): JsonObject {
  return {
    typ: config.typ,
    compressed: config.compressed,
    image: hex(config.image),
    startup: optional(config.startup),
    add_name: config.addName,
    fail_behaviour: failBehaviourToJson(config.failBehaviour),
    cpuids: config.cpuids.map(integer),
    memory: integer(config.memory),
    block_devices: config.blockDevices.map(({ name, device, sectorSize }) => ({
      name,
      device,
      sector_size: optional(sectorSize),
    })),
    bridges: config.bridges.map(({ name, bridge, mac }) => ({ name, bridge, mac })),
    argv: config.argv,
    numcpus: integer(config.numcpus),
    linux_boot_partition: config.linuxBootPartition,
  };
}

function failBehaviourToJson(behaviour: FailBehaviour): JsonObject {
  if (behaviour.type === "quit") return { type: "quit" };
  return {
    type: "restart",
    exit_codes: behaviour.exitCodes === null ? null : behaviour.exitCodes.map(integer),
  };
}

function timeval(seconds: Int64, microseconds: Int64): JsonObject {
  return { sec: String(seconds), usec: integer(microseconds) };
}

function integer(value: Int64): number | string {
  return typeof value === "number" ? value : String(value);
}

function optional(value: Int64 | null): number | string | null {
  return value === null ? null : integer(value);
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
