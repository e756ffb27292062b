import { describe, expect, test } from "vitest";
import { variants } from "../../src/backtest/variants.ts";
import { folder, run, runJson, steadyTrace, type Told, text } from "./run.ts";

const CONFIG = `
scaler:
  poll_interval: 60s
  defaults: { warmup_period: 0s, max_clones: 2 }
  policies:
    - { match: "user:web", scale_up_threshold_percent: 90 }
    - { match: "*" }
`;

const files = folder();
const file = () => files.write("config.yaml", CONFIG);

describe("--set", () => {
  const configs = (...settings: string[]) =>
    variants("config.yaml", CONFIG, settings).map(({ set, config }) => ({ set, config }));

  test("without any, the configuration is as it is", () => {
    expect(configs().map(({ set }) => set)).toEqual([{}]);
  });

  test("holds for every group: in the defaults and in the policies that have their own value", () => {
    const [variant] = configs("scale_up_threshold_percent=80", "max_clones=5");
    expect(variant?.set).toEqual({ scale_up_threshold_percent: "80", max_clones: "5" });
    expect(variant?.config.policies.map((p) => [p.scaleUpThresholdPercent, p.maxClones])).toEqual([
      [80, 5],
      [80, 5],
    ]);
  });

  test("holds in a policy that has its own value by way of an alias or a merge key", () => {
    const config = `
scaler:
  policies:
    - &web { match: "user:web", max_clones: 2 }
    - { <<: *web, match: "user:db" }
`;
    const [variant] = variants("config.yaml", config, ["max_clones=5"]);
    expect(variant?.config.policies.map(({ match, maxClones }) => [match, maxClones])).toEqual([
      ["user:web", 5],
      ["user:db", 5],
    ]);
  });

  test("takes the keys that stand under scaler as well", () => {
    const [variant] = configs("poll_interval=10s", "max_scale_ups_per_tick=3", "death_timeout=1h");
    expect(variant?.config).toMatchObject({ pollIntervalMs: 10_000, maxScaleUpsPerTick: 3 });
    expect(variant?.config.defaults.deathTimeoutMs).toBe(3_600_000);
  });

  test("without effect is said, once and by what was set, and nothing that the file says itself", async () => {
    const quick = files.write(
      "quick.yaml",
      `scaler:
  defaults: { scale_up_cooldown_period: 1m, scale_down_cooldown_period: 5m, target_percent: 70 }
  policies: [{ match: "*" }]
`,
    );
    const set = ["cooldown_period=3m", "scale_up_max_step=2", "scale_up_max_step=1"];
    const lines = text(steadyTrace(60, { "user:web": 50 }));
    const { code, stderr } = await run({ file: quick, traces: ["-"], set }, lines);
    expect(code).toBe(0);
    expect(stderr.trim().split("\n")).toEqual([
      "albatross-exporter: --set cooldown_period=3m: has no effect: each direction has its own, here or in scaler.defaults (warning)",
      "albatross-exporter: --set scale_up_max_step=2: 2 is more than max_scale_ups_per_tick, 1, leaves at one evaluation (warning)",
    ]);
  });

  test("of one key given more than once is one variant per value", () => {
    const tried = configs("max_clones=1", "max_clones=2", "max_clones=3");
    expect(tried.map(({ config }) => config.defaults.maxClones)).toEqual([1, 2, 3]);
  });

  test("of several keys is every combination", () => {
    const tried = configs("max_clones=2", "min_clones=0", "max_clones=3", "min_clones=1");
    expect(tried.map(({ set }) => Object.values(set).join("/"))).toEqual(["2/0", "2/1", "3/0", "3/1"]);
  });

  test("works on a configuration that is empty", () => {
    expect(variants("empty.yaml", "", ["max_clones=7"])[0]?.config.defaults.maxClones).toBe(7);
  });

  test.each([
    {
      set: ["max_clone=1"],
      says: /^--set max_clone=1: expected KEY=VALUE with KEY one of scale_up_threshold_percent, /,
    },
    { set: ["max_clones"], says: /^--set max_clones: expected KEY=VALUE / },
    { set: ["=1"], says: /^--set =1: expected KEY=VALUE / },
    { set: ["max_clones=many"], says: /^--set max_clones=many: scaler\.defaults\.max_clones: / },
    { set: ["max_clones="], says: /^--set max_clones=: scaler\.defaults\.max_clones: / },
    { set: ["max_clones=*x"], says: /^--set max_clones=\*x: scaler\.defaults\.max_clones: / },
    { set: ["max_clones=[1"], says: /^--set max_clones=\[1: / },
    { set: ["min_clones=3"], says: /^--set min_clones=3: .*max_clones/ },
    {
      set: ["scale_up_threshold_percent=30", "scale_up_threshold_percent=80"],
      says: /^--set scale_up_threshold_percent=30: .*scale_down_threshold_percent/,
    },
    {
      set: Array.from({ length: 51 }, (_, i) => `max_clones=${i + 1}`),
      says: /^--set: 51 combinations to compare; at most 50 are allowed\n$/,
    },
  ])("$set.0 is refused: $says", async ({ set, says }) => {
    const { code, stdout, stderr } = await run({ file: file(), traces: ["-"], set });
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr.replace(/^albatross-exporter: /, "")).toMatch(says);
    expect(stderr.trimEnd()).not.toContain("\n");
  });
});

describe("values side by side", () => {
  const trace = text(steadyTrace(900, { "user:web": 85, "user:db": 50 }));
  const set = ["scale_up_threshold_percent=80", "scale_up_threshold_percent=90"];
  const told = async (set: readonly string[]): Promise<{ runs: (Told & { set: unknown })[] }> =>
    JSON.parse((await run({ file: file(), traces: ["-"], set }, trace)).stdout);

  test("as JSON are a run each, with what was set", async () => {
    const { runs } = await told(set);
    expect(runs.map((r) => [r.set, r.summary.decisions["scale_up"]])).toEqual([
      [{ scale_up_threshold_percent: "80" }, { overloaded: 1 }],
      [{ scale_up_threshold_percent: "90" }, undefined],
    ]);
  });

  test("are each what the value gives alone", async () => {
    const { runs } = await told(set);
    for (const [index, setting] of set.entries()) {
      const { set: _, ...compared } = runs[index] ?? { set: null };
      expect(compared).toEqual(await runJson({ file: file(), traces: ["-"], set: [setting] }, trace));
    }
  });

  test("may have other ticks: each run has its own", async () => {
    const { runs } = await told(["poll_interval=60s", "poll_interval=300s"]);
    expect(runs.map(({ ticks }) => ticks)).toEqual([15, 3]);
  });
});
