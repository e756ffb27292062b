import type { z } from "zod";
import { duration, field, flag, integer, oneOf, rule, section, text } from "../../config/fields.ts";
import { formatName } from "../../wire/names.ts";
import { CONSOLE_FAILED } from "../albatrossd.ts";
import {
  COMMANDS,
  type CommandKind,
  DEATHS,
  type Fault,
  type FaultType,
  MOMENTARY_FAULTS,
} from "../faults.ts";
import { number, slotName, vmName } from "./readers.ts";

/** Which commands a fault of albatrossd meets. */
const FILTER = ["command", "vm", "times", "chance"] as const;

/** Beside `type` and, for those that last, `for`. */
const KEYS: Record<FaultType, readonly Exclude<keyof Keys, "type" | "for">[]> = {
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
  vmmd_unreadable: [],
  console_gone: [],
  vmmd_close: ["carried_out", ...FILTER],
  vmmd_no_reply: ["carried_out", ...FILTER],
  vmmd_garbage: ["carried_out", ...FILTER],
  vmmd_die: ["when", ...FILTER],
  vmmd_slow: ["every", "bytes", ...FILTER],
  vmmd_fail: ["text", ...FILTER],
  vmmd_ignore_term: FILTER,
  vmmd_exit: FILTER,
  tls_slow: ["every"],
  tls_no_reply: [],
  tls_close: [],
  tls_gone: [],
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
  readonly command?: CommandKind | undefined;
  readonly times?: number | undefined;
  readonly chance?: number | undefined;
  readonly carried_out?: boolean | undefined;
  readonly when?: (typeof DEATHS)[number] | undefined;
  readonly text?: string | undefined;
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
  command: field(oneOf(COMMANDS)).optional(),
  times: field(integer({ min: 1, max: 1_000_000 })).optional(),
  chance: field(number({ min: 0, max: 100, what: "percent: a number" })).optional(),
  carried_out: field(flag).optional(),
  when: field(oneOf(DEATHS)).optional(),
  text: field(text({ what: "albatrossd's words", maxLength: 10_000 })).optional(),
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

function faultOf(keys: Keys): Fault {
  const {
    type,
    slot = null,
    vm = null,
    every = null,
    bytes,
    command = null,
    times = null,
    chance = null,
  } = keys;
  const filter = { command, vm, times, chance };
  switch (type) {
    case "garbage":
      return { type, slot, bytes: bytes ?? 64 };
    case "frame_length":
      return { type, slot, announced: keys.announced ?? TWO_GB };
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
    case "vmmd_close":
    case "vmmd_no_reply":
    case "vmmd_garbage":
      return { type, carriedOut: keys.carried_out ?? false, ...filter };
    case "vmmd_die":
      return { type, when: keys.when ?? "received", ...filter };
    case "vmmd_slow":
      return { type, everyMs: every ?? 1_000, bytes: bytes ?? null, ...filter };
    case "vmmd_fail":
      return { type, text: keys.text ?? CONSOLE_FAILED, ...filter };
    case "tls_slow":
      return { type, everyMs: every ?? 1_000 };
    case "vmmd_ignore_term":
    case "vmmd_exit":
      return { type, ...filter };
    default:
      return { type };
  }
}
