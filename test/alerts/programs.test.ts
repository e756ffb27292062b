/** @module-tag process */
import { execFile } from "node:child_process";
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { requireProgram } from "../support/requireProgram.ts";
import { alertmanagerFile, filesEnding, testFiles } from "./files.ts";

/** How a program ended and what it said. */
function run(program: string, ...args: readonly string[]) {
  return new Promise((resolve) => {
    execFile(program, args, (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, stdout, said: stdout + stderr }),
    );
  });
}

/** Files with what they are called in the tests' names. */
function named(files: readonly string[]): [string, string][] {
  return files.map((file) => [basename(file), file]);
}

describe.skipIf(!requireProgram("promtool")).concurrent("promtool", () => {
  test.each(named(filesEnding(".rules.yml")))(
    "takes %s, and finds nothing in it to better",
    async (_, file) => {
      expect(await run("promtool", "check", "rules", "--lint=all", "--lint-fatal", file)).toMatchObject({
        status: 0,
        said: expect.stringMatching(/SUCCESS: \d+ rules found/),
      });
    },
  );

  test.each(named(testFiles))("finds the rules to give what %s says", async (_, file) => {
    expect(await run("promtool", "test", "rules", file)).toMatchObject({
      status: 0,
      said: expect.stringContaining("SUCCESS"),
    });
  });
});

describe.skipIf(!requireProgram("amtool"))("amtool", () => {
  test("takes the example for Alertmanager", async () => {
    expect(await run("amtool", "check-config", alertmanagerFile)).toMatchObject({
      status: 0,
      said: expect.stringContaining("SUCCESS"),
    });
  });

  test.each([
    ["critical", "pager"],
    ["warning", "tickets"],
    ["info", "notes"],
    ["none", "deadman"],
  ])("sends severity %s to %s", async (severity, receiver) => {
    const route = await run(
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
