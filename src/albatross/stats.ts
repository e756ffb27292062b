import { CONTEXT_CONSTRUCTED, context, type DerReader, Tag } from "./der.ts";
import type { DerWriter } from "./derWriter.ts";
import { WireError } from "./errors.ts";
import { readEntries, writeEntries } from "./lists.ts";
import type { IfData, Int64, KinfoMem, Rusage, Stats, VmmStat } from "./messages.ts";

const VMM = context(0);
const KINFO_MEM = context(1);

/** Reads statistics by the grammar of Albatross 2.7 (tag [1]), which leaves nothing open. */
export function readStats(reader: DerReader): Stats {
  const outer = reader.enter(Tag.sequence, "statistics");
  const rusage = readRusage(reader);
  const ifdata = readIfdata(reader);
  const vmm = reader.peek() === VMM ? readTaggedVmm(reader, VMM) : null;
  let kinfoMem: KinfoMem | null = null;
  if (reader.peek() === KINFO_MEM) {
    const around = reader.enter(KINFO_MEM, "kinfo_mem");
    kinfoMem = readKinfoFields(reader);
    reader.leave(around, "kinfo_mem");
  }
  reader.leave(outer, "statistics");
  return { rusage, kinfoMem, vmm, ifdata };
}

/**
 * Reads statistics by their structure (tags of Albatross 2.8 and later): resource usage, interfaces, then the memory
 * fields under any context tag, IMPLICIT or EXPLICIT, perhaps the old vmm counters, and whatever else. Returns null for
 * content that is something else; `reader` is used up then.
 */
export function readStatsByStructure(reader: DerReader): Stats | null {
  try {
    const outer = reader.enter(Tag.sequence, "statistics");
    const rusage = readRusage(reader);
    const ifdata = readIfdata(reader);
    let kinfoMem: KinfoMem | null = null;
    let vmm: readonly VmmStat[] | null = null;
    while (reader.more()) {
      const start = reader.pos;
      const tag = reader.skip("statistics");
      if ((tag & 0xe0) !== CONTEXT_CONSTRUCTED) continue;
      const end = reader.pos;
      reader.pos = start;
      const kinfo: KinfoMem | null = kinfoMem === null ? attempt(reader, end, readTaggedKinfo) : null;
      if (kinfo !== null) kinfoMem = kinfo;
      else vmm ??= attempt(reader, end, readTaggedVmm);
      reader.pos = end;
    }
    reader.leave(outer, "statistics");
    reader.leave(outer, "statistics' tag");
    return { rusage, kinfoMem, vmm, ifdata };
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  }
}

/** Tries one reading of the element at `pos`, which ends at `end`; null where it does not fit. Leaves `pos` as it was. */
function attempt<T>(reader: DerReader, end: number, read: (reader: DerReader, tag: number) => T): T | null {
  const { pos: start, end: outer } = reader;
  try {
    const value = read(reader, reader.peek());
    return reader.pos === end ? value : null;
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  } finally {
    reader.pos = start;
    reader.end = outer;
  }
}

function readTaggedKinfo(reader: DerReader, tag: number): KinfoMem {
  const outer = reader.enter(tag, "kinfo_mem");
  let kinfo: KinfoMem;
  if (reader.peek() === Tag.sequence) {
    const inner = reader.enter(Tag.sequence, "kinfo_mem");
    kinfo = readKinfoFields(reader);
    reader.leave(inner, "kinfo_mem");
  } else {
    kinfo = readKinfoFields(reader);
  }
  reader.leave(outer, "kinfo_mem");
  return kinfo;
}

function readTaggedVmm(reader: DerReader, tag: number): VmmStat[] {
  const outer = reader.enter(tag, "vmm");
  const vmm = readVmm(reader);
  reader.leave(outer, "vmm");
  return vmm;
}

function readVmm(reader: DerReader): VmmStat[] {
  return readEntries(reader, Tag.sequence, "vmm", (r) => ({
    key: r.utf8("vmm key"),
    value: r.int64("vmm value"),
  }));
}

function readRusage(reader: DerReader): Rusage {
  const outer = reader.enter(Tag.sequence, "rusage");
  const utime = reader.enter(Tag.sequence, "utime");
  const utimeSec = reader.int64("utime seconds");
  const utimeUsec = reader.integer("utime microseconds");
  reader.leave(utime, "utime");
  const stime = reader.enter(Tag.sequence, "stime");
  const stimeSec = reader.int64("stime seconds");
  const stimeUsec = reader.integer("stime microseconds");
  reader.leave(stime, "stime");
  const rusage: Rusage = {
    utimeSec,
    utimeUsec,
    stimeSec,
    stimeUsec,
    maxrss: reader.int64("maxrss"),
    ixrss: reader.int64("ixrss"),
    idrss: reader.int64("idrss"),
    isrss: reader.int64("isrss"),
    minflt: reader.int64("minflt"),
    majflt: reader.int64("majflt"),
    nswap: reader.int64("nswap"),
    inblock: reader.int64("inblock"),
    outblock: reader.int64("outblock"),
    msgsnd: reader.int64("msgsnd"),
    msgrcv: reader.int64("msgrcv"),
    nsignals: reader.int64("nsignals"),
    nvcsw: reader.int64("nvcsw"),
    nivcsw: reader.int64("nivcsw"),
  };
  reader.leave(outer, "rusage");
  return rusage;
}

