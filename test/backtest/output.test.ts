import { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { describe, expect, test, vi } from "vitest";
import { runBacktest } from "../../src/backtest/backtest.ts";
import { folder, run, runJson, steadyTrace, text, timeAt } from "./run.ts";

const TRACES = fileURLToPath(new URL("../fixtures/wire/traces", import.meta.url));
const files = folder();

const CONFIG = `
scaler:
  poll_interval: 60s
  defaults: { warmup_period: 0s, cooldown_period: 2m, min_clones: 0, max_clones: 2 }
  policies:
    - { match: "paused:*", paused: true }
    - { match: "*" }
`;
const config = () => files.write("config.yaml", CONFIG);
const REAL = { file: `${TRACES}/real-web.config.yaml`, traces: [`${TRACES}/real-web.ndjson`] };

describe("--format json", () => {
  test("is one object: ticks, evaluations, decisions and a summary", async () => {
    const told = await runJson({ file: config(), traces: ["-"] }, text(steadyTrace(180, { "user:web": 95 })));
    expect(told).toEqual({
      ticks: 3,
      evaluations: 3,
      decisions: [
        {
          ...{ time: timeAt(60), host: "local", path: "user", group: "web" },
          ...{ decision: "hold", reason: "pending_up", clone: null, step: null },
          ...{ average_percent: 95, average_for_up_percent: 95, average_for_down_percent: 95 },
          ...{ clones: 0, high_ticks: 1, low_ticks: 0, would: null },
        },
        {
          ...{ time: timeAt(180), host: "local", path: "user", group: "web" },
          ...{ decision: "scale_up", reason: "overloaded", clone: "web-clone-1", step: 1 },
          ...{ average_percent: 95, average_for_up_percent: 95, average_for_down_percent: 95 },
          ...{ clones: 0, high_ticks: 0, low_ticks: 0, would: null },
        },
      ],
      summary: {
        ...{ from: timeAt(0), to: timeAt(180), samples: 19, skipped_lines: 0 },
        decisions: { hold: { pending_up: 2 }, scale_up: { overloaded: 1 } },
        ...{ seconds_above_up_threshold: 180, most_clones: 0, clone_hours: 0 },
        groups: [
          {
            ...{ host: "local", path: "user", group: "web" },
            decisions: { hold: { pending_up: 2 }, scale_up: { overloaded: 1 } },
            ...{ seconds_above_up_threshold: 180, most_clones: 0, clone_hours: 0 },
          },
        ],
      },
    });
  });

  test("of a paused group says what it would do", async () => {
    const lines = text(steadyTrace(240, { "paused:web": 95 }));
    const { decisions } = await runJson({ file: config(), traces: ["-"] }, lines);
    expect(decisions.at(-1)).toMatchObject({
      ...{ decision: "hold", reason: "paused", clone: null, high_ticks: 3 },
      would: { decision: "scale_up", reason: "overloaded", clone: "web-clone-1", step: 1 },
    });
  });
});

describe("the summary", () => {
  test("counts an evaluation as the time since the tick before it", async () => {
    const vms = { "user:web": 95, "user:web-clone-1": 95, "user:db": 10, "user:db-clone-7": 10 };
    const { summary } = await runJson({ file: config(), traces: ["-"] }, text(steadyTrace(3600, vms)));
    expect(summary.groups.map(({ group, ...sums }) => [group, sums.seconds_above_up_threshold])).toEqual([
      ["db", 0],
      ["web", 3600],
    ]);
    expect(summary).toMatchObject({ seconds_above_up_threshold: 3600, most_clones: 1, clone_hours: 2 });
  });
});

describe("--format table", () => {
  test.each([
    { golden: "decisions.txt", flags: {} },
    {
      golden: "compared.txt",
      flags: { set: ["scale_up_threshold_percent=80", "scale_up_threshold_percent=98", "min_clones=1"] },
    },
  ])("of a trace of real processes is as in $golden", async ({ golden, flags }) => {
    const { stdout, stderr } = await run({ ...REAL, ...flags, format: "table" });
    expect(stderr).toBe("");
    await expect(stdout).toMatchFileSnapshot(`golden/${golden}`);
  });

  test("says how many clones a step has", async () => {
    const file = files.write(
      "steps.yaml",
      `scaler: { max_scale_ups_per_tick: 9, defaults: { warmup_period: 0s, scale_up_max_step: 3, target_percent: 45 }, policies: [{ match: "*:web" }, { match: "*", paused: true }] }`,
    );
    const lines = text(steadyTrace(180, { "user:web": 95, "user:db": 95 }));
    const { stdout } = await run({ file, traces: ["-"], format: "table", set: [] }, lines);
    expect(stdout).toMatch(/user:web .* overloaded +web-clone-1 and 1 more +95\.0/);
    expect(stdout).toMatch(/user:db .* paused +\(scale_up db-clone-1 and 1 more\) +95\.0/);
  });

  test("of a trace that is too short for a tick is the summary alone", async () => {
    const lines = text(steadyTrace(30, { "user:web": 95 }));
    const { stdout } = await run({ file: config(), traces: ["-"], format: "table" }, lines);
    expect(stdout.split("\n")[0]).toMatch(/^samples +4$/);
  });
});

/** A terminal, or a reader of the output, that takes one chunk in a while. */
class Slow extends Writable {
  readonly isTTY = true;
  text = "";
  constructor() {
    super({ highWaterMark: 1 });
  }
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += String(chunk);
    setImmediate(done);
  }
}

describe("streams", () => {
  const flags = { ...REAL, format: "json", all: true, ticks: "poll", set: [], whatIf: null } as const;

  test("a reader that is slow gets everything", async () => {
    const stdout = new Slow();
    const traces = Array.from({ length: 30 }, () => `${TRACES}/real-web.ndjson`);
    const streams = { stdin: Readable.from([]), stdout, stderr: new Slow() };
    expect(await runBacktest({ ...flags, traces }, streams)).toBe(0);
    expect(JSON.parse(stdout.text).decisions).toHaveLength(117);
  });

  test("a reader that goes away is no error", async () => {
    const stdout = new Writable({
      write(_chunk, _encoding, done) {
        done(Object.assign(new Error("broken pipe"), { code: "EPIPE" }));
      },
    });
    const streams = { stdin: Readable.from([]), stdout, stderr: new Slow() };
    expect(await runBacktest(flags, streams)).toBe(0);
  });

  test("progress is told now and then on a terminal, and leaves nothing behind", async () => {
    const stderr = new Slow();
    let nowMs = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => {
      nowMs += 1000;
      return nowMs;
    });
    const streams = { stdin: Readable.from([]), stdout: new Slow(), stderr };
    expect(await runBacktest(flags, streams).finally(() => clock.mockRestore())).toBe(0);
    expect(stderr.text).toMatch(/\r100 %, 692 samples, \d+\/s/);
    expect(stderr.text.endsWith("\r\u001b[K")).toBe(true);
  });
});
