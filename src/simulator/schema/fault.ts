import type { z } from "zod";
import { duration, field, integer, oneOf, rule, section } from "../../config/fields.ts";
import { formatName } from "../../wire/names.ts";
import { type Fault, type FaultType, MOMENTARY_FAULTS } from "../faults.ts";
import { slotName, vmName } from "./readers.ts";

/** Beside `type` and, for those that last, `for`. */
const KEYS: Record<FaultType, readonly ("slot" | "bytes" | "announced" | "vm" | "every")[]> = {
  garbage: ["slot", "bytes"],
  frame_length: ["slot", "announced"],
  undecodable: ["slot"],
  unknown_data: ["slot"],
  half_frame: ["slot"],
  close: ["slot"],
  forget: [],
  stall: ["slot"],
  silent: [],
  no_reply: [],
  stat_gone: [],
  device_name: ["vm"],
  rival: ["slot", "every"],
  vmmd_gone: [],
  vmmd_close: [],
  vmmd_no_reply: [],
  vmmd_garbage: [],
  vmmd_unreadable: [],
};

const TYPES = Object.keys(KEYS) as FaultType[];
const MAX_GARBAGE_BYTES = 16 * 2 ** 20;
const TWO_GB = 2 ** 31 - 1;

interface Keys {
  readonly type: FaultType;
  readonly slot?: string | undefined;
  readonly bytes?: number | undefined;
  readonly announced?: number | undefined;
  readonly vm?: string | undefined;
  readonly every?: number | undefined;
  readonly for?: number | undefined;
}

/** A fault, and for how long it lasts (null: until the end). */
export const misbehaviour: z.ZodType<{ fault: Fault; forMs: number | null }, unknown> = section({
  type: field(oneOf(TYPES)),
  slot: field(slotName).optional(),
  bytes: field(integer({ min: 1, max: MAX_GARBAGE_BYTES })).optional(),
  announced: field(integer({ min: -(2 ** 31), max: TWO_GB })).optional(),
  vm: field(vmName).transform(formatName).optional(),
  every: field(duration({ min: 10 })).optional(),
  for: field(duration({ min: 1 })).optional(),
})
  .check(
    rule<Keys>(["type"], (keys, report) => {
      const allowed: string[] = [...KEYS[keys.type], ...(MOMENTARY_FAULTS.has(keys.type) ? [] : ["for"])];
      for (const [key, value] of Object.entries(keys)) {
        if (key === "type" || value === undefined || allowed.includes(key) || !isFaultKey(key)) continue;
        const rest = allowed.length === 0 ? "no other key" : allowed.join(", ");
        report([key], `has no meaning for ${keys.type}; allowed beside type: ${rest}`);
      }
    }),
  )
  .transform((keys: Keys) => ({ fault: faultOf(keys), forMs: keys.for ?? null }));

function isFaultKey(key: string): boolean {
  return key === "for" || Object.values(KEYS).some((keys) => (keys as readonly string[]).includes(key));
}

function faultOf({
  type,
  slot = null,
  bytes = 64,
  announced = TWO_GB,
  vm = null,
  every = null,
}: Nullable<Keys>): Fault {
  switch (type) {
    case "garbage":
      return { type, slot, bytes };
    case "frame_length":
      return { type, slot, announced };
    case "undecodable":
    case "unknown_data":
    case "half_frame":
    case "close":
    case "stall":
      return { type, slot };
    case "device_name":
      return { type, vm };
    case "rival":
      return { type, slot: slot ?? ":", everyMs: every };
    default:
      return { type };
  }
}

type Nullable<T> = { readonly [K in keyof T]: K extends "type" | "bytes" | "announced" ? T[K] : T[K] | null };
