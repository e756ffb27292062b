import { hexToJson, integerToJson, type JsonObject, optionalToJson, timeToJson } from "./jsonValues.ts";
import type { BlockCommand, Command, ConsoleCommand, UnikernelCommand, UnikernelConfig } from "./messages.ts";
import { failBehaviourToJson, policyToJson } from "./repliesJson.ts";

export function commandToJson(command: Command): JsonObject {
  switch (command.class) {
    case "stats":
      return command.command === "add" ? { ...command, pid: integerToJson(command.pid) } : { ...command };
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

function unikernelCommandToJson(command: UnikernelCommand): JsonObject {
  const kind = { class: command.class, command: command.command };
  switch (command.command) {
    case "get":
      return { ...kind, compression_level: integerToJson(command.compressionLevel) };
    case "restart":
      return { ...kind, arguments: command.arguments === null ? null : hexToJson(command.arguments) };
    case "create":
    case "force_create":
      return { ...kind, config: configToJson(command.config) };
    default:
      return kind;
  }
}

function blockCommandToJson(command: BlockCommand): JsonObject {
  const kind = { class: command.class, command: command.command };
  switch (command.command) {
    case "info":
    case "remove":
      return kind;
    case "add":
      return { ...kind, size: integerToJson(command.size) };
    case "dump":
    case "old_dump":
      return { ...kind, compression_level: integerToJson(command.compressionLevel) };
    case "set":
      return { ...kind, compressed: command.compressed };
    case "old_add":
      return {
        ...kind,
        size: integerToJson(command.size),
        compressed: command.compressed,
        data: command.data === null ? null : hexToJson(command.data),
      };
    case "old_set":
      return { ...kind, compressed: command.compressed, data: hexToJson(command.data) };
  }
}

function consoleCommandToJson(command: ConsoleCommand): JsonObject {
  const kind = { class: command.class, command: command.command };
  switch (command.command) {
    case "add":
      return { ...kind, max_unikernels: integerToJson(command.maxUnikernels) };
    case "list_inactive":
      return kind;
    case "subscribe":
      return "count" in command
        ? { ...kind, count: integerToJson(command.count) }
        : { ...kind, since: timeToJson(command.sinceMs) };
  }
}

function configToJson(config: UnikernelConfig): JsonObject {
  return {
    typ: config.typ,
    compressed: config.compressed,
    image: hexToJson(config.image),
    startup: optionalToJson(config.startup),
    add_name: config.addName,
    fail_behaviour: failBehaviourToJson(config.failBehaviour),
    cpuids: config.cpuids.map(integerToJson),
    memory: integerToJson(config.memory),
    block_devices: config.blockDevices.map(({ name, device, sectorSize }) => ({
      name,
      device,
      sector_size: optionalToJson(sectorSize),
    })),
    bridges: config.bridges.map(({ name, bridge, mac }) => ({ name, bridge, mac })),
    argv: config.argv,
    numcpus: integerToJson(config.numcpus),
    linux_boot_partition: config.linuxBootPartition,
  };
}
