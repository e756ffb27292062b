import { describe, expect, test } from "vitest";
import { folder, run, runJson, sampleLine, steadyTrace, text, timeAt } from "./run.ts";

const files = folder();
const config = (more = "") =>
  files.write(
    "config.yaml",
    `scaler:\n  poll_interval: 60s\n  defaults: { warmup_period: 0s }\n  policies: [{ match: "*" }]\n${more}`,
  );

const tickLine = (seconds: number) => JSON.stringify({ time: timeAt(seconds), event: "tick" });

/** The averages of `user:web`, with the seconds at which they were measured. */
async function ticks(lines: readonly string[], when: "poll" | "trace" = "poll"): Promise<string[]> {
  const told = await runJson({ file: config(), traces: ["-"], all: true, ticks: when }, text(lines));
  const startMs = Date.parse(timeAt(0));
  return told.decisions.map(({ time, average_percent: percent }) => {
    const seconds = (Date.parse(time) - startMs) / 1000;
    return `${seconds} s: ${percent === null ? "-" : Math.round(percent)}`;
  });
}

describe("ticks fall at the first sample's time + k x poll_interval", () => {
  test("up to the last sample's time, and at it", async () => {
    expect(await ticks(steadyTrace(130, { "user:web": 50 }))).toEqual(["60 s: 50", "120 s: 50"]);
    expect(await ticks(steadyTrace(120, { "user:web": 50 }))).toEqual(["60 s: 50", "120 s: 50"]);
    expect(await ticks(steadyTrace(119, { "user:web": 50 }))).toEqual(["60 s: 50"]);
  });

  test("whenever the first sample comes", async () => {
    const lines = [3.3, 33.3, 63.3, 70].map((at) => sampleLine(at, "user:web", at / 2));
    expect(await ticks(lines)).toEqual(["63.3 s: 50"]);
  });

  test("in a gap of the trace as well", async () => {
    const lines = [...steadyTrace(60, { "user:web": 50 }), sampleLine(250, "user:web", 125)];
    expect(await ticks(lines)).toEqual(["60 s: 50", "120 s: -", "180 s: -", "240 s: -"]);
  });

  test("but for those at which no group has a member, which are skipped and said; the grid stays", async () => {
    const years = 56 * 365 * 86_400;
    const info = (at: number) =>
      JSON.stringify({
        time: timeAt(at),
        host: "local",
        event: "info",
        vms: [{ name: "user:web", cpus: 1 }],
      });
    for (const listed of [[], [info(0)]]) {
      const lines = [
        ...listed,
        ...steadyTrace(60, { "user:web": 50 }),
        ...[30, 60, 90, 120, 130].map((at) => sampleLine(years + at, "user:web", at)),
      ];
      const startedMs = performance.now();
      const { code, stdout, stderr } = await run({ file: config(), traces: ["-"], all: true }, text(lines));
      expect(performance.now() - startedMs).toBeLessThan(10_000);
      expect(code).toBe(0);
      const { ticks, decisions, summary } = JSON.parse(stdout);
      // until 15 minutes have passed the VM is only missing
      expect(ticks).toBe(1 + 14 + 2);
      const skipped = years / 60 - 15;
      expect(stderr).toBe(`albatross-exporter: ${skipped} ticks skipped at which no group had a member\n`);
      const last: { time: string }[] = decisions.slice(-2);
      expect(last.map(({ time }) => time)).toEqual([timeAt(years + 60), timeAt(years + 120)]);
      expect(summary.clone_hours).toBe(0);
    }
  });

  test("a sample at a tick's very time belongs to it", async () => {
    const lines = [0, 60, 61].map((at) => sampleLine(at, "user:web", at));
    expect(await ticks(lines)).toEqual(["60 s: 100"]);
  });

  test("a recorded tick is none", async () => {
    expect(await ticks([tickLine(0), ...steadyTrace(60, { "user:web": 50 }), tickLine(65)])).toEqual([
      "60 s: 50",
    ]);
  });

  test("a trace shorter than poll_interval has none", async () => {
    expect(await ticks(steadyTrace(50, { "user:web": 50 }))).toEqual([]);
  });
});

