/** The parts that unikernel info and a unikernel's configuration share. */
import { context, type DerReader, type DerWriter, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import { readEntries, readIntegers, readTexts, writeEntries, writeIntegers, writeTexts } from "./lists.ts";
import type { FailBehaviour } from "./messages.ts";

/** One for all: most unikernels have no block devices, and there are many of them. */
const NONE: readonly never[] = [];
const QUIT: FailBehaviour = { type: "quit" };
const RESTART: FailBehaviour = { type: "restart", exitCodes: null };
const MAC_BYTES = 6;
/** Each byte as two digits. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function readTyp(reader: DerReader): "solo5" | "bhyve" {
  const at = reader.pos;
  const tag = reader.peek();
  const outer = reader.enter(tag, "typ");
  reader.null("typ");
  reader.leave(outer, "typ");
  if (tag === context(0)) return "solo5";
  if (tag === context(1)) return "bhyve";
  throw new WireError(
    "message",
    at,
    `typ: expected [0] (solo5) or [1] (bhyve), found tag 0x${tag.toString(16)}`,
  );
}

export function writeTyp(writer: DerWriter, typ: "solo5" | "bhyve"): void {
  const outer = writer.open(context(typ === "solo5" ? 0 : 1));
  writer.null();
  writer.close(outer);
}

export function readFailBehaviour(reader: DerReader): FailBehaviour {
  if (reader.peek() === context(0)) {
    const outer = reader.enter(context(0), "fail_behaviour");
    reader.null("fail_behaviour");
    reader.leave(outer, "fail_behaviour");
    return QUIT;
  }
  const outer = reader.enter(context(1), "fail_behaviour");
  const exitCodes = readIntegers(reader, Tag.set, "exit codes");
  reader.leave(outer, "fail_behaviour");
  return exitCodes.length === 0 ? RESTART : { type: "restart", exitCodes };
}

export function writeFailBehaviour(writer: DerWriter, behaviour: FailBehaviour): void {
  if (behaviour.type === "quit") {
    const outer = writer.open(context(0));
    writer.null();
    writer.close(outer);
    return;
  }
  const outer = writer.open(context(1));
  writeIntegers(writer, Tag.set, behaviour.exitCodes ?? []);
  writer.close(outer);
}

/** Reads a MAC address as six lower-case hex pairs joined by colons. */
export function readMac(reader: DerReader): string {
  const at = reader.pos;
  const octets = reader.octets("mac");
  if (octets.length !== MAC_BYTES) {
    throw new WireError("message", at, `mac: expected ${MAC_BYTES} bytes, found ${octets.length}`);
  }
  let mac = "";
  for (const octet of octets) mac += `${mac === "" ? "" : ":"}${HEX[octet]}`;
  return mac;
}

export function writeMac(writer: DerWriter, mac: string): void {
  writer.octets(Buffer.from(mac.replaceAll(":", ""), "hex"));
}

/**
 * Reads arguments under [2]; null where there are none, or where the caller wants them dropped: they hold secrets, and
 * what was never made a string cannot leak.
 */
export function readArguments(reader: DerReader, drop: boolean): readonly string[] | null {
  if (reader.peek() !== context(2)) return null;
  if (drop) {
    reader.skip("arguments");
    return null;
  }
  const outer = reader.enter(context(2), "arguments");
  const texts = readTexts(reader, "arguments");
  reader.leave(outer, "arguments");
  return texts;
}

export function writeArguments(writer: DerWriter, argv: readonly string[] | null): void {
  if (argv === null) return;
  const outer = writer.open(context(2));
  writeTexts(writer, argv);
  writer.close(outer);
}

/** Reads an EXPLICIT SET OF SEQUENCE under `tag`; an absent one is empty. */
export function readOptionalSet<T>(
  reader: DerReader,
  tag: number,
  what: string,
  read: (reader: DerReader) => T,
): readonly T[] {
  if (reader.peek() !== tag) return NONE;
  const outer = reader.enter(tag, what);
  const entries = readEntries(reader, Tag.set, what, read);
  reader.leave(outer, what);
  return entries;
}

/** Writes an EXPLICIT SET OF SEQUENCE under `tag`, in the order given as Albatross does; an empty one is left out. */
export function writeOptionalSet<T>(
  writer: DerWriter,
  tag: number,
  elements: readonly T[],
  write: (writer: DerWriter, element: T) => void,
): void {
  if (elements.length === 0) return;
  const outer = writer.open(tag);
  writeEntries(writer, Tag.set, elements, write);
  writer.close(outer);
}

export function readOptionalText(reader: DerReader, tag: number, what: string): string | null {
  if (reader.peek() !== tag) return null;
  const outer = reader.enter(tag, what);
  const text = reader.utf8(what);
  reader.leave(outer, what);
  return text;
}

export function writeOptionalText(writer: DerWriter, tag: number, text: string | null): void {
  if (text === null) return;
  const outer = writer.open(tag);
  writer.utf8(text);
  writer.close(outer);
}
