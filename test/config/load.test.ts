import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatProblem } from "../../src/config/checkedYaml.ts";
import { defaultConfig, loadConfig, loadConfigFile, override, statePath } from "../../src/config/load.ts";
import { type Machine, thisMachine } from "../../src/config/target.ts";

const freebsd: Machine = { os: "freebsd", pageSizeBytes: 16_384 };

describe("what a target leaves out", () => {
  test("is as on this machine", () => {
    const [target] = defaultConfig(freebsd).targets;
    expect(target).toMatchObject({
      name: "local",
      os: "freebsd",
      pageSizeBytes: 16_384,
      socketDir: "/var/run/albatross/util",
    });
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
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "config-"));
    writeFileSync(join(folder, "latin1.yaml"), Buffer.from("# f\xfcr alle\n", "latin1"));
    writeFileSync(join(folder, "huge.yaml"), Buffer.alloc(5 * 2 ** 20, "#"));
    writeFileSync(join(folder, "bom.yaml"), "\ufefflog: { level: debug }\n");
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each([
    ["none.yaml", "no such file"],
    ["", "is a directory, not a file"],
    ["latin1.yaml", "is not text in UTF-8"],
    ["huge.yaml", "is larger than allowed: at most 4194304 bytes"],
    ["latin1.yaml/x", "cannot be read: ENOTDIR: not a directory"],
  ])("%j: %s", (name, text) => {
    const file = join(folder, name);
    const result = loadConfigFile(file);
    if (result.ok) expect.fail("was read");
    expect(result.problems.map(formatProblem).join("\n")).toContain(`${file}: ${text}`);
    expect(result.problems).toHaveLength(1);
  });

  test("a byte order mark is no part of the file", () => {
    expect(loadConfigFile(join(folder, "bom.yaml"))).toMatchObject({
      ok: true,
      config: { log: { level: "debug" } },
    });
  });
});

describe("the command line", () => {
  const config = defaultConfig();

  test("wins over the file where it says something", () => {
    const web = { listenAddresses: [{ host: "::1", port: 1 }], telemetryPath: "/m", maxRequests: 3 };
    const result = override(config, {
      web: { ...web, disableExporterMetrics: true },
      log: { level: "debug", format: "json" },
    });
    expect(result.web).toEqual({ ...config.web, ...web, disableExporterMetrics: true });
    expect(result.log).toEqual({ level: "debug", format: "json" });
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
