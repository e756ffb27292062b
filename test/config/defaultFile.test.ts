import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { z } from "zod";
import { defaultConfig, loadConfig } from "../../src/config/load.ts";
import type { Machine } from "../../src/config/machine.ts";
import { configSchema } from "../../src/config/schema/file.ts";

const machine: Machine = { os: "linux", pageSizeBytes: 4096 };
const text = readFileSync(`${import.meta.dirname}/../../config.yaml`, "utf8");
/** The file with the keys that depend on the machine no longer commented out. */
const complete = text.replace(/^( *)# (?=(?:socket_dir|os|page_size): )/gm, "$1");

test("config.yaml sets exactly the defaults and has nothing to warn of", () => {
  expect(loadConfig("config.yaml", text, machine)).toEqual({
    ok: true,
    config: defaultConfig(machine),
    warnings: [],
  });
});

test("what it has commented out are defaults of a Linux machine", () => {
  expect(loadConfig("config.yaml", complete, machine)).toEqual({
    ok: true,
    config: defaultConfig(machine),
    warnings: [],
  });
});

/** The keys of a schema below `path`, in all its sections and list items: `targets.max_frame_bytes.stat`. */
function keysOf(schema: unknown, path = ""): string[] {
  const { def } = schema as z.ZodType & { def: Record<string, unknown> };
  switch (def["type"]) {
    case "object":
      return Object.entries(def["shape"] as Record<string, unknown>).flatMap(([key, value]) => {
        const at = path === "" ? key : `${path}.${key}`;
        return [at, ...keysOf(value, at)];
      });
    case "array":
      return keysOf(def["element"], path);
    case "pipe":
      return [...keysOf(def["in"], path), ...keysOf(def["out"], path)];
    case "optional":
    case "default":
      return keysOf(def["innerType"], path);
    default:
      return [];
  }
}

/** The keys of the YAML text by their indentation, comments that hold examples excepted. */
function keysWritten(yaml: string): Set<string> {
  const keys = new Set<string>();
  const open: { indent: number; key: string }[] = [];
  for (const line of yaml.split("\n")) {
    const match = /^(?<indent> *(?:- )?)(?<key>[a-z_]+):/.exec(line)?.groups;
    if (match === undefined) continue;
    const indent = match["indent"]?.length ?? 0;
    while (open.length > 0 && (open.at(-1)?.indent ?? 0) >= indent) open.pop();
    open.push({ indent, key: match["key"] ?? "" });
    keys.add(open.map(({ key }) => key).join("."));
  }
  return keys;
}

test("config.yaml holds every key there is", () => {
  const known = keysOf(configSchema(machine));
  const ofPolicies = known.filter((key) => key.startsWith("scaler.policies."));
  const elsewhere = known.filter((key) => !ofPolicies.includes(key));
  expect(known.length).toBeGreaterThan(50);
  expect([...keysWritten(complete)].sort()).toEqual([...new Set(elsewhere)].sort());
});

test("config.yaml tells what a policy may hold", () => {
  const keys = keysOf(configSchema(machine))
    .filter((key) => key.startsWith("scaler.policies."))
    .map((key) => key.split(".").at(-1));
  const comment = text.slice(text.indexOf("# The groups to scale"));
  const defaults = keysOf(configSchema(machine)).filter((key) => key.startsWith("scaler.defaults."));
  for (const key of keys) {
    expect(
      comment.includes(`${key}:`) ||
        comment.includes(`\`${key}\``) ||
        defaults.includes(`scaler.defaults.${key}`),
    ).toBe(true);
  }
});

test("the example policies of config.yaml are right", () => {
  const example = /^ {2}# {3}policies:\n(?: {2}# {5,}.*\n)+/m.exec(text)?.[0] ?? "";
  const yaml = `scaler:\n${example.replace(/^ {2}# /gm, "")}`;
  const result = loadConfig("example", yaml, machine);
  expect(result).toMatchObject({ ok: true, warnings: [], config: { scaler: { policies: [{}, {}, {}] } } });
});
