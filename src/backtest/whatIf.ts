/** `backtest --what-if`: the groups of a trace as they would have been under each variant, beside what they were. */
import type { ScalerConfig } from "../config/scaler.ts";
import { policyLookup } from "../scaler/rules/tick.ts";
import { type GroupKey, type GroupName, groupKey } from "../scaler/rules/types.ts";
import { asksForLoad } from "../scaler/sources/promql.ts";
import type { TraceEvent } from "../trace/reader.ts";
import { type DemandStep, HostDemand } from "./demand.ts";
import { aligned, nameOf, printable } from "./output.ts";
import { Meter, ownRules, Player } from "./player.ts";
import { settingsOf, type Variant } from "./variants.ts";

export interface WhatIfFlags {
  /** from its decision until a clone bears load */
  readonly startDelayMs: number;
  /** a file for the plot */
  readonly plot: string | null;
}

/** What came of one group, or in `total` of all: sums, but the most clones that one of them had. */
export interface PlayedRow {
  readonly host: string | null;
  readonly path: string | null;
  readonly group: string | null;
  /** no less was needed than the members that bore load could give */
  readonly saturated_minutes: number;
  /** more was needed than the up threshold of that */
  readonly overload_minutes: number;
  readonly clone_hours: number;
  readonly actions: number;
  readonly reversals: number;
  readonly most_clones: number;
}

interface Rows {
  readonly rows: readonly PlayedRow[];
  readonly total: PlayedRow;
}

export interface WhatIfJson {
  readonly groups: readonly GroupName[];
  readonly variants: readonly (Pick<Variant, "set"> & Rows)[];
  readonly recorded: Rows;
}

/** A group's demand over time, to draw: points of CPUs that hold until their time, null where nothing is known. */
export class Curve {
  readonly #most: number;
  points: [untilMs: number, cpus: number | null][] = [];
  /** points that one stands for */
  #per = 1;
  #gathered = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Of points that are too many the higher of two neighbours stays. */
  push(fromMs: number, untilMs: number, cpus: number | null): void {
    if (this.points.length === 0) this.points.push([fromMs, cpus]);
    const last = this.points.at(-1);
    if (this.#gathered > 0 && last !== undefined) {
      last[0] = untilMs;
      last[1] = higher(last[1], cpus);
    } else this.points.push([untilMs, cpus]);
    this.#gathered = (this.#gathered + 1) % this.#per;
    if (this.points.length <= this.#most) return;
    const halves = this.points;
    this.points = [];
    for (let i = 0; i < halves.length; i += 2) {
      const [a, b = a] = [halves[i], halves[i + 1]];
      if (a !== undefined && b !== undefined) this.points.push([b[0], higher(a[1], b[1])]);
    }
    this.#per *= 2;
    this.#gathered = 0;
  }
}

function higher(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.max(a, b);
}

/** More points than pixels show nothing. */
const CURVE_POINTS = 1_000;

/** What really happened to a group. */
interface Recorded {
  readonly name: GroupName;
  /** its demand is a query's answer and no CPU usage, which ends at 100 % */
  readonly hasLoad: boolean;
  readonly meter: Meter;
  readonly upThresholdPercent: number;
  /** null when there is nothing to draw */
  readonly demand: Curve | null;
  cloneIds: readonly number[] | null;
  /** clones that the last round did not have, and when it began */
  unheardIds: readonly number[];
  unheardFromMs: number;
}

interface PlayedHost {
  readonly demand: HostDemand;
  players: readonly Player[];
  /** until when it is played; null before its first samples */
  nowMs: number | null;
  readonly recorded: Map<GroupKey, Recorded>;
}

/** One group of one history, as the plot draws it. */
export interface Drawn extends Pick<Recorded, "name" | "hasLoad"> {
  readonly demand: Curve["points"];
  /** the recorded one, then each variant's */
  readonly histories: readonly { readonly title: string; readonly meter: Meter }[];
}

/** Reads what the groups needed and plays every variant with it. */
export class WhatIf {
  readonly #base: ScalerConfig;
  readonly #variants: readonly Variant[];
  readonly #flags: WhatIfFlags;
  readonly #hosts = new Map<string, PlayedHost>();
  readonly #policyOf: ReturnType<typeof policyLookup>;
  readonly #withoutLoad = new Set<string>();
  #startMs: number | null = null;
  #lastMs = 0;
  samples = 0;

  /** The recorded history is judged by the thresholds of `base`. */
  constructor(base: ScalerConfig, variants: readonly Variant[], flags: WhatIfFlags) {
    this.#base = base;
    this.#policyOf = policyLookup(base);
    this.#variants = variants;
    this.#flags = flags;
  }

