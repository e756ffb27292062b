import { context, type DerReader, type DerWriter, Tag } from "./der.ts";
import { readIntegers, writeIntegers } from "./lists.ts";
import type { UnikernelConfig } from "./messages.ts";
import {
  readArguments,
  readFailBehaviour,
  readMac,
  readOptionalSet,
  readOptionalText,
  readTyp,
  writeArguments,
  writeFailBehaviour,
  writeMac,
  writeOptionalSet,
  writeOptionalText,
  writeTyp,
} from "./unikernel.ts";

const BLOCKS = context(0);
const BRIDGES = context(1);
const CPUS = context(3);
const LINUX_BOOT_PARTITION = context(4);

/** Reads what a unikernel is to be made of. The image is a view of the message. */
export function readUnikernelConfig(reader: DerReader): UnikernelConfig {
  const outer = reader.enter(Tag.sequence, "config");
  const config: UnikernelConfig = {
    typ: readTyp(reader),
    compressed: reader.boolean("compressed"),
    image: reader.octets("image"),
    startup: reader.peek() === Tag.integer ? reader.integer("startup") : null,
    addName: reader.boolean("add_name"),
    failBehaviour: readFailBehaviour(reader),
    cpuids: readIntegers(reader, Tag.set, "cpuids"),
    memory: reader.integer("memory"),
    blockDevices: readOptionalSet(reader, BLOCKS, "block devices", readBlockDevice),
    bridges: readOptionalSet(reader, BRIDGES, "bridges", readBridge),
    argv: readArguments(reader, false),
    numcpus: readNumcpus(reader),
    linuxBootPartition: readOptionalText(reader, LINUX_BOOT_PARTITION, "linux boot partition"),
  };
  reader.leave(outer, "config");
  return config;
}

function readBlockDevice(reader: DerReader): UnikernelConfig["blockDevices"][number] {
  return {
    name: reader.utf8("block device"),
    device: reader.peek() === Tag.utf8String ? reader.utf8("host's block device") : null,
    sectorSize: reader.peek() === Tag.integer ? reader.integer("sector size") : null,
  };
}

function readBridge(reader: DerReader): UnikernelConfig["bridges"][number] {
  return {
    name: reader.utf8("network device"),
    bridge: reader.peek() === Tag.utf8String ? reader.utf8("host's bridge") : null,
    mac: reader.peek() === Tag.octetString ? readMac(reader) : null,
  };
}

function readNumcpus(reader: DerReader): UnikernelConfig["numcpus"] {
  if (reader.peek() !== CPUS) return 1;
  const outer = reader.enter(CPUS, "cpus");
  const cpus = reader.integer("cpus");
  reader.leave(outer, "cpus");
  return cpus;
}

export function writeUnikernelConfig(writer: DerWriter, config: UnikernelConfig): void {
  const outer = writer.open(Tag.sequence);
  writeTyp(writer, config.typ);
  writer.boolean(config.compressed);
  writer.octets(config.image);
  if (config.startup !== null) writer.integer(config.startup);
  writer.boolean(config.addName);
  writeFailBehaviour(writer, config.failBehaviour);
  writeIntegers(writer, Tag.set, config.cpuids);
  writer.integer(config.memory);
  writeOptionalSet(writer, BLOCKS, config.blockDevices, (w, block) => {
    w.utf8(block.name);
    if (block.device !== null) w.utf8(block.device);
    if (block.sectorSize !== null) w.integer(block.sectorSize);
  });
  writeOptionalSet(writer, BRIDGES, config.bridges, (w, bridge) => {
    w.utf8(bridge.name);
    if (bridge.bridge !== null) w.utf8(bridge.bridge);
    if (bridge.mac !== null) writeMac(w, bridge.mac);
  });
  writeArguments(writer, config.argv);
  const cpus = writer.open(CPUS);
  writer.integer(config.numcpus);
  writer.close(cpus);
  writeOptionalText(writer, LINUX_BOOT_PARTITION, config.linuxBootPartition);
  writer.close(outer);
}
