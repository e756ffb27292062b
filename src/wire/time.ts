import { type DerReader, Tag } from "./der.ts";
import type { DerWriter } from "./derWriter.ts";
import { WireError } from "./errors.ts";

const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(?:\.(\d{1,9}))?Z$/;

/** Reads a GeneralizedTime, in UTC with seconds as DER has it, as milliseconds since the epoch (finer digits are cut). */
export function readTime(reader: DerReader, what: string): number {
  const at = reader.pos;
  const text = reader.latin1(Tag.generalizedTime, what);
  const parts = GENERALIZED_TIME.exec(text);
  if (parts === null)
    throw new WireError(
      "der",
      at,
      `${what}: expected YYYYMMDDHHMMSS[.fff]Z, found ${JSON.stringify(text.slice(0, 40))}`,
    );
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1, 7).map(Number);
  const fraction = Number((parts[7] ?? "").padEnd(3, "0").slice(0, 3));
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second, fraction);
  // A Date rolls 31 June over into July; a time that comes back different never was one.
  const isTime = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!isTime || hour > 23 || minute > 59 || second > 59) {
    throw new WireError("der", at, `${what}: ${text} is no time`);
  }
  return date.getTime();
}

/** Writes milliseconds since the epoch as GeneralizedTime, with three digits of fraction unless they are zero, as Albatross does. */
export function writeTime(writer: DerWriter, ms: number): void {
  const digits = new Date(ms).toISOString().replace(/[-:TZ]/g, "");
  writer.text(Tag.generalizedTime, `${digits.replace(/\.000$/, "")}Z`);
}
