#!/usr/bin/env node
import { commandBegun, commandEnded, guardSignals } from "./signals.ts";

// First of all: signals may come from now on. This file and signals.ts keep to syntax that old versions
// of Node know, such as no `await` out here; the rest is imported where Node can read it.
guardSignals();

/** The `engines` of package.json. */
const OLDEST_NODE = "20.19";

function isOlder(version: string, oldest: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split(".").map(Number);
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor);
}

async function run(): Promise<void> {
  const { exitCodeOf, runCommandLine } = await import("./commands/program.ts");
  // An error that nothing was there to handle. `serve` logs it instead, as one event.
  process.on("uncaughtException", (error) => process.exit(exitCodeOf(error)));
  // Whoever read the output has what they wanted (`decode FILE | head`).
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  // There is no place left to say that nobody reads what is said.
  process.stderr.on("error", () => undefined);
  const code = runCommandLine(process.argv.slice(2));
  setImmediate(commandBegun);
  process.exitCode = await code;
  // Whoever asked for the end does not wait for what could not be brought to its own. Nor does Node hand
  // signals back before it is gone, as it does otherwise: the same request heard again would kill it then.
  if (commandEnded()) process.stdout.write("", () => process.exit());
}

const { node } = process.versions;
if (isOlder(node, OLDEST_NODE)) {
  console.error(
    `albatross-exporter: needs Node ${OLDEST_NODE} or newer; this is ${node} (${process.execPath})`,
  );
  process.exitCode = 1;
} else void run();
