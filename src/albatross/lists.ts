import { type DerReader, Tag } from "./der.ts";
import type { DerWriter } from "./derWriter.ts";
import type { Int64 } from "./messages.ts";

/** Reads a SEQUENCE OF or SET OF INTEGER as the set that it is: ascending, each once. */
export function readIntegers(reader: DerReader, tag: number, what: string): Int64[] {
  const integers: Int64[] = [];
  const outer = reader.enter(tag, what);
  while (reader.more()) integers.push(reader.integer(what));
  reader.leave(outer, what);
  return [...new Set(integers)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

export function writeIntegers(writer: DerWriter, tag: number, integers: readonly Int64[]): void {
  const outer = writer.open(tag);
  for (const integer of integers) writer.integer(integer);
  writer.close(outer);
}

/** Reads a SEQUENCE OF UTF8String. */
export function readTexts(reader: DerReader, what: string): string[] {
  const texts: string[] = [];
  const outer = reader.enter(Tag.sequence, what);
  while (reader.more()) texts.push(reader.utf8(what));
  reader.leave(outer, what);
  return texts;
}

export function writeTexts(writer: DerWriter, texts: readonly string[]): void {
  const outer = writer.open(Tag.sequence);
  for (const text of texts) writer.utf8(text);
  writer.close(outer);
}
