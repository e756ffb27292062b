import type { z } from "zod";
import { WireError } from "../../wire/errors.ts";
import { formatName, type Name, parseName, subscriptionCovers, subscriptionPlace } from "../../wire/names.ts";
import {
  duration,
  field,
  flag,
  list,
  oneOf,
  type Reader,
  Refused,
  rule,
  section,
  size,
  text,
} from "../fields.ts";
import { defaultSocketDir, type Machine } from "../machine.ts";
import type { TargetConfig, TargetOs } from "../types.ts";

const SLOTS =
  'slots such as ":" (everything), "user:" (one path) or "user:web" (one unikernel), of labels of 1 to 63 of a-z, 0-9, "." and "-"';

/** A slot in Albatross' own form. */
const slot: Reader<string> = (value) => {
  if (typeof value !== "string") return new Refused(SLOTS);
  try {
    return formatName(parseName(value));
  } catch (error) {
    if (error instanceof WireError) return new Refused(SLOTS);
    throw error;
  }
};

const statsInterval: Reader<number | "auto"> = (value) => {
  if (value === "auto") return value;
  const ms = duration({ min: 100, max: 86_400_000 })(value);
  return ms instanceof Refused ? new Refused(`auto, or ${ms.allowed}`, ms.found) : ms;
};

const pageSize: Reader<number> = (value) => {
  const isPageSize =
    typeof value === "number" && value >= 512 && value <= 2 ** 22 && Number.isInteger(Math.log2(value));
  return isPageSize
    ? value
    : new Refused("a power of two from 512 to 4194304, in bytes, as getconf PAGESIZE prints it");
};

// A socket's path ends at 103 characters on FreeBSD and 107 on Linux; "/stat.sock" is ten of them.
const SOCKET_DIR_LENGTH = 93;

// A longer frame than 1 GiB would not be statistics or info but an image, which nothing here asks for.
const frameBytes = size({ min: 1024, max: 2 ** 30 });

/** One entry of `targets`. What it leaves out is as on `machine`. */
export function targetSection(machine: Machine): z.ZodType<TargetConfig, unknown> {
  return section({
    name: field(text({ what: "a name for the label host, unique among the targets" })),
    socket_dir: field(
      text({ what: "the directory of stat.sock and vmmd.sock", maxLength: SOCKET_DIR_LENGTH }),
    ).optional(),
    subscribe: list(field(slot), SLOTS).default([":"]),
    stats_interval: field(statsInterval).default("auto"),
    os: field(oneOf<TargetOs>(["linux", "freebsd"])).default(machine.os),
    page_size: field(pageSize).default(machine.pageSizeBytes),
    allow_unchecked_path: field(flag).default(false),
    displaced_retry: field(duration({ min: 1000 })).default(5 * 60_000),
    max_frame_bytes: section({
      stat: field(frameBytes).default(2 ** 20),
      vmmd: field(frameBytes).default(64 * 2 ** 20),
    }),
  })
    .check(
      rule<{ subscribe: readonly string[] }>(["subscribe"], ({ subscribe }, report) => {
        if (subscribe.length === 0) report(["subscribe"], `names no slot; allowed: ${SLOTS}`);
        for (const { index, covered } of overlaps(subscribe)) report(["subscribe", index], covered);
      }),
    )
    .transform((target) => ({
      name: target.name,
      socketDir: target.socket_dir ?? defaultSocketDir(target.os),
      subscribe: target.subscribe,
      statsIntervalMs: target.stats_interval,
      os: target.os,
      pageSizeBytes: target.page_size,
      allowUncheckedPath: target.allow_unchecked_path,
      displacedRetryMs: target.displaced_retry,
      maxFrameBytes: target.max_frame_bytes,
    }));
}

/** Slots of one host that would deliver the same unikernels twice, each with what to say about it. */
function overlaps(slots: readonly string[]): { index: number; covered: string }[] {
  const names = slots.map((text) => parseName(text));
  return names.flatMap((name, index) => {
    const earlier = names.slice(0, index).find((other) => overlap(name, other));
    if (earlier === undefined) return [];
    return [{ index, covered: overlapText(name, earlier) }];
  });
}

export function overlapText(slot: Name, other: Name): string {
  const [text, otherText] = [formatName(slot), formatName(other)];
  const samePlace = subscriptionPlace(slot) === subscriptionPlace(other);
  if (text !== otherText && samePlace) {
    return `slot "${text}" overlaps "${otherText}": albatross-stats keeps one subscriber for both; allowed: one of them`;
  }
  const what = samePlace ? `slot "${text}" is there twice` : `slot "${text}" overlaps "${otherText}"`;
  return `${what}; allowed: slots that share no unikernel (":" holds every other, "user:" holds "user:web" and "user:sub:")`;
}

/** Would both slots deliver some unikernel, or push each other out? */
export function overlap(a: Name, b: Name): boolean {
  return (
    subscriptionCovers(a, b) || subscriptionCovers(b, a) || subscriptionPlace(a) === subscriptionPlace(b)
  );
}
