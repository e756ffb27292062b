/** What a decision becomes: what to create or to destroy, or why not. Pure. */
import { type CloneSettings, ID_PLACEHOLDER } from "../../config/clone.ts";
import type { NewUnikernel, Policy, UnikernelInfo } from "../../wire/messages.ts";
import { formatName, type Name, parseName, subscriptionPlace } from "../../wire/names.ts";
import type { Ending } from "./record.ts";

/** Which unikernel runs by a name, as far as info tells it from others. */
export interface Identity {
  readonly startedMs: number | null;
  readonly digest: string;
}

/** A scale-up, and what albatrossd has answered about it. */
export interface CreateQuestion {
  /** the group's path: `user:sub`, empty at the root */
  readonly path: string;
  readonly group: string;
  readonly cloneId: number;
  readonly settings: CloneSettings;
  /** what the target is subscribed to */
  readonly subscribe: readonly string[];
  /** with arguments; null where nothing runs by that name */
  readonly primary: UnikernelInfo | null;
  readonly clone: UnikernelInfo | null;
  /** of exactly the group's path; null where it has none */
  readonly policy: Policy | null;
  /** how many VMs of the host are pinned to each cpuid */
  readonly pinned: ReadonlyMap<string, number>;
  /** the image of the plan that this one is to confirm */
  readonly digestBefore: string | null;
}

/** A network device of a clone: what a load balancer may know it by. */
export interface CloneBridge {
  readonly device: string;
  readonly bridge: string;
  readonly mac: string;
}

export interface CreatePlan {
  readonly name: Name;
  readonly unikernel: Omit<NewUnikernel, "compressed">;
  readonly digest: string;
}

/** What to create, or why not. */
export function planCreate(question: CreateQuestion): CreatePlan | Ending {
  const { path, group, cloneId, settings, subscribe, primary, clone, policy, pinned, digestBefore } =
    question;
  const name = parseName(`${path}:${group}-clone-${cloneId}`);
  const fullName = formatName(name);
  const place = subscriptionPlace(name);
  if (subscribe.some((text) => text.endsWith(":") && subscriptionPlace(parseName(text)) === place)) {
    // it would end albatross-stats at its next tick
    return refused("reserved", `${fullName} is subscribed to as a path`);
  }
  if (primary === null) return refused("no_primary", `${path}:${group} does not run`);
  const why = whyNotCloneable(primary.typ, primary.blockDevices.length, settings.arguments);
  if (why !== null || settings.arguments === null) return refused("not_cloneable", `${why}`);
  if (clone !== null) return refused("exists", `${fullName} runs already`);
  const { digest } = identityOf(primary);
  if (digestBefore !== null && digest !== digestBefore)
    return refused("changed", `${path}:${group} runs another image than before`);
  const { startup, failBehaviour, numcpus, linuxBootPartition, bridges } = primary;
  return {
    name,
    digest,
    unikernel: {
      typ: primary.typ,
      startup,
      addName: true,
      failBehaviour,
      cpuids: settings.cpuids ?? leastUsed(policy?.cpuids ?? [], Number(numcpus), pinned) ?? primary.cpuids,
      memory: settings.memoryBytes === null ? primary.memory : settings.memoryBytes / 2 ** 20,
      blockDevices: [],
      bridges: bridges.map(({ unikernelDevice, hostDevice }) => ({
        name: unikernelDevice,
        bridge: hostDevice,
        mac: null,
      })),
      argv: argumentsOf(primary.argv ?? [], settings.arguments, cloneId),
      numcpus,
      linuxBootPartition,
    },
  };
}

export interface DestroyPlan {
  readonly identity: Identity;
  readonly bridges: readonly CloneBridge[];
}

/** What to destroy, or why not; `before` is who it was in the plan to be confirmed. */
export function planDestroy(
  name: Name,
  victim: UnikernelInfo | null,
  before: Identity | null = null,
): DestroyPlan | Ending {
  if (victim === null) {
    const text = "it was not there any more: nothing was sent";
    return { outcome: "verified", reason: "already_gone", text };
  }
  const identity = identityOf(victim);
  if (before !== null && !isSame(identity, before))
    return refused("changed", `${formatName(name)} is another unikernel than the one that was to go`);
  return { identity, bridges: bridgesOf(victim) };
}

