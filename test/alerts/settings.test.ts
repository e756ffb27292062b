/** @module-tag process */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { rulesWith } from "../../scripts/alerts.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { temporaryFolder } from "../support/serving.ts";
import { alerts, filesEnding } from "./files.ts";

const shipped = filesEnding(".rules.yml").map((file) => readFileSync(file, "utf8"));

describe("rules with settings", () => {
  test("say the same as the shipped ones where nothing is set", () => {
    for (const text of shipped) expect(parse(rulesWith(text, {}))).toEqual(parse(text));
  });

  test("lead to the runbook where it is read, and select the jobs that scrape exporters", () => {
    const runbookUrl = "https://wiki.example.org/$&/runbook";
    const text = rulesWith(shipped[0] ?? "", { runbookUrl, job: 'box\\d+|"x"' });
    const links = [...text.matchAll(/runbook_url: (\S+)/g)].map(([, link]) => link);
    expect(links).toEqual(alerts.map(({ alert }) => `${runbookUrl}#${alert.toLowerCase()}`));
    expect(text).not.toContain("albatross.*");
    expect(text.match(/job=~"box\\\\d\+\|\\"x\\""/g)).toHaveLength(2);
  });

  test.each([
    [["--runbook-url", "docs/runbook.md"], "allowed: an http or https URL without #"],
    [["--job", ""], "allowed: a regular expression"],
    [["--out", "alerts"], "the shipped folder is not written to"],
    [["--jobs", "x"], "--jobs"],
  ])("refuse %j", (args, message) => {
    const { status, stderr } = spawnSync(
      process.execPath,
      ["--import", "tsx", "scripts/alerts.ts", ...args],
      {
        encoding: "utf8",
      },
    );
    expect([status, stderr]).toEqual([2, expect.stringContaining(message)]);
    expect(stderr).not.toMatch(/^ {4}at /m);
  });

  test.skipIf(!requireProgram("promtool"))("are written to a folder, and promtool takes them", async () => {
    const out = join(await temporaryFolder(), "rules");
    const args = ["--runbook-url", "https://wiki.example.org/a", "--job", "boxes", "--out", out];
    const written = spawnSync(process.execPath, ["--import", "tsx", "scripts/alerts.ts", ...args]);
    expect(written.status).toBe(0);
    const files = filesEnding(".rules.yml", out);
    expect(files).toHaveLength(2);
    expect(spawnSync("promtool", ["check", "rules", "--lint=all", "--lint-fatal", ...files]).status).toBe(0);
  });
});
