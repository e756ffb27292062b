import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatProblem, readTextFile } from "../../src/config/checkedYaml.ts";
import { loadConfig, loadConfigFile, loadSettings, override, statePath } from "../../src/config/load.ts";
import { configFile } from "../../src/config/sections.ts";
import { type Machine, thisMachine } from "../../src/config/target.ts";
import { policyLookup } from "../../src/scaler/rules/tick.ts";

const freebsd: Machine = { name: "local", isContainer: false, os: "freebsd", pageSizeBytes: 16_384 };

describe("what a target leaves out", () => {
  test("is as on this machine", () => {
    const [target] = configFile(() => freebsd).schema.parse({}).targets;
    expect(target).toMatchObject({
      name: "local",
      os: "freebsd",
      pageSizeBytes: 16_384,
      socketDir: "/var/run/albatross/util",
    });
  });

  const container: Machine = { ...freebsd, name: "3f2a5b6c7d8e", isContainer: true };

  test.each<[string, string, Machine, string[]]>([
    ["a container's hostname is told", "", container, ["f:1:1"]],
    ["for a target without a name too", "targets: [{ os: linux }]", container, ["f:1:11"]],
    ["but not one that is given", "targets: [{ name: 3f2a5b6c7d8e }]", container, []],
    ["nor one that somebody chose", "", { ...container, name: "web-1" }, []],
    ["nor a machine's that looks like it", "", { ...container, isContainer: false }, []],
  ])("%s", (_, text, machine, places) => {
    const result = loadConfig("f", text, machine);
    if (!result.ok) expect.fail("refused");
    expect(result.warnings.map(formatProblem)).toEqual(
      places.map(
        (place) =>
          `${place}: targets[0].name: is not set, and "3f2a5b6c7d8e" is the name of this container: the next one has another; give the host a name`,
      ),
    );
  });

  test("is named after this machine, so two such targets are one too many", () => {
    const text = "targets: [{ os: linux }, { socket_dir: /run/other }]";
    const result = loadConfig("f", text, freebsd);
    if (result.ok) expect.fail("accepted");
    expect(result.problems.map(formatProblem)).toEqual([
      'f:1:26: targets[1].name: "local" is also the name of targets[0]; allowed: a name of its own',
    ]);
  });

  test("goes by the target's own operating system where that is named", () => {
    const result = loadConfig("f", "targets: [{ name: a, os: linux }]", freebsd);
    expect(result).toMatchObject({ ok: true, config: { targets: [{ socketDir: "/run/albatross/util" }] } });
  });

  test("has a page size that a memory can have", () => {
    expect(Number.isInteger(Math.log2(thisMachine().pageSizeBytes))).toBe(true);
  });
});

describe("a file that cannot be read is one clear line", () => {
  let folder: string;
  const server = createServer();
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "config-"));
    server.listen(join(folder, "socket"));
    await once(server, "listening");
    writeFileSync(join(folder, "latin1.yaml"), Buffer.from("# f\xfcr alle\n", "latin1"));
    writeFileSync(join(folder, "huge.yaml"), Buffer.alloc(2 ** 20 + 1, "#"));
    writeFileSync(join(folder, "largest.yaml"), `# ${"x".repeat(2 ** 20 - 3)}\n`);
    symlinkSync("none", join(folder, "dangling.yaml"));
    symlinkSync("loop.yaml", join(folder, "loop.yaml"));
    writeFileSync(join(folder, "bom.yaml"), "\ufefflog: { level: debug }\n");
  });
  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  test.each([
    ["none.yaml", "no such file"],
    ["", "is a directory, not a file"],
    ["latin1.yaml", "is not text in UTF-8"],
    ["huge.yaml", "is larger than allowed: at most 1048576 bytes"],
    ["../../dev/zero", "is a device, not a file"],
    ["../../dev/null", "is a device, not a file"],
    ["socket", "is a socket or a device that is not there, not a file"],
    ["dangling.yaml", "no such file"],
    ["loop.yaml", "cannot be read: its symbolic links go round in circles"],
    ["latin1.yaml/x", "cannot be read: a part of its path is no directory"],
  ])("%j: %s", (name, text) => {
    const file = join(folder, name);
    const result = loadConfigFile(file);
    if (result.ok) expect.fail("was read");
    expect(result.problems.map(formatProblem).join("\n")).toContain(`${file}: ${text}`);
    expect(result.problems).toHaveLength(1);
  });

  test.each([
    ["", false],
    ["\n \n", false],
    ["---\n", false],
    ["---\nnull\n", false],
    ["~", false],
    ["# all the defaults\n", true],
    ["{}\n", true],
    ["--- # all the defaults\n", true],
    ["scaler: {}\n", true],
  ])("a reload of %j says something: %s", (text, taken) => {
    const configFile = join(folder, "reloaded.yaml");
    writeFileSync(configFile, text);
    expect(loadSettings({ configFile }, { isReload: true }).ok).toBe(taken);
    expect(loadSettings({ configFile }).ok).toBe(true);
  });

  test("a FIFO is told as such, without waiting for who writes to it", { tags: ["process"] }, () => {
    const file = join(folder, "fifo");
    execFileSync("mkfifo", [file]);
    expect(loadConfigFile(file)).toMatchObject({ problems: [{ file, text: "is a FIFO, not a file" }] });
  });

  test.each(["largest.yaml", "../../proc/self/comm"])(
    "%s is read, whatever its size is said to be",
    (name) => {
      expect(readTextFile(join(folder, name))).toEqual({ ok: true, text: expect.stringMatching(/\n$/) });
    },
  );

  test.each([
    ["", '"": no such file'],
    ["two\nlines", '"two\\nlines": no such file'],
  ])("the odd name %j takes one line as well", (file, text) => {
    const result = loadConfigFile(file);
    expect(result.ok ? [] : result.problems.map(formatProblem)).toEqual([text]);
  });

  test("a byte order mark is no part of the file", () => {
    expect(loadConfigFile(join(folder, "bom.yaml"))).toMatchObject({
      ok: true,
      config: { log: { level: "debug" } },
    });
  });
});

