import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { PATIENCE_MS } from "../support/eventually.ts";

const pathOf = (file: string) => fileURLToPath(new URL(`../../${file}`, import.meta.url));
const textOf = (file: string) => readFileSync(pathOf(file), "utf8");
const engines: string = JSON.parse(textOf("package.json")).engines.node;

/** Runs the program on a Node that calls itself `version`. */
function runAs(version: string) {
  const pretend = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } });`;
  const imports = [import.meta.resolve("tsx"), `data:text/javascript,${encodeURIComponent(pretend)}`];
  const args = imports.flatMap((one) => ["--import", one]);
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...args, pathOf("src/main.ts"), "--version"],
    {
      encoding: "utf8",
      timeout: PATIENCE_MS,
    },
  );
  return { status, stdout, stderr };
}

test.each(["20.18.3", "18.20.4", "8.1.0"])(
  "on Node %s, which is too old, it says so in one line and stops",
  { tags: ["process"] },
  (version) => {
    const needs = engines.replace(">=", "");
    expect(runAs(version)).toEqual({
      status: 1,
      stdout: "",
      stderr: `albatross-exporter: needs Node ${needs} or newer; this is ${version} (${process.execPath})\n`,
    });
  },
);

test.each(["20.19.0", "22.0.0", "100.1.0"])("on Node %s it runs", { tags: ["process"] }, (version) => {
  expect(runAs(version)).toMatchObject({ status: 0, stderr: "" });
});

test.each(["src/main.ts", "src/signals.ts"])("%s has no syntax that Node 12 cannot read", (file) => {
  const code = textOf(file).replace(/^#!.*|\/\*[\s\S]*?\*\/|\/\/.*/gm, "");
  // `a ?? b`, `a?.b`, `a ||= b`, private names, `1_000`, and `await` outside of functions
  expect(code).not.toMatch(/\?\?|\?\.|(?:\|\||&&)=|#\w|\d_\d|^\S.*\bawait\b/m);
});

test("main.ts imports nothing but the signals before it has taken them", () => {
  const imports = Array.from(
    textOf("src/main.ts").matchAll(/^import .* from "(.*)";$/gm),
    ([, from]) => from,
  );
  expect(imports).toEqual(["./signals.ts"]);
  expect(textOf("src/signals.ts")).not.toMatch(/^import /m);
});
