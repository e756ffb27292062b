import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { Meter } from "../../src/backtest/player.ts";
import { drawPlot } from "../../src/backtest/plot.ts";
import { Curve, type PlayedRow, type WhatIfJson } from "../../src/backtest/whatIf.ts";
import { folder, run, sampleLine, steadyTrace, text, timeAt } from "./run.ts";

const TRACES = fileURLToPath(new URL("../fixtures/wire/traces", import.meta.url));
const REAL = { file: `${TRACES}/real-web.config.yaml`, traces: [`${TRACES}/real-web.ndjson`] };
const files = folder();

const CONFIG = `
scaler:
  poll_interval: 60s
  defaults: { warmup_period: 0s, cooldown_period: 5m, scale_up_trigger_ticks: 2, scale_down_trigger_ticks: 2 }
  policies: [{ match: "user:*" }]
`;
const config = () => files.write("config.yaml", CONFIG);
const PLAY = { startDelayMs: 20_000, plot: null };

async function play(lines: readonly string[], set: readonly string[] = []): Promise<WhatIfJson> {
  const { code, stdout, stderr } = await run(
    { file: config(), traces: ["-"], set, whatIf: PLAY },
    text(lines),
  );
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout);
}

interface Phase {
  readonly untilS: number;
  /** percent of one CPU by name; who is not named is not there */
  readonly vms: Readonly<Record<string, number>>;
}

/** Samples every 10 s of VMs whose load changes. */
function trace(phases: readonly Phase[], host = "local"): string[] {
  const used = new Map<string, number>();
  const lines: string[] = [];
  for (let at = 0, phase = 0; phase < phases.length; at += 10) {
    const { untilS, vms } = phases[phase] ?? { untilS: 0, vms: {} };
    for (const [name, percent] of Object.entries(vms)) {
      const cpuS = (used.get(name) ?? 0) + (used.has(name) ? percent / 10 : 0);
      used.set(name, cpuS);
      lines.push(sampleLine(at, name, cpuS, host));
    }
    if (at >= untilS) phase += 1;
  }
  return lines;
}

const figures = ({ host: _, path: __, group: ___, ...rest }: PlayedRow) => rest;
const of = (row: Partial<PlayedRow>) => ({
  ...{ saturated_minutes: 0, overload_minutes: 0, clone_hours: 0, actions: 0, reversals: 0, most_clones: 0 },
  ...row,
});