  /** Takes in the next event of the trace. */
  take(event: TraceEvent): void {
    if (event.kind === "tick") return;
    if (event.kind === "sample") {
      this.#startMs ??= event.timeMs;
      this.#lastMs = event.timeMs;
      this.samples += 1;
    }
    if (event.kind === "load") this.#withoutLoad.delete(nameOf(event));
    this.#host(event.host).demand.take(event);
  }

  /** Plays to the trace's end. */
  end(): void {
    for (const { demand } of this.#hosts.values()) demand.end();
  }

  /** Groups that were left out: the trace has no answer of their load, not even later. */
  get withoutLoad(): readonly string[] {
    return [...this.#withoutLoad];
  }

  json(): WhatIfJson {
    const recorded = this.#recorded();
    const histories = this.#histories();
    const rowsOf = (meters: ReadonlyMap<GroupKey, Meter>): Rows => {
      const total = new Meter();
      const rows = recorded.map(([key, { name }]) => {
        const meter = meters.get(key) ?? new Meter();
        total.add(meter);
        return played(name, meter);
      });
      return { rows, total: played({ host: null, path: null, group: null }, total) };
    };
    return {
      groups: recorded.map(([, { name }]) => name),
      variants: this.#variants.map(({ set }, i) => ({ set, ...rowsOf(histories[i] ?? new Map()) })),
      recorded: rowsOf(new Map(recorded.map(([key, { meter }]) => [key, meter]))),
    };
  }

  /** For people: a table for each group, one for all, and what is not known. */
  table(): string {
    const { groups, variants, recorded } = this.json();
    const period = [this.#startMs ?? 0, this.#lastMs].map((ms) => new Date(ms).toISOString()).join(" to ");
    const tables = groups.map((name, i) =>
      tableOf(
        `${nameOf(name)}${this.#whyUnscaled(name)}`,
        recorded.rows[i],
        variants.map(({ set, rows }) => [set, rows[i]]),
      ),
    );
    if (groups.length !== 1) {
      const totals = variants.map(({ set, total }) => [set, total] as const);
      tables.push(tableOf("all groups", recorded.total, totals));
    }
    const byCpu = this.#recorded().filter(([, { hasLoad }]) => !hasLoad);
    const fullMs = byCpu.reduce((sum, [, { meter }]) => sum + meter.saturatedMs, 0);
    const unknown = unknowns(groups.length > 0 && byCpu.length === 0 ? null : fullMs / 60_000);
    return [`${period}, ${this.samples} samples\n`, ...tables, unknown].join("\n");
  }

  /** What a plot shows of each group. */
  drawn(): readonly Drawn[] {
    const histories = this.#histories();
    return this.#recorded().map(([key, { name, hasLoad, meter, demand }]) => ({
      name,
      hasLoad,
      demand: demand?.points ?? [],
      histories: [
        { title: "recorded", meter },
        ...this.#variants.map(({ set }, i) => ({
          title: settingsOf(set).join(" ") || "as configured",
          meter: histories[i]?.get(key) ?? new Meter(),
        })),
      ],
    }));
  }

  /** Why a group keeps the clones that it begins with, whatever the variant; nothing where one may scale it. */
  #whyUnscaled(name: GroupName): string {
    const whys = this.#variants.map(({ config }) => {
      const policy = policyLookup(config)(name);
      if (policy === null) return "no policy";
      if (!policy.enabled) return "disabled";
      return policy.paused ? "paused" : null;
    });
    const [why = null, ...others] = new Set(whys);
    return why === null || others.length > 0 ? "" : `, ${why}: its clones stay as they began`;
  }

  #host(host: string): PlayedHost {
    const known = this.#hosts.get(host);
    if (known !== undefined) return known;
    const demand = new HostDemand({
      config: this.#base,
      policyOf: this.#policyOf,
      onStep: (step) => this.#play(played, step),
      onWithoutLoad: (group) => this.#withoutLoad.add(nameOf(group)),
    });
    const played: PlayedHost = { demand, players: [], nowMs: null, recorded: new Map() };
    this.#hosts.set(host, played);
    return played;
  }

  #play(host: PlayedHost, { untilMs, loads }: DemandStep): void {
    const startMs = this.#startMs ?? untilMs;
    if (host.nowMs === null) {
      const { startDelayMs } = this.#flags;
      host.players = this.#variants.map(
        ({ config }) => new Player({ decider: ownRules(config), startMs, startDelayMs }),
      );
    }
    const fromMs = host.nowMs ?? startMs;
    host.nowMs = untilMs;
    for (const player of host.players) player.play(untilMs, loads);
    const unknown = new Set(host.recorded.keys());
    for (const load of loads) {
      const group = this.#recordedGroup(host, load);
      unknown.delete(groupKey(load));
      group.demand?.push(fromMs, untilMs, load.demand);
      const { demand, capacity, cloneIds } = load;
      const before = group.cloneIds ?? cloneIds;
      const came = cloneIds.filter((id) => !before.includes(id));
      const unheard = before.filter((id) => !cloneIds.includes(id));
      // a sample that is lost is no clone that went
      const went = unheard.filter((id) => group.unheardIds.includes(id));
      if (went.length > 0) group.meter.act(group.unheardFromMs, -went.length);
      if (came.length > 0) group.meter.act(fromMs, came.length);
      group.cloneIds = [...cloneIds, ...unheard.filter((id) => !went.includes(id))];
      group.unheardIds = unheard;
      group.unheardFromMs = fromMs;
      const clones = cloneIds.length;
      group.meter.pass(fromMs, untilMs, { demand, capacity, clones }, group.upThresholdPercent);
    }
    for (const key of unknown) host.recorded.get(key)?.demand?.push(fromMs, untilMs, null);
  }

  #recordedGroup(host: PlayedHost, { host: hostName, path, group }: GroupName): Recorded {
    const name = { host: hostName, path, group };
    const key = groupKey(name);
    const known = host.recorded.get(key);
    if (known !== undefined) return known;
    const policy = this.#policyOf(name);
    const recorded: Recorded = {
      name,
      hasLoad: asksForLoad(policy),
      meter: new Meter(),
      upThresholdPercent: (policy ?? this.#base.defaults).scaleUpThresholdPercent,
      demand: this.#flags.plot === null ? null : new Curve(CURVE_POINTS),
      ...{ cloneIds: null, unheardIds: [], unheardFromMs: 0 },
    };
    host.recorded.set(key, recorded);
    return recorded;
  }

  /** All groups that anything is known of, in order of host, path and name. */
  #recorded(): (readonly [GroupKey, Recorded])[] {
    const groups = [...this.#hosts.values()].flatMap(({ recorded }) => [...recorded]);
    return groups.sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** Of each variant, what came of its groups. */
  #histories(): ReadonlyMap<GroupKey, Meter>[] {
    const hosts = [...this.#hosts.values()];
    return this.#variants.map(
      (_, i) => new Map(hosts.flatMap(({ players }) => [...(players[i]?.meters() ?? [])])),
    );
  }
}

