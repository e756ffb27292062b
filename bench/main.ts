/**
 * `npm run bench [PART...]`: measures what the design promises and prints a table; `--json FILE` also writes the rows.
 * It runs from the project's folder, compiled as the program is, since the loader of TypeScript costs time of its own.
 * Every part has a process of its own, so that no part pays for another's garbage. Exit code 1 when a bound is missed.
 */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PARTS } from "./parts.ts";
import type { BenchRow } from "./types.ts";

interface PartResult {
  readonly part: string;
  readonly rows: readonly BenchRow[];
  readonly seconds: number;
}

const { values, positionals } = parseArgs({
  options: { json: { type: "string", default: "bench/results.json" } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => PARTS[name] === undefined);
if (unknown.length > 0) {
  console.error(`no part ${unknown.join(", ")}; there are ${Object.keys(PARTS).join(", ")}`);
  process.exit(2);
}

const results: PartResult[] = [];
for (const part of positionals.length > 0 ? positionals : Object.keys(PARTS)) {
  process.stderr.write(`${part} ...\n`);
  const result = await runPart(part);
  results.push(result);
  printRows(result);
}
const rows = results.flatMap((result) => result.rows);
const missed = rows.filter((row) => !row.ok);
const about = { node: process.version, arch: process.arch, platform: process.platform };
writeFileSync(values.json, `${JSON.stringify({ ...about, parts: results }, null, 2)}\n`);
console.log(`\n${rows.length - missed.length} within bounds, ${missed.length} not; rows in ${values.json}`);
process.exitCode = missed.length === 0 ? 0 : 1;

async function runPart(part: string): Promise<PartResult> {
  const startMs = performance.now();
  const child = spawn(process.execPath, ["--expose-gc", join(import.meta.dirname, "part.js"), part], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (code !== 0) throw new Error(`bench part ${part} ended with exit code ${code}`);
  const rows: BenchRow[] = JSON.parse(output.trim().split("\n").at(-1) ?? "[]");
  return { part, rows, seconds: Math.round((performance.now() - startMs) / 100) / 10 };
}

function printRows({ part, rows, seconds }: PartResult): void {
  console.log(`\n${part} (${seconds} s)`);
  const width = Math.max(...rows.map((row) => row.name.length));
  for (const { name, figure, unit, bound, ok } of rows) {
    const verdict = bound === "" ? "" : `${ok ? "ok  " : "MISS"} ${bound}`;
    console.log(
      `  ${name.padEnd(width)}  ${format(figure).padStart(12)} ${unit.padEnd(14)} ${verdict}`.trimEnd(),
    );
  }
}

function format(figure: number): string {
  return figure.toLocaleString("en-US", { maximumSignificantDigits: Math.abs(figure) >= 1000 ? 7 : 3 });
}
