/**
 * What the scaler remembers, as the state file holds it: JSON with wall times in milliseconds (fractions are
 * microseconds), since monotonic time does not outlive the process. Keys are spelt as in the API.
 */
import { z } from "zod";
import { splitCloneName } from "../../fleet/groups.ts";
import type { FleetSnapshot, UnheardVm, VmIdentity, VmRecord } from "../../fleet/types.ts";
import { formatName, type Name, pathText, tryParseName } from "../../wire/names.ts";
import { type GroupKey, groupKey, type Outstanding, type RememberedGroup } from "../rules/types.ts";
import {
  type Base,
  type Bases,
  type ExpectedMember,
  groupOfVm,
  NO_BASES,
  windowStart,
} from "../sources/fleet.ts";

const VERSION = 1;
/** A file of this many poll intervals is too old for what has to happen in a row: counters, and windows of rates. */
const FRESH_INTERVALS = 2;

const wallMs = z.number().min(-8.64e15).max(8.64e15);
const count = z.int().min(0);
const cloneId = z.int().min(1).max(999_999_999);
const label = z.string().min(1).max(63);
const host = z.string().min(1);
const path = z.string();

function scaleSchema<D extends string, const R extends readonly string[]>(decision: D, reasons: R) {
  return z.strictObject({
    decision: z.literal(decision),
    reason: z.literal(reasons),
    clone: label,
    clone_id: cloneId,
    since_ms: wallMs,
  });
}

const groupSchema = z.strictObject({
  host,
  path,
  group: label,
  high_ticks: count,
  low_ticks: count,
  last_action_ms: wallMs.nullable(),
  outstanding: z
    .discriminatedUnion("decision", [
      scaleSchema("scale_up", ["overloaded", "below_min"]),
      scaleSchema("scale_down", ["underloaded", "above_max"]),
    ])
    .nullable(),
  tombstones: z.array(z.strictObject({ clone_id: cloneId, until_ms: wallMs })),
  made_here: z.array(cloneId),
  known_clones: z.array(cloneId).nullable(),
  out_of_bounds: z.literal(["above", "below"]).nullable(),
  /** what `Transitions` knows of it: the last hold, so that its repeats stay repeats */
  last_hold: z.string().max(200).nullable(),
});

const memberSchema = z.strictObject({
  host,
  /** full name */
  name: z.string().refine((text) => readName(text) !== null, { error: "not a VM's name" }),
  heard_ms: wallMs,
  first_seen_ms: wallMs,
  /** from unikernel info */
  cpus: z.int().min(1).nullable(),
  started_ms: wallMs.nullable(),
  listed: z.boolean(),
  missed_infos: count,
  /** where the window of its next rate begins; null where its CPU time is unusable */
  base: z.strictObject({ at_ms: wallMs, cpu_us: count }).nullable(),
  gone: z.boolean(),
});

const fileSchema = z.strictObject({
  version: z.literal(VERSION),
  /** when the tick was that left this state */
  time_ms: wallMs,
  groups: z.array(groupSchema),
  members: z.array(memberSchema),
});

export type SavedState = z.infer<typeof fileSchema>;
type SavedGroup = z.infer<typeof groupSchema>;
type SavedMember = z.infer<typeof memberSchema>;

/** The text is no state file that this program can read; the message says why. */
export class StateError extends Error {
  override readonly name = "StateError";
}