describe("--what-if", () => {
  test("gives a group that is too busy its clone, which bears load a start delay later", async () => {
    const { groups, variants, recorded } = await play(trace([{ untilS: 600, vms: { "user:web": 100 } }]));
    const web = { host: "local", path: "user", group: "web" };
    expect(groups).toEqual([web]);
    expect(recorded.rows).toEqual([{ ...web, ...of({ saturated_minutes: 10, overload_minutes: 10 }) }]);
    expect(variants.map(({ set }) => set)).toEqual([{}]);
    // decided at 120 s, there at 140 s
    const saturated = Number((140 / 60).toFixed(2));
    expect(variants[0]?.rows).toEqual([
      {
        ...web,
        ...of({ saturated_minutes: saturated, overload_minutes: saturated }),
        ...{ clone_hours: Number((480 / 3600).toFixed(4)), actions: 1, most_clones: 1 },
      },
    ]);
    expect(variants[0]?.total).toEqual({
      ...variants[0]?.rows[0],
      ...{ host: null, path: null, group: null },
    });
  });

  test("begins with the clones of the trace, all of them ours, and gives one up after the other", async () => {
    const lines = trace([
      { untilS: 1800, vms: { "user:web": 20, "user:web-clone-3": 10, "user:web-clone-8": 0 } },
    ]);
    const { variants, recorded } = await play(lines);
    expect(recorded.total).toMatchObject({ actions: 0, most_clones: 2, clone_hours: 1 });
    // at 120 s, and when 5 minutes and two more ticks are over at 480 s
    const hours = (120 * 2 + 360) / 3600;
    expect(variants[0]?.total).toMatchObject({
      actions: 2,
      most_clones: 2,
      clone_hours: Number(hours.toFixed(4)),
    });
  });

  test("takes demand, not averages: what two members used together loads one", async () => {
    const lines = trace([
      { untilS: 300, vms: { "user:web": 40 } },
      { untilS: 900, vms: { "user:web": 60, "user:web-clone-1": 60 } },
    ]);
    const { variants, recorded } = await play(lines, ["max_clones=0"]);
    expect(recorded.total).toMatchObject({ saturated_minutes: 0, actions: 1, most_clones: 1 });
    // the clone's first interval measures nothing
    expect(variants[0]?.total).toMatchObject({
      saturated_minutes: Number((590 / 60).toFixed(2)),
      actions: 0,
    });
  });

  test("counts a recorded clone that comes back soon as a reversal", async () => {
    const both = { "user:web": 50, "user:web-clone-1": 50 };
    const alone = { "user:web": 90 };
    const { recorded } = await play(
      trace([
        { untilS: 300, vms: both },
        { untilS: 600, vms: alone },
        { untilS: 900, vms: both },
      ]),
    );
    expect(recorded.total).toMatchObject({ actions: 2, reversals: 1 });
  });

  test("takes a lost sample for no change of the recorded clones, and two in a row for one that went", async () => {
    const both = { "user:web": 50, "user:web-clone-1": 50 };
    const alone = { "user:web": 50 };
    const without = async (untilS: number) => {
      const phases = [
        { untilS: 300, vms: both },
        { untilS, vms: alone },
        { untilS: 900, vms: both },
      ];
      return (await play(trace(phases))).recorded.total;
    };
    expect(await without(310)).toMatchObject({ actions: 0, reversals: 0, most_clones: 1 });
    expect(await without(320)).toMatchObject({ actions: 2, reversals: 1, most_clones: 1 });
  });

  test("plays every combination, one variant each, in the order of the command line", async () => {
    const lines = trace([{ untilS: 900, vms: { "user:web": 100 } }]);
    const set = ["max_clones=0", "scale_up_trigger_ticks=1", "max_clones=3", "scale_up_trigger_ticks=4"];
    const { variants } = await play(lines, set);
    expect(variants.map(({ set }) => Object.values(set).join("/"))).toEqual(["0/1", "0/4", "3/1", "3/4"]);
    const minutes = variants.map(({ total }) => total.saturated_minutes);
    expect(minutes).toEqual([15, 15, 1.33, 4.33]);
  });

  test("keeps hosts and groups apart, and sums them up", async () => {
    const lines = [
      ...trace([{ untilS: 600, vms: { "user:web": 100, "user:db": 10, "other:x": 100 } }], "a"),
      ...trace([{ untilS: 600, vms: { "user:web": 100 } }], "b"),
    ].sort((a, b) => (JSON.parse(a).time < JSON.parse(b).time ? -1 : 1));
    const { groups, variants, recorded } = await play(lines);
    expect(groups.map(({ host, path, group }) => `${host} ${path}:${group}`)).toEqual([
      "a other:x",
      "a user:db",
      "a user:web",
      "b user:web",
    ]);
    expect(recorded.total.saturated_minutes).toBe(30);
    expect(variants[0]?.rows.map(({ actions }) => actions)).toEqual([0, 0, 1, 1]);
    expect(variants[0]?.total).toMatchObject({ actions: 2, most_clones: 1 });
  });

  test("keeps a host's limit on clones at one tick", async () => {
    const lines = trace([{ untilS: 130, vms: { "user:web": 100, "user:db": 100 } }]);
    const set = ["max_scale_ups_per_tick=1", "max_scale_ups_per_tick=2"];
    const { variants } = await play(lines, set);
    expect(variants.map(({ total }) => total.actions)).toEqual([1, 2]);
  });

  test("counts in CPUs where info gives a member several", async () => {
    const info = (at: number) =>
      JSON.stringify({
        ...{ time: timeAt(at), host: "local", event: "info" },
        vms: [{ name: "user:web", cpus: 4, started: timeAt(-3600) }],
      });
    const lines = [info(0), ...trace([{ untilS: 600, vms: { "user:web": 300 } }])];
    const { variants, recorded } = await play(lines, ["scale_up_threshold_percent=70"]);
    expect(figures(recorded.total)).toEqual(of({}));
    // three of eight CPUs
    expect(variants[0]?.total).toMatchObject({ saturated_minutes: 0, overload_minutes: 2.33, actions: 1 });
  });

  test("leaves out the time in which the primary was not measured", async () => {
    const lines = trace([
      { untilS: 300, vms: { "user:web": 100 } },
      { untilS: 900, vms: { "user:other": 10 } },
      { untilS: 1200, vms: { "user:web": 100 } },
    ]);
    const { recorded, variants } = await play(lines, ["max_clones=0"]);
    const web = recorded.rows.findIndex(({ group }) => group === "web");
    expect(recorded.rows[web]?.saturated_minutes).toBeLessThan(10.2);
    expect(variants[0]?.rows[web]).toEqual(recorded.rows[web]);
  });

  test("with the recording's own course is the recording", async () => {
    const lines = trace([{ untilS: 900, vms: { "user:web": 95, "user:web-clone-1": 95 } }]);
    const { recorded, variants } = await play(lines, ["max_clones=1"]);
    expect(variants[0]?.rows).toEqual(recorded.rows);
  });

  test("without a group that is measured is all zeros", async () => {
    const { groups, recorded, variants } = await play([sampleLine(0, "user:web", 1)]);
    expect(groups).toEqual([]);
    expect(figures(recorded.total)).toEqual(of({}));
    expect(variants[0]).toEqual({ set: {}, ...recorded });
  });

  test("without any sample is an error", async () => {
    const { code, stderr } = await run({ file: config(), traces: ["-"], whatIf: PLAY }, "no trace\n");
    expect(code).toBe(1);
    expect(stderr).toMatch(/no samples in standard input/);
  });
});

