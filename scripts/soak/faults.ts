import { execFileSync } from "node:child_process";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Program, until, type World } from "./chaosWorld.ts";

/** What came of one fault: how often the exporter told it where once is right, and what it must not have done. */
export interface Outcome {
  /** null where there is nothing to tell */
  readonly told: number | null;
  readonly breach?: string;
}

/** `chance` is in [0, 1), from the seed. */
export interface Fault {
  readonly kind: string;
  /** Nothing else happens meanwhile: what others told would be lost. */
  readonly isAlone?: boolean;
  run(world: World, chance: () => number): Promise<Outcome>;
}

const RELOADED = /^configuration reloaded$/;
const REFUSED = /^configuration not reloaded/;
const CUT = /^response cut/;
/** A second line about a thing would have come by then. */
const SECOND_LINE_MS = 700;

/** The exporter that runs on, its log and its configuration: one fault at a time. */
const PROCESS_FAULTS: readonly Fault[] = [
  {
    kind: "signal without a meaning",
    async run({ exporter }, chance) {
      const signals = ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO"] as const;
      const sinceMs = performance.now();
      for (let i = 0; i < 3; i++) exporter.child.kill(pick(signals, chance));
      await sleep(SECOND_LINE_MS);
      const isSilent = exporter.told(/debugger|signal/i, sinceMs) === 0;
      return { told: null, ...(isSilent ? {} : { breach: "a signal without a meaning was told" }) };
    },
  },
  {
    kind: "hangup",
    async run({ exporter }) {
      const sinceMs = performance.now();
      exporter.child.kill("SIGHUP");
      await exporter.untilTold(RELOADED, sinceMs);
      await sleep(SECOND_LINE_MS);
      return { told: exporter.told(RELOADED, sinceMs) };
    },
  },
  refusedReload("configuration is missing", async () => undefined),
  refusedReload("configuration is empty", (file) => writeFile(file, "")),
  refusedReload("configuration is a FIFO", async (file) => void execFileSync("mkfifo", [file])),
  refusedReload("configuration is a folder", async (file) => void (await mkdir(file))),
  {
    kind: "log reader stands still",
    isAlone: true,
    async run(world) {
      const { exporter } = world;
      const sinceMs = performance.now();
      const unknown = Array.from({ length: 9_000 }, (_, n) => `k${n}: 1\n`).join("");
      const breach = await withConfig(world, async (file) => {
        exporter.child.stderr?.pause();
        await writeFile(file, unknown);
        for (let i = 0; i < 4; i++) {
          exporter.child.kill("SIGHUP");
          await sleep(500);
        }
        const answers = await until(() => isHealthy(world), 5_000);
        exporter.child.stderr?.resume();
        await exporter.untilTold(/^log lines were lost/, sinceMs);
        return answers ? undefined : "no answer while nobody read the log";
      });
      return { told: exporter.told(/^log lines were lost/, sinceMs), ...(breach && { breach }) };
    },
  },
];

const CLOCK_FAULTS: readonly Fault[] = [
  steppedClock("exporter's clock is stepped", ({ exporter }) => exporter),
  steppedClock("host's clock is stepped", ({ host }) => host),
];

/** What the exporter writes. */
const DISK_FAULTS: readonly Fault[] = [
  {
    kind: "state cannot be written",
    run: (world) =>
      unwritable(world, "scaler-state.json", {
        failures: "albatross_scaler_state_write_failures_total",
        told: /^scaler state cannot be written/,
        over: /^scaler state can be written again/,
        // A folder with something in it cannot be replaced by a file.
        put: async (file) => void (await mkdir(join(file, "in the way"), { recursive: true })),
      }),
  },
  {
    kind: "decision log cannot be written",
    run: (world, chance) =>
      unwritable(world, "decisions.ndjson", {
        failures: "albatross_scaler_decision_log_write_failures_total",
        told: /^decision log cannot be written/,
        over: /^decision log is written again/,
        put: (file) =>
          chance() < 0.5
            ? symlink("/dev/full", file)
            : mkdir(file, { recursive: true }).then(() => undefined),
      }),
  },
];

const CLIENT_FAULTS: readonly Fault[] = [
  {
    kind: "clients that never read",
    run: (world) => cutClients(world, 32),
  },
  {
    kind: "pipeliners",
    run: (world) => cutClients(world, 2_000),
  },
];

const SLOW_FAULTS: readonly Fault[] = [
  {
    kind: "headers sent slowly",
    async run({ port, exporter }) {
      const sinceMs = performance.now();
      const socket = await connectTo(port, SLOW);
      const timer = setInterval(() => socket.write("x"), 500);
      socket.write("GET /metrics HTTP/1.1\r\nX-Slow: ");
      const isCut = await until(() => socket.destroyed, 20_000);
      clearInterval(timer);
      socket.destroy();
      await sleep(SECOND_LINE_MS);
      const told = exporter.told(/^request cut/, sinceMs, SLOW);
      return { told, ...(isCut ? {} : { breach: "slow headers are waited for" }) };
    },
  },
];

