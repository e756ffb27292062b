import { type DerReader, type DerWriter, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import type { Int64 } from "./messages.ts";
import type { Steps } from "./steps.ts";

/**
 * Far more than any host has of anything. A message of 64 MiB holds three million empty entries, which would become
 * gigabytes of objects.
 */
const MAX_ELEMENTS = 262_144;

/** Entries of some twenty fields each that make one step: half a millisecond. */
const ENTRIES_PER_STEP = 64;

/**
 * Reads a SEQUENCE OF or SET OF, one element per call of `read`. Throws a WireError "message" for more than 262,144.
 */
export function readList<T>(
  reader: DerReader,
  tag: number,
  what: string,
  read: (reader: DerReader) => T,
): T[] {
  const elements: T[] = [];
  const outer = reader.enter(tag, what);
  while (reader.more()) readElement(reader, what, read, elements);
  reader.leave(outer, what);
  return elements;
}

function readElement<T>(
  reader: DerReader,
  what: string,
  read: (reader: DerReader) => T,
  elements: T[],
): void {
  if (elements.length === MAX_ELEMENTS) {
    throw new WireError("message", reader.pos, `${what}: expected at most ${MAX_ELEMENTS}, found more`);
  }
  elements.push(read(reader));
}

/** Reads a SEQUENCE OF or SET OF SEQUENCE; `read` reads what is inside one. */
export function readEntries<T>(
  reader: DerReader,
  tag: number,
  what: string,
  read: (reader: DerReader) => T,
): T[] {
  return readList(reader, tag, what, (r) => readEntry(r, what, read));
}

/** As `readEntries`, for a list that may be long. */
export function* readEntriesInSteps<T>(
  reader: DerReader,
  tag: number,
  what: string,
  read: (reader: DerReader) => T,
): Steps<T[]> {
  const entries: T[] = [];
  const outer = reader.enter(tag, what);
  while (reader.more()) {
    readElement(reader, what, (r) => readEntry(r, what, read), entries);
    if (entries.length % ENTRIES_PER_STEP === 0) yield;
  }
  reader.leave(outer, what);
  return entries;
}

function readEntry<T>(reader: DerReader, what: string, read: (reader: DerReader) => T): T {
  const outer = reader.enter(Tag.sequence, what);
  const entry = read(reader);
  reader.leave(outer, what);
  return entry;
}

/** Writes a SEQUENCE OF or SET OF SEQUENCE, in the order given as Albatross does; `write` writes what is inside one. */
export function writeEntries<T>(
  writer: DerWriter,
  tag: number,
  entries: readonly T[],
  write: (writer: DerWriter, entry: T) => void,
): void {
  const outer = writer.open(tag);
  for (const entry of entries) {
    const one = writer.open(Tag.sequence);
    write(writer, entry);
    writer.close(one);
  }
  writer.close(outer);
}

/** Reads a SEQUENCE OF or SET OF INTEGER as the set that it is: ascending, each once. */
export function readIntegers(reader: DerReader, tag: number, what: string): Int64[] {
  const integers = readList(reader, tag, what, (r) => r.integer(what));
  // nearly always: Albatross writes its sets in order
  if (integers.every((integer, i) => i === 0 || (integers[i - 1] ?? 0) < integer)) return integers;
  return [...new Set(integers)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

export function writeIntegers(writer: DerWriter, tag: number, integers: readonly Int64[]): void {
  const outer = writer.open(tag);
  for (const integer of integers) writer.integer(integer);
  writer.close(outer);
}

/** Reads a SEQUENCE OF UTF8String. */
export function readTexts(reader: DerReader, what: string): string[] {
  return readList(reader, Tag.sequence, what, (r) => r.utf8(what));
}

export function writeTexts(writer: DerWriter, texts: readonly string[]): void {
  const outer = writer.open(Tag.sequence);
  for (const text of texts) writer.utf8(text);
  writer.close(outer);
}
