import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Family } from "../../src/exposition/family.ts";
import { LABELLED, tableFamily } from "../../src/exposition/row.ts";
import { GroupItems, ScalerInstruments, scalerGroupRows } from "../../src/scaler/report/metrics.ts";
import type { Evaluation } from "../../src/scaler/rules/types.ts";
import { render, seriesOf } from "../exporter/records.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { type Case, MINUTE, outstanding, run } from "./rules.ts";

const TICK_MS = 60 * MINUTE;
const WALL_MS = Date.parse("2026-01-01T12:00:00.250Z");

function evaluationOf(given: Case, nowMs = TICK_MS): Evaluation {
  return run({ ...given, nowMs }).evaluation;
}

/** Items after ticks one minute apart, each with these evaluations. */
function itemsAfter(...ticks: readonly (readonly Case[])[]): GroupItems {
  const items = new GroupItems();
  for (const [i, cases] of ticks.entries()) {
    const nowMs = TICK_MS + i * MINUTE;
    items.update(
      cases.map((given) => evaluationOf(given, nowMs)),
      { nowMs, wallMs: WALL_MS + i * MINUTE },
    );
  }
  return items;
}

function families(items: GroupItems): Family[] {
  return scalerGroupRows.map((row): Family => tableFamily(row, items.items, LABELLED));
}

async function series(items: GroupItems, name: string): Promise<string[]> {
  return seriesOf(await render(families(items)), `albatross_scaler_${name}`);
}

const web = { group: "web" };
const overloaded: Case = { members: { 0: 97.5, 1: 95 }, state: { highTicks: 2 }, facts: web };
const cooling: Case = {
  members: { 0: 97.5, 1: 95 },
  state: {
    lastActionMs: TICK_MS,
    lastScaleUpMs: TICK_MS,
    outstanding: outstanding("scale_up overloaded", 2, { sinceMs: TICK_MS, step: 2 }),
    flapFactor: 5,
  },
  policy: { flapDampingMax: 8 },
  facts: web,
};

const scene: readonly (readonly Case[])[] = [
  [overloaded, { members: { 0: 55 }, facts: { group: "gone" } }],
  [
    cooling,
    {
      members: { 0: 12.5, 1: 10, 2: "missing" },
      state: { lowTicks: 1 },
      policy: { scaleDownThresholdPercent: 45, minClones: 1, maxClones: 5, scaleDownTriggerTicks: 7 },
      facts: { host: "other", path: "", group: "idle" },
    },
    { members: { 0: "missing" }, policy: { paused: true }, facts: { path: "user:sub", group: "silent" } },
    { members: { 0: 99 }, policy: null, facts: { group: "nobody's" } },
  ],
];