/** What a start finds: an exporter of its own beside the one that runs on. */
const START_FAULTS: readonly Fault[] = [
  foundAtStart("state is damaged", /^scaler state damaged/, (file) => writeFile(file, '{"version": 1, "gro')),
  foundAtStart("state cannot be read", /^scaler state cannot be read/, (file) => symlink(file, file)),
  foundAtStart("state is of the future", /^scaler state loaded/, async (file) => {
    const state = { version: 1, time_ms: Date.now() + 3_600_000, groups: [], members: [] };
    await writeFile(file, JSON.stringify(state));
  }),
  {
    kind: "folder cannot be written at the start",
    async run(world) {
      const name = "no-folder";
      await writeFile(join(world.folder, name), "a file");
      return startAside(world, name, /^scaler state's folder cannot be written/);
    },
  },
];

/** Faults of one lane do not overlap; those of different lanes do. */
export const LANES: readonly (readonly Fault[])[] = [
  PROCESS_FAULTS,
  CLOCK_FAULTS,
  DISK_FAULTS,
  CLIENT_FAULTS,
  SLOW_FAULTS,
  START_FAULTS,
];

function pick<T>(items: readonly T[], chance: () => number): T {
  const item = items[Math.floor(chance() * items.length)];
  if (item === undefined) throw new Error("nothing to pick");
  return item;
}

async function isHealthy({ port }: World): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/-/healthy`, {
    signal: AbortSignal.timeout(3_000),
  }).catch(() => null);
  return answer?.ok ?? false;
}

/** Puts the configuration away, which comes back and is taken in the end, whatever was put in its place. */
async function withConfig<T>({ folder, exporter }: World, work: (file: string) => Promise<T>): Promise<T> {
  const file = join(folder, "main.yaml");
  await rename(file, `${file}.kept`);
  try {
    return await work(file);
  } finally {
    await rm(file, { recursive: true, force: true });
    await rename(`${file}.kept`, file);
    const sinceMs = performance.now();
    exporter.child.kill("SIGHUP");
    await exporter.untilTold(RELOADED, sinceMs);
  }
}

function refusedReload(kind: string, put: (file: string) => Promise<void>): Fault {
  return {
    kind,
    async run(world) {
      const { exporter } = world;
      const sinceMs = performance.now();
      const breach = await withConfig(world, async (file) => {
        await put(file);
        exporter.child.kill("SIGHUP");
        await exporter.untilTold(REFUSED, sinceMs);
        await sleep(SECOND_LINE_MS);
        const said = await world.metric("albatross_exporter_config_last_reload_successful");
        return said === 0 ? undefined : "taken as a configuration";
      });
      return { told: exporter.told(REFUSED, sinceMs), ...(breach && { breach }) };
    },
  };
}

function steppedClock(kind: string, programOf: (world: World) => Program): Fault {
  return {
    kind,
    async run(world, chance) {
      const program = programOf(world);
      const hours = 24 * (2 * chance() - 1);
      program.shiftClock(Math.round(hours * 3_600_000));
      await sleep(2_000 + 3_000 * chance());
      program.shiftClock(0);
      await sleep(1_000);
      return { told: null };
    },
  };
}

interface Unwritable {
  /** the metric that counts it */
  readonly failures: string;
  readonly told: RegExp;
  readonly over: RegExp;
  readonly put: (file: string) => Promise<void>;
}

async function unwritable(world: World, name: string, fault: Unwritable): Promise<Outcome> {
  const { exporter } = world;
  const file = join(world.folder, "main", name);
  const before = await world.metric(fault.failures);
  const sinceMs = performance.now();
  // What is written while nothing is in the way yet begins a file anew: it goes, as often as it takes.
  const isInTheWay = async () => {
    await rm(file, { recursive: true, force: true });
    return fault.put(file).then(
      () => true,
      () => false,
    );
  };
  while (!(await isInTheWay())) await sleep(1);
  await exporter.untilTold(fault.told, sinceMs);
  await sleep(2_000);
  const counted = (await world.metric(fault.failures)) - before;
  await rm(file, { recursive: true, force: true });
  const isOver = await exporter.untilTold(fault.over, sinceMs);
  const told = exporter.told(fault.told, sinceMs);
  if (!(counted > 0)) return { told, breach: `${fault.failures} does not count it` };
  return { told, ...(isOver ? {} : { breach: "does not recover" }) };
}

/** Clients have addresses of their own, by which the log tells them from those that scrape. */
const STUCK = "127.0.0.2";
const SLOW = "127.0.0.3";

function connectTo(port: number, localAddress: string): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  socket.on("error", () => undefined);
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(socket));
    socket.once("close", () => resolve(socket));
  });
}

/** One client that asks so often at once and never reads: told and counted once. */
async function cutClients({ port, exporter }: World, requests: number): Promise<Outcome> {
  const sinceMs = performance.now();
  const socket = await connectTo(port, STUCK);
  socket.pause();
  socket.write(`GET /metrics HTTP/1.1\r\nHost: chaos\r\n\r\n`.repeat(requests));
  await until(() => exporter.told(CUT, sinceMs, STUCK) > 0, 40_000);
  await sleep(SECOND_LINE_MS);
  socket.destroy();
  return { told: exporter.told(CUT, sinceMs, STUCK) };
}

function foundAtStart(kind: string, told: RegExp, put: (file: string) => Promise<void>): Fault {
  return {
    kind,
    async run(world) {
      const name = "aside-state";
      const folder = join(world.folder, name);
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder);
      await put(join(folder, "scaler-state.json"));
      return startAside(world, name, told);
    },
  };
}

async function startAside(world: World, state: string, told: RegExp): Promise<Outcome> {
  const program = await world.startAside(state);
  await program.untilTold(told, 0);
  await sleep(2_000);
  const code = await program.stop();
  return { told: program.told(told, 0), ...(code === 0 ? {} : { breach: `ended with ${code}` }) };
}
