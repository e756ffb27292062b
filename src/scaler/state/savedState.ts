/**
 * What the scaler remembers, as the state file holds it: JSON with wall times in milliseconds (fractions are
 * microseconds), since monotonic time does not outlive the process. Keys are spelt as in the API.
 */
import { z } from "zod";
import { labelPairs } from "../../exposition/labels.ts";
import type { ExpectedVm, FleetSnapshot, UnheardVm, VmRecord } from "../../fleet/types.ts";
import { formatName, type Name, pathText, tryParseName } from "../../wire/names.ts";
import { type Memory, NO_MEMORY } from "../rules/engine.ts";
import type { RememberedGroup } from "../rules/tick.ts";
import { type GroupKey, type GroupState, groupKey, type Outstanding } from "../rules/types.ts";
import { type Base, windowStart } from "../sources/fleet.ts";

const VERSION = 1;
/** A file of this many poll intervals is too old for what has to happen in a row: counters, and windows of rates. */
const FRESH_INTERVALS = 2;

const wallMs = z.number().min(-8.64e15).max(8.64e15);
const count = z.int().min(0);
const cloneId = z.int().min(1).max(999_999_999);
const label = z.string().min(1).max(63);
const host = z.string().min(1);
const path = z.string();

const outstandingSchema = z
  .discriminatedUnion("decision", [
    z.strictObject({
      decision: z.literal("scale_up"),
      reason: z.literal(["overloaded", "below_min"]),
      clone: label,
      clone_id: cloneId,
      since_ms: wallMs,
    }),
    z.strictObject({
      decision: z.literal("scale_down"),
      reason: z.literal(["underloaded", "above_max"]),
      clone: label,
      clone_id: cloneId,
      since_ms: wallMs,
    }),
  ])
  .nullable();

