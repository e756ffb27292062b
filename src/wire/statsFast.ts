/**
 * Statistics are nearly all that ever arrives, so their usual form is read here without a reader object and without a
 * look at anything twice. Whatever is unusual in any way (another kind of message, a value of more than 48 bits in an
 * INTEGER, damage) is left to the general decoder, which alone decides what is an error and which.
 */
import { decodeUtf8 } from "./der.ts";
import { InternTable } from "./intern.ts";
import { internedNames } from "./internedNames.ts";
import type { IfData, Int64, KinfoMem, Message, Rusage, Stats, VmmStat } from "./messages.ts";

const TEXT_SLOTS = 1024;
const TEXT_BYTES = 64;

const texts = new InternTable<string>(TEXT_SLOTS, TEXT_BYTES, (key) => decodeUtf8(key, 0, key.length));

/** Larger frames than any host's statistics: the view below must not keep a huge chunk alive. */
const MAX_BYTES = 64 * 1024;
// Written out, not taken from `Tag`: V8 folds a constant, but not an object's property, into the code around it.
const SEQUENCE = 0x30;
const INTEGER = 0x02;
const UTF8_STRING = 0x0c;
const VERSION_5 = 0x020105;
const INT64_HEADER = 0x0408;
const INT64_BYTES = 10;
const DATA = 0xa3;
const STATISTICS = 0xa1;
const VMM = 0xa0;
const KINFO_MEM = 0xa1;

// The cursor: one message is read at a time, and none of this outlives the call. Positions count from the start of the
// buffer that the frame lies in, because one view then serves all frames of a chunk.
let viewed: ArrayBufferLike = new ArrayBuffer(0);
let view: DataView = new DataView(viewed);
let at = 0;
let end = 0;
let usual = true;

/** The message in `frame` if it is statistics in the form that Albatross 2.7 writes them; null for anything else. */
export function decodeUsualStats(frame: Uint8Array): Message | null {
  if (frame.length > MAX_BYTES) return null;
  if (frame.buffer !== viewed) {
    viewed = frame.buffer;
    view = new DataView(viewed);
  }
  at = frame.byteOffset;
  end = at + frame.length;
  usual = true;

  const messageEnd = enter(SEQUENCE);
  const headerEnd = enter(SEQUENCE);
  if (!usual || messageEnd !== end || at + 3 > end) return null;
  if (((view.getUint8(at) << 16) | view.getUint16(at + 1)) !== VERSION_5) return null;
  at += 3;
  const sequence = int64();
  const name = interned(internedNames);
  if (name === null || at !== headerEnd) return null;
  if (enter(DATA) !== end || enter(STATISTICS) !== end) return null;
  const stats = readStats();
  if (!usual || at !== end) return null;
  return { header: { version: 5, sequence, name }, payload: { type: "data", data: "stats", stats } };
}

function readStats(): Stats {
  if (enter(SEQUENCE) !== end) usual = false;
  const rusage = readRusage();
  const ifdata = readIfdata();
  const vmm = next() === VMM ? readVmm() : null;
  const kinfoMem = next() === KINFO_MEM ? readKinfoMem() : null;
  return { rusage, kinfoMem, vmm, ifdata };
}

function readRusage(): Rusage {
  const rusageEnd = enter(SEQUENCE);
  const utimeEnd = enter(SEQUENCE);
  const utimeSec = int64();
  const utimeUsec = integer();
  if (at !== utimeEnd) usual = false;
  const stimeEnd = enter(SEQUENCE);
  const stimeSec = int64();
  const stimeUsec = integer();
  if (at !== stimeEnd) usual = false;
  const rusage: Rusage = {
    utimeSec,
    utimeUsec,
    stimeSec,
    stimeUsec,
    maxrss: int64(),
    ixrss: int64(),
    idrss: int64(),
    isrss: int64(),
    minflt: int64(),
    majflt: int64(),
    nswap: int64(),
    inblock: int64(),
    outblock: int64(),
    msgsnd: int64(),
    msgrcv: int64(),
    nsignals: int64(),
    nvcsw: int64(),
    nivcsw: int64(),
  };
  if (at !== rusageEnd) usual = false;
  return rusage;
}