/** Reads a state file's text. Throws StateError. */
export function parseState(text: string): SavedState {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new StateError(`not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const version = z.object({ version: z.unknown() }).safeParse(json).data?.version;
  if (version !== VERSION) {
    throw new StateError(`version ${JSON.stringify(version)} where this program reads ${VERSION}`);
  }
  const result = fileSchema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new StateError(`${issue?.path.join(".") || "the whole"}: ${issue?.message ?? "unreadable"}`);
}

/** What is remembered from a tick on, and what the fleet knows at its end or later. */
export interface StateToSave {
  readonly groups: ReadonlyMap<GroupKey, RememberedGroup>;
  readonly fleet: {
    readonly bases: Bases;
    readonly snapshot: Pick<FleetSnapshot, "nowUs" | "wallMs" | "vms" | "unheard">;
  };
  /** what `Transitions` knows of a group; null for nothing. May be newer than the rest. */
  readonly lastHold: (key: GroupKey) => string | null;
}

/** A few hundred lines at a time: making them never holds the event loop up for long. */
const LINES_PER_PIECE = 250;

/** The state file's text in pieces, to be made one by one. Nothing it reads changes in the meantime. */
export function* statePieces({ groups, fleet, lastHold }: StateToSave): Generator<string> {
  const { bases, snapshot } = fleet;
  const wall = (us: number) => Math.round(snapshot.wallMs * 1000 + us - snapshot.nowUs) / 1000;
  yield `{"version":${VERSION},"time_ms":${wall(bases.tickUs ?? snapshot.nowUs)},"groups":[`;
  yield* lines(groups, ([key, group]) => groupJson(group, lastHold(key), wall));
  yield '],"members":[';
  const vms = [...snapshot.vms, ...snapshot.unheard];
  yield* lines(vms, (vm) => memberJson(vm, readingOf(vm, bases), wall));
  yield "]}\n";
}

function readingOf(vm: VmIdentity, { readings }: Bases): Base | undefined {
  return readings.get(groupKey(groupOfVm(vm)))?.get(vm.cloneId);
}

function* lines<T>(items: Iterable<T>, toJson: (item: T) => object): Generator<string> {
  let piece = "";
  let separator = "\n";
  let count = 0;
  for (const item of items) {
    piece += separator + JSON.stringify(toJson(item));
    separator = ",\n";
    if (++count % LINES_PER_PIECE > 0) continue;
    yield piece;
    piece = "";
  }
  yield piece;
}

function groupJson(
  { host, path, group, state }: RememberedGroup,
  lastHold: string | null,
  wall: (us: number) => number,
): SavedGroup {
  const wallOf = (ms: number) => wall(ms * 1000);
  return {
    host,
    path,
    group,
    high_ticks: state.highTicks,
    low_ticks: state.lowTicks,
    last_action_ms: state.lastActionMs === null ? null : wallOf(state.lastActionMs),
    outstanding: state.outstanding === null ? null : outstandingJson(state.outstanding, wallOf),
    tombstones: state.tombstones.map((t) => ({ clone_id: t.cloneId, until_ms: wallOf(t.untilMs) })),
    made_here: [...state.madeHere],
    known_clones: state.knownClones === null ? null : [...state.knownClones],
    out_of_bounds: state.outOfBounds,
    last_hold: lastHold,
  };
}

function outstandingJson(
  { cloneId, sinceMs, ...scale }: Outstanding,
  wallOf: (ms: number) => number,
): NonNullable<SavedGroup["outstanding"]> {
  return { ...scale, clone_id: cloneId, since_ms: wallOf(sinceMs) };
}

function memberJson(
  vm: VmRecord | UnheardVm,
  base: Base | undefined,
  wall: (us: number) => number,
): SavedMember {
  const wasHeard = "stats" in vm;
  const start = wasHeard ? windowStart(vm, base) : (base ?? null);
  return {
    host: vm.host,
    name: vm.fullName,
    heard_ms: wall(wasHeard ? vm.arrivalUs : vm.heardUs),
    first_seen_ms: wall(vm.firstSeenUs),
    cpus: wasHeard ? (vm.info?.cpus ?? null) : vm.cpus,
    started_ms: (wasHeard ? vm.info?.startedMs : base?.startedMs) ?? null,
    listed: wasHeard ? vm.listed : vm.listedUs !== null,
    missed_infos: vm.missedInfos,
    base: start === null ? null : { at_ms: wall(start.arrivalUs), cpu_us: start.cpuUs },
    gone: base?.gone ?? false,
  };
}

/** Where a saved state is put to use. */
export interface RestoreOptions {
  /** now, on both clocks */
  readonly now: { readonly nowUs: number; readonly wallMs: number };
  readonly pollIntervalMs: number;
  readonly deathTimeoutMs: number;
  /** Whether the configuration has a target of this name: nothing is expected of others. */
  readonly isTarget: (host: string) => boolean;
}

/** What a saved state is worth now. */
export interface Restored {
  readonly groups: ReadonlyMap<GroupKey, RememberedGroup>;
  /**
   * With the time of the tick after which it was saved, if that is so short a time ago that ticks simply go on: only then
   * do counters count, and windows of rates reach back across the restart.
   */
  readonly bases: Bases;
  /** VMs that were alive */
  readonly expected: readonly ExpectedMember[];
  readonly lastHolds: ReadonlyMap<GroupKey, string>;
}

/** Nothing is known: a fresh start. */
export const NOTHING_RESTORED: Restored = {
  groups: new Map(),
  bases: NO_BASES,
  expected: [],
  lastHolds: new Map(),
};

/**
 * A saved state on this process' clocks. A time that lies in the future counts as now, and no tombstone lasts longer
 * from now than one period: a clock set back lengthens nothing beyond that.
 */
export function restoreState(saved: SavedState, options: RestoreOptions): Restored {
  const { now, pollIntervalMs, deathTimeoutMs, isTarget } = options;
  const monotonicUs = (atMs: number) => now.nowUs - Math.round(Math.max(0, now.wallMs - atMs) * 1000);
  const tickUs = monotonicUs(saved.time_ms);
  const isFresh = now.nowUs - tickUs < FRESH_INTERVALS * pollIntervalMs * 1000;
  // times of groups are whole milliseconds
  const pastMs = (atMs: number) => Math.floor(monotonicUs(atMs) / 1000);
  const untilMs = (atMs: number) => {
    const leftMs = Math.min(atMs - now.wallMs, deathTimeoutMs);
    return Math.floor((now.nowUs + Math.round(leftMs * 1000)) / 1000);
  };

  const groups = new Map<GroupKey, RememberedGroup>();
  const lastHolds = new Map<GroupKey, string>();
  for (const group of saved.groups) {
    const { host, path, outstanding } = group;
    const key = groupKey(group);
    groups.set(key, {
      key,
      host,
      path,
      group: group.group,
      state: {
        highTicks: isFresh ? group.high_ticks : 0,
        lowTicks: isFresh ? group.low_ticks : 0,
        lastActionMs: group.last_action_ms === null ? null : pastMs(group.last_action_ms),
        outstanding: outstanding === null ? null : outstandingOf(outstanding, pastMs),
        tombstones: group.tombstones.map((t) => ({ cloneId: t.clone_id, untilMs: untilMs(t.until_ms) })),
        madeHere: group.made_here,
        knownClones: isFresh ? group.known_clones : null,
        outOfBounds: isFresh ? group.out_of_bounds : null,
      },
    });
    if (group.last_hold !== null) lastHolds.set(key, group.last_hold);
  }

  const readings = new Map<GroupKey, Map<number, Base>>();
  const expected: ExpectedMember[] = [];
  for (const member of saved.members) {
    const { host, base, gone, started_ms: startedMs } = member;
    const name = readName(member.name);
    if (name === null || !isTarget(host)) continue;
    if (base !== null && isFresh) {
      const arrivalUs = monotonicUs(base.at_ms);
      const { primary, cloneId } = splitCloneName(name.label);
      const key = groupKey({ host, path: pathText(name.path), group: primary });
      const ofGroup = readings.get(key) ?? new Map<number, Base>();
      readings.set(key, ofGroup);
      ofGroup.set(cloneId, { cpuUs: base.cpu_us, arrivalUs, incarnation: null, gone, startedMs });
    }
    // where bases do not count, nothing else would tell that it was gone
    if (gone && !isFresh) continue;
    const heardUs = monotonicUs(member.heard_ms);
    const before = {
      heardUs,
      // what it is measured by as long as info does not tell its age again
      firstSeenUs: Math.min(heardUs, monotonicUs(startedMs ?? member.first_seen_ms)),
      cpus: member.cpus,
      listedUs: member.listed ? tickUs : null,
      missedInfos: member.missed_infos,
    };
    const isAwaited = !gone && heardUs > tickUs - pollIntervalMs * 1000;
    expected.push({ host, name, before, isAwaited });
  }
  return { groups, bases: { tickUs: isFresh ? tickUs : null, readings }, expected, lastHolds };
}

function outstandingOf(
  { clone_id: cloneId, since_ms, ...scale }: NonNullable<SavedGroup["outstanding"]>,
  pastMs: (wallMs: number) => number,
): Outstanding {
  return { ...scale, cloneId, sinceMs: pastMs(since_ms) };
}

function readName(text: string): (Name & { readonly label: string }) | null {
  const name = tryParseName(text);
  if (name === null || name.label === null || formatName(name) !== text) return null;
  return { path: name.path, label: name.label };
}
