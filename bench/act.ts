import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Target } from "../src/client/target.ts";
import { systemClock } from "../src/clock.ts";
import { cloneDefaults } from "../src/config/clone.ts";
import { Fleet } from "../src/fleet/fleet.ts";
import { createLogger } from "../src/log.ts";
import { filesOnDisk, type Reach, Scaler } from "../src/scaler/scaler.ts";
import { FleetSource } from "../src/scaler/sources/fleet.ts";
import { scalerConfig } from "../test/support/scalerConfig.ts";
import type { ActHosts } from "./actHosts.ts";
import { median, probe } from "./probe.ts";
import { calm } from "./tick.ts";
import { type BenchRow, row } from "./types.ts";

const MIB = 2 ** 20;
const GROUPS = 1_000;
const SMALL_IMAGE = MIB / 16;
/** The first of one group's asks for the image, the others have it cached. */
const ACTIONS_OF_ONE = 6;
/** What is not done by then is not waited for: each run ends, on a busy machine too. */
const LIMIT_MS = 20_000;

/** What it costs to carry decisions out on simulated hosts, with all files on a disk. */
export async function actRows(): Promise<BenchRow[]> {
  await act({ hosts: 1, groups: 1, imageBytes: SMALL_IMAGE }); // compiles it
  const large = await act({ hosts: 1, groups: 1, imageBytes: 64 * MIB });
  const cached = await act({ hosts: 1, groups: 1, imageBytes: 16 * MIB, clones: ACTIONS_OF_ONE });
  const together = await act({ hosts: 1, groups: GROUPS, imageBytes: SMALL_IMAGE });
  const apart = await act({ hosts: 100, groups: GROUPS, imageBytes: SMALL_IMAGE });
  return [
    row("decision to acknowledged, 16 MiB image, cached", median(cached.actionsMs.slice(1)), "ms", 200),
    row("the same, 64 MiB image, not cached", large.totalMs, "ms"),
    row("memory above idle meanwhile", large.memoryAboveIdleMb, "MB", 32),
    ...rowsOf("1,000 groups on one host", together),
    ...rowsOf("1,000 groups on 100 hosts", apart),
  ];
}

function rowsOf(name: string, { totalMs, actionsMs, ticksMs }: Acted): BenchRow[] {
  return [
    row(`${name}, actions within ${LIMIT_MS / 1_000} s`, actionsMs.length, "acknowledged"),
    row("from the first decision to the last of them", totalMs / 1_000, "s"),
    row("per action", totalMs / actionsMs.length, "ms"),
    row("a scaler tick meanwhile", calm(ticksMs), "ms", 15),
    row("the longest of them", Math.max(...ticksMs), "ms"),
  ];
}

interface Acting {
  readonly hosts: number;
  /** on all of them */
  readonly groups: number;
  readonly imageBytes: number;
  /** of each group, one after the other; 1 unless given */
  readonly clones?: number;
}

interface Acted {
  /** from the first decision to the last acknowledgement */
  readonly totalMs: number;
  /** from the decision to its acknowledgement, where there is one group */
  readonly actionsMs: readonly number[];
  /** evaluations while actions were under way, the one that decided included */
  readonly ticksMs: readonly number[];
  readonly memoryAboveIdleMb: number;
}