const groupSchema = z.strictObject({
  host,
  path,
  group: label,
  high_ticks: count,
  low_ticks: count,
  last_action_ms: wallMs.nullable(),
  outstanding: outstandingSchema,
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
  readonly memory: Memory;
  readonly snapshot: Pick<FleetSnapshot, "nowUs" | "wallMs" | "vms" | "unheard">;
  /** what `Transitions` knows of a group; null for nothing. May be newer than the rest. */
  readonly lastHold: (key: GroupKey) => string | null;
}

/** A few hundred lines at a time: making them never holds the event loop up for long. */
const LINES_PER_PIECE = 250;

/** The state file's text in pieces, to be made one by one. Nothing it reads changes in the meantime. */
export function* statePieces({ memory, snapshot, lastHold }: StateToSave): Generator<string> {
  const wall = (us: number) => Math.round(snapshot.wallMs * 1000 + us - snapshot.nowUs) / 1000;
  yield `{"version":${VERSION},"time_ms":${wall(memory.bases.tickUs ?? snapshot.nowUs)},"groups":[`;
  yield* lines(memory.groups, ([key, group]) => groupJson(group, lastHold(key), wall));
  yield '],"members":[';
  const { points } = memory.bases;
  yield* lines([...snapshot.vms, ...snapshot.unheard], (vm) => memberJson(vm, points.get(vm.labels), wall));
  yield "]}\n";
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
  const { outstanding } = state;
  return {
    host,
    path,
    group,
    high_ticks: state.highTicks,
    low_ticks: state.lowTicks,
    last_action_ms: state.lastActionMs === null ? null : wall(state.lastActionMs * 1000),
    outstanding: outstanding === null ? null : outstandingJson(outstanding, wall),
    tombstones: state.tombstones.map((t) => ({ clone_id: t.cloneId, until_ms: wall(t.untilMs * 1000) })),
    made_here: [...state.madeHere],
    known_clones: state.knownClones === null ? null : [...state.knownClones],
    out_of_bounds: state.outOfBounds,
    last_hold: lastHold,
  };
}

function outstandingJson(
  { cloneId, sinceMs, ...scale }: Outstanding,
  wall: (us: number) => number,
): NonNullable<SavedGroup["outstanding"]> {
  return { ...scale, clone_id: cloneId, since_ms: wall(sinceMs * 1000) };
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

export interface ExpectedMember {
  readonly host: string;
  readonly name: Name;
  readonly before: ExpectedVm;
  /** it was heard before the last tick: the others were missing already, or taken for gone */
  readonly isAwaited: boolean;
}

/** What a saved state is worth now. */
export interface Restored {
  readonly memory: Memory;
  /**
   * When the tick was after which it was saved, on the monotonic clock, if that is so short a time ago that ticks simply
   * go on: only then do counters count, and windows of rates reach back across the restart. Else null.
   */
  readonly lastTickUs: number | null;
  /** VMs that were alive, for `Fleet.expect` */
  readonly expected: readonly ExpectedMember[];
  readonly lastHolds: ReadonlyMap<GroupKey, string>;
}

/** Nothing is known: a fresh start. */
export const NOTHING_RESTORED: Restored = {
  memory: NO_MEMORY,
  lastTickUs: null,
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

  const clock: RestoredClock = {
    pastMs: (atMs) => Math.floor(monotonicUs(atMs) / 1000),
    untilMs: (atMs) => {
      const leftMs = Math.min(atMs - now.wallMs, deathTimeoutMs);
      return Math.floor((now.nowUs + Math.round(leftMs * 1000)) / 1000);
    },
  };
  const groups = new Map<GroupKey, RememberedGroup>();
  const lastHolds = new Map<GroupKey, string>();
  for (const group of saved.groups) {
    const key = groupKey(group);
    const { host, path } = group;
    groups.set(key, { host, path, group: group.group, state: groupState(group, isFresh, clock) });
    if (group.last_hold !== null) lastHolds.set(key, group.last_hold);
  }

  const points = new Map<string, Base>();
  const expected: ExpectedMember[] = [];
  for (const member of saved.members) {
    const { host, base, gone } = member;
    const name = readName(member.name);
    if (name === null || !isTarget(host)) continue;
    if (base !== null && isFresh) {
      const arrivalUs = monotonicUs(base.at_ms);
      const startedMs = member.started_ms;
      points.set(labelsOf(host, name), { cpuUs: base.cpu_us, arrivalUs, incarnation: null, gone, startedMs });
    }
    // where bases do not count, nothing else would tell that it was gone
    if (gone && !isFresh) continue;
    const heardUs = monotonicUs(member.heard_ms);
    const isAwaited = !gone && heardUs > tickUs - pollIntervalMs * 1000;
    // what it is measured by as long as info does not tell its age again
    const firstSeenUs = Math.min(heardUs, monotonicUs(member.started_ms ?? member.first_seen_ms));
    const listedUs = member.listed ? tickUs : null;
    const { cpus, missed_infos: missedInfos } = member;
    const before = { heardUs, firstSeenUs, cpus, listedUs, missedInfos };
    expected.push({ host, name, before, isAwaited });
  }
  const lastTickUs = isFresh ? tickUs : null;
  const memory = { groups, bases: { tickUs: lastTickUs, points } };
  return { memory, lastTickUs, expected, lastHolds };
}

/** How saved times become monotonic ones, in whole milliseconds as all times of groups are. */
interface RestoredClock {
  readonly pastMs: (wallMs: number) => number;
  readonly untilMs: (wallMs: number) => number;
}

function groupState(saved: SavedGroup, isFresh: boolean, { pastMs, untilMs }: RestoredClock): GroupState {
  return {
    highTicks: isFresh ? saved.high_ticks : 0,
    lowTicks: isFresh ? saved.low_ticks : 0,
    lastActionMs: saved.last_action_ms === null ? null : pastMs(saved.last_action_ms),
    outstanding: saved.outstanding === null ? null : outstandingOf(saved.outstanding, pastMs),
    tombstones: saved.tombstones.map((t) => ({ cloneId: t.clone_id, untilMs: untilMs(t.until_ms) })),
    madeHere: saved.made_here,
    knownClones: isFresh ? saved.known_clones : null,
    outOfBounds: isFresh ? saved.out_of_bounds : null,
  };
}

function outstandingOf(
  { clone_id: cloneId, since_ms, ...scale }: NonNullable<SavedGroup["outstanding"]>,
  pastMs: (wallMs: number) => number,
): Outstanding {
  return { ...scale, cloneId, sinceMs: pastMs(since_ms) };
}

function readName(text: string): Name | null {
  const name = tryParseName(text);
  return name !== null && name.label !== null && formatName(name) === text ? name : null;
}

function labelsOf(host: string, name: Name): string {
  return labelPairs({ host, path: pathText(name.path), vm: name.label ?? "" });
}
