import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const SRC = fileURLToPath(new URL("../../src", import.meta.url));

const CORE = ["clock.ts", "fileLock.ts", "files.ts", "log.ts", "systemError.ts", "signals.ts"];
const HOSTS = ["wire", "client", "fleet", "exposition"];
const PROGRAM = [...CORE, ...HOSTS, "config", "exporter", "scaler", "trace", "web", "version.ts"];
const SIMULATED = [...CORE, "wire", "config", "version.ts"];

/** Imports point down: folder of src (`.` is src itself) -> the folders and files that it may import from. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  exposition: ["clock.ts"],
  config: ["wire", "systemError.ts"],
  client: [...CORE, "wire"],
  fleet: [...CORE, "wire", "client"],
  exporter: [...CORE, ...HOSTS, "config/glob.ts", "config/units.ts", "version.ts"],
  scaler: [
    ...[...CORE, ...HOSTS, "config/scaler.ts", "config/clone.ts", "config/glob.ts", "config/units.ts"],
    ...["config/promql.ts", "config/checkedYaml.ts"],
  ],
  trace: [...CORE, ...HOSTS, "config"],
  backtest: [...CORE, ...HOSTS, "config", "scaler", "trace"],
  web: [...CORE, ...HOSTS, "config", "exporter", "scaler", "trace", "version.ts"],
  app: PROGRAM,
  simulator: SIMULATED,
  demo: [...SIMULATED, "simulator"],
  commands: [...PROGRAM, "app", "backtest", "simulator", "demo"],
  ".": ["commands", "config", ...CORE],
};

/** These know nothing of the configuration, whose types all other folders may use. */
const WITHOUT_CONFIG = ["wire", "exposition"];

/** What has albatrossd do something, and the one folder that may import it. */
const ONLY_FROM: Readonly<Record<string, string>> = { "client/acting.ts": "scaler/actions" };

const IMPORT = /\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g;
const TYPE_IMPORT_OF_CONFIG = /\bimport type \{[^}]*\} from "(?:\.\.?\/)+config\/[^"]+"/g;

/** What `text`, the file at `path` in src, imports, as paths in src. */
function importsOf(path: string, text: string): string[] {
  const rest = WITHOUT_CONFIG.includes(folderOf(path)) ? text : text.replaceAll(TYPE_IMPORT_OF_CONFIG, "");
  return Array.from(rest.matchAll(IMPORT), ([, target = ""]) => join(dirname(path), target));
}

function folderOf(path: string): string {
  return path.includes("/") ? (path.split("/")[0] ?? "") : ".";
}

/** The imports of a file that the rule refuses. */
function refused(path: string, text: string): string[] {
  const allowed = [folderOf(path), ...(ALLOWED[folderOf(path)] ?? [])];
  return importsOf(path, text).filter((target) => {
    const isAllowed = allowed.includes(target) || allowed.includes(folderOf(target));
    return !isAllowed || (ONLY_FROM[target] ?? dirname(path)) !== dirname(path);
  });
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));

describe.each([...new Set(files.map(folderOf))])("src/%s", (folder) => {
  test("imports only from below", () => {
    expect(Object.keys(ALLOWED)).toContain(folder);
    const wrong = files
      .filter((path) => folderOf(path) === folder)
      .flatMap((path) =>
        refused(path, readFileSync(join(SRC, path), "utf8")).map((to) => `${path} -> ${to}`),
      );
    expect(wrong).toEqual([]);
  });
});

test.each([
  ["wire/a.ts", 'import { x } from "../client/b.ts";', ["client/b.ts"]],
  ["wire/a.ts", 'import type { Config } from "../config/sections.ts";', ["config/sections.ts"]],
  ["fleet/deep/a.ts", 'export * from "../../exporter/b.ts";', ["exporter/b.ts"]],
  ["fleet/a.ts", 'import type { Config } from "../config/sections.ts";', []],
  ["fleet/a.ts", 'import { type Config, x } from "../config/sections.ts";', ["config/sections.ts"]],
  ["fleet/a.ts", 'import { load } from "../config/load.ts";', ["config/load.ts"]],
  ["app/a.ts", 'const demo = await import("../demo/demo.ts");', ["demo/demo.ts"]],
  ["backtest/a.ts", 'import { Simulator } from "../simulator/host.ts";', ["simulator/host.ts"]],
  ["scaler/actions/a.ts", 'import { ActingClient } from "../../client/acting.ts";', []],
  ["scaler/a.ts", 'import { ActingClient } from "../client/acting.ts";', ["client/acting.ts"]],
  ["client/a.ts", 'import { ActingClient } from "./acting.ts";', ["client/acting.ts"]],
  ["app/a.ts", 'const acting = await import("../client/acting.ts");', ["client/acting.ts"]],
  ["commands/a.ts", 'import { Simulator } from "../simulator/host.ts";', []],
])("%s with %s", (path, text, expected) => {
  expect(refused(path, text)).toEqual(expected);
});
