/**
 * Runs a simulated host of many VMs and an exporter that reads it, scrapes it as Prometheus does, and looks whether it
 * stays as it is: `npm run soak -- --minutes 10 --vms 2000 --every 5` (seconds between scrapes). Prints a table and a
 * verdict; exits 1 when something that is promised does not hold. With `--chaos --seed N` everything else happens meanwhile
 * (see soak/chaos.ts), with a real Prometheus; `--build DIR` runs another build than this one.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chaos } from "./soak/chaos.ts";
import { type LoopDelays, Programs } from "./soak/programs.ts";
import { type Reading, readingFrom } from "./soak/readings.ts";
import { judge, WARM_UP_SHARE } from "./soak/verdict.ts";

const ROWS = 40;
const MB = 1024 * 1024;

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    vms: { type: "string", default: "2000" },
    every: { type: "string", default: "5" },
    chaos: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
    build: { type: "string", default: fileURLToPath(new URL("../dist", import.meta.url)) },
  },
});
const minutes = Number(values.minutes ?? (values.chaos ? "20" : "10"));
const runMs = minutes * 60_000;
const seed = Number(values.seed);
const scrapeIntervalMs = Number(values.every) * 1_000;
const vms = Number(values.vms);
if (!(runMs > 0 && scrapeIntervalMs > 0 && Number.isInteger(vms) && vms > 0 && Number.isInteger(seed))) {
  console.error(
    "usage: npm run soak -- [--minutes 10] [--vms 2000] [--every 5 | --chaos [--seed 1] [--build dist]]",
  );
  process.exit(2);
}
process.exitCode = values.chaos ? await chaos({ seed, minutes, vms, build: values.build }) : await soak();

async function soak(): Promise<number> {
  const programs = await Programs.start(vms, WARM_UP_SHARE * runMs);
  // The children are to end with this process, whatever ends it.
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void programs.stop().then(() => process.exit(1)));
  }
  let readings: readonly Reading[] = [];
  let loop: LoopDelays | null = null;
  try {
    readings = await watch(programs);
  } finally {
    loop = await programs.stop();
  }
  printTable(readings);
  const findings = judge(readings, loop, vms);
  for (const { holds, text } of findings) console.log(`${holds ? "ok    " : "FAILED"} ${text}`);
  return findings.every(({ holds }) => holds) ? 0 : 1;
}

async function watch(programs: Programs): Promise<readonly Reading[]> {
  const readings: Reading[] = [];
  const startedMs = performance.now();
  const endMs = startedMs + runMs;
  for (let nextMs = startedMs; nextMs <= endMs; nextMs += scrapeIntervalMs) {
    await sleep(nextMs - performance.now());
    programs.check();
    readings.push(await scrape(programs.url, startedMs));
  }
  return readings;
}

async function scrape(url: string, startedMs: number): Promise<Reading> {
  const atMs = performance.now();
  const answer = await fetch(`${url}/metrics`, { headers: { accept: "text/plain;version=0.0.4" } });
  if (!answer.ok) throw new Error(`${url}/metrics answers ${answer.status}`);
  const text = await answer.text();
  const measured = { atSeconds: (atMs - startedMs) / 1000, scrapeMs: performance.now() - atMs };
  return readingFrom(text, { ...measured, scrapeBytes: text.length });
}

/** At most so many of the readings that a table can still be read, evenly spread. */
function printTable(readings: readonly Reading[]): void {
  const every = Math.max(1, Math.ceil(readings.length / ROWS));
  console.log("   time   resident    heap  outside  cpu %   loop p50   p99    max ms   VMs  scrape ms    MB");
  for (let i = 0; i < readings.length; i += every) {
    const reading = readings[i];
    if (reading !== undefined) console.log(tableRow(reading, readings[i - 1]));
  }
}

function tableRow(reading: Reading, before: Reading | undefined): string {
  const cpu =
    before === undefined
      ? Number.NaN
      : (100 * (reading.cpuSeconds - before.cpuSeconds)) / (reading.atSeconds - before.atSeconds);
  return [
    `${reading.atSeconds.toFixed(0)} s`.padStart(7),
    `${(reading.residentBytes / MB).toFixed(1)} MB`.padStart(11),
    (reading.heapUsedBytes / MB).toFixed(1).padStart(8),
    (reading.externalBytes / MB).toFixed(1).padStart(9),
    cpu.toFixed(1).padStart(7),
    reading.loopP50Ms.toFixed(1).padStart(11),
    reading.loopP99Ms.toFixed(1).padStart(6),
    reading.loopMaxMs.toFixed(1).padStart(10),
    String(reading.vms).padStart(6),
    reading.scrapeMs.toFixed(0).padStart(11),
    (reading.scrapeBytes / MB).toFixed(1).padStart(6),
  ].join("");
}
