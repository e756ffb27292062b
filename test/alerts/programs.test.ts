/** @module-tag process */
import { spawnSync } from "node:child_process";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { requireProgram } from "../support/requireProgram.ts";
import { alertmanagerFile, filesEnding, testFiles } from "./files.ts";

/** How a program ended and what it said. */
function run(program: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  return { status, stdout, said: stdout + stderr };
}

/** Files with what they are called in the tests' names. */
function named(files: readonly string[]): [string, string][] {
  return files.map((file) => [basename(file), file]);
}

describe.skipIf(!requireProgram("promtool"))("promtool", () => {
  test.each(named(filesEnding(".rules.yml")))("takes %s, and finds nothing in it to better", (_, file) => {
    const { status, said } = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", file);
    expect({ status, said }).toEqual({ status: 0, said: expect.stringMatching(/SUCCESS: \d+ rules found/) });
  });

  test.each(named(testFiles))("finds the rules to give what %s says", (_, file) => {
    const { status, said } = run("promtool", "test", "rules", file);
    expect({ status, said }).toEqual({ status: 0, said: expect.stringContaining("SUCCESS") });
  });
});

describe.skipIf(!requireProgram("amtool"))("amtool", () => {
  test("takes the example for Alertmanager", () => {
    expect(run("amtool", "check-config", alertmanagerFile)).toMatchObject({
      status: 0,
      said: expect.stringContaining("SUCCESS"),
    });
  });

  test.each([
    ["critical", "pager"],
    ["warning", "tickets"],
    ["info", "notes"],
  ])("sends severity %s to %s", (severity, receiver) => {
    const route = run(
      "amtool",
      "config",
      "routes",
      "test",
      `--config.file=${alertmanagerFile}`,
      `severity=${severity}`,
    );
    expect(route).toMatchObject({ status: 0, stdout: `${receiver}\n` });
  });
});
