import { type DerReader, Tag } from "./der.ts";
import type { DerWriter } from "./derWriter.ts";
import { WireError } from "./errors.ts";

const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(?:\.(\d{1,9}))?Z$/;

/** Reads a GeneralizedTime, in UTC with seconds as DER has it, as milliseconds since the epoch (finer digits are cut). */
export function readTime(reader: DerReader, what: string): number {
  const at = reader.pos;
  const length = reader.header(Tag.generalizedTime, what);
  const text = Buffer.from(reader.bytes.buffer, reader.bytes.byteOffset + reader.pos, length).toString(
    "latin1",
  );
  reader.pos += length;
  const parts = GENERALIZED_TIME.exec(text);
  if (parts === null)
    throw new WireError(
      "der",
      at,
      `${what}: expected YYYYMMDDHHMMSS[.fff]Z, found ${JSON.stringify(text.slice(0, 40))}`,
    );
  const [, year, month, day, hour, minute, second, fraction = ""] = parts;
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.${fraction.padEnd(3, "0").slice(0, 3)}Z`;
  const ms = Date.parse(iso);
  // Date.parse takes 24:00:00 and rolls 31 June over into July; a time that comes back different never was one.
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== iso) {
    throw new WireError("der", at, `${what}: ${text} is no time`);
  }
  return ms;
}

/** Writes milliseconds since the epoch as GeneralizedTime, with three digits of fraction unless they are zero, as Albatross does. */
export function writeTime(writer: DerWriter, ms: number): void {
  const digits = new Date(ms).toISOString().replace(/[-:TZ]/g, "");
  writer.text(Tag.generalizedTime, `${digits.replace(/\.000$/, "")}Z`);
}
