/**
 * Runs the built program in execute mode beside people who create and destroy clones at random, and an albatrossd that
 * fails: `npm run stress -- --seed 1 --minutes 10`, `--kills 30` to kill it as often meanwhile. Prints what happened how
 * often; exits 1 when a request was sent twice, another unikernel removed than was meant, or the counters do not agree.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { stress } from "./stress/run.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "10" },
    kills: { type: "string", default: "0" },
  },
});
const [seed, minutes, kills] = [values.seed, values.minutes, values.kills].map(Number) as [
  number,
  number,
  number,
];
if (!(Number.isInteger(seed) && minutes > 0 && Number.isInteger(kills) && kills >= 0)) {
  console.error("usage: npm run stress -- [--seed 1] [--minutes 10] [--kills 0]");
  process.exit(2);
}
const { wrong, counts, requests } = await stress({
  seed,
  seconds: minutes * 60,
  kills,
  program: fileURLToPath(new URL("../dist/main.js", import.meta.url)),
  say: console.log,
});
for (const [what, times] of counts) console.log(`${String(times).padStart(6)} ${what}`);
console.log(`${String(requests).padStart(6)} requests`);
for (const one of wrong) console.log(`FAILED ${one}`);
if (wrong.length === 0) console.log("ok     no request twice, no other unikernel removed, counters agree");
process.exitCode = wrong.length === 0 ? 0 : 1;
