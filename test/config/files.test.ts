import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { formatProblem, type Problem } from "../../src/config/checkedYaml.ts";
import { configToYaml, loadConfig } from "../../src/config/load.ts";
import type { Machine } from "../../src/config/target.ts";

const machine: Machine = { name: "local", isContainer: false, os: "linux", pageSizeBytes: 4096 };
const here = import.meta.dirname;

function yamlFiles(folder: string): string[] {
  return readdirSync(`${here}/${folder}`).filter((name) => name.endsWith(".yaml"));
}

/** The problems of a file as they are printed, with the file's bare name. */
function lines(problems: readonly Problem[]): string {
  return problems.map((problem) => `${formatProblem(problem)}\n`).join("");
}

function load(folder: string, name: string) {
  return loadConfig(name, readFileSync(`${here}/${folder}/${name}`, "utf8"), machine);
}

describe("a file with errors is refused with exactly the errors in the text file beside it", () => {
  test.each(yamlFiles("bad"))("%s", async (name) => {
    const result = load("bad", name);
    if (result.ok) expect.fail(`${name} was accepted`);
    await expect(lines(result.problems)).toMatchFileSnapshot(`bad/${name.replace(".yaml", ".txt")}`);
  });
});

describe("a correct file gives the configuration and the warnings in the text files beside it", () => {
  test.each(yamlFiles("good"))("%s", async (name) => {
    const result = load("good", name);
    if (!result.ok) expect.fail(lines(result.problems));
    await expect(configToYaml(result.config)).toMatchFileSnapshot(
      `good/${name.replace(".yaml", ".in-force.txt")}`,
    );
    await expect(lines(result.warnings)).toMatchFileSnapshot(
      `good/${name.replace(".yaml", ".warnings.txt")}`,
    );
  });

  test.each(yamlFiles("good"))("what %s puts in force reads back as the same configuration", (name) => {
    const result = load("good", name);
    if (!result.ok) expect.fail(lines(result.problems));
    // what is masked in it cannot be read back
    const yaml = configToYaml(result.config);
    const again = loadConfig(name, yaml.replace(/url: <secret>/g, "url: http://masked"), machine);
    if (!again.ok) expect.fail(lines(again.problems));
    expect(configToYaml(again.config)).toBe(yaml);
    if (!yaml.includes("<secret>")) expect(again.config).toEqual(result.config);
  });
});

describe("secrets show nowhere", () => {
  test.each([
    ["bad", "clone.txt"],
    ["good", "acting.in-force.txt"],
  ])("%s/%s", (folder, name) => {
    const secret = /hunter2/g;
    const shown = readFileSync(`${here}/${folder}/${name}`, "utf8");
    const file = readFileSync(`${here}/${folder}/${name.replace(/\..*/, ".yaml")}`, "utf8");
    expect(file.match(secret)?.length).toBeGreaterThan(2);
    expect(shown).not.toMatch(secret);
  });

  test.each([
    [
      "in a block",
      'scaler:\n  defaults:\n    clone:\n      arguments:\n        - --a=hunter2\n        - "hunter2"\n',
    ],
    ["in a flow", "scaler: { defaults: { clone: { arguments: [--a=hunter2, 'hunter2'] } } }\n"],
    ["in a URL", 'scaler: { defaults: { clone: { after_create: { url: "http://hunter2:hunter2@x/" } } } }\n'],
  ])("%s, wherever a character is wrong, missing or too much", (_, text) => {
    let refused = 0;
    for (let at = 0; at < text.length; at++) {
      const [before, after] = [text.slice(0, at), text.slice(at)];
      const damaged = [":", '"', "{", "&", "\n"].map((odd) => before + odd + after);
      for (const yaml of [before, before + after.slice(1), ...damaged]) {
        const result = loadConfig("f", yaml, machine);
        if (!result.ok) refused += 1;
        expect(lines(result.ok ? result.warnings : result.problems)).not.toContain("hunter2");
      }
    }
    expect(refused).toBeGreaterThan(200);
  });
});