function played({ host, path, group }: Pick<PlayedRow, "host" | "path" | "group">, meter: Meter): PlayedRow {
  return {
    ...{ host, path, group },
    saturated_minutes: rounded(meter.saturatedMs / 60_000, 2),
    overload_minutes: rounded(meter.overloadMs / 60_000, 2),
    clone_hours: rounded(meter.cloneMs / 3_600_000, 4),
    actions: meter.actions,
    reversals: meter.reversals,
    most_clones: meter.mostClones,
  };
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

const TITLES = ["saturated min", "overload min", "clone-hours", "actions", "reversals", "most clones"];

function tableOf(
  title: string,
  recorded: PlayedRow | undefined,
  variants: readonly (readonly [Variant["set"], PlayedRow | undefined])[],
): string {
  const figures = (of: PlayedRow | undefined) =>
    of === undefined
      ? []
      : [
          of.saturated_minutes.toFixed(1),
          of.overload_minutes.toFixed(1),
          of.clone_hours.toFixed(2),
          ...[of.actions, of.reversals, of.most_clones].map(String),
        ];
  const lines = [
    ["", ...TITLES],
    ["recorded", ...figures(recorded)],
    ...variants.flatMap(([set, of]) => {
      // a setting a line, so that the table stays narrow
      const [first = "as configured", ...more] = settingsOf(set);
      return [[first, ...figures(of)], ...more.map((setting) => [`  ${setting}`])];
    }),
  ];
  return `${printable(title).replaceAll(/.{110}(?=.)/gu, "$&\n  ")}\n${aligned(lines)}`;
}

/** `minutes` in which CPU usage hid what was needed; null where all demand is a query's answer. */
function unknowns(minutes: number | null): string {
  if (minutes === null)
    return `Not known: memory and connections that a clone takes along; how slow caches make a clone that has just started.
`;
  return `Not known: what was needed while all members of a group were at 100 % (${minutes.toFixed(1)} minutes here; it counts as
100 %); memory and connections that a clone takes along; how slow caches make a clone that has just started.
`;
}
