/** Runs one part of the bench and prints its rows as JSON on the last line. */
import { PARTS } from "./parts.ts";

const name = process.argv[2] ?? "";
const part = PARTS[name];
if (part === undefined) {
  console.error(`no part ${JSON.stringify(name)}; there are ${Object.keys(PARTS).join(", ")}`);
  process.exitCode = 2;
} else {
  console.log(`\n${JSON.stringify(await part())}`);
}