describe("the table", () => {
  const cooldowns = ["cooldown_period=60s", "cooldown_period=20s"];
  const set = [...cooldowns, ...["3", "2", "1"].map((ticks) => `scale_down_trigger_ticks=${ticks}`)];

  test("has the recording and six variants in less than 120 columns, and says what it cannot know", async () => {
    const { code, stdout, stderr } = await run({ ...REAL, set, format: "table", whatIf: PLAY });
    expect([code, stderr]).toEqual([0, ""]);
    const lines = stdout.split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(120);
    const ofWeb = lines.slice(lines.indexOf("local user:web"));
    const settings = ofWeb.slice(0, ofWeb.indexOf("")).map((line) => line.trim().split(/\s+/)[0]);
    expect(settings.filter((setting) => setting === "recorded")).toHaveLength(1);
    expect(settings.filter((setting) => setting?.startsWith("cooldown_period"))).toHaveLength(6);
    expect(stdout).toMatch(/Not known: .*100 %.*memory.*caches/s);
  });

  test("stays narrow under names of any length", async () => {
    const label = "x".repeat(63);
    const lines = text(steadyTrace(60, { [`user:${label}:${label}:web`]: 50 }));
    const { stdout } = await run({ file: config(), traces: ["-"], format: "table", whatIf: PLAY }, lines);
    expect(stdout.replaceAll("\n  ", "")).toContain(`local user:${label}:${label}:web`);
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThan(120);
  });

  test.each([PLAY, null])("sends no control character of a trace to a terminal (%j)", async (whatIf) => {
    const lines = text(trace([{ untilS: 180, vms: { "user:web": 95 } }], "a\u001b[2J\nb"));
    const { stdout } = await run({ file: config(), traces: ["-"], format: "table", whatIf }, lines);
    expect(stdout).toContain("a\ufffd[2J\ufffdb user:web");
    expect(stdout.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  });

  test("says of a group that no variant scales why its clones stay", async () => {
    const policies = `
      - { match: "*:off", enabled: false }
      - { match: "*:held", paused: true }
      - { match: "*:web" }`;
    const file = files.write("unscaled.yaml", `scaler:\n  policies:${policies}\n`);
    const lines = text(steadyTrace(60, { ":off": 5, ":held": 5, ":web": 5, ":free": 5 }));
    const titles = async (set: readonly string[]) => {
      const ran = await run({ file, traces: ["-"], set, format: "table", whatIf: PLAY }, lines);
      return ran.stdout.split("\n").filter((line) => line.startsWith("local "));
    };
    expect(await titles([])).toEqual([
      "local :free, no policy: its clones stay as they began",
      "local :held, paused: its clones stay as they began",
      "local :off, disabled: its clones stay as they began",
      "local :web",
    ]);
    expect(await titles(["paused=true", "paused=false"])).toContain("local :held");
  });

  test("of the recording alone, without --what-if, says that it is the recording's", async () => {
    const { stdout } = await run({ ...REAL, format: "table" });
    for (const figure of ["above the up threshold", "most clones", "clone-hours"]) {
      expect(stdout).toMatch(new RegExp(`^recorded: ${figure} `, "m"));
    }
    expect(stdout).toMatch(/none of these decisions changed it/);
  });
});

describe("--plot", () => {
  const draw = (plot: string) => run({ ...REAL, format: "json", whatIf: { ...PLAY, plot } });

  test("draws demand, capacity and decisions into an SVG, and prints what it prints without", async () => {
    const plot = files.write("plot.svg", "an older one");
    const { code, stdout, stderr } = await draw(plot);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toBe((await run({ ...REAL, format: "json", whatIf: PLAY })).stdout);
    const svg = readFileSync(plot, "utf8");
    expect(svg).toMatch(/^<svg .*<\/svg>$/s);
    for (const word of ["recorded", "as configured", "demand", "capacity"]) {
      expect(svg).toContain(word);
    }
  });

  test("is XML whatever a trace calls its hosts", async () => {
    const busy = [{ untilS: 180, vms: { "user:web": 95 } }];
    const lines = text([...trace(busy), ...trace(busy, "a\u001b<b>&")].sort());
    const plot = files.path("hosts.svg");
    await run({ file: config(), traces: ["-"], whatIf: { ...PLAY, plot } }, lines);
    const svg = readFileSync(plot, "utf8");
    expect(svg).toContain("a\ufffd&lt;b&gt;&amp; user:web, recorded");
    expect(svg.replaceAll(/[\t\n]/g, "")).not.toMatch(/\p{Cc}/u);
  });

  test("is the same each time", async () => {
    const [one, other] = [files.path("one.svg"), files.path("other.svg")];
    await draw(one);
    await draw(other);
    expect(readFileSync(one, "utf8")).toBe(readFileSync(other, "utf8"));
  });

  test("stays small however often a group's clones change", () => {
    const changes = 200_000;
    const meter = new Meter();
    for (let i = 0; i < changes; i++) {
      meter.act(i, i % 2 === 0 ? 1 : -1);
      meter.pass(i, i + 1, { demand: 1.5, capacity: 2 - (i % 2), clones: 1 }, 90);
    }
    const name = { host: "h", path: "user", group: "web" };
    const demand: [number, number][] = [
      [0, 1.5],
      [changes, 1.5],
    ];
    const svg = drawPlot([{ name, hasLoad: false, demand, histories: [{ title: "recorded", meter }] }]);
    expect(svg.length).toBeLessThan(1_000_000);
    expect(svg).toContain(`actions ${changes}`);
  });

  test("takes the place of an empty file and of a plot, whatever they are called", async () => {
    const plot = files.write("plot", "");
    for (let run = 0; run < 2; run++) expect((await draw(plot)).code).toBe(0);
    expect(readFileSync(plot, "utf8")).toMatch(/^<svg/);
  });

  test("follows a link to its file", async () => {
    const target = files.write("target.svg", "");
    symlinkSync(target, files.path("link.svg"));
    expect((await draw(files.path("link.svg"))).code).toBe(0);
    expect(readFileSync(target, "utf8")).toMatch(/^<svg/);
  });

  test.each([
    { what: "a folder", path: () => files.path("folder"), says: /it is a directory/ },
    { what: "a device", path: () => "/dev/null", says: /it is no regular file/ },
    {
      what: "a missing folder",
      path: () => files.path("missing/plot.svg"),
      says: /no such file or directory/,
    },
    {
      what: "a file as a folder",
      path: () => files.path("config.yaml/plot.svg"),
      says: /its folder is a file/,
    },
    {
      what: "a file that is there and no SVG",
      path: () => files.path("config.yaml"),
      says: /it is there and is no SVG/,
    },
  ])("refuses $what before it reads anything", async ({ path, says }) => {
    mkdirSync(files.path("folder"), { recursive: true });
    config();
    const { code, stdout, stderr } = await run({
      ...REAL,
      traces: ["nothing"],
      whatIf: { ...PLAY, plot: path() },
    });
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(`--plot ${path()}: `);
    expect(stderr).toMatch(says);
    expect(stderr.trimEnd()).not.toContain("\n");
  });
});

describe("a curve", () => {
  test("keeps its peaks and its ends when it has more points than are drawn", () => {
    const curve = new Curve(10);
    for (let i = 0; i < 1000; i++) curve.push(i, i + 1, i === 777 ? 9 : 1);
    expect(curve.points.length).toBeLessThanOrEqual(11);
    expect(curve.points.at(-1)?.[0]).toBe(1000);
    expect(Math.max(...curve.points.map(([, cpus]) => cpus ?? 0))).toBe(9);
  });
});

test("a table and JSON of steady samples agree", async () => {
  const lines = text(steadyTrace(600, { "user:web": 100 }));
  const { stdout } = await run({ file: config(), traces: ["-"], format: "table", whatIf: PLAY }, lines);
  expect(stdout).toMatch(/^recorded +10\.0 +10\.0 +0\.00 +0 +0 +0$/m);
  expect(stdout).toMatch(/^as configured +2\.3 +2\.3 +0\.13 +1 +0 +1$/m);
});
