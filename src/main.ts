#!/usr/bin/env node
import { exitCodeOf, runCommandLine } from "./commands/program.ts";

// Whoever read the output has what they wanted (`decode FILE | head`).
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

// An error that nothing was there to handle. `serve` logs it instead, as one event.
process.on("uncaughtException", (error) => {
  process.exit(exitCodeOf(error));
});

process.exitCode = await runCommandLine(process.argv.slice(2));
