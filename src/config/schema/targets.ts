import { resolve } from "node:path";
import { z } from "zod";
import { type Name, parseName } from "../../wire/names.ts";
import { list, type Report } from "../fields.ts";
import type { Machine } from "../machine.ts";
import type { TargetConfig } from "../types.ts";
import { overlap, overlapText, targetSection } from "./target.ts";

/** The list `targets`, by default this machine's own Albatross. */
export function targetList(machine: Machine): z.ZodType<readonly TargetConfig[], unknown> {
  const target = targetSection(machine);
  const targets = list(target, "targets").check(
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
  return targets.default(() => [target.parse({ name: "local" })]);
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
