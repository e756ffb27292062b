/**
 * What the scaler remembers, as the state file holds it: JSON with wall times in milliseconds, since monotonic time does not
 * outlive the process. Its keys are the properties of the schemas: `highTicks` is `high_ticks`.
 */
import { z } from "zod";
import { splitCloneName } from "../../fleet/groups.ts";
import type { FleetSnapshot, UnheardVm, VmRecord } from "../../fleet/types.ts";
import { pinsOf } from "../../fleet/vm.ts";
import { messageOf } from "../../systemError.ts";
import { formatName, pathText, tryParseName } from "../../wire/names.ts";
import { NOTHING_IN_A_ROW } from "../rules/cloneChanges.ts";
import {
  cloneId,
  count,
  type GroupKey,
  groupKey,
  type KeptState,
  keptState,
  label,
  type RememberedGroup,
  wallMs,
} from "../rules/types.ts";
import {
  ageMs,
  type Bases,
  type ExpectedMember,
  type FleetBefore,
  groupOfVm,
  MISSED_TICKS_UNTIL_GONE,
  NO_BASES,
  type Reading,
  vmKey,
  windowStart,
} from "../sources/fleet.ts";

const VERSION = 2;
/** An older file tells nothing of what has to happen in a row. */
const FRESH_INTERVALS = 2;

const groupSchema = z.object({
  host: z.string().min(1),
  path: z.string(),
  group: label,
  ...keptState,
  /** what `Transitions` knows of it: the last hold, so that its repeats stay repeats */
  lastHold: z.string().max(200).nullable(),
});

const memberSchema = z.object({
  host: z.string().min(1),
  name: z.string().transform((text, context) => {
    const name = tryParseName(text);
    if (name !== null && name.label !== null && formatName(name) === text) {
      return { path: name.path, label: name.label };
    }
    context.addIssue("not a VM's name");
    return z.NEVER;
  }),
  /** null: only unikernel info has told of it so far */
  heardMs: wallMs.nullable(),
  /** by the age that it had, see `ageMs` */
  firstSeenMs: wallMs,
  startSeen: z.boolean().default(false),
  cpus: z.int().min(1).nullable(),
  cpuids: z.string().regex(/^(-?\d+(,-?\d+)*)?$/, "no CPU numbers with commas between"),
  startedMs: wallMs.nullable(),
  listed: z.boolean(),
  missedInfos: count,
  unlistedPolls: count,
  /** where the window of its next rate begins; null where its CPU time is unusable */
  base: z.object({ atMs: wallMs, cpuUs: count }).nullable(),
  missedTicks: count,
});

const fileSchema = z.object({
  version: z.literal(VERSION),
  /** when the tick was that left this state */
  timeMs: wallMs,
  /** the targets; a file of an earlier program does not tell them */
  hosts: z
    .array(
      z.object({
        host: z.string(),
        endpoint: z.string(),
        infoMs: wallMs.nullable().default(null),
      }),
    )
    .default([]),
  groups: z.array(groupSchema),
  members: z.array(memberSchema),
});

/** What version 1 says otherwise than version 2. */
const groupOfVersion1 = z
  .looseObject({
    outstanding: z.looseObject({ decision: z.unknown(), cloneId }).nullable(),
    madeHere: z.array(cloneId),
    knownClones: z.array(cloneId).nullable(),
    outOfBounds: z.unknown(),
  })
  .transform(({ outstanding, madeHere, outOfBounds, ...group }) => {
    const isUp = outstanding?.decision === "scale_up";
    const clonesThen = group.knownClones ?? (outstanding === null || isUp ? [] : [outstanding.cloneId]);
    return {
      ...group,
      outstanding: outstanding && { ...outstanding, step: 1, clonesThen },
      ours: madeHere.map((id) => ({ cloneId: id, goneMs: null })),
      side: outOfBounds,
      row: outOfBounds === null ? 0 : 1,
      flapFactor: 1,
    };
  });
const memberOfVersion1 = z.looseObject({ gone: z.boolean() }).transform(({ gone, ...member }) => {
  return { ...member, cpuids: "", unlistedPolls: 0, missedTicks: gone ? MISSED_TICKS_UNTIL_GONE : 0 };
});
const fileOfVersion1 = z
  .looseObject({ groups: z.array(groupOfVersion1), members: z.array(memberOfVersion1) })
  .transform((file): unknown => ({ ...file, version: VERSION }))
  .pipe(fileSchema);