describe("--ticks trace: where the scaler ticked when it was recorded", () => {
  const lines = steadyTrace(100, { "user:web": 50 });
  const recorded = (at: readonly number[]) =>
    [...lines, ...at.map(tickLine)].sort((a, b) => (JSON.parse(a).time < JSON.parse(b).time ? -1 : 1));

  test("and nowhere else", async () => {
    expect(await ticks(recorded([35, 77.5]), "trace")).toEqual(["35 s: 50", "77.5 s: 50"]);
  });

  test("a sample at a tick's very time belongs to it, on whichever side it stands", async () => {
    const samples = [0, 30].map((at) => sampleLine(at, "user:web", at));
    expect(await ticks([...samples, tickLine(30)], "trace")).toEqual(["30 s: 100"]);
    expect(await ticks([samples[0] ?? "", tickLine(30), samples[1] ?? ""], "trace")).toEqual(["30 s: 100"]);
  });

  test("ticks before the first sample had other VMs to look at", async () => {
    const late = [tickLine(0), ...[10, 40].map((at) => sampleLine(at, "user:web", at)), tickLine(40)];
    expect(await ticks(late, "trace")).toEqual(["40 s: 100"]);
  });

  test("ticks after the last sample are ticks", async () => {
    expect(await ticks(recorded([95, 155]), "trace")).toEqual(["95 s: 50", "155 s: -"]);
  });

  test("one that several traces tell of is one", async () => {
    expect(await ticks(recorded([35, 35]), "trace")).toEqual(["35 s: 50"]);
  });

  test("a trace without any has none", async () => {
    expect(await ticks(lines, "trace")).toEqual([]);
  });
});

describe("what is printed of the evaluations", () => {
  const busy = steadyTrace(480, { "user:web": 95, ":idle": 1 });
  const reasons = async (all: boolean) => {
    const told = await runJson({ file: config(), traces: ["-"], all }, text(busy));
    expect([told.ticks, told.evaluations]).toEqual([8, 16]);
    return told.decisions.map(({ group, decision, reason }) => `${group} ${decision} ${reason}`);
  };

  test("are scale decisions and changes of hold", async () => {
    expect(await reasons(false)).toEqual([
      "idle hold normal",
      "web hold pending_up",
      "web scale_up overloaded",
      "web hold cooldown",
    ]);
  });

  test("with --all every one", async () => {
    const all = await reasons(true);
    expect(all).toHaveLength(16);
    expect(all.filter((line) => line === "web hold cooldown")).toHaveLength(5);
  });
});

test("without a policy everything is held, and that is said", async () => {
  const file = files.write("none.yaml", "scaler: {}\n");
  for (const flags of [{ file }, { file: null }]) {
    const lines = text(steadyTrace(60, { "user:web": 99 }));
    const { code, stdout, stderr } = await run({ ...flags, traces: ["-"], all: true }, lines);
    expect(code).toBe(0);
    expect(stderr).toBe(
      "albatross-exporter: no policy in the configuration: every group is held with no_policy\n",
    );
    expect(JSON.parse(stdout).decisions).toMatchObject([{ reason: "no_policy" }]);
  }
});

test("a configuration that is wrong is told as check-config tells it", async () => {
  const file = files.write("wrong.yaml", "scaler:\n  poll_interval: soon\n");
  const { code, stdout, stderr } = await run({ file, traces: ["-"] });
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/wrong\.yaml:2:18: scaler\.poll_interval: /);
  const missing = await run({ file: files.path("missing.yaml"), traces: ["-"] });
  expect([missing.code, missing.stderr]).toEqual([1, `${files.path("missing.yaml")}: no such file\n`]);
});
