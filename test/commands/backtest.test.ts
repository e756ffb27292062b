import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { sampleLine } from "../backtest/run.ts";
import { PATIENCE_MS } from "../support/eventually.ts";
import { runHere, runProgram } from "../support/program.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TRACES = fileURLToPath(new URL("../fixtures/wire/traces", import.meta.url));
const REAL = ["--config.file", `${TRACES}/real-web.config.yaml`, `${TRACES}/real-web.ndjson`];

describe("backtest", () => {
  test("prints a table unless asked for JSON", async () => {
    const { code, stdout, stderr } = await runHere(["backtest", ...REAL]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^time +group +decision +reason/);
    expect(stdout).toMatch(/scale_up +overloaded +web-clone-1/);
  });

  test("takes its flags in any order", async () => {
    const flags = ["--all", "--format", "json", "--ticks", "poll", "--set", "max_clones=0"];
    const { stdout } = await runHere(["backtest", ...REAL, ...flags]);
    const { decisions } = JSON.parse(stdout);
    expect(decisions).toHaveLength(117);
    expect(decisions.some(({ reason }: { reason: string }) => reason === "at_max")).toBe(true);
  });

  test("plays what would have come of other values, a clone being there when --start-delay says", async () => {
    const flags = ["--what-if", "--format", "json", "--set", "scale_up_trigger_ticks=1"];
    const overload = async (...delay: string[]) => {
      const { code, stdout, stderr } = await runHere(["backtest", ...REAL, ...flags, ...delay]);
      expect([code, stderr]).toEqual([0, ""]);
      return JSON.parse(stdout).variants[0].total.overload_minutes;
    };
    const [none, usual, minute] = [
      await overload("--start-delay", "0s"),
      await overload(),
      await overload("--start-delay", "1m"),
    ];
    expect(usual - none).toBeCloseTo(20 / 60, 1);
    expect(minute - none).toBeCloseTo(1, 1);
  });

  test.each([
    { args: [], says: /missing required argument 'trace'/ },
    { args: ["--format", "yaml", "x"], says: /--format.*'yaml' is invalid.*table, json/ },
    { args: ["--ticks", "never", "x"], says: /--ticks.*'never' is invalid.*poll, trace/ },
    { args: ["--sets", "a=1", "x"], says: /unknown option '--sets'/ },
    { args: ["--plot", "plot.svg", "x"], says: /--plot needs --what-if/ },
    { args: ["--start-delay", "20s", "x"], says: /--start-delay needs --what-if/ },
    { args: ["--what-if", "--start-delay", "20", "x"], says: /--start-delay.*'20' is invalid.*such as 20s/ },
    { args: ["--what-if", "--start-delay", "-1s", "x"], says: /--start-delay.*'-1s' is invalid/ },
    { args: ["--what-if", "--all", "x"], says: /--all has no effect with --what-if/ },
    { args: ["--what-if", "--ticks", "trace", "x"], says: /--ticks has no effect with --what-if/ },
  ])("$args is wrong usage", async ({ args, says }) => {
    const { code, stdout, stderr } = await runHere(["backtest", ...args]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(says);
  });

  test("as a program: a trace that is not there is one line on stderr and exit code 1", {
    tags: ["process"],
  }, async () => {
    const { code, stdout, stderr } = await runProgram(["backtest", "nothing.ndjson"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr.split("\n").slice(-2)).toEqual(["albatross-exporter: nothing.ndjson: no such file", ""]);
  });

  test("as a program: it ends at an error although standard input stays open", {
    tags: ["process"],
  }, async () => {
    const main = ["--import", import.meta.resolve("tsx"), `${ROOT}/src/main.ts`];
    const args = ["backtest", "--config.file", `${TRACES}/real-web.config.yaml`, "-"];
    const child = spawn(process.execPath, [...main, ...args], { cwd: ROOT, timeout: PATIENCE_MS });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.stdin.write([10, 5].map((at) => `${sampleLine(at, "user:web", 1)}\n`).join(""));
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^albatross-exporter: standard input:2: time goes back /);
  });
});