describe("the command line", () => {
  const config = configFile(thisMachine).schema.parse({});

  test("wins over the file where it says something", () => {
    const web = { listenAddresses: [{ host: "::1", port: 1 }], telemetryPath: "/m", maxRequests: 3 };
    const result = override(config, {
      web: { ...web, disableExporterMetrics: true },
      log: { level: "debug", format: "json" },
    });
    expect(result.web).toEqual({ ...config.web, ...web, disableExporterMetrics: true });
    expect(result.log).toEqual({ level: "debug", format: "json" });
  });

  test("has nothing carried out with --scaler.dry-run, whatever the file says", () => {
    const yaml = "scaler: { mode: execute, policies: [{ match: '*', mode: execute }] }";
    const loaded = loadConfig("f", yaml);
    if (!loaded.ok) expect.fail("refused");
    const modeOf = (dryRun: boolean) =>
      policyLookup(override(loaded.config, { dryRun }).scaler)({ host: "a", path: "", group: "b" })?.mode;
    expect([modeOf(true), modeOf(false)]).toEqual(["dry_run", "execute"]);
  });

  test.each([
    ["execute", "execute", "execute"],
    ["execute", "dry_run", "dry_run"],
    ["dry_run", "execute", "dry_run"],
    ["dry_run", "dry_run", "dry_run"],
  ])("with scaler.mode %s a policy of mode %s is %s", (mode, own, effective) => {
    const loaded = loadConfig("f", `scaler: { mode: ${mode}, policies: [{ match: '*', mode: ${own} }] }`);
    if (!loaded.ok) expect.fail("refused");
    expect(policyLookup(loaded.config.scaler)({ host: "a", path: "", group: "b" })?.mode).toBe(effective);
  });

  test("leaves the rest alone", () => {
    expect(override(config, {})).toEqual(config);
  });
});

test.each([
  ["/var/lib/x/state.json", undefined, "/var/lib/x/state.json"],
  ["state.json", undefined, "data/state.json"],
  ["state.json", "", "data/state.json"],
  ["state.json", "/var/lib/albatross-exporter", "/var/lib/albatross-exporter/state.json"],
  ["sub/state.json", "/var/lib/a:/var/lib/b", "/var/lib/a/sub/state.json"],
])("the state file %s with STATE_DIRECTORY %s is %s", (path, directory, expected) => {
  expect(statePath(path, { STATE_DIRECTORY: directory })).toBe(expected);
});

test.each([
  "/../metrics",
  "/metrics/..",
  "/./metrics",
  "/metrics/.",
  "//metrics",
  "/metrics//",
  "/metrics/",
  "/%2e%2e/metrics",
  "/metrics?a=b",
  "/metrics#a",
  "/a b",
  "/metrics\\",
  "/-/metrics",
  "/api",
  "/",
  "metrics",
  "",
])("the telemetry path %j is refused: no client would ask for it in that form, or it is taken", (path) => {
  const result = loadConfig("f", `web: { telemetry_path: ${JSON.stringify(path)} }`);
  expect(result).toMatchObject({ ok: false, problems: [{ path: "web.telemetry_path" }] });
});