async function act({ hosts, groups, imageBytes, clones = 1 }: Acting): Promise<Acted> {
  const folder = mkdtempSync(join(tmpdir(), "bench-act-"));
  const names = Array.from({ length: hosts }, (_, index) => `h${index}`);
  const given: ActHosts = { folder, hosts: names, groupsPerHost: groups / hosts, imageBytes };
  const child = fork(join(import.meta.dirname, "actHosts.js"), [JSON.stringify(given)]);
  try {
    await once(child, "message");
    const run = new Run(folder, names, clones);
    const { memoryAboveIdleMb } = await probe(() => run.until(groups * clones));
    await run.stop();
    return { ...run.acted(), memoryAboveIdleMb };
  } finally {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Targets, fleet and scaler as in the program. What they do is read from the log, which has a line for it at once. */
class Run {
  readonly #decidedMs: number[] = [];
  readonly #acknowledgedMs: number[] = [];
  readonly #ticksMs: number[] = [];
  readonly #targets: Target[] = [];
  readonly #scaler: Scaler;

  constructor(folder: string, hosts: readonly string[], clones: number) {
    const clock = systemClock();
    const log = createLogger({ level: "debug", format: "json" }, { write: (line) => this.#read(line) });
    const config = scalerConfig(
      {
        mode: "execute",
        // a busy machine delays samples, by which usage seems to change
        scaleUpThresholdPercent: 10,
        scaleDownThresholdPercent: 1,
        scaleUpTriggerTicks: 1,
        cooldownPeriodMs: 0,
        maxClones: clones,
        adoptClones: false,
        clone: { ...cloneDefaults, arguments: [] },
      },
      { mode: "execute", pollIntervalMs: 1_000, maxScaleUpsPerTick: GROUPS },
    );
    const fleet = new Fleet({ clock, deathTimeoutMs: config.defaults.deathTimeoutMs, hostCpus: GROUPS });
    const reach = new Map<string, Reach>();
    for (const name of hosts) {
      const socketDir = join(folder, name);
      const target = new Target(
        {
          name,
          socketDir,
          tls: null,
          enforcesPolicy: true,
          allowRoot: true,
          subscribe: [":"],
          statsIntervalMs: "auto",
          os: "freebsd",
          pageSizeBytes: 4096,
          maxFrameBytes: { stat: MIB, vmmd: 64 * MIB },
          displacedRetryMs: 300_000,
          allowUncheckedPath: true,
        },
        {
          onSample: (sample) => {
            fleet.record(sample);
            this.#scaler.sampleArrived(sample);
          },
          info: (entries, askedAtUs) => fleet.recordInfo(name, entries, askedAtUs),
          policies: (entries) => fleet.recordPolicies(name, entries),
          live: (up) => fleet.setLive(name, up),
        },
        clock,
        log,
      );
      this.#targets.push(target);
      reach.set(name, {
        endpoint: target.endpoint,
        address: socketDir,
        subscribe: [":"],
        maxFrameBytes: MIB,
        askInfoSoon: () => target.askInfoSoon(),
      });
    }
    const observed = new FleetSource(fleet);
    this.#scaler = new Scaler({
      clock,
      log,
      config,
      fleet: observed,
      sources: [observed],
      targets: () => new Map(hosts.map((name) => [name, join(folder, name)])),
      reach: (host) => reach.get(host) ?? null,
      postHook: async () => null,
      files: filesOnDisk({ clock, log, resolvePath: (path) => join(folder, path) }),
    });
  }

  /** Resolves when so many are acknowledged, or the limit is over. */
  async until(actions: number): Promise<void> {
    for (const target of this.#targets) target.start();
    this.#scaler.start();
    const endMs = performance.now() + LIMIT_MS;
    while (this.#acknowledgedMs.length < actions && performance.now() < endMs) await sleep(5);
    if (this.#acknowledgedMs.length > 0) return;
    const [told] = this.#scaler.actions({ limit: 1 });
    throw new Error(`no action is acknowledged within ${LIMIT_MS} ms; the last one: ${JSON.stringify(told)}`);
  }

  async stop(): Promise<void> {
    await this.#scaler.stop();
    await Promise.all(this.#targets.map((target) => target.stop()));
  }

  acted(): Omit<Acted, "memoryAboveIdleMb"> {
    const [firstMs = Number.NaN] = this.#decidedMs;
    const lastMs = this.#acknowledgedMs.at(-1) ?? Number.NaN;
    const actionsMs = this.#acknowledgedMs.map(
      (atMs, index) => atMs - (this.#decidedMs[index] ?? Number.NaN),
    );
    return { totalMs: lastMs - firstMs, actionsMs, ticksMs: this.#ticksMs };
  }

  #read(line: string): void {
    const nowMs = performance.now();
    const { msg, decision, seconds } = JSON.parse(line);
    if (msg === "action acknowledged") this.#acknowledgedMs.push(nowMs);
    else if (msg === "groups evaluated" && this.#decidedMs.length > 0) this.#ticksMs.push(seconds * 1_000);
    else if (decision === "scale_up" && !msg.startsWith("action")) this.#decidedMs.push(nowMs);
  }
}