function readIfdata(): IfData[] {
  const ifdata: IfData[] = [];
  const listEnd = enter(SEQUENCE);
  while (usual && at < listEnd) {
    const interfaceEnd = enter(SEQUENCE);
    ifdata.push({
      bridge: text(),
      flags: int32(),
      sendLength: int32(),
      maxSendLength: int32(),
      sendDrops: int32(),
      mtu: int32(),
      baudrate: int64(),
      inputPackets: int64(),
      inputErrors: int64(),
      outputPackets: int64(),
      outputErrors: int64(),
      collisions: int64(),
      inputBytes: int64(),
      outputBytes: int64(),
      inputMcast: int64(),
      outputMcast: int64(),
      inputDropped: int64(),
      outputDropped: int64(),
    });
    if (at !== interfaceEnd) usual = false;
  }
  if (at !== listEnd) usual = false;
  return ifdata;
}

function readVmm(): VmmStat[] {
  const vmm: VmmStat[] = [];
  const vmmEnd = enter(VMM);
  if (enter(SEQUENCE) !== vmmEnd) usual = false;
  while (usual && at < vmmEnd) {
    const counterEnd = enter(SEQUENCE);
    vmm.push({ key: text(), value: int64() });
    if (at !== counterEnd) usual = false;
  }
  if (at !== vmmEnd) usual = false;
  return vmm;
}

function readKinfoMem(): KinfoMem {
  const kinfoEnd = enter(KINFO_MEM);
  const vsize = int64();
  const rss = int64();
  const tsize = int64();
  const dsize = int64();
  const ssize = int64();
  const runtime = int64();
  const cow = integer();
  const startEnd = enter(SEQUENCE);
  const startSec = int64();
  const startUsec = integer();
  if (at !== startEnd || at !== kinfoEnd) usual = false;
  return { vsize, rss, tsize, dsize, ssize, runtime, cow, startSec, startUsec };
}

function next(): number {
  return at < end ? view.getUint8(at) : -1;
}

/** Steps into an element of the given tag and returns where its content ends; a length in one to three bytes. */
function enter(tag: number): number {
  if (at + 2 > end || view.getUint8(at) !== tag) return unusual();
  let length = view.getUint8(at + 1);
  at += 2;
  if (length === 0x81 && at + 1 <= end) {
    length = view.getUint8(at);
    if (length < 0x80) return unusual();
    at += 1;
  } else if (length === 0x82 && at + 2 <= end) {
    length = view.getUint16(at);
    if (length < 0x100) return unusual();
    at += 2;
  } else if (length >= 0x80) {
    return unusual();
  }
  return at + length <= end ? at + length : unusual();
}

function unusual(): number {
  usual = false;
  return -1;
}

function int64(): Int64 {
  const start = at;
  if (start + INT64_BYTES > end || view.getUint16(start) !== INT64_HEADER) return unusual();
  at = start + INT64_BYTES;
  const high = view.getInt32(start + 2);
  const low = view.getUint32(start + 6);
  if (high === 0) return low;
  const number = high * 4294967296 + low;
  return Number.isSafeInteger(number) ? number : view.getBigInt64(start + 2);
}

/** An INTEGER of up to 6 bytes. */
function integer(): number {
  const start = at;
  if (start + 3 > end || view.getUint8(start) !== INTEGER) return unusual();
  const length = view.getUint8(start + 1);
  let value = view.getInt8(start + 2);
  at = start + 2 + length;
  if (length === 1) return value;
  if (length === 0 || length > 6 || at > end) return unusual();
  // The first nine bits must not all be equal: the same number fits into fewer bytes then.
  const nineBits = view.getInt16(start + 2) >> 7;
  if (nineBits === 0 || nineBits === -1) return unusual();
  for (let i = start + 3; i < at; i++) value = value * 256 + view.getUint8(i);
  return value;
}

function int32(): number {
  return integer() | 0;
}

function text(): string {
  return interned(texts) ?? "";
}

/** A UTF8String as the value that stands for it in `table`. */
function interned<T>(table: InternTable<T>): T | null {
  const textEnd = enter(UTF8_STRING);
  if (textEnd < 0) return null;
  const start = at;
  at = textEnd;
  return table.get(view, start, textEnd);
}
