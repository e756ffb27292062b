/** Lines made by hand; test/e2e/loadHour.test.ts records an hour and replays it. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Meter } from "../../src/backtest/player.ts";
import { drawPlot } from "../../src/backtest/plot.ts";
import { folder, run, runJson, steadyTrace, text, timeAt } from "./run.ts";

const files = folder();
const CONFIG = `
scaler:
  poll_interval: 60s
  prometheus: { url: "http://127.0.0.1:9090" }
  defaults: { warmup_period: 0s, cooldown_period: 3m, scale_up_trigger_ticks: 2, scale_down_trigger_ticks: 2 }
  policies:
    - match: "user:*"
      adopt_clones: true
      load: { query: 'q{group="$group"}', capacity_per_member: 100 }
    - match: "other:*"
`;
const config = () => files.write("config.yaml", CONFIG);

function loadLine(seconds: number, value: unknown, group = "web"): string {
  const event = { event: "load", host: "local", path: "user", group, value };
  return JSON.stringify({ time: timeAt(seconds), ...event });
}

/** Lines of several kinds in order of time; those of one time as they are given. */
function merged(...lists: readonly (readonly string[])[]): string[] {
  return lists.flat().sort((a, b) => a.slice(0, 40).localeCompare(b.slice(0, 40)));
}

const told = ({ decisions }: Awaited<ReturnType<typeof runJson>>) =>
  decisions.map(({ reason, load, clone }) => [reason, load, clone].filter((part) => part != null).join(" "));

describe("a trace with loads", () => {
  test("replayed at other ticks takes the last answer, as long as a sample holds for Prometheus", async () => {
    const answers = [loadLine(50, 95), loadLine(170, null), loadLine(180, 120)];
    const lines = merged(steadyTrace(540, { "user:web": 10 }), answers);
    expect(told(await runJson({ file: config(), traces: ["-"], all: true }, text(lines)))).toEqual([
      "pending_up 95",
      "overloaded 95 web-clone-1",
      // at 180 s its answer of that very time
      "cooldown 120",
      "cooldown 120",
      "pending_up 120",
      "outstanding 120",
      "outstanding 120",
      "outstanding 120",
      // after 480 s nothing is known any more
      "no_data",
    ]);
  });

  test("replayed with a long poll_interval takes each answer until the next", async () => {
    const slow = files.write("slow.yaml", CONFIG.replace("poll_interval: 60s", "poll_interval: 10m"));
    const answers = [loadLine(30, 95), loadLine(630, 120), loadLine(1230, 50)];
    const lines = merged(steadyTrace(1800, { "user:web": 10 }), answers);
    const ran = await runJson({ file: slow, traces: ["-"], all: true }, text(lines));
    expect(told(ran)).toEqual(["pending_up 95", "overloaded 120 web-clone-1", "normal 50"]);
  });

  test("says which groups it leaves out, as there is no answer for them", async () => {
    const lines = merged(steadyTrace(120, { "user:web": 95, "user:db": 95, "other:web": 95 }), [
      loadLine(1, 10),
    ]);
    const { stdout, stderr, code } = await run({ file: config(), traces: ["-"], all: true }, text(lines));
    expect([code, stderr]).toEqual([
      0,
      "albatross-exporter: left out while the trace has no answer of their load: local user:db\n",
    ]);
    const groups = JSON.parse(stdout).summary.groups.map(
      ({ path, group }: { path: string; group: string }) => `${path}:${group}`,
    );
    expect(groups).toEqual(["other:web", "user:web"]);
  });

  test("may have lines that are none: they are skipped and counted", async () => {
    const odd = [
      loadLine(1, "12"),
      loadLine(2, -1),
      loadLine(2, 1).replace(`"value":1`, `"value":1e999`),
      JSON.stringify({ time: timeAt(3), event: "load", host: "local", path: "user", value: 1 }),
    ];
    const lines = merged(steadyTrace(60, { "user:web": 95 }), odd);
    const ran = await runJson({ file: config(), traces: ["-"], all: true }, text(lines));
    // what is no load leaves it unknown
    expect([told(ran), ran.summary.skipped_lines]).toEqual([["no_data"], 1]);
  });
});

