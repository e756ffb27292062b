#!/usr/bin/env node
import { CommanderError } from "commander";
import { buildProgram } from "./commands/program.ts";

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

// Whoever read the output has what they wanted (`decode FILE | head`).
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

// An error that nothing was there to handle. `serve` logs it instead, as one event.
process.on("uncaughtException", (error) => {
  process.exit(exitCodeOf(error));
});

try {
  await buildProgram().parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

/** Says what went wrong on one line, unless commander already has. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  console.error(`albatross-exporter: ${error instanceof Error ? error.message : String(error)}`);
  return EXIT_FAILURE;
}
