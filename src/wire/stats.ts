/** Statistics: their grammar, a reader by structure for newer protocols, and a fast one for what nearly always arrives. */
import {
  both,
  each,
  fields,
  int32,
  int64,
  integer,
  list,
  type Members,
  type MessageReader,
  sequence,
  utf8,
  type Value,
} from "./asn1.ts";
import { CLASS_AND_FORM, CONTEXT_CONSTRUCTED, context, type Int64, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import { InternTable } from "./intern.ts";
import { internedNames } from "./names.ts";

type Timeval<K extends string> = Readonly<Record<`${K}Sec` | `${K}Usec`, Int64>>;

/** A SEQUENCE of the members `utimeSec` and `utimeUsec`, printed as one object. */
function timeval<K extends string>(key: K): Members<Timeval<K>> {
  const [seconds, microseconds] = [`${key}Sec`, `${key}Usec`] as const;
  const part = sequence({
    [seconds]: int64.called(`${key} seconds`),
    [microseconds]: integer.called(`${key} microseconds`),
  }).called(key) as Members<Timeval<K>>;
  return part.printedAs((value) => ({
    [key]: { sec: int64.json(value[seconds]), usec: integer.json(value[microseconds]) },
  }));
}

const USAGE_COUNTS = [
  ...(["maxrss", "ixrss", "idrss", "isrss", "minflt", "majflt", "nswap", "inblock", "outblock"] as const),
  ...(["msgsnd", "msgrcv", "nsignals", "nvcsw", "nivcsw"] as const),
];
const usageTimes = both(timeval("utime"), timeval("stime"));
/** getrusage(2) of the unikernel's process */
const rusage = both(usageTimes, fields(each(int64, ...USAGE_COUNTS))).inside(Tag.sequence);

/** Seen from the host's side of the tap; `bridge` is the unikernel's device name. */
const networkInterface = sequence({
  bridge: utf8,
  ...each(int32, "flags", "sendLength", "maxSendLength", "sendDrops", "mtu"),
  ...each(int64, "baudrate", "inputPackets", "inputErrors", "outputPackets", "outputErrors", "collisions"),
  ...each(int64, "inputBytes", "outputBytes", "inputMcast", "outputMcast", "inputDropped", "outputDropped"),
});

const vmmStat = sequence({ key: utf8, value: int64 }, "vmm ");

const memoryFields = fields({
  ...each(int64, "vsize", "rss", "tsize", "dsize", "ssize", "runtime"),
  cow: integer,
});
/** of FreeBSD's kinfo_proc (Linux: filled from /proc) */
const kinfoMem = both(memoryFields, timeval("start"));

const wireOrder = sequence({
  rusage,
  ifdata: list(networkInterface),
  vmm: list(vmmStat).explicit(0).optional(),
  kinfoMem: kinfoMem.inside(context(1)).optional(),
});

const CONSTRUCTED = 0x20;

export type Rusage = Value<typeof rusage>;
export type IfData = Value<typeof networkInterface>;
export type VmmStat = Value<typeof vmmStat>;
export type KinfoMem = Value<typeof kinfoMem>;
/** Everything albatross-stats says about one unikernel at one tick. */
export type Stats = Value<typeof wireOrder>;

const UNUSED = each(0, "utimeSec", "utimeUsec", "stimeSec", "stimeUsec", ...USAGE_COUNTS);

/** Statistics of which only this resource usage is known: the rest is 0 or absent. */
export function statsOfUsage(known: Partial<Rusage>): Stats {
  return { rusage: { ...UNUSED, ...known }, kinfoMem: null, vmm: null, ifdata: [] };
}

/** By the grammar of Albatross 2.7 (tag [1]). */
export const stats = wireOrder.printedAs((value) => {
  const { ifdata = null, vmm = null, ...rest } = wireOrder.json(value);
  return { ...rest, vmm, ifdata };
});

/** By structure (Albatross 2.8 and later): usage first, the rest told by what it holds. Null for others, used up then. */
export function readStatsByStructure(reader: MessageReader): Stats | null {
  const { end } = reader;
  const found = attempt(reader, readParts);
  reader.end = end;
  reader.pos = end;
  return found;
}

function readParts(reader: MessageReader): Stats {
  const usage = attempt(reader, readInnerRusage) ?? rusage.read(reader, "rusage");
  let found: Partial<Stats> = {};
  while (reader.more()) {
    const start = reader.pos;
    const isTagged = (reader.skip("statistics") & CLASS_AND_FORM) === CONTEXT_CONSTRUCTED;
    const next = reader.pos;
    reader.pos = start;
    let part = tellPart(reader);
    if (part === null && isTagged) {
      reader.header(reader.peek(), "statistics");
      if (reader.pos < next) part = tellPart(reader);
    }
    // the first of a kind counts; an empty list may be one of anything
    if (part?.ifdata?.length !== 0) found = { ...part, ...found };
    reader.pos = next;
  }
  return { rusage: usage, kinfoMem: null, vmm: null, ifdata: [], ...found };
}

/** Steps into the SEQUENCE around statistics, and stays there. */
function readInnerRusage(reader: MessageReader): Rusage {
  reader.enter(Tag.sequence, "statistics");
  return rusage.read(reader, "rusage");
}

function tellPart(reader: MessageReader): Partial<Stats> | null {
  const tag = reader.peek();
  if ((tag & CONSTRUCTED) === 0) return null;
  return (
    attempt(reader, (r) => ({ kinfoMem: kinfoMem.inside(tag).read(r, "kinfo_mem") })) ??
    attempt(reader, (r) => ({ ifdata: list(networkInterface, tag).read(r, "ifdata") })) ??
    attempt(reader, (r) => ({ vmm: list(vmmStat, tag).read(r, "vmm") }))
  );
}

function attempt<T>(reader: MessageReader, read: (reader: MessageReader) => T): T | null {
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

// The fast reader: without a reader object and without a look at anything twice. Whatever is unusual in any way (another
// kind of message, an INTEGER of more than 48 bits, damage) is left to the grammar, which alone decides what is an error.
// A property test holds the two together.

const INTERNED_TEXTS = 1024;
const INTERNED_TEXT_BYTES = 64;

const texts = new InternTable<string>(INTERNED_TEXTS, INTERNED_TEXT_BYTES, (text) => text);

const MAX_BYTES = 64 * 1024;
// V8 folds a constant, but not a property of `Tag`, into the code around it.
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

// The cursor: none of this outlives a call. Positions are in the buffer that the frame lies in: one view serves all
// frames of a chunk.
let viewed: ArrayBufferLike = new ArrayBuffer(0);
let view: DataView = new DataView(viewed);
let at = 0;
let end = 0;
let usual = true;

/** The message in `frame` if it is statistics as Albatross 2.7 writes them, or null. */
export function decodeUsualStats(frame: Uint8Array) {
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
  const sequence = nextInt64();
  const name = nextInterned(internedNames);
  if (name === null || at !== headerEnd) return null;
  if (enter(DATA) !== end || enter(STATISTICS) !== end) return null;
  const read = readStats();
  if (!usual || at !== end) return null;
  const payload = { type: "data", data: "stats", stats: read } as const;
  return { header: { version: 5, sequence, name }, payload } as const;
}

function readStats(): Stats {
  if (enter(SEQUENCE) !== end) usual = false;
  const usage = readRusage();
  const ifdata = readIfdata();
  const vmm = nextTag() === VMM ? readVmm() : null;
  const memory = nextTag() === KINFO_MEM ? readKinfoMem() : null;
  return { rusage: usage, kinfoMem: memory, vmm, ifdata };
}

function readRusage(): Rusage {
  const rusageEnd = enter(SEQUENCE);
  const utimeEnd = enter(SEQUENCE);
  const utimeSec = nextInt64();
  const utimeUsec = nextInteger();
  leave(utimeEnd);
  const stimeEnd = enter(SEQUENCE);
  const stimeSec = nextInt64();
  const stimeUsec = nextInteger();
  leave(stimeEnd);
  const read: Rusage = {
    utimeSec,
    utimeUsec,
    stimeSec,
    stimeUsec,
    maxrss: nextInt64(),
    ixrss: nextInt64(),
    idrss: nextInt64(),
    isrss: nextInt64(),
    minflt: nextInt64(),
    majflt: nextInt64(),
    nswap: nextInt64(),
    inblock: nextInt64(),
    outblock: nextInt64(),
    msgsnd: nextInt64(),
    msgrcv: nextInt64(),
    nsignals: nextInt64(),
    nvcsw: nextInt64(),
    nivcsw: nextInt64(),
  };
  leave(rusageEnd);
  return read;
}

function readIfdata(): IfData[] {
  const ifdata: IfData[] = [];
  const listEnd = enter(SEQUENCE);
  while (usual && at < listEnd) {
    const interfaceEnd = enter(SEQUENCE);
    ifdata.push({
      bridge: nextText(),
      flags: nextInt32(),
      sendLength: nextInt32(),
      maxSendLength: nextInt32(),
      sendDrops: nextInt32(),
      mtu: nextInt32(),
      baudrate: nextInt64(),
      inputPackets: nextInt64(),
      inputErrors: nextInt64(),
      outputPackets: nextInt64(),
      outputErrors: nextInt64(),
      collisions: nextInt64(),
      inputBytes: nextInt64(),
      outputBytes: nextInt64(),
      inputMcast: nextInt64(),
      outputMcast: nextInt64(),
      inputDropped: nextInt64(),
      outputDropped: nextInt64(),
    });
    leave(interfaceEnd);
  }
  leave(listEnd);
  return ifdata;
}

function readVmm(): VmmStat[] {
  const vmm: VmmStat[] = [];
  const vmmEnd = enter(VMM);
  if (enter(SEQUENCE) !== vmmEnd) usual = false;
  while (usual && at < vmmEnd) {
    const counterEnd = enter(SEQUENCE);
    vmm.push({ key: nextText(), value: nextInt64() });
    leave(counterEnd);
  }
  leave(vmmEnd);
  return vmm;
}

function readKinfoMem(): KinfoMem {
  const kinfoEnd = enter(KINFO_MEM);
  const vsize = nextInt64();
  const rss = nextInt64();
  const tsize = nextInt64();
  const dsize = nextInt64();
  const ssize = nextInt64();
  const runtime = nextInt64();
  const cow = nextInteger();
  const startEnd = enter(SEQUENCE);
  const startSec = nextInt64();
  const startUsec = nextInteger();
  leave(startEnd);
  leave(kinfoEnd);
  return { vsize, rss, tsize, dsize, ssize, runtime, cow, startSec, startUsec };
}

function nextTag(): number {
  return at < end ? view.getUint8(at) : -1;
}

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

function leave(elementEnd: number): void {
  if (at !== elementEnd) usual = false;
}

function unusual(): number {
  usual = false;
  return -1;
}

function nextInt64(): Int64 {
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
function nextInteger(): number {
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

function nextInt32(): number {
  return nextInteger() | 0;
}

function nextText(): string {
  return nextInterned(texts) ?? "";
}

/** A UTF8String as the value that stands for it in `table`. */
function nextInterned<T>(table: InternTable<T>): T | null {
  const textEnd = enter(UTF8_STRING);
  if (textEnd < 0) return null;
  const start = at;
  at = textEnd;
  return table.get(view, start, textEnd);
}
