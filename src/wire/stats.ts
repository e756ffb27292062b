import { CONTEXT_CONSTRUCTED, context, type DerReader, type DerWriter, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import { readEntries, writeEntries } from "./lists.ts";
import type { IfData, Int64, KinfoMem, Rusage, Stats, VmmStat } from "./messages.ts";

/** The bit of an identifier byte that says: constructed. */
const CONSTRUCTED = 0x20;
/** The bits of an identifier byte that are class and form. */
const CLASS_AND_FORM = 0xe0;
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
 * Reads statistics by their structure (tags of Albatross 2.8 and later): the content of the tag, or the SEQUENCE that it
 * holds, begins with resource usage. What follows, in any order, is told by what it holds: interfaces, the memory fields,
 * the old vmm counters, each bare or under any context tag, IMPLICIT or EXPLICIT. What cannot be told is skipped. Returns
 * null for content that is something else; `reader` is used up then.
 */
export function readStatsByStructure(reader: DerReader): Stats | null {
  const { end } = reader;
  try {
    return readParts(reader);
  } catch (error) {
    if (error instanceof WireError) return null;
    throw error;
  } finally {
    reader.end = end;
    reader.pos = end;
  }
}

function readParts(reader: DerReader): Stats | null {
  const rusage = attempt(reader, readInnerRusage) ?? attempt(reader, readRusage);
  if (rusage === null) return null;
  const found: Parts = {};
  while (reader.more()) {
    const start = reader.pos;
    const isTagged = (reader.skip("statistics") & CLASS_AND_FORM) === CONTEXT_CONSTRUCTED;
    const next = reader.pos;
    reader.pos = start;
    if (!tellPart(reader, found) && isTagged) tellInner(reader, next, found);
    reader.pos = next;
  }
  return { rusage, kinfoMem: found.kinfoMem ?? null, vmm: found.vmm ?? null, ifdata: found.ifdata ?? [] };
}

/** Steps into the SEQUENCE around statistics, and stays there. */
function readInnerRusage(reader: DerReader): Rusage {
  reader.enter(Tag.sequence, "statistics");
  return readRusage(reader);
}

type Parts = { ifdata?: IfData[]; kinfoMem?: KinfoMem; vmm?: VmmStat[] };

/** Whether the constructed element at `pos` holds a part of statistics, which goes into `found` unless that has one. */
function tellPart(reader: DerReader, found: Parts): boolean {
  const tag = reader.peek();
  if ((tag & CONSTRUCTED) === 0) return false;
  const kinfoMem = attempt(reader, (r) => whole(r, tag, readKinfoFields));
  if (kinfoMem !== null) {
    found.kinfoMem ??= kinfoMem;
    return true;
  }
  const ifdata = attempt(reader, (r) => readEntries(r, tag, "ifdata", readInterface));
  if (ifdata !== null) {
    // an empty list may be one of anything
    if (!found.ifdata?.length) found.ifdata = ifdata;
    return true;
  }
  const vmm = attempt(reader, (r) => readEntries(r, tag, "vmm", readVmmStat));
  if (vmm !== null) found.vmm ??= vmm;
  return vmm !== null;
}

/** The same for the one element inside an EXPLICIT tag that ends at `end`. */
function tellInner(reader: DerReader, end: number, found: Parts): boolean {
  reader.header(reader.peek(), "statistics");
  return reader.pos < end && tellPart(reader, found);
}

/** All of an element's content. */
function whole<T>(reader: DerReader, tag: number, read: (reader: DerReader) => T): T {
  const outer = reader.enter(tag, "statistics");
  const value = read(reader);
  reader.leave(outer, "statistics");
  return value;
}

/** Tries one reading of what comes next; where it does not fit, null, and `reader` stands where it stood. */
function attempt<T>(reader: DerReader, read: (reader: DerReader) => T): T | null {
  const { pos, end } = reader;
  try {
    return read(reader);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    reader.pos = pos;
    reader.end = end;
    return null;
  }
}

function readTaggedVmm(reader: DerReader, tag: number): VmmStat[] {
  const outer = reader.enter(tag, "vmm");
  const vmm = readVmm(reader);
  reader.leave(outer, "vmm");
  return vmm;
}

function readVmm(reader: DerReader): VmmStat[] {
  return readEntries(reader, Tag.sequence, "vmm", readVmmStat);
}

function readVmmStat(reader: DerReader): VmmStat {
  return { key: reader.utf8("vmm key"), value: reader.int64("vmm value") };
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