export type SavedState = z.output<typeof fileSchema>;

/** The text is no state file that this program can read; the message says why. */
export class StateError extends Error {
  override readonly name = "StateError";
}

/** What was saved cannot be told, though it may be in order; the message says why. */
export class UnreadableState extends Error {
  override readonly name = "UnreadableState";
}

/** Throws StateError, or UnreadableState for a later version. Unknown keys are left out. */
export function parseState(text: string): SavedState {
  return parseVersions(text, { [VERSION]: fileSchema, 1: fileOfVersion1 });
}

export const STATE_FILE = { what: "scaler state", parse: parseState };

/** Reads JSON by the schema for its `version`, the highest being this program's. */
export function parseVersions<T>(text: string, schemas: Readonly<Record<number, z.ZodType<T>>>): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new StateError(`not JSON: ${messageOf(error)}`);
  }
  const version = z.object({ version: z.unknown() }).safeParse(json).data?.version;
  const newest = Math.max(...Object.keys(schemas).map(Number));
  if (Number.isInteger(version) && Number(version) > newest) {
    throw new UnreadableState(`version ${version} of a later program; this one reads ${newest}`);
  }
  const schema = typeof version === "number" ? schemas[version] : undefined;
  if (schema === undefined) {
    throw new StateError(`version ${JSON.stringify(version)} where this program reads ${newest}`);
  }
  const result = schema.safeParse(renamedKeys(json));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue?.path.map((step) => snakeCase(String(step))).join(".");
  throw new StateError(`${place || "the whole"}: ${issue?.message ?? "unreadable"}`);
}

/** Throws StateError where there is no end of brackets. */
function renamedKeys(json: unknown): unknown {
  try {
    return renameKeys(json, camelCase);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new StateError("nested too deeply");
  }
}

export function inSnakeCase(value: unknown): unknown {
  return renameKeys(value, snakeCase);
}

function renameKeys(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renameKeys(item, rename));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([key, item]) => [rename(key), renameKeys(item, rename)]));
}

