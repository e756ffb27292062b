import { hexToJson, integerToJson, type JsonObject, optionalToJson, timeToJson } from "./jsonValues.ts";
import type { FailBehaviour, Policy, Success, UnikernelInfo } from "./messages.ts";
import { formatName } from "./names.ts";

export function successToJson(success: Success): JsonObject {
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
      return { ...kind, compressed: success.compressed, image: hexToJson(success.image) };
    case "block_device_image":
      return { ...kind, compressed: success.compressed };
    case "block_devices":
      return {
        ...kind,
        block_devices: success.blockDevices.map(({ name, size, active }) => ({
          name: formatName(name),
          size: integerToJson(size),
          active,
        })),
      };
    case "consoles":
      return { ...kind, names: success.names.map(formatName) };
  }
}

export function policyToJson(policy: Policy): JsonObject {
  return {
    cpuids: policy.cpuids.map(integerToJson),
    unikernels: integerToJson(policy.unikernels),
    memory: integerToJson(policy.memory),
    block: optionalToJson(policy.block),
    bridges: policy.bridges,
  };
}

function infoToJson(info: UnikernelInfo): JsonObject {
  return {
    typ: info.typ,
    startup: optionalToJson(info.startup),
    fail_behaviour: failBehaviourToJson(info.failBehaviour),
    cpuids: info.cpuids.map(integerToJson),
    memory: integerToJson(info.memory),
    digest: hexToJson(info.digest),
    block_devices: info.blockDevices.map((block) => ({
      unikernel_device: block.unikernelDevice,
      host_device: block.hostDevice,
      sector_size: integerToJson(block.sectorSize),
      size: integerToJson(block.size),
    })),
    bridges: info.bridges.map((bridge) => ({
      unikernel_device: bridge.unikernelDevice,
      host_device: bridge.hostDevice,
      mac: bridge.mac,
    })),
    argv: info.argv,
    // Albatross itself reads an absent start time as the epoch.
    started: timeToJson(info.startedMs ?? 0),
    numcpus: integerToJson(info.numcpus),
    linux_boot_partition: info.linuxBootPartition,
  };
}

export function failBehaviourToJson(behaviour: FailBehaviour): JsonObject {
  if (behaviour.type === "quit") return { type: "quit" };
  return {
    type: "restart",
    exit_codes: behaviour.exitCodes === null ? null : behaviour.exitCodes.map(integerToJson),
  };
}
