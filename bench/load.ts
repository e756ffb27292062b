import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../src/clock.ts";
import { loadSection, prometheusSection } from "../src/config/promql.ts";
import { freePort } from "../src/demo/freePort.ts";
import { Fleet } from "../src/fleet/fleet.ts";
import { Rules } from "../src/scaler/rules/tick.ts";
import type { GroupName, LoadAnswer } from "../src/scaler/rules/types.ts";
import { FleetSource } from "../src/scaler/sources/fleet.ts";
import { connectPrometheus } from "../src/scaler/sources/prometheus.ts";
import { PromqlSource } from "../src/scaler/sources/promql.ts";
import { requireProgram } from "../test/support/requireProgram.ts";
import { scalerConfig } from "../test/support/scalerConfig.ts";
import { crowd, World } from "../test/support/world.ts";
import { collectYoung, probe, sumUp } from "./probe.ts";
import { type BenchRow, row } from "./types.ts";

const GROUPS = 500;
const VMS_PER_GROUP = 3;
const ROUNDS = 24;
const WARM_UP = 4;
/** for each 10,000 groups 150 */
const TICK_MS = (150 * GROUPS) / 10_000;

/** What a tick of groups costs that are all asked for their load, of one Prometheus. No rows without that program. */
export async function loadRows(): Promise<BenchRow[]> {
  if (!requireProgram("prometheus")) return [];
  const folder = mkdtempSync(join(tmpdir(), "bench-load-"));
  const address = `127.0.0.1:${await freePort(0)}`;
  const file = join(folder, "prometheus.yml");
  writeFileSync(file, "global: {}\n");
  const flags = [
    `--config.file=${file}`,
    `--storage.tsdb.path=${folder}/tsdb`,
    `--web.listen-address=${address}`,
  ];
  const child = spawn("prometheus", flags, { stdio: "ignore" });
  try {
    while (!(await isReady(`http://${address}`))) await sleep(50);
    return await rowsWith(`http://${address}`);
  } finally {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

async function isReady(url: string): Promise<boolean> {
  return fetch(`${url}/-/ready`).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function rowsWith(url: string): Promise<BenchRow[]> {
  const load = loadSection.schema.parse({
    query: 'vector(50) and on () absent(x{host="$host",vm=~"$members"})',
    capacity_per_member: 100,
  });
  const prometheus = prometheusSection.schema.parse({ url });
  const config = scalerConfig({ match: "*", load }, { prometheus });
  const world = new World();
  const fleet = new Fleet({ clock: world.clock, deathTimeoutMs: config.defaults.deathTimeoutMs });
  world.feed(fleet);
  for (const vm of crowd(GROUPS * VMS_PER_GROUP, VMS_PER_GROUP)) world.start(vm, 50);
  world.pass(60);

  const asking = new Asking();
  const source = new PromqlSource({
    clock: systemClock(),
    fleet: new FleetSource(fleet),
    config: () => config,
    connect: (given) => asking.connect(connectPrometheus(given)),
  });
  const rules = new Rules(config);
  const groupOf = (name: GroupName) => rules.groupOf(name);
  const ticksMs: number[] = [];
  const rounds = [];
  for (let i = 0; i < WARM_UP + ROUNDS; i++) {
    rounds.push(
      await probe(async () => {
        source.prepare(groupOf);
        await asking.done(GROUPS);
      }),
    );
    world.pass(60);
    // samples come in over a minute and are no news to the collector when the tick comes
    collectYoung();
    const start = performance.now();
    const now = { nowUs: world.clock.nowUs(), wallMs: world.clock.wallMs(), firstSampleUs: 0 };
    const observations = await source.observe({ ...now, groupOf });
    const evaluations = rules.tick(observations, now.nowUs);
    ticksMs.push(performance.now() - start);
    const unknown = evaluations.filter(({ observation }) => observation.load?.outcome !== "ok");
    if (unknown.length > 0) throw new Error(`not known: ${JSON.stringify(unknown[0]?.observation.load)}`);
  }
  const { durationMs, longestBlockMs, memoryAboveIdleMb } = sumUp(rounds.slice(WARM_UP));
  const sorted = ticksMs.slice(WARM_UP).sort((a, b) => a - b);
  return [
    row(`a tick of ${GROUPS} groups with load`, sorted[Math.floor(ROUNDS / 4)] ?? Number.NaN, "ms", TICK_MS),
    row("their queries before it, of one Prometheus", durationMs, "ms", 5_000),
    row("the most at once", asking.most, "queries", 21),
    row("event loop blocked meanwhile", longestBlockMs, "ms", 25),
    row("memory above idle", memoryAboveIdleMb, "MB", 32),
  ];
}

/** Counts queries that are open, and those that were answered. */
class Asking {
  most = 0;
  #open = 0;
  #answered = 0;
  #onDone: { readonly count: number; readonly resolve: () => void } | null = null;

  connect(connection: ReturnType<typeof connectPrometheus>): ReturnType<typeof connectPrometheus> {
    return {
      close: connection.close,
      ask: async (query, signal): Promise<LoadAnswer> => {
        this.most = Math.max(this.most, ++this.#open);
        const answer = await connection.ask(query, signal);
        this.#open--;
        this.#answered++;
        if (this.#answered === this.#onDone?.count) this.#onDone.resolve();
        return answer;
      },
    };
  }

  /** Resolves when so many more have been answered. */
  done(count: number): Promise<void> {
    this.#answered = 0;
    return new Promise((resolve) => {
      this.#onDone = { count, resolve };
    });
  }
}
