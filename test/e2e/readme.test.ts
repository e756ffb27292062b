import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { PATIENCE_MS } from "../support/eventually.ts";
import { Serving, startSimulatedHost, temporaryFolder, until } from "../support/serving.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const readme = readFileSync(join(ROOT, "README.md"), "utf8");
const section = readme.slice(readme.indexOf("\n## The scaler\n"), readme.indexOf("\n## Acting\n"));

/** The blocks of code of one language in the section. */
function blocks(language: string): string[] {
  return [...section.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(
    ([, code = ""]) => code,
  );
}

/** Runs lines of a shell, the first that fails ends it. Comes back with what they print. */
async function shell(lines: string, cwd: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)("sh", ["-euc", lines], { cwd, timeout: PATIENCE_MS });
  expect(stderr.replace(/^recorded .*\n/m, "")).toBe("");
  return stdout;
}

describe("what the README says of the scaler", () => {
  test("can be done: look at it, record, try values side by side", async () => {
    const folder = await temporaryFolder();
    await startSimulatedHost(join(folder, "sockets"), 1, 200);
    const [policies = ""] = blocks("yaml");
    const config = `targets: [{ name: sim, socket_dir: ${join(folder, "sockets")}, os: linux }]
web: { listen_addresses: ["127.0.0.1:0"] }
${policies.replace("scaler:\n", "scaler:\n  poll_interval: 1s\n  defaults: { warmup_period: 0s }\n").replace("user:web", "load:vm-1")}`;
    const serving = await Serving.start(folder, config);

    const asked = [...section.matchAll(/curl -s '?localhost:10042([^'`]+)/g)].map(([, path = ""]) => path);
    expect(asked).toEqual(["/api/v1/groups", "/api/v1/decisions?group=user:web"]);
    const [groups = "", decisions = ""] = asked.map((path) => path.replace("user:web", "load:vm-1"));
    const told = await until(
      "a decision",
      () => serving.get(decisions),
      (answer) => answer.includes("normal"),
    );
    expect(JSON.parse(told).data[0]).toMatchObject({ group: "vm-1", decision: "hold", reason: "normal" });
    expect(JSON.parse(await serving.get(groups)).data[0].scaler.text).toMatch(
      /^The average of .* is not above 90 %/,
    );
    await until(
      "a line of the decision log, which is written off the tick",
      async () =>
        existsSync(join(folder, "decisions.ndjson"))
          ? readFileSync(join(folder, "decisions.ndjson"), "utf8")
          : "",
      (text) => text.includes('"group":"vm-1"'),
    );
    expect(await serving.get("/metrics")).toContain("albatross_scaler_decisions_total{");

    const [tryOut = ""] = blocks("sh");
    const output = await shell(
      tryOut
        .replaceAll("albatross-exporter ", `${process.execPath} ${join(ROOT, "dist/main.js")} `)
        .replaceAll("/etc/albatross-exporter/config.yaml", serving.configFile)
        .replace("--duration 1h", `--duration 3s --url ${serving.url}`),
      folder,
    );
    expect(output).toMatch(/ load:vm-1 +hold +normal /);
    expect(output).toMatch(/^ +scale_up_threshold_percent=80 +scale_up_threshold_percent=90\n/m);
  });

  test("can be tried without a host", async () => {
    const [, withoutHost = ""] = blocks("sh");
    const output = await shell(withoutHost, ROOT);
    expect(output).toMatch(/^scale_up \/ overloaded +1 +0$/m);
  });

  test("can be played as it would have been", async () => {
    const [, , whatIf = ""] = blocks("sh");
    const output = await shell(whatIf, ROOT);
    expect(output).toMatch(/^recorded .*\nscale_up_trigger_ticks=3 .*\nscale_up_trigger_ticks=1 /m);
  });
});
