import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runHere, runProgram } from "../support/program.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "paths-"));
  writeFileSync(join(dir, "file"), "not what anyone wants\n");
  writeFileSync(join(dir, "empty"), "");
  mkdirSync(join(dir, "directory"));
  symlinkSync("loop", join(dir, "loop"));
});
afterAll(() => rmSync(dir, { recursive: true }));

/** A path that none of them can use, and what is said about it. */
const USELESS = [
  ["file/below", /a part of its path is no directory/],
  ["loop", /its symbolic links go round in circles/],
  ["x".repeat(300), /its path is too long/],
] as const;
const TO_READ = [...USELESS, ["none", /no such file/], ["directory", /is a directory/]] as const;

/** Every flag and argument that is a path: the command line with it. */
const COMMANDS: Readonly<Record<string, (path: string) => string[]>> = {
  "check-config": (path) => ["check-config", path],
  "check-web-config": (path) => ["check-web-config", path],
  decode: (path) => ["decode", path],
  backtest: (path) => ["backtest", "--config.file", "config.yaml", path],
  "backtest --config.file": (path) => ["backtest", "--config.file", path, join(dir, "file")],
  "record --config.file": (path) => ["record", "--target", "a", "--take-slot", "--config.file", path],
  "simulate SCENARIO": (path) => ["simulate", path, "--socket-dir", join(dir, "sockets")],
  "serve --config.file": (path) => ["serve", "--config.file", path],
  "serve --web.config.file": (path) => ["--config.file", join(dir, "empty"), "--web.config.file", path],
};

describe.each(Object.keys(COMMANDS))("%s", (command) => {
  const args = COMMANDS[command] ?? (() => []);

  test.each(TO_READ)("of %s says in one line what is wrong with it, and fails", async (name, words) => {
    const { code, stdout, stderr } = await runHere(args(join(dir, name)));
    const [line = "", ...more] = stderr.trimEnd().split("\n").reverse();
    expect(line).toContain(join(dir, name));
    expect(line).toMatch(words);
    // what else is said comes before it and is not about it
    for (const other of more) expect(other).not.toContain(name);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  });
});

test.each([
  ["simulate", "--socket-dir", ""],
  ["check-config", ""],
  ["decode", ""],
  ["backtest", "--config.file", "", "x"],
  ["record", "--config.file", ""],
  ["record", "-o", ""],
  ["--config.file", ""],
])("%s %s %s: nothing is no path", async (...args) => {
  const { code, stderr } = await runHere(args);
  expect(stderr).toMatch(/^albatross-exporter: .* allowed: a path\n$/);
  expect(code).toBe(2);
});

describe("simulate --socket-dir", () => {
  test.each([
    ...USELESS,
    ["file", /something else is there/],
    ["x".repeat(100), /at most 107 bytes/],
  ] as const)("%s is told as the reason why there are no sockets", async (name, words) => {
    const socketDir = join(dir, name);
    const { code, stdout, stderr } = await runHere(["simulate", "--socket-dir", socketDir]);
    expect(stderr).toMatch(/^[^\n]*\n$/);
    expect(stderr).toContain(`albatross-exporter: cannot make the sockets in ${socketDir}: `);
    expect(stderr).toMatch(words);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  });
});

test("record -o of a FIFO that nobody reads says so instead of waiting", { tags: ["process"] }, async () => {
  const fifo = join(dir, "fifo");
  execFileSync("mkfifo", [fifo]);
  writeFileSync(join(dir, "c.yaml"), `targets: [{ name: a, socket_dir: ${dir} }]\n`);
  const args = ["record", "--config.file", join(dir, "c.yaml"), "--target", "a", "--take-slot", "-o", fifo];
  const { code, stderr } = await runProgram(args);
  expect(stderr).toBe(`albatross-exporter: cannot write ${fifo}: nobody reads it\n`);
  expect(code).toBe(1);
});
