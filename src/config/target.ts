import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { z } from "zod";
import { WireError } from "../wire/errors.ts";
import { formatName, type Name, parseName, subscriptionCovers, subscriptionPlace } from "../wire/names.ts";
import { duration, flag, oneOf, type Reader, Refused, type Report, reader, size, text } from "./fields.ts";
import { type Key, key, listOf, optional, required, sectionOf, subsection } from "./keys.ts";
import { formatDuration } from "./units.ts";

export type TargetOs = "linux" | "freebsd";

/** What a target's settings default to: this machine, for its sockets are usually this machine's. */
export interface Machine {
  readonly os: TargetOs;
  readonly pageSizeBytes: number;
}

const USUAL_PAGE_SIZE = 4096;
let known: Machine | undefined;

/** The machine this runs on. Asks the system once. */
export function thisMachine(): Machine {
  known ??= { os: process.platform === "freebsd" ? "freebsd" : "linux", pageSizeBytes: systemPageSize() };
  return known;
}

/** Where Albatross puts its sockets: its packages' default for the operating system. */
export function defaultSocketDir(os: TargetOs): string {
  return os === "freebsd" ? "/var/run/albatross/util" : "/run/albatross/util";
}

/** Node does not tell the page size; `getconf`, which POSIX requires, does. */
function systemPageSize(): number {
  try {
    const bytes = Number(
      execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
    );
    return Number.isInteger(bytes) && bytes > 0 ? bytes : USUAL_PAGE_SIZE;
  } catch {
    // A machine without getconf (a minimal container): the usual size, which `page_size` overrides.
    return USUAL_PAGE_SIZE;
  }
}

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

const statsInterval = reader<number | "auto">(
  (value) => {
    if (value === "auto") return value;
    const ms = duration({ min: 100, max: 86_400_000 })(value);
    return ms instanceof Refused ? new Refused(`auto, or ${ms.allowed}`, ms.found) : ms;
  },
  (interval) => (interval === "auto" ? interval : formatDuration(interval)),
);

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

/** One entry of `targets`, one Albatross host. What it leaves out is as on `machine`. */
function targetSection(machine: () => Machine) {
  const section = sectionOf(
    {
      /** Value of the label `host`; unique among the targets. */
      name: required("name", text({ what: "a name for the label host, unique among the targets" })),
      /** Directory that holds stat.sock and vmmd.sock. By default the packages' own for the operating system. */
      socketDir: optional(
        "socket_dir",
        text({ what: "the directory of stat.sock and vmmd.sock", maxLength: SOCKET_DIR_LENGTH }),
      ),
      /** Slots as canonical text: `:`, `user:`, `user:web`, `:web`. None covers another. */
      subscribe: key("subscribe", listOf(slot, SLOTS), [":"]),
      /** `auto` learns the interval from the stream. */
      statsIntervalMs: key("stats_interval", statsInterval, "auto"),
      os: key("os", oneOf<TargetOs>(["linux", "freebsd"]), () => machine().os),
      pageSizeBytes: key("page_size", pageSize, () => machine().pageSizeBytes),
      /** Open a path slot although unikernel info cannot be read to check that it is safe. */
      allowUncheckedPath: key("allow_unchecked_path", flag, false),
      /** How long to leave a slot alone that another client keeps taking. */
      displacedRetryMs: key("displaced_retry", duration({ min: 1000 }), 5 * 60_000),
      maxFrameBytes: subsection(
        "max_frame_bytes",
        sectionOf({ stat: key("stat", frameBytes, 2 ** 20), vmmd: key("vmmd", frameBytes, 64 * 2 ** 20) }),
      ),
    },
    {
      rules: [
        {
          of: ["subscribe"],
          check: ({ subscribe }, report) => {
            if (subscribe.length === 0) report(["subscribe"], `names no slot; allowed: ${SLOTS}`);
            for (const { index, covered } of overlaps(subscribe)) report(["subscribe", index], covered);
          },
        },
      ],
    },
  );
  const schema = section.schema.transform((target) => ({
    ...target,
    socketDir: target.socketDir ?? defaultSocketDir(target.os),
  }));
  return { ...section, schema };
}

