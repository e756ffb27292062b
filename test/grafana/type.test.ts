/** @module-tag process */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { dashboardNames, dashboardText } from "../support/dashboards.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What is done to the file of the VM dashboard, once, and what the compiler is to say of it. */
const DAMAGE: readonly (readonly [what: string, from: string, to: string, error: RegExp])[] = [
  [
    "a property that there is not",
    '"title": "Albatross / VM"',
    '"titel": "Albatross / VM"',
    /"titel"' does not exist/,
  ],
  [
    "a text for a number",
    '"schemaVersion": 39',
    '"schemaVersion": "39"',
    /'string' is not assignable to type 'number'/,
  ],
  ["an unknown kind of panel", '"type": "timeseries"', '"type": "graph"', /"graph"/],
  ["an unknown look of a line", '"drawStyle": "line"', '"drawStyle": "curve"', /"curve"/],
  [
    "an option of another kind of panel",
    '"graphMode": "none"',
    '"displayMode": "basic"',
    /"displayMode"' does not exist/,
  ],
  ["an unknown kind of variable", '"type": "datasource"', '"type": "data"', /"data"/],
  [
    "a query without an expression",
    '"expr": "albatross_vm_cpu_usage_percent',
    '"query": "',
    /"query"' does not exist/,
  ],
  ["a threshold without a colour", '"color": "green"', '"colour": "green"', /"colour"' does not exist/],
];

const file = (index: number) => `damaged${index}.ts`;
let folder: string;
/** What the compiler says about each file. */
let said: Map<string, string> | undefined;

// One run of the compiler for all files: it takes its time to start.
// compiled once, before the first test: the tag `process` is a test's, not a file's
beforeEach(() => {
  if (said !== undefined) return;
  folder = mkdtempSync(join(tmpdir(), "dashboards-"));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(
    join(folder, "dashboardType.ts"),
    readFileSync(join(ROOT, "test/support/dashboardType.ts"), "utf8"),
  );
  const { compilerOptions } = JSON.parse(readFileSync(join(ROOT, "tsconfig.json"), "utf8"));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  for (const name of dashboardNames) write(`${name}.ts`, dashboardText(name));
  DAMAGE.forEach(([, from, to], index) => {
    write(file(index), dashboardText("vm").replace(from, to));
  });
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const { stdout } = spawnSync(process.execPath, [tsc, "--pretty", "false", "-p", folder], {
    cwd: folder,
    encoding: "utf8",
  });
  said = new Map();
  let current = "";
  for (const line of stdout.split("\n")) {
    current = /^(?<file>[\w.]+)\(/.exec(line)?.groups?.["file"] ?? current;
    if (line !== "") said.set(current, `${said.get(current) ?? ""}${line}\n`);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, json: string): void {
  writeFileSync(
    join(folder, name),
    `import type { DashboardFile } from "./dashboardType.ts";\nexport const dashboard = ${json.trimEnd()} satisfies DashboardFile;\n`,
  );
}

describe("as an object literal that satisfies Grafana's published type", () => {
  it.each(dashboardNames)("%s", (name) => {
    expect(said?.get(`${name}.ts`)).toBeUndefined();
  });

  it("nothing else is wrong with the files that are compiled", () => {
    const known = [...dashboardNames.map((name) => `${name}.ts`), ...DAMAGE.map((_, index) => file(index))];
    expect([...(said?.keys() ?? [])].filter((name) => !known.includes(name))).toEqual([]);
  });

  it.each(DAMAGE.map((damage, index) => [...damage, index] as const))(
    "does not: %s",
    (_, from, __, error, index) => {
      expect(dashboardText("vm")).toContain(from);
      expect(said?.get(file(index))).toMatch(error);
    },
  );
});