describe("--what-if", () => {
  const whatIf = { startDelayMs: 0, plot: null };
  const play = (lines: readonly string[]) => run({ file: config(), traces: ["-"], whatIf }, text(lines));

  test("plays a group with the load that was answered, in its own unit", async () => {
    // ten minutes at 250 for one member at 100, whatever its CPU usage is
    const answers = Array.from({ length: 61 }, (_, i) => loadLine(i * 10, 250));
    const { stdout, stderr, code } = await play(merged(answers, steadyTrace(600, { "user:web": 5 })));
    expect([code, stderr]).toEqual([0, ""]);
    const { variants, recorded } = JSON.parse(stdout);
    expect(recorded.rows).toMatchObject([{ group: "web", saturated_minutes: 10, overload_minutes: 10 }]);
    // grows at 2 min by one, at 5 min by another: then 300 carry 250
    expect(variants[0].rows).toMatchObject([{ group: "web", actions: 2, most_clones: 2, reversals: 0 }]);
    expect(variants[0].rows[0].saturated_minutes).toBeLessThan(7);
  });

  test("does not speak of the time before the first answer, with which every recording begins", async () => {
    const answers = Array.from({ length: 60 }, (_, i) => loadLine(50 + i * 10, 250));
    const { stdout, stderr } = await play(merged(answers, steadyTrace(600, { "user:web": 5 })));
    expect(stderr).toBe("");
    expect(JSON.parse(stdout).recorded.rows).toMatchObject([{ group: "web", overload_minutes: 9.5 }]);
  });

  test("tells and draws a load in its query's unit, which hides nothing at 100 %", async () => {
    const drawn = async (vms: Record<string, number>, answers: readonly string[]) => {
      const plot = files.path("load.svg");
      const lines = text(merged(answers, steadyTrace(120, vms)));
      const flags = { file: config(), traces: ["-"], whatIf: { startDelayMs: 0, plot } };
      const { stdout, stderr } = await run({ ...flags, format: "table" }, lines);
      return { stdout, stderr, svg: readFileSync(plot, "utf8") };
    };
    const loads = [loadLine(1, 0.02), loadLine(60, 250)];
    const one = await drawn({ "user:web": 99.5 }, loads);
    expect(one.stdout).toContain("Not known: memory and connections");
    expect(one.svg).toContain("Load in the unit of the query; red");
    const both = await drawn({ "user:web": 99.5, "other:web": 99.5 }, loads);
    expect(both.stdout).toMatch(/members of a group were at 100 % \((1|2)\.\d minutes here/);
    expect(both.svg).toContain("CPUs, or load in the unit of the query; red");
    const none = await drawn({ "user:db": 50 }, []);
    expect([none.stderr, none.svg.includes(">demand<")]).toEqual([
      "albatross-exporter: left out while the trace has no answer of their load: local user:db\n",
      false,
    ]);
  });

  test("draws thousandths as large as thousands", () => {
    const name = { host: "h", path: "user", group: "web" };
    const highest = (demand: number) => {
      const meter = new Meter();
      meter.pass(0, 60_000, { demand, capacity: demand / 2, clones: 1 }, 90);
      const points: [number, number][] = [
        [0, demand],
        [60_000, demand],
      ];
      const histories = [{ title: "recorded", meter }];
      return drawPlot([{ name, hasLoad: true, demand: points, histories }]).match(
        /<path d="[^"]*" fill="none"[^>]*>/g,
      );
    };
    expect(highest(0.004)).toEqual(highest(4_000));
  });

  test("leaves out and says which groups have no answers", async () => {
    const { stdout, stderr } = await play(steadyTrace(120, { "user:web": 95, "other:web": 95 }));
    expect(stderr).toBe(
      "albatross-exporter: left out while the trace has no answer of their load: local user:web\n",
    );
    expect(JSON.parse(stdout).groups).toEqual([{ host: "local", path: "other", group: "web" }]);
  });
});