export type TargetConfig = z.output<ReturnType<typeof targetSection>["schema"]>;

/** The list `targets`, by default this machine's own Albatross. */
export function targetsKey(machine: () => Machine): Key<readonly TargetConfig[]> {
  const target = targetSection(machine);
  const targets = listOf<TargetConfig>(target, "targets");
  const schema = targets.schema.check(
    z.superRefine<readonly Partial<TargetConfig>[]>(
      (entries, context) => {
        const report: Report = (path, message) =>
          context.addIssue({ code: "custom", path: [...path], message });
        if (entries.length === 0)
          report([], "names no target; allowed: one or more, or no key targets at all");
        checkNames(entries, report);
        checkSharedSockets(entries, report);
      },
      // Also when some entry is wrong: its name, at least, is where it was.
      { when: ({ value }) => Array.isArray(value) && value.every((entry) => typeof entry === "object") },
    ),
  );
  return key("targets", { ...targets, schema }, () => [target.schema.parse({ name: "local" })]);
}

function checkNames(entries: readonly Partial<TargetConfig>[], report: Report): void {
  const first = new Map<string, number>();
  entries.forEach(({ name }, index) => {
    if (typeof name !== "string") return;
    const earlier = first.get(name);
    if (earlier === undefined) first.set(name, index);
    else
      report(
        [index, "name"],
        `${JSON.stringify(name)} is also the name of targets[${earlier}]; allowed: a name of its own`,
      );
  });
}

/** Two targets at one socket directory are one host: their slots would deliver the same unikernels under two names. */
function checkSharedSockets(entries: readonly Partial<TargetConfig>[], report: Report): void {
  entries.forEach((target, index) => {
    for (const [earlierIndex, earlier] of entries.slice(0, index).entries()) {
      if (!isSameDirectory(target.socketDir, earlier.socketDir)) continue;
      const shared = sharedSlots(target, earlier);
      if (shared === undefined) continue;
      report(
        [index, "socket_dir"],
        `is the one of targets[${earlierIndex}] too: ${overlapText(shared.slot, shared.other)}`,
      );
    }
  });
}

/** By their names: `/run/x` and `/run/x/` are one. Whether they exist, or are links, does not matter yet. */
function isSameDirectory(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && b !== undefined && resolve(a) === resolve(b);
}

function sharedSlots(
  a: Partial<TargetConfig>,
  b: Partial<TargetConfig>,
): { slot: Name; other: Name } | undefined {
  const others = (b.subscribe ?? []).map((text) => parseName(text));
  for (const text of a.subscribe ?? []) {
    const slot = parseName(text);
    const other = others.find((candidate) => overlap(slot, candidate));
    if (other !== undefined) return { slot, other };
  }
  return undefined;
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

function overlapText(slot: Name, other: Name): string {
  const [text, otherText] = [formatName(slot), formatName(other)];
  const samePlace = subscriptionPlace(slot) === subscriptionPlace(other);
  if (text !== otherText && samePlace) {
    return `slot "${text}" overlaps "${otherText}": albatross-stats keeps one subscriber for both; allowed: one of them`;
  }
  const what = samePlace ? `slot "${text}" is there twice` : `slot "${text}" overlaps "${otherText}"`;
  return `${what}; allowed: slots that share no unikernel (":" holds every other, "user:" holds "user:web" and "user:sub:")`;
}

/** Would both slots deliver some unikernel, or push each other out? */
function overlap(a: Name, b: Name): boolean {
  return (
    subscriptionCovers(a, b) || subscriptionCovers(b, a) || subscriptionPlace(a) === subscriptionPlace(b)
  );
}