function readKinfoFields(reader: DerReader): KinfoMem {
  const vsize = reader.int64("vsize");
  const rss = reader.int64("rss");
  const tsize = reader.int64("tsize");
  const dsize = reader.int64("dsize");
  const ssize = reader.int64("ssize");
  const runtime = reader.int64("runtime");
  const cow = reader.integer("cow");
  const start = reader.enter(Tag.sequence, "start");
  const startSec = reader.int64("start seconds");
  const startUsec = reader.integer("start microseconds");
  reader.leave(start, "start");
  return { vsize, rss, tsize, dsize, ssize, runtime, cow, startSec, startUsec };
}

function readIfdata(reader: DerReader): IfData[] {
  return readEntries(reader, Tag.sequence, "ifdata", readInterface);
}

function readInterface(reader: DerReader): IfData {
  return {
    bridge: reader.utf8("bridge"),
    flags: readInt32(reader, "flags"),
    sendLength: readInt32(reader, "send_length"),
    maxSendLength: readInt32(reader, "max_send_length"),
    sendDrops: readInt32(reader, "send_drops"),
    mtu: readInt32(reader, "mtu"),
    baudrate: reader.int64("baudrate"),
    inputPackets: reader.int64("input_packets"),
    inputErrors: reader.int64("input_errors"),
    outputPackets: reader.int64("output_packets"),
    outputErrors: reader.int64("output_errors"),
    collisions: reader.int64("collisions"),
    inputBytes: reader.int64("input_bytes"),
    outputBytes: reader.int64("output_bytes"),
    inputMcast: reader.int64("input_mcast"),
    outputMcast: reader.int64("output_mcast"),
    inputDropped: reader.int64("input_dropped"),
    outputDropped: reader.int64("output_dropped"),
  };
}

/** A C int: Albatross' own codec keeps the low 32 bits, signed. */
function readInt32(reader: DerReader, what: string): number {
  const value = reader.integer(what);
  if (typeof value === "bigint") return Number(BigInt.asIntN(32, value));
  return value | 0;
}

/** Writes statistics by the grammar of Albatross 2.7. */
export function writeStats(writer: DerWriter, stats: Stats): void {
  const outer = writer.open(Tag.sequence);
  writeRusage(writer, stats.rusage);
  writeEntries(writer, Tag.sequence, stats.ifdata, writeInterface);
  if (stats.vmm !== null) writeVmm(writer, stats.vmm);
  if (stats.kinfoMem !== null) writeKinfoMem(writer, stats.kinfoMem);
  writer.close(outer);
}

function writeTimeval(writer: DerWriter, seconds: Int64, microseconds: Int64): void {
  const outer = writer.open(Tag.sequence);
  writer.int64(seconds);
  writer.integer(microseconds);
  writer.close(outer);
}

function writeRusage(writer: DerWriter, rusage: Rusage): void {
  const outer = writer.open(Tag.sequence);
  writeTimeval(writer, rusage.utimeSec, rusage.utimeUsec);
  writeTimeval(writer, rusage.stimeSec, rusage.stimeUsec);
  writer.int64(rusage.maxrss);
  writer.int64(rusage.ixrss);
  writer.int64(rusage.idrss);
  writer.int64(rusage.isrss);
  writer.int64(rusage.minflt);
  writer.int64(rusage.majflt);
  writer.int64(rusage.nswap);
  writer.int64(rusage.inblock);
  writer.int64(rusage.outblock);
  writer.int64(rusage.msgsnd);
  writer.int64(rusage.msgrcv);
  writer.int64(rusage.nsignals);
  writer.int64(rusage.nvcsw);
  writer.int64(rusage.nivcsw);
  writer.close(outer);
}

function writeKinfoMem(writer: DerWriter, kinfo: KinfoMem): void {
  const outer = writer.open(KINFO_MEM);
  writer.int64(kinfo.vsize);
  writer.int64(kinfo.rss);
  writer.int64(kinfo.tsize);
  writer.int64(kinfo.dsize);
  writer.int64(kinfo.ssize);
  writer.int64(kinfo.runtime);
  writer.integer(kinfo.cow);
  writeTimeval(writer, kinfo.startSec, kinfo.startUsec);
  writer.close(outer);
}

function writeVmm(writer: DerWriter, vmm: readonly VmmStat[]): void {
  const outer = writer.open(VMM);
  writeEntries(writer, Tag.sequence, vmm, (w, { key, value }) => {
    w.utf8(key);
    w.int64(value);
  });
  writer.close(outer);
}

function writeInterface(writer: DerWriter, one: IfData): void {
  writer.utf8(one.bridge);
  writer.integer(one.flags);
  writer.integer(one.sendLength);
  writer.integer(one.maxSendLength);
  writer.integer(one.sendDrops);
  writer.integer(one.mtu);
  writer.int64(one.baudrate);
  writer.int64(one.inputPackets);
  writer.int64(one.inputErrors);
  writer.int64(one.outputPackets);
  writer.int64(one.outputErrors);
  writer.int64(one.collisions);
  writer.int64(one.inputBytes);
  writer.int64(one.outputBytes);
  writer.int64(one.inputMcast);
  writer.int64(one.outputMcast);
  writer.int64(one.inputDropped);
  writer.int64(one.outputDropped);
}
