import type { Int64 } from "./messages.ts";

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/** Seconds are 64-bit and so a string, microseconds an INTEGER. */
export function timevalToJson(seconds: Int64, microseconds: Int64): JsonObject {
  return { sec: String(seconds), usec: integerToJson(microseconds) };
}

/** An INTEGER: a number up to 2^53, a string beyond. (64-bit fields are strings always: use `String`.) */
export function integerToJson(value: Int64): number | string {
  return typeof value === "number" ? value : String(value);
}

export function optionalToJson(value: Int64 | null): number | string | null {
  return value === null ? null : integerToJson(value);
}

export function timeToJson(ms: number): string {
  return new Date(ms).toISOString();
}

export function hexToJson(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
