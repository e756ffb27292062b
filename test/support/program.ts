import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { runCommandLine } from "../../src/commands/program.ts";
import { PATIENCE_MS } from "./eventually.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MAIN = `${ROOT}/src/main.ts`;

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program from its sources with `args`, nothing on stdin, until it ends; killed when patience is over. */
export function runProgram(args: readonly string[], options: { cwd?: string } = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), MAIN, ...args], {
      cwd: options.cwd ?? ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: PATIENCE_MS,
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Runs the command line in this process: for commands that end by themselves and keep nothing behind. */
export async function runHere(args: readonly string[]): Promise<Finished> {
  const { exitCode } = process;
  const stdout = listenTo(process.stdout);
  const stderr = listenTo(process.stderr);
  const logged = vi.spyOn(console, "log").mockImplementation((line) => stdout.take(`${line}\n`));
  const complained = vi.spyOn(console, "error").mockImplementation((line) => stderr.take(`${line}\n`));
  try {
    const code = await runCommandLine(args);
    return { code, stdout: stdout.text(), stderr: stderr.text() };
  } finally {
    process.exitCode = exitCode;
    for (const spy of [stdout.spy, stderr.spy, logged, complained]) spy.mockRestore();
  }
}

function listenTo(stream: NodeJS.WriteStream) {
  let all = "";
  const take = (text: string) => {
    all += text;
  };
  const spy = vi.spyOn(stream, "write").mockImplementation((chunk) => {
    take(String(chunk));
    return true;
  });
  return { spy, take, text: () => all };
}
