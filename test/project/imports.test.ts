import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** folder -> the folders it may import from. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  exposition: [],
  albatross: [],
  config: ["albatross"],
  fleet: ["albatross", "exposition"],
  exporter: ["albatross", "fleet", "exposition"],
  scaler: ["albatross", "fleet", "exposition"],
  backtest: ["albatross", "config", "fleet", "exposition", "scaler"],
  simulator: ["albatross", "config"],
  demo: ["albatross", "config", "simulator"],
  web: ["albatross", "config", "fleet", "exposition", "exporter", "scaler"],
  serve: ["albatross", "config", "fleet", "exposition", "exporter", "scaler", "web"],
  record: ["albatross", "config", "fleet", "exposition", "exporter", "scaler", "serve"],
  commands: [
    "albatross",
    "config",
    "fleet",
    "exposition",
    "exporter",
    "scaler",
    "web",
    "serve",
    "simulator",
    "demo",
    "backtest",
    "record",
  ],
};
const FOLDERS = Object.keys(ALLOWED);

/** What the linter says about a file in each folder that imports from each other folder: `albatross -> fleet`. */
let refused: Set<string>;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "imports-"));
  cpSync(join(ROOT, "biome.json"), join(folder, "biome.json"));
  for (const from of FOLDERS) {
    mkdirSync(join(folder, "src", from, "deep"), { recursive: true });
    for (const to of [...FOLDERS, "config/types"]) {
      const name = to.replace("/", "-");
      const target = to === "config/types" ? "config/types.ts" : `${to}/anything.ts`;
      writeFileSync(join(folder, "src", from, `${name}.ts`), `export { x } from "../${target}";\n`);
      writeFileSync(
        join(folder, "src", from, "deep", `${name}.ts`),
        `export const x = () => import("../../${target}");\n`,
      );
    }
  }
  const biome = join(ROOT, "node_modules/.bin/biome");
  const args = [
    "lint",
    "--vcs-enabled=false",
    "--only=style/noRestrictedImports",
    "--max-diagnostics=none",
    "--reporter=json",
    "src",
  ];
  const { stdout } = spawnSync(biome, args, { cwd: folder, encoding: "utf8" });
  const { diagnostics }: { diagnostics: { location: { path: string } }[] } = JSON.parse(stdout);
  refused = new Set(diagnostics.map(({ location }) => location.path));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(FOLDERS)("src/%s", (from) => {
  test.each(FOLDERS.filter((to) => to !== from))("from %s", (to) => {
    const isRefused = ALLOWED[from]?.includes(to) === false;
    expect(refused.has(`src/${from}/${to}.ts`)).toBe(isRefused);
    expect(refused.has(`src/${from}/deep/${to}.ts`)).toBe(isRefused);
  });

  test("from the types of the configuration", () => {
    expect(refused.has(`src/${from}/config-types.ts`)).toBe(from === "exposition");
  });
});

test("the rule knows every folder of src", () => {
  const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  expect(FOLDERS).toEqual(expect.arrayContaining(folders.map(({ name }) => name)));
});
