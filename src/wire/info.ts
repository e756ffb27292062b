import type { DecodeOptions } from "./decodeOptions.ts";
import { context, type DerReader, type DerWriter, Tag } from "./der.ts";
import { readIntegers, writeIntegers } from "./lists.ts";
import type { InfoResult, Int64, UnikernelInfo } from "./messages.ts";
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
const STARTED = context(3);
const CPUS = context(4);
const LINUX_BOOT_PARTITION = context(5);

/**
 * Reads what albatrossd says about one unikernel. The older shapes have one cpuid instead of a set and end after the
 * start time; `old_unikernel_info4` knows no start-up priority either.
 */
export function readInfo(reader: DerReader, shape: InfoResult, options: DecodeOptions): UnikernelInfo {
  const current = shape === "unikernel_info";
  const outer = reader.enter(Tag.sequence, "info");
  const typ = readTyp(reader);
  const hasStartup = shape !== "old_unikernel_info4" && reader.peek() === Tag.integer;
  const startup = hasStartup ? reader.integer("startup") : null;
  const failBehaviour = readFailBehaviour(reader);
  const cpuids = current ? readIntegers(reader, Tag.set, "cpuids") : [reader.integer("cpuid")];
  const memory = reader.integer("memory");
  const digest = reader.octetsCopy("digest");
  const { dropArguments = false, dropDevices = false } = options;
  if (dropDevices) skipDevices(reader);
  const blockDevices = readOptionalSet(reader, BLOCKS, "block devices", readBlockDevice);
  const bridges = readOptionalSet(reader, BRIDGES, "bridges", readBridge);
  const argv = readArguments(reader, dropArguments);
  const startedMs = readStarted(reader);
  const numcpus = current ? readNumcpus(reader) : 1;
  const linuxBootPartition = current
    ? readOptionalText(reader, LINUX_BOOT_PARTITION, "linux boot partition")
    : null;
  reader.leave(outer, "info");
  return {
    typ,
    startup,
    failBehaviour,
    cpuids,
    memory,
    digest,
    blockDevices,
    bridges,
    argv,
    startedMs,
    numcpus,
    linuxBootPartition,
  };
}

function skipDevices(reader: DerReader): void {
  if (reader.peek() === BLOCKS) reader.skip("block devices");
  if (reader.peek() === BRIDGES) reader.skip("bridges");
}

function readBlockDevice(reader: DerReader): UnikernelInfo["blockDevices"][number] {
  return {
    unikernelDevice: reader.utf8("block device"),
    hostDevice: reader.utf8("host's block device"),
    sectorSize: reader.integer("sector size"),
    size: reader.integer("block size"),
  };
}

function readBridge(reader: DerReader): UnikernelInfo["bridges"][number] {
  return {
    unikernelDevice: reader.utf8("network device"),
    hostDevice: reader.utf8("host's bridge"),
    mac: readMac(reader),
  };
}

function readStarted(reader: DerReader): number | null {
  if (reader.peek() !== STARTED) return null;
  const outer = reader.enter(STARTED, "started");
  const ms = reader.time("started");
  reader.leave(outer, "started");
  return ms;
}

function readNumcpus(reader: DerReader): Int64 {
  if (reader.peek() !== CPUS) return 1;
  const outer = reader.enter(CPUS, "cpus");
  const cpus = reader.integer("cpus");
  reader.leave(outer, "cpus");
  return cpus;
}

/** Writes unikernel info in the shape of `shape`'s reply; what an older shape cannot say is left out. */
export function writeInfo(writer: DerWriter, shape: InfoResult, info: UnikernelInfo): void {
  const current = shape === "unikernel_info";
  const outer = writer.open(Tag.sequence);
  writeTyp(writer, info.typ);
  if (info.startup !== null && shape !== "old_unikernel_info4") writer.integer(info.startup);
  writeFailBehaviour(writer, info.failBehaviour);
  if (current) writeIntegers(writer, Tag.set, info.cpuids);
  else writer.integer(info.cpuids[0] ?? 0);
  writer.integer(info.memory);
  writer.octets(info.digest);
  writeOptionalSet(writer, BLOCKS, info.blockDevices, (w, block) => {
    w.utf8(block.unikernelDevice);
    w.utf8(block.hostDevice);
    w.integer(block.sectorSize);
    w.integer(block.size);
  });
  writeOptionalSet(writer, BRIDGES, info.bridges, (w, bridge) => {
    w.utf8(bridge.unikernelDevice);
    w.utf8(bridge.hostDevice);
    writeMac(w, bridge.mac);
  });
  writeArguments(writer, info.argv);
  if (info.startedMs !== null) {
    const started = writer.open(STARTED);
    writer.time(info.startedMs);
    writer.close(started);
  }
  if (current) {
    const cpus = writer.open(CPUS);
    writer.integer(info.numcpus);
    writer.close(cpus);
    writeOptionalText(writer, LINUX_BOOT_PARTITION, info.linuxBootPartition);
  }
  writer.close(outer);
}
