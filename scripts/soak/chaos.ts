/** The soak in which everything happens that hosts and operators do: `npm run soak -- --chaos --seed 1 --minutes 20`. */
import { unitAt } from "../../src/simulator/random.ts";
import { GAUGES, SCRAPE_SECONDS, until, World } from "./chaosWorld.ts";
import { type Fault, LANES, type Outcome } from "./faults.ts";

export interface ChaosOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly vms: number;
  /** the folder with main.js */
  readonly build: string;
}

interface Injection extends Outcome {
  readonly kind: string;
  readonly beginMs: number;
  readonly endMs: number;
}

/** Each kind is to be shown at least so often, in a run of 20 minutes. */
const FEWEST = 20;
const WHOLE_RUN_MINUTES = 20;
/** Resident memory of the last quarter above that of the second. */
const MAX_GROWTH = 0.1;
const MB = 1024 * 1024;

/** Runs it, prints a row for each kind and a verdict. Resolves to the exit code: 1 when something does not hold. */
export async function chaos({ seed, minutes, vms, build }: ChaosOptions): Promise<number> {
  const world = await World.start(build, vms);
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void world.stop().then(() => process.exit(1)));
  const breaches: string[] = [];
  const startMs = performance.now();
  const endMs = startMs + minutes * 60_000;
  const turns = new Turns();
  const lanes = LANES.map((faults, lane) =>
    runLane(world, faults, { seed: seed + 1_000 * lane, endMs, turns }),
  );
  const injections = (await Promise.all(lanes)).flat();
  const seconds = (performance.now() - startMs) / 1000;

  const served = await world.query(`(count(${GAUGES}) or vector(0)) * max(up)`, seconds);
  const lossAt = served.map(({ atMs, value }) => ({ atMs, lost: vms - value }));
  const lost = lossAt.reduce((sum, one) => sum + Math.max(0, one.lost), 0);
  if (served.length < seconds / SCRAPE_SECONDS - 2) breaches.push(`only ${served.length} scrapes are known`);
  if (lost > 0) breaches.push(`${lost} samples that were served before were missing from scrapes`);
  const resets = await world.query(
    `sum(resets(albatross_vm_cpu_seconds_total{path="load"}[${Math.ceil(seconds)}s]))`,
  );
  if ((resets.at(-1)?.value ?? 0) > 0) breaches.push(`${resets.at(-1)?.value} counters went back`);
  const restarts = await world.query(`changes(process_start_time_seconds[${Math.ceil(seconds)}s])`);
  if ((restarts.at(-1)?.value ?? 0) > 0 || !world.exporter.isRunning)
    breaches.push("the process did not live through it");
  const memory = (await world.query("process_resident_memory_bytes", seconds)).map(({ value }) => value);
  const [second, last] = [meanOfQuarter(memory, 1), meanOfQuarter(memory, 3)];
  const growth = `resident memory: ${(second / MB).toFixed(1)} MB in the second quarter, ${(last / MB).toFixed(1)} MB in the last`;
  if (!(last <= second * (1 + MAX_GROWTH))) breaches.push(growth);
  const code = await world.stop();
  if (code !== 0) breaches.push(`the exporter ended with ${code}`);

  console.log(`${"kind".padEnd(40)} times  told once  samples lost`);
  for (const { kind } of LANES.flat()) {
    const some = injections.filter((one) => one.kind === kind);
    const tellable = some.filter(({ told }) => told !== null);
    const once = tellable.filter(({ told }) => told === 1).length;
    const missing = lossAt.filter(({ atMs }) =>
      some.some(({ beginMs, endMs }) => atMs >= beginMs && atMs <= endMs + 1_000 * SCRAPE_SECONDS),
    );
    const lostHere = missing.reduce((sum, one) => sum + Math.max(0, one.lost), 0);
    const told = tellable.length === 0 ? "-" : `${once} of ${tellable.length}`;
    console.log(
      `${kind.padEnd(40)} ${String(some.length).padStart(5)} ${told.padStart(10)} ${String(lostHere).padStart(13)}`,
    );
    if (once < tellable.length)
      breaches.push(`${kind}: told other than once: ${tellable.map((one) => one.told).join(" ")}`);
    for (const breach of new Set(some.flatMap((one) => one.breach ?? [])))
      breaches.push(`${kind}: ${breach}`);
    if (some.length < FEWEST && minutes >= WHOLE_RUN_MINUTES)
      breaches.push(`${kind}: happened only ${some.length} times`);
  }
  console.log(growth);
  for (const breach of breaches) console.log(`FAILED ${breach}`);
  if (breaches.length === 0)
    console.log(`ok     seed ${seed}, ${minutes} min, ${vms} VMs, ${served.length} scrapes`);
  return breaches.length === 0 ? 0 : 1;
}

/** Faults that happen at once, and those that do not. */
class Turns {
  #running = 0;
  #isTaken = false;

  async begin({ isAlone = false }: Fault): Promise<void> {
    await until(() => !this.#isTaken, Number.POSITIVE_INFINITY);
    this.#isTaken = isAlone;
    if (isAlone) await until(() => this.#running === 0, Number.POSITIVE_INFINITY);
    this.#running++;
  }

  end({ isAlone = false }: Fault): void {
    this.#running--;
    if (isAlone) this.#isTaken = false;
  }
}

/** Deals the faults of a lane in an order that the seed says, again and again until the time is over. */
async function runLane(
  world: World,
  faults: readonly Fault[],
  { seed, endMs, turns }: { seed: number; endMs: number; turns: Turns },
): Promise<readonly Injection[]> {
  let drawn = 0;
  const chance = () => unitAt(seed, drawn++);
  const done: Injection[] = [];
  while (performance.now() < endMs) {
    const round = faults.map((fault) => ({ fault, place: chance() })).sort((a, b) => a.place - b.place);
    for (const { fault } of round) {
      if (performance.now() > endMs || !world.exporter.isRunning) return done;
      await turns.begin(fault);
      const beginMs = performance.now();
      const outcome = await fault
        .run(world, chance)
        .catch((error) => ({ told: null, breach: String(error) }));
      turns.end(fault);
      done.push({ ...outcome, kind: fault.kind, beginMs, endMs: performance.now() });
    }
  }
  return done;
}

function meanOfQuarter(values: readonly number[], quarter: number): number {
  const size = values.length / 4;
  const some = values.slice(Math.floor(quarter * size), Math.ceil((quarter + 1) * size));
  return some.reduce((sum, value) => sum + value, 0) / some.length;
}
