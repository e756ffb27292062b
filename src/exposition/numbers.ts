import type { Value } from "./family.ts";

/** No number or bigint that comes as a 64-bit integer or a double is longer as text. */
export const MAX_VALUE_BYTES = 32;

const ZERO = 48;
const NINE_DIGITS = 1e9;

/** A value as both formats write it: every digit of an integer, of a float the shortest form that reads back. */
export function formatValue(value: Value): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return value.toString();
}

/** Writes `formatValue(value)` at `at`, returns its end. Whole numbers make no string: more than twice as fast. */
export function writeValue(into: Uint8Array, at: number, value: Value): number {
  if (
    typeof value === "number" &&
    value >= 0 &&
    value <= Number.MAX_SAFE_INTEGER &&
    Math.floor(value) === value
  ) {
    return writeWhole(into, at, value);
  }
  return writeAscii(into, at, formatValue(value));
}

/** Copies ASCII text. For a few characters this beats the call of `Buffer.write`. */
function writeAscii(into: Uint8Array, at: number, text: string): number {
  const length = text.length;
  for (let i = 0; i < length; i++) into[at + i] = text.charCodeAt(i);
  return at + length;
}

function writeWhole(into: Uint8Array, at: number, value: number): number {
  if (value <= 0xffff_ffff) return writeUint32(into, at, value >>> 0);
  const high = Math.floor(value / NINE_DIGITS);
  const end = writeUint32(into, at, high >>> 0) + 9;
  writeDigits(into, end, (value - high * NINE_DIGITS) >>> 0, 9);
  return end;
}

function writeUint32(into: Uint8Array, at: number, value: number): number {
  const count = digitCount(value);
  writeDigits(into, at + count, value, count);
  return at + count;
}

/** Writes the last `count` digits of an unsigned 32-bit integer so that they end before `end`. */
function writeDigits(into: Uint8Array, end: number, value: number, count: number): void {
  let rest = value;
  for (let i = end - 1; i >= end - count; i--) {
    const tenth = (rest / 10) >>> 0;
    into[i] = ZERO + (rest - tenth * 10);
    rest = tenth;
  }
}

function digitCount(value: number): number {
  if (value < 10) return 1;
  if (value < 100) return 2;
  if (value < 1_000) return 3;
  if (value < 10_000) return 4;
  if (value < 100_000) return 5;
  if (value < 1_000_000) return 6;
  if (value < 10_000_000) return 7;
  if (value < 100_000_000) return 8;
  return value < 1_000_000_000 ? 9 : 10;
}
