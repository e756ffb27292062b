import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../../src/demo/freePort.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const PROBE = new URL("./loopProbe.mjs", import.meta.url).href;
const START_DEADLINE_MS = 30_000;
const LOOK_MS = 100;

/** Delays of the exporter's event loop over the run, in milliseconds; an idle loop has about 10. */
export interface LoopDelays {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** A simulated host and an exporter that reads it, each a process of its own. */
export class Programs {
  readonly url: string;
  readonly #folder: string;
  /** in the order in which they are to end: the exporter, then its host */
  readonly #children: ChildProcess[] = [];

  private constructor(folder: string, url: string) {
    this.#folder = folder;
    this.url = url;
  }

  /**
   * Starts both and waits until the exporter answers. What they complain about goes to this process' stderr. The event
   * loop is measured from `warmUpMs` on.
   */
  static async start(vms: number, warmUpMs: number): Promise<Programs> {
    const folder = await mkdtemp(join(tmpdir(), "soak-"));
    const listen = `127.0.0.1:${await freePort(0)}`;
    const scenario = join(folder, "scenario.yaml");
    const config = join(folder, "config.yaml");
    const sockets = join(folder, "host");
    await writeFile(scenario, scenarioWith(vms));
    await writeFile(config, configOf(sockets, listen));
    const env = {
      ...process.env,
      STATE_DIRECTORY: folder,
      SOAK_PROBE: join(folder, "loop.json"),
      SOAK_WARM_UP_MS: String(warmUpMs),
    };
    const exporter = ["--import", PROBE, PROGRAM, "serve", "--config.file", config, "--log.level", "warn"];
    const simulator = [PROGRAM, "simulate", scenario, "--socket-dir", sockets];
    const programs = new Programs(folder, `http://${listen}`);
    try {
      programs.#children.push(spawn(process.execPath, simulator, { stdio: "ignore" }));
      await programs.#until("the simulated host", () => existsSync(join(sockets, "vmmd.sock")));
      programs.#children.unshift(
        spawn(process.execPath, exporter, { env, stdio: ["ignore", "ignore", "inherit"] }),
      );
      await programs.#until("the exporter", () => programs.#answers());
    } catch (error) {
      await programs.stop();
      throw error;
    }
    return programs;
  }

  /** Ends the exporter, then its host, and removes what they wrote. Null when the exporter did not end in good order. */
  async stop(): Promise<LoopDelays | null> {
    for (const child of this.#children) {
      if (!isRunning(child)) continue;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
    const probe = await readFile(join(this.#folder, "loop.json"), "utf8").catch(() => null);
    await rm(this.#folder, { recursive: true, force: true });
    if (probe === null) return null;
    const [p50 = Number.NaN, p90 = p50, p99 = p50, p999 = p50, max = p50]: number[] = JSON.parse(probe);
    return { p50, p90, p99, p999, max };
  }

  /** Throws when one of them has ended. */
  check(): void {
    for (const child of this.#children) {
      if (!isRunning(child)) throw new Error(`${child.spawnargs.join(" ")} has ended`);
    }
  }

  async #answers(): Promise<boolean> {
    // It fails while nothing listens yet.
    const answer = await fetch(`${this.url}/-/ready`).catch(() => null);
    return answer?.ok ?? false;
  }

  async #until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const giveUpAt = performance.now() + START_DEADLINE_MS;
    while (!(await holds())) {
      this.check();
      if (performance.now() > giveUpAt) throw new Error(`${what} is not ready in time`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/**
 * Of every twenty VMs one crashes now and then, and clones come and go: what is kept of VMs that were must be let go.
 * At any time at least `vms` of them run.
 */
function scenarioWith(vms: number): string {
  return `interval: 1s
repeat_every: 2m
seed: 7
policies: [{ path: "load:", unikernels: ${2 * vms}, memory: 65536 }]
vms:
  - { name: "load:vm-{n}", count: ${vms}, load: { sum: [{ sine: { mean: 40, amplitude: 30, period: 60s } }, { noise: { amplitude: 5 } }] } }
  - { name: "churn:vm-{n}", count: ${Math.ceil(vms / 20)}, load: { constant: 20 }, crashes: [20s, 70s], down_for: 3s }
events:
  - { at: 30s, clone: "load:vm-1" }
  - { at: 50s, clone: "load:vm-1" }
  - { at: 80s, destroy: "load:vm-1-clone-2" }
  - { at: 100s, destroy: "load:vm-1-clone-1" }
`;
}

function configOf(sockets: string, listen: string): string {
  return `targets: [{ name: soak, socket_dir: ${sockets} }]
web: { listen_addresses: ["${listen}"] }
`;
}