describe("the metrics of groups", () => {
  test.each(["text", "openmetrics"] as const)("are these in %s", async (format) => {
    const instruments = new ScalerInstruments();
    instruments.stateOk.set(1);
    instruments.pollInterval.set(60);
    for (const seconds of [0.002, 0.03]) instruments.tickSeconds.observe(seconds);
    instruments.lastTick.set((WALL_MS + MINUTE) / 1000);
    instruments.stateFiles.written.inc(3);
    instruments.stateFiles.failed.inc();
    instruments.stateFiles.damaged.inc();
    const text = await render([...families(itemsAfter(...scene)), ...(await instruments.families())], format);
    await expect(text).toMatchFileSnapshot(`golden/metrics.${format}.txt`);
  });

  test("count every evaluation, holds included, the scale decisions from 0 on", async () => {
    const pending: Case = { members: { 0: 95 }, facts: web };
    expect(await series(itemsAfter([pending]), "decisions_total")).toEqual([
      'albatross_scaler_decisions_total{host="h",path="user",group="web",decision="scale_up",reason="overloaded",mode="dry_run"} 0',
      'albatross_scaler_decisions_total{host="h",path="user",group="web",decision="scale_up",reason="below_min",mode="dry_run"} 0',
      'albatross_scaler_decisions_total{host="h",path="user",group="web",decision="scale_down",reason="underloaded",mode="dry_run"} 0',
      'albatross_scaler_decisions_total{host="h",path="user",group="web",decision="scale_down",reason="above_max",mode="dry_run"} 0',
      'albatross_scaler_decisions_total{host="h",path="user",group="web",decision="hold",reason="pending_up",mode="dry_run"} 1',
    ]);
    const later = await series(itemsAfter([pending], [pending], [overloaded], [cooling]), "decisions_total");
    expect(later.map((line) => line.replace(/^.*group="web",|,mode="dry_run"/g, ""))).toEqual([
      'decision="scale_up",reason="overloaded"} 1',
      'decision="scale_up",reason="below_min"} 0',
      'decision="scale_down",reason="underloaded"} 0',
      'decision="scale_down",reason="above_max"} 0',
      'decision="hold",reason="pending_up"} 2',
      'decision="hold",reason="cooldown"} 1',
    ]);
  });

  test("go with the group, and begin anew when it comes back", async () => {
    const other: Case = { members: { 0: 50 }, facts: { group: "other" } };
    const items = itemsAfter([overloaded, other], [other]);
    expect(items.items).toHaveLength(1);
    expect(await render(families(items))).not.toContain('group="web"');
    const back = itemsAfter([overloaded, other], [other], [cooling, other]);
    expect(await series(back, "decisions_total")).toContain(
      'albatross_scaler_decisions_total{host="h",path="user",group="web",decision="scale_up",reason="overloaded",mode="dry_run"} 0',
    );
  });

  test("are only those of groups that a policy matches", () => {
    expect(itemsAfter([{ members: { 0: 99 }, policy: null }]).items).toEqual([]);
    expect(itemsAfter([overloaded], [{ ...overloaded, policy: null }]).items).toEqual([]);
  });

  test("stay those of one tick while they are written, whatever happens meanwhile", async () => {
    const items = itemsAfter([overloaded]);
    const expected = await render(families(items));
    const taken = families(items);
    items.update([evaluationOf(cooling, TICK_MS + MINUTE)], {
      nowMs: TICK_MS + MINUTE,
      wallMs: WALL_MS + MINUTE,
    });
    expect(await render(taken)).toBe(expected);
    expect(await render(families(items))).not.toBe(expected);
  });

  test("tell the end of a cooldown the same at every tick, though wall clocks waver", async () => {
    const items = new GroupItems();
    const ends = new Set<string>();
    for (const [i, waverMs] of [0, 7, -12, 400, -300].entries()) {
      const nowMs = TICK_MS + i * MINUTE;
      const wallMs = WALL_MS + i * MINUTE + waverMs;
      items.update([evaluationOf(cooling, nowMs)], { nowMs, wallMs });
      for (const line of await series(items, "cooldown_until")) ends.add(line);
    }
    expect([...ends]).toEqual([
      'albatross_scaler_cooldown_until_timestamp_seconds{host="h",path="user",group="web",direction="up"} 1767269400.25',
      'albatross_scaler_cooldown_until_timestamp_seconds{host="h",path="user",group="web",direction="down"} 1767271800.25',
    ]);
    // but follow a clock that is set
    items.update([evaluationOf(cooling, TICK_MS)], {
      nowMs: TICK_MS,
      wallMs: WALL_MS - 3_600_000,
    });
    expect(await series(items, "cooldown_until")).toEqual([
      expect.stringContaining(" 1767265800.25"),
      expect.stringContaining(" 1767268200.25"),
    ]);
  });

  test("have a bounded number of series for each group, whatever it goes through", async () => {
    const everything: readonly Case[] = [
      { members: { 0: 50 } },
      { members: { 0: 95 } },
      { members: { 0: 5, 1: 5 } },
      { members: { 1: 5 } },
      { members: { 0: "missing" } },
      { members: { 0: 95 }, policy: { enabled: false } },
      overloaded,
      { ...overloaded, policy: { paused: true } },
      cooling,
      { members: { 0: 95, 1: "missing" } },
    ];
    const items = itemsAfter(
      ...Array.from({ length: 50 }, (_, i) => [everything[i % everything.length] ?? overloaded]),
    );
    expect((await series(items, "")).length).toBeLessThan(45);
  });
});

describe.skipIf(!requireProgram("promtool"))("promtool check metrics", { tags: ["process"] }, () => {
  test("has nothing to say about them", () => {
    const input = readFileSync(new URL("golden/metrics.text.txt", import.meta.url));
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
      input,
      encoding: "utf8",
    });
    expect([status, stdout, stderr]).toEqual([0, "", ""]);
  });
});

describe("what is outstanding", () => {
  const down = outstanding("scale_down above_max", 4);

  test("names the decision, why, the clone and how many", async () => {
    expect(await series(itemsAfter([cooling]), "outstanding_info")).toEqual([
      'albatross_scaler_outstanding_info{host="h",path="user",group="web",decision="scale_up",reason="overloaded",clone="web-clone-2",step="2",mode="dry_run"} 1',
    ]);
    const members = { 0: 50, 1: 50, 2: 50, 3: 50, 4: 50 };
    expect(await series(itemsAfter([{ members, state: { outstanding: down } }]), "outstanding_info")).toEqual(
      [
        expect.stringContaining(
          'decision="scale_down",reason="above_max",clone="web-clone-4",step="1",mode="dry_run"} 1',
        ),
      ],
    );
  });

  test("goes when it was carried out", async () => {
    const members = { 0: 50, 1: 50, 2: 50, 3: 50 };
    const items = itemsAfter([{ members, state: { outstanding: down } }]);
    expect(await series(items, "outstanding_info")).toEqual([]);
    expect(await series(items, "clones")).toEqual([expect.stringMatching(/ 3$/)]);
  });
});

describe("the clones that are wanted", () => {
  const asked = { lowTicks: 4, outstanding: outstanding("scale_down underloaded", 1) };

  test.each([
    { name: "one less while a clone is to go", given: { members: { 0: 5, 1: 5 } }, wanted: ["0"] },
    { name: "never less than none", given: { members: { 0: "missing" as const } }, wanted: ["0"] },
    {
      name: "not known while no statistics arrive",
      given: { members: { 0: 5 }, facts: { hostLive: false } },
      wanted: [],
    },
  ])("$name", async ({ given, wanted }) => {
    const told = await series(itemsAfter([{ state: asked, ...given }]), "desired_clones");
    expect(told.map((line) => line.split(" ").at(-1))).toEqual(wanted);
  });
});