export function bridgesOf({ bridges }: Pick<UnikernelInfo, "bridges">): readonly CloneBridge[] {
  return bridges.map(({ unikernelDevice, hostDevice, mac }) => ({
    device: unikernelDevice,
    bridge: hostDevice,
    mac,
  }));
}

export function identityOf({ startedMs, digest }: UnikernelInfo): Identity {
  return { startedMs, digest: Buffer.from(digest).toString("hex") };
}

export function isSame(one: Identity, other: Identity): boolean {
  return one.startedMs === other.startedMs && one.digest === other.digest;
}

/** Why no clone can be made of such a unikernel; null where nothing speaks against it. */
export function whyNotCloneable(
  type: UnikernelInfo["typ"],
  blockDevices: number,
  given: readonly string[] | null,
): string | null {
  if (type === "bhyve") return "the primary is a bhyve VM, of which albatrossd has no image";
  if (blockDevices > 0) return "the primary has block devices, which two unikernels cannot share";
  if (given === null) return "its policy does not say clone.arguments";
  return null;
}

/** How many VMs are pinned to each cpuid, from what info lists: `0,2,5`. */
export function pinnedVms(vms: Iterable<{ readonly cpuids: string }>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { cpuids } of vms) {
    for (const cpuid of cpuids.split(",")) counts.set(cpuid, (counts.get(cpuid) ?? 0) + 1);
  }
  return counts;
}

/** So many of these cpuids, the least pinned to first; null where there is none. */
function leastUsed(
  cpuids: Policy["cpuids"],
  count: number,
  pinned: ReadonlyMap<string, number>,
): Policy["cpuids"] | null {
  const vmsOn = (cpuid: Policy["cpuids"][number]) => pinned.get(String(cpuid)) ?? 0;
  const byUse = [...cpuids].sort((a, b) => vmsOn(a) - vmsOn(b) || Number(a) - Number(b));
  return byUse.length === 0 ? null : byUse.slice(0, Math.max(1, count));
}

/**
 * The primary's arguments with those of the configuration: each takes the place of all that have its flag, or is added.
 * albatrossd gives the name itself, and a unikernel that gets it twice does not start.
 */
function argumentsOf(
  inherited: readonly string[],
  given: readonly string[],
  cloneId: number,
): readonly string[] | null {
  const end = inherited.indexOf("--");
  const [options, rest] = end === -1 ? [inherited, []] : [inherited.slice(0, end), inherited.slice(end)];
  const filled = given.map((text) =>
    text.replace(ID_PLACEHOLDER, (_, more: string | undefined) => String(cloneId + Number(more ?? 0))),
  );
  const replacing = new Map<string, string[]>();
  for (const { flag, words } of flagsOf(filled))
    replacing.set(flag, [...(replacing.get(flag) ?? []), ...words]);
  const kept = flagsOf(options).flatMap(({ flag, words }) => {
    if (flag === "--name") return [];
    const own = flag === "" ? undefined : replacing.get(flag);
    if (own === undefined) return words;
    // the next of the same flag gives way to nothing
    replacing.set(flag, []);
    return own;
  });
  const all = [...kept, ...[...replacing.values()].flat(), ...rest];
  return all.length === 0 ? null : all;
}

/** `--flag=value` and `--flag value` by their flag, which is empty for what follows none. */
function flagsOf(words: readonly string[]): { readonly flag: string; readonly words: string[] }[] {
  const found: { flag: string; words: string[]; takesValue: boolean }[] = [];
  for (const word of words) {
    const last = found.at(-1);
    // cmdliner's rule, which MirageOS' arguments are read by
    const isFlag = word.startsWith("-") && word.length > 1;
    if (!isFlag && last?.takesValue) {
      last.words.push(word);
      last.takesValue = false;
      continue;
    }
    const [flag = ""] = isFlag ? word.split("=") : [];
    found.push({ flag, words: [word], takesValue: isFlag && !word.includes("=") });
  }
  return found;
}

function refused(reason: Extract<Ending, { outcome: "refused" }>["reason"], text: string): Ending {
  return { outcome: "refused", reason, text };
}
