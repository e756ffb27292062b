/**
 * Writes the alert and recording rules with what differs from place to place: where the runbook is read, and which jobs
 * scrape exporters. With --out to a folder, else to the standard output. The shipped files stay as they are.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { mapScalars } from "./fastRules.ts";

const SHIPPED = fileURLToPath(new URL("../alerts", import.meta.url));
const SHIPPED_RUNBOOK = "docs/runbook.md";
const SHIPPED_JOBS = 'job=~"albatross.*"';

const USAGE = `Usage: npm run --silent alerts -- [--runbook-url URL] [--job REGEX] [--out FOLDER]

  --runbook-url URL  where docs/runbook.md is read: https://wiki.example.org/albatross
  --job REGEX        jobs of Prometheus that scrape exporters, in place of albatross.*
  --out FOLDER       write the rule files there; without it they are printed, one after the other`;

/** What differs from place to place; what is not given stays as it is shipped. */
export interface RuleSettings {
  /** absolute; an alert's section is put behind it as a fragment */
  readonly runbookUrl?: string | undefined;
  /** a regular expression of Prometheus' */
  readonly job?: string | undefined;
}

/** A shipped rule file with these settings. Throws where one of them is not what it should be. */
export function rulesWith(yamlText: string, { runbookUrl, job }: RuleSettings): string {
  if (runbookUrl !== undefined && !/^https?:\/\/[^\s#]+$/.test(runbookUrl))
    throw new Error(
      `--runbook-url: ${JSON.stringify(runbookUrl)} is not allowed; allowed: an http or https URL without #`,
    );
  if (job === "") throw new Error("--job: nothing is not allowed; allowed: a regular expression");
  return mapScalars(yamlText, (key, value) => {
    if (key === "runbook_url" && runbookUrl !== undefined)
      return value.replace(SHIPPED_RUNBOOK, () => runbookUrl);
    if (key === "expr" && job !== undefined)
      return value.replaceAll(SHIPPED_JOBS, () => `job=~${JSON.stringify(job)}`);
    return value;
  });
}

async function main(args: readonly string[]): Promise<void> {
  const text = { type: "string" } as const;
  const options = { "runbook-url": text, job: text, out: text, help: { type: "boolean" } } as const;
  const { values } = parseArgs({ args: [...args], options });
  if (values.help === true) return console.log(USAGE);
  const { "runbook-url": runbookUrl, job, out } = values;
  // a rule file is read whole before the first is written
  const names = (await readdir(SHIPPED)).filter((name) => name.endsWith(".rules.yml")).sort();
  const files = await Promise.all(
    names.map(async (name) => {
      const shipped = await readFile(join(SHIPPED, name), "utf8");
      return { name, content: rulesWith(shipped, { runbookUrl, job }) };
    }),
  );
  if (out === undefined)
    return console.log(files.map(({ name, content }) => `# ${name}\n${content}`).join("---\n"));
  if (resolve(out) === resolve(SHIPPED))
    throw new Error("--out: the shipped folder is not written to; name another");
  await mkdir(out, { recursive: true });
  for (const { name, content } of files) await writeFile(join(out, name), content);
  console.log(`${out}: ${names.join(", ")}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exitCode = 2;
  });
}
