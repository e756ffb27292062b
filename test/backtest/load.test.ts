import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import type { LoadAnswer } from "../../src/scaler/rules/types.ts";
import { TraceLines } from "../../src/trace/lines.ts";
import { Disk, Process } from "../scaler/process.ts";
import { World } from "../support/world.ts";
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
  test("replayed at its ticks brings every evaluation of the live run", async () => {
    const result = loadConfig("config.yaml", CONFIG);
    if (!result.ok) expect.fail("refused");
    const world = new World({ info: { everyMs: 30_000 } });
    const lines: string[] = [];
    const publish = (message: string | (() => Iterable<string>)) =>
      void lines.push(...(typeof message === "string" ? [message] : message()));
    const trace = new TraceLines({ hasSubscribers: true, publish }, world.clock);
    const down: LoadAnswer = { outcome: "unreachable", text: "connection refused" };
    // what is answered, a minute each
    const script = [50, 95, 95, 150, 400, 400, down, 400, 100, 60, 30, 30, 30, down, down, 10, 0, 95, 300, 0];
    const answers: LoadAnswer[] = script.flatMap((answer) => {
      const one: LoadAnswer = typeof answer === "number" ? { outcome: "ok", value: answer } : answer;
      return [one, one];
    });
    let asked = 0;
    const connect = () => ({
      ask: async () => answers[asked++ % answers.length] ?? down,
      close: () => undefined,
    });
    const disk = new Disk();
    const process = new Process({
      machine: world.clock,
      disk,
      config: result.config.scaler,
      connect,
      trace,
    });
    world.feed(process).feed({
      record: (sample) => trace.sample(sample),
      recordInfo: (host, entries) => trace.info(host, entries),
      setLive: (host, up) => trace.live(host, up),
    });
    for (const vm of ["user:web", "user:web-clone-1", "user:db", "other:web"]) world.start(vm, 93);
    for (let minute = 0; minute < 45; minute++) {
      if (minute === 9) world.start("user:web-clone-2", 5);
      if (minute === 20) world.mute("user:db");
      if (minute === 24) world.mute("user:db", false).stop("user:web-clone-1");
      // one that nobody has been asked about at the next tick
      if (minute === 30)
        await world.passAndSettle(8).then(() => world.start("user:late", 9).sample("user:late"));
      await world.passAndSettle(minute === 30 ? 52 : 60);
    }
    const flags = { file: config(), traces: ["-"], ticks: "trace" as const };
    const replayed = await runJson({ ...flags, all: true }, text(lines));
    const evaluations = replayed.decisions.map((one) => ({
      time: one.time,
      group: `${one.host} ${one.path}:${one.group}`,
      decision: `${one.decision} ${one.reason} ${one.clone ?? ""} step=${one.step} clones=${one.clones} high=${one.high_ticks} low=${one.low_ticks}`,
      averages: [one.average_percent, one.average_for_up_percent, one.average_for_down_percent].map((a) =>
        a === null ? null : Number(a.toFixed(2)),
      ),
    }));
    expect(evaluations).toEqual(process.seen);
    expect(evaluations.length).toBeGreaterThan(120);
    const live = disk.lines.map(({ mode: _, text: __, ...decision }) => decision);
    expect((await runJson(flags, text(lines))).decisions).toEqual(live);
    const reasons = ["no_data", "overloaded", "underloaded", "cooldown", "normal", "outstanding"];
    expect(live.map(({ reason }) => reason)).toEqual(expect.arrayContaining(reasons));
  });

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

  test("leaves out and says which groups have no answers", async () => {
    const { stdout, stderr } = await play(steadyTrace(120, { "user:web": 95, "other:web": 95 }));
    expect(stderr).toBe(
      "albatross-exporter: left out while the trace has no answer of their load: local user:web\n",
    );
    expect(JSON.parse(stdout).groups).toEqual([{ host: "local", path: "other", group: "web" }]);
  });
});
