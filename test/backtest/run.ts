/** The backtest run in this process, on traces made of lines. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { afterAll, beforeAll } from "vitest";
import { type BacktestFlags, runBacktest } from "../../src/backtest/backtest.ts";
import type { Summary } from "../../src/backtest/output.ts";
import type { DecisionJson } from "../../src/scaler/report/json.ts";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What `--format json` prints for one configuration. */
export interface Told {
  readonly ticks: number;
  readonly evaluations: number;
  readonly decisions: readonly DecisionJson[];
  readonly summary: Summary;
}

const FLAGS: BacktestFlags = {
  ...{ traces: [], file: null, format: "json", all: false, ticks: "poll", set: [], whatIf: null },
};

/** Runs the command with these flags and this on stdin. */
export async function run(flags: Partial<BacktestFlags>, stdin: string | Buffer = ""): Promise<Ran> {
  const stdout = collector();
  const stderr = collector();
  const code = await runBacktest(
    { ...FLAGS, ...flags },
    { stdin: Readable.from([Buffer.from(stdin)]), stdout: stdout.stream, stderr: stderr.stream },
  );
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

/** The same, as JSON; throws with what is on stderr when the command fails or complains. */
export async function runJson(flags: Partial<BacktestFlags>, stdin: string | Buffer = ""): Promise<Told> {
  const { code, stdout, stderr } = await run(flags, stdin);
  if (code !== 0 || stderr !== "") throw new Error(`exit ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

function collector() {
  let all = "";
  const stream = new Writable({
    write(chunk, _, done) {
      all += String(chunk);
      done();
    },
  });
  return { stream, text: () => all };
}

/** A folder for the tests of a file, removed after them; `write` puts a file there and gives its name. */
export function folder(): {
  write(name: string, content: string | Buffer): string;
  path(name: string): string;
} {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "backtest-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const path = (name: string) => join(directory, name);
  return {
    path,
    write(name, content) {
      writeFileSync(path(name), content);
      return path(name);
    },
  };
}

const START_MS = Date.parse("2026-01-01T00:00:00.000Z");

/** The time of a trace as it stands in a line: seconds after its start. */
export function timeAt(seconds: number): string {
  return new Date(START_MS + seconds * 1000).toISOString();
}

/** A line with no more than a line needs: the VM has used `cpuS` seconds of CPU time by `seconds`. */
export function sampleLine(seconds: number, name: string, cpuS: number, host = "local"): string {
  const [sec, usec] = [Math.floor(cpuS), Math.round((cpuS % 1) * 1e6)];
  const rusage = { utime: { sec, usec }, stime: { sec: 0, usec: 0 } };
  return JSON.stringify({ time: timeAt(seconds), host, header: { name }, payload: { rusage } });
}

/** Samples of VMs every 10 s from 0 to `untilS`, each VM at its share of one CPU in percent. */
export function steadyTrace(untilS: number, vms: Readonly<Record<string, number>>, host = "local"): string[] {
  const lines: string[] = [];
  for (let at = 0; at <= untilS; at += 10) {
    for (const [name, percent] of Object.entries(vms)) {
      lines.push(sampleLine(at, name, (at * percent) / 100, host));
    }
  }
  return lines;
}

export function text(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