function camelCase(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function snakeCase(property: string): string {
  return property.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A group's state with its times on another clock. */
function onClock(state: KeptState, past: (ms: number) => number, until: (ms: number) => number): KeptState {
  const { outstanding, failures, tombstones, ours } = state;
  const sincePast = <T extends { readonly sinceMs: number }>(one: T | null) =>
    one && { ...one, sinceMs: past(one.sinceMs) };
  const pastOrNone = (ms: number | null) => (ms === null ? null : past(ms));
  return {
    ...state,
    lastActionMs: pastOrNone(state.lastActionMs),
    lastScaleUpMs: pastOrNone(state.lastScaleUpMs),
    lastScaleDownMs: pastOrNone(state.lastScaleDownMs),
    outstanding: sincePast(outstanding),
    failures: { up: sincePast(failures.up), down: sincePast(failures.down) },
    tombstones: tombstones.map(({ cloneId, untilMs }) => ({ cloneId, untilMs: until(untilMs) })),
    ours: ours.map(({ cloneId, goneMs }) => ({ cloneId, goneMs: pastOrNone(goneMs) })),
  };
}

/** Where each target is: a name may come to stand for another host. */
export type Targets = ReadonlyMap<string, string>;

/** What is remembered from a tick on, and what the fleet knows at its end or later. */
export interface StateToSave {
  readonly groups: ReadonlyMap<GroupKey, RememberedGroup>;
  readonly targets: Targets;
  readonly fleet: {
    readonly bases: Bases;
    readonly snapshot: Pick<FleetSnapshot, "nowUs" | "wallMs" | "hosts" | "vms" | "unheard">;
  };
  /** what `Transitions` knows of a group; null for nothing. May be newer than the rest. */
  readonly lastHold: (key: GroupKey) => string | null;
}

/** A few hundred lines at a time: making them never holds the event loop up for long. */
const LINES_PER_PIECE = 250;

/** The state file's text, a piece at a time. Nothing it reads changes meanwhile. */
export function* statePieces({ groups, targets, fleet, lastHold }: StateToSave): Generator<string> {
  const { bases, snapshot } = fleet;
  const wall = (us: number) => Math.round(snapshot.wallMs * 1000 + us - snapshot.nowUs) / 1000;
  const wallOfMs = (ms: number) => wall(ms * 1000);
  const hosts = Array.from(targets, ([host, endpoint]) => {
    const { infoAskedUs = null } = snapshot.hosts.find((known) => known.host === host) ?? {};
    return { host, endpoint, infoMs: infoAskedUs === null ? null : wall(infoAskedUs) };
  });
  const hostsJson = JSON.stringify(inSnakeCase(hosts));
  yield `{"version":${VERSION},"time_ms":${wall(bases.tickUs ?? snapshot.nowUs)},"hosts":${hostsJson},"groups":[`;
  yield* lines(groups.values(), ({ key, host, path, group, state: { action: _, ...state } }): object => {
    return { host, path, group, ...onClock(state, wallOfMs, wallOfMs), lastHold: lastHold(key) };
  });
  yield '],"members":[';
  yield* lines([...snapshot.vms, ...snapshot.unheard], (vm) => {
    return memberToSave(vm, fleet, wall);
  });
  yield "]}\n";
}

function* lines<T>(items: Iterable<T>, toSave: (item: T) => object): Generator<string> {
  let piece = "";
  let count = 0;
  for (const item of items) {
    piece += `${count === 0 ? "\n" : ",\n"}${JSON.stringify(inSnakeCase(toSave(item)))}`;
    if (++count % LINES_PER_PIECE > 0) continue;
    yield piece;
    piece = "";
  }
  yield piece;
}

function memberToSave(
  vm: VmRecord | UnheardVm,
  { bases, snapshot }: StateToSave["fleet"],
  wall: (us: number) => number,
): z.input<typeof memberSchema> {
  const { host, fullName: name, startSeen, startedMs, listed, missedInfos, unlistedPolls } = vm;
  const base = bases.readings.get(groupKey(groupOfVm(vm)))?.find(({ cloneId }) => cloneId === vm.cloneId);
  const heardUs = vm.sample === null ? vm.heardUs : vm.sample.arrivalUs;
  const firstSeenUs = vm.sample === null ? vm.firstSeenUs : snapshot.nowUs - ageMs(vm, snapshot) * 1000;
  const start = vm.sample === null ? base : windowStart(vm, base);
  const { cpus, cpuids } = (vm.sample === null ? vm.pins : pinsOf(vm)) ?? { cpus: null, cpuids: "" };
  return {
    host,
    name,
    heardMs: heardUs === null ? null : wall(heardUs),
    firstSeenMs: wall(firstSeenUs),
    startSeen,
    cpus,
    cpuids,
    startedMs,
    listed,
    missedInfos,
    unlistedPolls,
    base: start ? { atMs: wall(start.arrivalUs), cpuUs: start.cpuUs } : null,
    missedTicks: bases.missedTicks.get(vmKey(vm)) ?? 0,
  };
}

export interface RestoreOptions {
  readonly now: { readonly nowUs: number; readonly wallMs: number };
  readonly pollIntervalMs: number;
  readonly deathTimeoutMs: number;
  readonly targets: Targets;
}

/** `bases.tickUs` is null where too much time has passed for ticks to simply go on. */
export interface Restored extends FleetBefore {
  readonly groups: ReadonlyMap<GroupKey, RememberedGroup>;
  readonly lastHolds: ReadonlyMap<GroupKey, string>;
}

export const NOTHING_RESTORED: Restored = {
  groups: new Map(),
  bases: NO_BASES,
  expected: [],
  infoAskedUs: new Map(),
  lastHolds: new Map(),
};

/**
 * A saved state on this process' clocks. A time that lies in the future counts as now, and no tombstone lasts longer from
 * now than one period. In a file that is of the future itself no time means anything: cooldowns begin now.
 */
export function restoreState(saved: SavedState, options: RestoreOptions): Restored {
  const { now, pollIntervalMs, deathTimeoutMs, targets } = options;
  const hostNow = hostsNow(saved, targets);
  const isFromFuture = saved.timeMs > now.wallMs;
  const monotonicUs = (atMs: number) =>
    isFromFuture ? now.nowUs : now.nowUs - Math.round(Math.max(0, now.wallMs - atMs) * 1000);
  const tickUs = monotonicUs(saved.timeMs);
  const isFresh = !isFromFuture && now.nowUs - tickUs < FRESH_INTERVALS * pollIntervalMs * 1000;
  // times of groups are whole milliseconds
  const pastMs = (atMs: number) => Math.floor(monotonicUs(atMs) / 1000);
  const untilMs = (atMs: number) => {
    const leftMs = Math.min(atMs - now.wallMs, deathTimeoutMs);
    return Math.floor((now.nowUs + Math.round(leftMs * 1000)) / 1000);
  };
  const outdated = isFresh ? {} : { ...NOTHING_IN_A_ROW, knownClones: null };

  const groups = new Map<GroupKey, RememberedGroup>();
  const lastHolds = new Map<GroupKey, string>();
  for (const { host: savedHost, path, group, lastHold, ...state } of saved.groups) {
    const host = hostNow(savedHost);
    if (host === null) continue;
    const key = groupKey({ host, path, group });
    groups.set(key, {
      key,
      host,
      path,
      group,
      state: { ...onClock(state, pastMs, untilMs), action: null, ...outdated },
    });
    if (lastHold !== null) lastHolds.set(key, lastHold);
  }

  const infoAskedUs = new Map<string, number>();
  for (const { host: savedHost, infoMs } of saved.hosts) {
    const host = hostNow(savedHost);
    if (host !== null && infoMs !== null) infoAskedUs.set(host, monotonicUs(infoMs));
  }

  const readings = new Map<GroupKey, Reading[]>();
  const missedTicks = new Map<string, number>();
  const expected: ExpectedMember[] = [];
  for (const member of saved.members) {
    const host = hostNow(member.host);
    if (host === null) continue;
    const { name, base, cpus, cpuids, startedMs, startSeen, listed, missedInfos, unlistedPolls } = member;
    if (base !== null && isFresh) {
      const { primary, cloneId } = splitCloneName(name.label);
      const key = groupKey({ host, path: pathText(name.path), group: primary });
      const ofGroup = readings.get(key) ?? [];
      readings.set(key, ofGroup);
      ofGroup.push({ cloneId, cpuUs: base.cpuUs, arrivalUs: monotonicUs(base.atMs) });
    }
    if (member.missedTicks > 0)
      missedTicks.set(vmKey({ host, fullName: formatName(name) }), member.missedTicks);
    // version 1 does not say when info was asked
    if ((listed || cpus !== null) && !infoAskedUs.has(host)) infoAskedUs.set(host, tickUs);
    const heardUs = member.heardMs === null ? null : monotonicUs(member.heardMs);
    const firstSeenUs = Math.min(heardUs ?? now.nowUs, monotonicUs(member.firstSeenMs));
    const cpuUs = base?.cpuUs ?? null;
    const pins = cpus === null ? null : { cpus, cpuids };
    const known = { startSeen, startedMs, cpuUs, pins, listed, missedInfos, unlistedPolls };
    const isGone = member.missedTicks >= MISSED_TICKS_UNTIL_GONE;
    const isAwaited = heardUs !== null && heardUs > tickUs - pollIntervalMs * 1000 && !isGone;
    expected.push({ host, name, before: { heardUs, firstSeenUs, ...known }, isAwaited });
  }
  const bases = { tickUs: isFresh ? tickUs : null, readings, missedTicks };
  return { groups, bases, expected, infoAskedUs, lastHolds };
}

/** What a target was called that had no name in an earlier program. */
const FORMER_DEFAULT_NAME = "local";

/** The target that stands for a saved host now; null where there is none. */
function hostsNow(saved: SavedState, targets: Targets): (host: string) => string | null {
  const endpoints = new Map(saved.hosts.map(({ host, endpoint }) => [host, endpoint]));
  const [only] = targets.size === 1 ? targets.keys() : [];
  return (host) => {
    const name = !targets.has(host) && host === FORMER_DEFAULT_NAME ? only : host;
    const endpoint = name === undefined ? undefined : targets.get(name);
    if (name === undefined || endpoint === undefined) return null;
    return endpoint === (endpoints.get(host) ?? endpoint) ? name : null;
  };
}
