import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Keys } from "../../src/config/keys.ts";
import { loadConfig } from "../../src/config/load.ts";
import { configFile } from "../../src/config/sections.ts";
import type { Machine } from "../../src/config/target.ts";

const machine: Machine = { name: "box1", isContainer: false, os: "linux", pageSizeBytes: 4096 };
const text = readFileSync(`${import.meta.dirname}/../../config.yaml`, "utf8");
/** The file with the keys that depend on the machine no longer commented out. */
const complete = text.replace(
  /^( *)# (?=(?:name|socket_dir|os|page_size|scale_(?:up|down)_cooldown_period|target_percent): )/gm,
  "$1",
);

test("config.yaml sets exactly the defaults and has nothing to warn of", () => {
  expect(loadConfig("config.yaml", text, machine)).toEqual({
    ok: true,
    config: configFile(() => machine).schema.parse({}),
    warnings: [],
  });
});

test("what it has commented out are defaults of a Linux machine", () => {
  expect(loadConfig("config.yaml", complete, machine)).toEqual({
    ok: true,
    config: configFile(() => machine).schema.parse({}),
    warnings: [],
  });
});

/** The file with the examples of a clone and of a proxy, too, whose keys have no defaults. */
const withExamples = complete.replace(
  /^( {6}(?=# {1,3}[a-z_]+:)| {2}(?=# (?:external_url|route_prefix):))# /gm,
  "$1",
);

test("the example of a clone in config.yaml is right", () => {
  const file = withExamples.replace("policies: []", 'policies: [{ match: "*" }]');
  expect(loadConfig("config.yaml", file, machine)).toMatchObject({
    ok: true,
    warnings: [],
    config: { scaler: { defaults: { clone: { cpuids: [0, 1], beforeDestroy: { waitMs: 30_000 } } } } },
  });
});

/** The keys of a table, in all its sections and list items: `targets.max_frame_bytes.stat`. */
function keysOf(keys: Keys = {}, path = ""): string[] {
  return Object.values(keys).flatMap(({ key, codec }) => [
    `${path}${key}`,
    ...keysOf(codec.keys, `${path}${key}.`),
  ]);
}

const known = keysOf(configFile(() => machine).keys);

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

/** What stands in a comment as an example, from the key of its first line on, as a file. */
function example(firstKey: string, from: string = text): string {
  const lines = new RegExp(`^ {2}# {3}${firstKey}:.*\\n(?: {2}# {3,}.*\\n)+`, "m").exec(from)?.[0] ?? "";
  return `scaler:\n${lines.replace(/^ {2}# /gm, "")}`;
}
/** The other way to tell Prometheus who asks stands in place of the first. */
const loadExample = example("prometheus");
const otherwise = loadExample.replace(/ basic_auth: .*/, "").replace("# authorization:", "authorization:");

/** A host that is reached by TLS, in both forms at once. */
const tlsExample = `targets:\n${(/^ {2}# {3}- name: metal\n(?: {2}# {3,}.*\n)+/m.exec(text)?.[0] ?? "").replace(/^ {2}# /gm, "")}`;

test("the example of a host that is reached by TLS is right, in both forms", () => {
  for (const without of [
    /^ +issuer:.*\n/m,
    /^ +certificates:\n(?: +(?:- )?(?:subscribe|info|policy):.*\n)+/m,
  ]) {
    const result = loadConfig("config.yaml", tlsExample.replace(without, ""), machine);
    const target = { name: "metal", subscribe: [], enforcesPolicy: true, os: "linux" };
    expect(result).toMatchObject({ ok: true, warnings: [], config: { targets: [target] } });
  }
});

test("config.yaml holds every key there is", () => {
  const isLater = (key: string) =>
    key.startsWith("scaler.policies.") || key.startsWith("scaler.defaults.load");
  // in braces, both on one line
  const isBraced = (key: string) => /^targets\.tls\..*\.(certificate|key)$/.test(key);
  const first = known.filter(
    (key) => !isLater(key) && !isBraced(key) && !/^scaler\.prometheus\b.*\./.test(key),
  );
  expect(known.length).toBeGreaterThan(50);
  const written = [...keysWritten(withExamples), ...keysWritten(tlsExample), "scaler.prometheus"];
  expect([...new Set(written)].sort()).toEqual([...new Set(first)].sort());
  for (const key of known.filter((key) => /^scaler\.(prometheus\.|defaults\.load\.)/.test(key)))
    expect(`${loadExample}${otherwise}`).toContain(` ${key.split(".").at(-1)}:`);
});

test("the example of load in config.yaml is right, in both forms", () => {
  const query = { text: 'sum(rate(http_requests_total{unikernel="$group"}[2m]))' };
  for (const yaml of [loadExample, otherwise]) {
    const result = loadConfig("/etc/x/config.yaml", yaml, machine);
    const policies = [{ match: "user:web", load: { query, capacityPerMember: 200 } }];
    const ca = { caFile: "/etc/x/ca.pem" };
    expect(result).toMatchObject({ ok: true, config: { scaler: { policies, prometheus: { tls: ca } } } });
  }
});

test("config.yaml tells what a policy may hold", () => {
  const keys = known.flatMap((key) => key.split("scaler.policies.").slice(1));
  const comment = text.slice(text.indexOf("# The groups to scale"));
  const defaults = known.filter((key) => key.startsWith("scaler.defaults."));
  for (const key of keys) {
    expect(
      comment.includes(`${key}:`) ||
        comment.includes(`\`${key}\``) ||
        loadExample.includes(`${key}:`) ||
        defaults.includes(`scaler.defaults.${key}`),
    ).toBe(true);
  }
});

test("the example policies of config.yaml are right", () => {
  const last = text.lastIndexOf("  #   policies:");
  const result = loadConfig("example", example("policies", text.slice(last)), machine);
  expect(result).toMatchObject({ ok: true, warnings: [], config: { scaler: { policies: [{}, {}, {}] } } });
});
