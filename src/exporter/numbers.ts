/** From the wire's integers to exposition values without losing a digit: numbers, bigints beyond 2^53, or text. */
import type { Value } from "../exposition/family.ts";
import type { Int64 } from "../wire/messages.ts";

const TWO_64 = 2n ** 64n;
const MICROS = 1_000_000;

/** The field as the unsigned integer that it means: a negative one stands for a value above 2^63-1. */
export function unsigned(value: Int64): Int64 {
  if (typeof value === "number") return value >= 0 ? value : BigInt(value) + TWO_64;
  return value >= 0n ? value : value + TWO_64;
}

/** An unsigned field times a whole factor, such as pages times the page size. */
export function times(value: Int64, factor: number): Int64 {
  const count = unsigned(value);
  if (typeof count === "number") {
    const product = count * factor;
    if (Number.isSafeInteger(product)) return product;
  }
  return BigInt(count) * BigInt(factor);
}

/** An unsigned number of bits as bytes; exact, with a fraction where it is no multiple of 8. */
export function bitsAsBytes(value: Int64): Value {
  const bits = unsigned(value);
  // dividing a double by a power of two loses nothing
  if (typeof bits === "number") return bits / 8;
  const rest = Number(bits % 8n);
  return rest === 0 ? bits / 8n : `${bits / 8n}.${String((rest * 1000) / 8).padStart(3, "0")}`;
}

/** Seconds plus microseconds, exactly. Seconds are unsigned; microseconds may be out of range and carry over. */
export function seconds(sec: Int64, usec: Int64): Value {
  if (typeof sec === "number" && typeof usec === "number" && sec >= 0 && usec >= 0 && usec < MICROS) {
    return usec === 0 ? sec : `${sec}.${fraction(usec)}`;
  }
  return bigMicrosAsSeconds(BigInt(unsigned(sec)) * BigInt(MICROS) + BigInt(usec));
}

/** An unsigned number of microseconds as seconds, exactly. */
export function microsAsSeconds(value: Int64): Value {
  if (typeof value === "number" && value >= 0) {
    const usec = value % MICROS;
    const sec = (value - usec) / MICROS;
    return usec === 0 ? sec : `${sec}.${fraction(usec)}`;
  }
  return bigMicrosAsSeconds(BigInt(unsigned(value)));
}

export function millisAsSeconds(ms: number): number {
  // the nearest double prints with the same three decimals for the next 250,000 years
  return ms / 1000;
}

function bigMicrosAsSeconds(micros: bigint): Value {
  const magnitude = micros < 0n ? -micros : micros;
  const usec = Number(magnitude % BigInt(MICROS));
  const sec = magnitude / BigInt(MICROS);
  if (usec === 0) return micros < 0n ? -sec : sec;
  return `${micros < 0n ? "-" : ""}${sec}.${fraction(usec)}`;
}

/** 20000 (microseconds) as "02": adding a million keeps the leading zeros, cheaper than padding does. */
function fraction(usec: number): string {
  let digits = MICROS + usec;
  while (digits % 10 === 0) digits /= 10;
  return String(digits).slice(1);
}
