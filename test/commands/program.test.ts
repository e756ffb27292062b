import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildProgram } from "../../src/commands/program.ts";
import { runHere, runProgram } from "../support/program.ts";

describe("wrong usage is one line on stderr and exit code 2", () => {
  test.each([
    [["chek-config"], "unknown command 'chek-config', did you mean check-config?"],
    [["frobnicate"], "unknown command 'frobnicate' (commands: serve,"],
    [["--web.max-request", "3"], "unknown option '--web.max-request' (Did you mean --web.max-requests?)"],
    [["serve", "extra"], "too many arguments for 'serve'"],
    [["check-config"], "missing required argument 'file'"],
    [["--log.level", "loud"], '"loud" is not allowed; allowed: debug, info, warn, error'],
    [["serve", "--log.format=xml"], '"xml" is not allowed; allowed: logfmt, json'],
    [
      ["--web.listen-address", "10042"],
      '"10042" is not allowed; allowed: an address to listen on such as :10042',
    ],
    [
      ["--web.listen-address", ":1", "--web.listen-address", "127.0.0.1:1"],
      '--web.listen-address: ":1" has "127.0.0.1:1" in it',
    ],
    [["--web.telemetry-path", "metrics"], '"metrics" is not allowed; allowed: a path such as /metrics'],
    [["--web.max-requests", "-1"], '"-1" is not allowed; allowed: a whole number from 0'],
    [["--config.file"], "option '--config.file <file>' argument missing"],
    [
      ["--log.level", "debug", "check-config", "x.yaml"],
      "--log.level is a flag of serve, not of check-config",
    ],
    [["--config.file", "c.yaml", "record"], "--config.file belongs after record"],
    [["--config.file", "c.yaml", "decode"], "--config.file is a flag of serve, not of decode"],
    [["serve", "--web.config.file"], "option '--web.config.file <file>' argument missing"],
  ])("%j", async (args, message) => {
    const { code, stdout, stderr } = await runHere(args);
    expect(stderr).toMatch(/^albatross-exporter: [^\n]+\n$/);
    expect(stderr).toContain(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });
});

test.each([[["--version"]], [["serve", "--version"]]])(
  "%j tells name, version, revision and Node",
  async (args) => {
    const { code, stdout } = await runHere(args);
    expect(stdout).toMatch(
      /^albatross-exporter, version \d+\.\d+\.\d+\n {2}revision: \w+\n {2}node: {5}\d+\.\d+\.\d+\n$/,
    );
    expect(code).toBe(0);
  },
);

test("--help tells of every command and of the flags of serve", async () => {
  const { code, stdout } = await runHere(["--help"]);
  expect(stdout).toContain("--config.file <file>");
  expect(stdout).toContain("--web.config.file <file>");
  expect(stdout).toMatch(/^ {2}check-config \[options\] <file>/m);
  expect(stdout).toMatch(/^ {2}check-web-config <file>/m);
  expect(code).toBe(0);
});

describe("--help of each command is enough to use it", () => {
  const program = buildProgram();
  test.each(program.commands.map((command) => command.name()))("%s", async (name) => {
    const { code, stdout } = await runHere([name, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^Usage: albatross-exporter ${name} `));
    expect(stdout).toMatch(/^Examples?:[^\n]*\n? *albatross-exporter/m);
    expect(await runHere(["help", name])).toEqual({ code, stdout, stderr: "" });
  });
});

describe("check-config", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "check-"));
    writeFileSync(join(folder, "good.yaml"), "targets: [{ name: local }]\n");
    writeFileSync(join(folder, "odd.yaml"), "targets:\n  - name: local\n    allow_unchecked_path: true\n");
    writeFileSync(join(folder, "bad.yaml"), "web:\n  max_requests: many\nlogs: {}\n");
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each([
    ["good.yaml", 0, "good.yaml: configuration is valid\n", ""],
    [
      "odd.yaml",
      0,
      "odd.yaml: configuration is valid\n",
      'odd.yaml:3:27: targets[0].allow_unchecked_path: has no effect: no slot of this target is a path such as "user:" (warning)\n',
    ],
    [
      "bad.yaml",
      1,
      "",
      'bad.yaml:2:17: web.max_requests: "many" is not allowed; allowed: a whole number from 0 to 100000 (0: no limit)\n' +
        "bad.yaml:3:1: logs: unknown key, did you mean log? allowed: targets, exporter, web, log, scaler\n",
    ],
    ["none.yaml", 1, "", "none.yaml: no such file\n"],
  ])("of %s exits with %i", async (file, code, stdout, stderr) => {
    const ran = await runHere(["check-config", join(folder, file)]);
    const withoutFolder = (text: string) => text.replaceAll(`${folder}/`, "");
    expect({ ...ran, stdout: withoutFolder(ran.stdout), stderr: withoutFolder(ran.stderr) }).toEqual({
      code,
      stdout,
      stderr,
    });
  });
});

test("a wrong configuration keeps serve from starting, with every error on stderr", async () => {
  const file = "test/config/bad/duplicate-key.yaml";
  const { code, stdout, stderr } = await runHere(["--config.file", file]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr.split("\n")).toEqual([
    expect.stringMatching(`^${file}:3:17: targets\\[0\\]\\.subscribe`),
    `${file}:4:5: targets[0].name: key given twice; allowed: once`,
    `${file}:7:3: log.level: key given twice; allowed: once`,
    "",
  ]);
});

describe("as a process", { tags: ["process"] }, () => {
  test.each([
    [["--version"], 0, /^albatross-exporter, version/, /^$/],
    [["--bar"], 2, /^$/, /^albatross-exporter: unknown option '--bar'\n$/],
    [["check-config", "test"], 1, /^$/, /^test: is a directory, not a file\n$/],
    [["check-config", "config.yaml"], 0, /^config.yaml: configuration is valid\n$/, /^$/],
  ])("%j exits with %i", async (args, code, stdout, stderr) => {
    const ran = await runProgram(args);
    expect(ran.stdout).toMatch(stdout);
    expect(ran.stderr).toMatch(stderr);
    expect(ran.code).toBe(code);
  });
});
