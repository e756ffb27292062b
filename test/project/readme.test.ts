import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { buildProgram } from "../../src/commands/program.ts";
import { loadConfig } from "../../src/config/load.ts";
import { policyLookup } from "../../src/scaler/rules/tick.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const readme = readFileSync(`${ROOT}/README.md`, "utf8");

/** The rows of the table under `| HEAD | |`: the first cell without its backticks, and the second. */
function table(head: string): [string, string][] {
  const rows = new RegExp(`^\\| ${head} \\| \\|\\n\\|[-|]+\\|\\n(?<rows>(?:\\|.*\\n)+)`, "m").exec(readme)
    ?.groups?.["rows"];
  return (rows ?? "")
    .trimEnd()
    .split("\n")
    .map((row) => /^\| `(.*?)` \| (.*) \|$/.exec(row)?.slice(1) ?? [row])
    .map(([first = "", second = ""]) => [first, second]);
}

const program = buildProgram();

test("the table of flags is what --help of serve says", () => {
  const serve = program.commands.find((command) => command.name() === "serve");
  const flags = serve?.options
    .filter((option) => !option.hidden)
    .map(({ flags, description }) => [flags, description]);
  expect(table("flag")).toEqual(flags);
});

test("the flags work without the word serve too", () => {
  const serve = program.commands.find((command) => command.name() === "serve");
  const flagsOf = (options: readonly { readonly flags: string }[] | undefined) =>
    options?.map(({ flags }) => flags).sort();
  expect(flagsOf(program.options)).toEqual(flagsOf(serve?.options));
});

test("the table of commands has every command with its arguments", () => {
  const commands = program.commands.map((command) => {
    const words = command.registeredArguments.map((argument) => {
      const word = argument.variadic ? `${argument.name()}...` : argument.name();
      return argument.required ? `<${word}>` : `[${word}]`;
    });
    return [command.name(), ...words].join(" ");
  });
  expect(
    table("command")
      .map(([usage]) => usage)
      .sort(),
  ).toEqual(commands.sort());
});

test("the table of the other commands' flags has every one of them", () => {
  const flags = program.commands
    .filter((command) => command.name() !== "serve" && command.options.length > 0)
    .map((command) => [command.name(), command.options.map((option) => `\`${option.flags}\``).join(", ")]);
  expect(table("flags of").sort()).toEqual(flags.sort());
});

test("the table of routes has every one that answers", async () => {
  const api = readFileSync(`${ROOT}/src/web/api.ts`, "utf8");
  const answered = [...api.matchAll(/\.get\("(\/[\w/]+)"/g)].map(([, route]) => `/api/v1${route}`);
  expect(answered.length).toBeGreaterThan(5);
  const told = [...readme.matchAll(/`(\/api\/v1\/[\w/]+)`/g)].map(([, route]) => route);
  expect([...new Set(told)].sort()).toEqual(answered.sort());
});

test("the scrape configuration is the one that is shipped", () => {
  const shown = /```yaml\n(scrape_configs:\n.*?)```/s.exec(readme)?.[1] ?? "";
  const { scrape_timeout: _, ...shipped } = parse(readFileSync(`${ROOT}/deploy/prometheus.yml`, "utf8"))
    .scrape_configs[0];
  expect(parse(shown).scrape_configs).toEqual([shipped]);
});

test("the example of a policy that acts is right, and acts", () => {
  const section = readme.slice(readme.indexOf("\n## Acting\n"));
  const yaml = /```yaml\n(.*?)```/s.exec(section)?.[1] ?? "";
  const machine = { name: "box1", isContainer: false, os: "linux", pageSizeBytes: 4096 } as const;
  const loaded = loadConfig("README.md", yaml, machine);
  expect(loaded).toMatchObject({ ok: true, warnings: [] });
  if (!loaded.ok) return;
  const lookup = policyLookup(loaded.config.scaler);
  expect(lookup({ host: "box1", path: "user", group: "web" })?.mode).toBe("execute");
});

describe.each(["README.md", "CONTRIBUTING.md"])("%s names nothing that is not there:", (document) => {
  const text = readFileSync(`${ROOT}/${document}`, "utf8");
  const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link]) => link ?? "");
  const paths = [...text.matchAll(/`((?:src|test|alerts|docs|grafana|scripts)\/[\w./-]+)`/g)].map(
    ([, path]) => path ?? "",
  );
  test.each([...new Set([...links, ...paths])])("%s", (path) => {
    expect(existsSync(`${ROOT}/${path}`)).toBe(true);
  });

  const scripts = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, script]) => script ?? "");
  test.each([...new Set(scripts)])("npm run %s", (script) => {
    const { scripts } = JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8"));
    expect(Object.keys(scripts)).toContain(script);
  });
});

describe("docs/how-it-works.md names no file that is not there:", () => {
  const files = readdirSync(`${ROOT}/src`, { recursive: true }).map((file) => `/src/${file}`);
  const text = readFileSync(`${ROOT}/docs/how-it-works.md`, "utf8");
  // by its path, or by the end of it in a paragraph that is about its folder
  const named = new Set([...text.matchAll(/`([\w./-]+\.ts|src\/\w+)`/g)].map(([, name = ""]) => name));
  test.each([...named])("%s", (name) => {
    expect(files.some((file) => file.endsWith(`/${name}`))).toBe(true);
  });
});

test("CONTRIBUTING.md has every folder of src, and no other", () => {
  const [, tree = ""] = /```\nsrc\/\n(.*?)```/s.exec(readFileSync(`${ROOT}/CONTRIBUTING.md`, "utf8")) ?? [];
  const shown = [...tree.matchAll(/^ {2}((?:[\w.]+\/?(?:, )?)+)\s/gm)]
    .flatMap(([, names = ""]) => names.split(", "))
    .filter((name) => name.endsWith("/"));
  const folders = readdirSync(`${ROOT}/src`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && readdirSync(`${ROOT}/src/${entry.name}`).length > 0)
    .map((entry) => `${entry.name}/`);
  expect(shown.sort()).toEqual(folders.sort());
});
