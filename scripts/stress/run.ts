/** The built program in execute mode beside people and faults, and perhaps killed again and again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/clock.ts";
import { freePort } from "../../src/demo/freePort.ts";
import type { ActionJson } from "../../src/scaler/actions/record.ts";
import type { CommandFault } from "../../src/simulator/faults.ts";
import { SimulatedHost } from "../../src/simulator/host.ts";
import { unitAt } from "../../src/simulator/random.ts";
import { loadScenario } from "../../src/simulator/scenarioFile.ts";
import type { ReceivedRequest } from "../../src/simulator/vmmDaemon.ts";
import { judge, tally } from "./judge.ts";

export interface StressOptions {
  readonly seed: number;
  /** how long people and faults go on */
  readonly seconds: number;
  /** so many SIGKILLs, spread over that time */
  readonly kills: number;
  /** the program, built */
  readonly program: string;
  readonly say: (line: string) => void;
}

/** What a run was, and what was wrong with it. */
export interface StressResult {
  readonly wrong: readonly string[];
  /** how often people and faults did what, and actions ended how */
  readonly counts: ReadonlyMap<string, number>;
  readonly requests: number;
}

const HOST = "h";
const GROUPS = ["user:web", "user:api", "ops:job"];
/** In these the scaler removes whatever clone it finds. */
const ADOPTING = "ops:job";
const MAX_CLONES = 3;
const IS_CLONE = /^(?:user:(?:web|api)|ops:job)-clone-[1-9]\d*$/;
/** People and faults act so often, on average. */
const EVERY_MS = 250;
/** After people and faults have ended the groups are to be where the rules want them within this time. */
const CALM_MS = 90_000;
const STOP_MS = 10_000;

const SCENARIO = `interval: 250ms
policies:
  - { path: "user:", cpuids: [0, 1, 2, 3], unikernels: 20, memory: 1024, bridges: [service] }
vms:
${GROUPS.map((name) => `  - { name: "${name}", memory: 32, share_load_with_clones: true, load: 50 }`).join("\n")}
`;

function configOf(sockets: string, port: number): string {
  const policies = GROUPS.map(
    (match) =>
      `    - { match: "${match}", mode: execute, adopt_clones: ${match === ADOPTING}, clone: { arguments: ["--id={id}"] } }`,
  );
  return `targets: [{ name: ${HOST}, socket_dir: ${JSON.stringify(sockets)} }]
web: { listen_addresses: ["127.0.0.1:${port}"] }
log: { level: info, format: json }
scaler:
  mode: execute
  poll_interval: 500ms
  max_scale_ups_per_tick: 3
  defaults:
    scale_up_trigger_ticks: 2
    scale_down_trigger_ticks: 2
    scale_up_max_step: 2
    cooldown_period: 1s
    warmup_period: 0s
    death_timeout: 4s
    max_clones: ${MAX_CLONES}
  policies:
${policies.join("\n")}
`;
}

/** The ways in which albatrossd fails meanwhile; not all of them, or nothing would ever be done. */
const FAULTS: readonly CommandFault[] = [
  { type: "vmmd_close", command: "create" },
  { type: "vmmd_close", command: "create", carriedOut: true },
  { type: "vmmd_close", command: "destroy", carriedOut: true },
  { type: "vmmd_close", command: "info" },
  { type: "vmmd_garbage", command: "destroy", carriedOut: true },
  { type: "vmmd_no_reply", command: "create", carriedOut: true },
  { type: "vmmd_fail", command: "create", text: "could not create unikernel: console failed" },
  { type: "vmmd_slow", everyMs: 100 },
  { type: "vmmd_die", when: "received", command: "create" },
  { type: "vmmd_die", when: "carried_out", command: "create" },
  { type: "vmmd_exit", command: "create" },
];

/** Replies and samples that never come are waited for, half a minute and a whole one. */
const SLOW_FAULTS: ReadonlySet<string> = new Set(["vmmd_no_reply", "vmmd_exit"]);

/** Runs it, says now and then how it goes, and judges it. Throws when the program does not start. */
export async function stress(options: StressOptions): Promise<StressResult> {
  const folder = await mkdtemp(join(tmpdir(), "stress-"));
  const scenario = loadScenario("stress", SCENARIO);
  if (!scenario.ok) throw new Error(JSON.stringify(scenario.problems));
  const requests: ReceivedRequest[] = [];
  const host = new SimulatedHost(
    { ...scenario.scenario, seed: options.seed },
    { socketDir: join(folder, "host"), clock: systemClock(), onRequest: (request) => requests.push(request) },
  );
  const port = await freePort(0);
  await writeFile(join(folder, "config.yaml"), configOf(join(folder, "host"), port));
  const program = new Program(options.program, folder, `http://127.0.0.1:${port}`);
  const done: string[] = [];
  try {
    await host.start();
    await program.start();
    const untilMs = performance.now() + options.seconds * 1000;
    const [people, kills] = await Promise.all([
      trouble(host, program, options, untilMs),
      killing(program, options.seed, options),
    ]);
    done.push(...people, ...kills);
    options.say("people and faults have ended");
    await host.recover();
    const unsettled = await calm(host, program);
    const exposition = options.kills > 0 ? null : await program.get("/metrics");
    const stopped = await program.stop();
    const actions = actionsIn(folder);
    const ended = actions.map(({ operation, outcome, reason }) => `${operation} ${outcome} ${reason}`);
    const { complaints } = program;
    const isClone = (name: string) => IS_CLONE.test(name);
    const isAdopted = (name: string) => name.startsWith(`${ADOPTING}-`);
    const faults = judge({ requests, actions, exposition, complaints, isClone, isAdopted });
    const wrong = [...faults, ...unsettled, ...stopped];
    return { wrong, counts: tally([...done, ...ended].sort()), requests: requests.length };
  } finally {
    program.kill();
    await host.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** What people and faults do until then, by chance; resolves to what it was. */
async function trouble(
  host: SimulatedHost,
  program: Program,
  { seed, seconds }: StressOptions,
  untilMs: number,
): Promise<readonly string[]> {
  const done: string[] = [];
  const faults = FAULTS.filter(({ type }) => !SLOW_FAULTS.has(type) || seconds > 60);
  let drawn = 0;
  const below = (limit: number) => Math.floor(unitAt(seed, drawn++) * limit);
  const one = <T>(items: readonly T[]): T => items[below(items.length)] as T;
  for (let endFault: (() => Promise<void>) | null = null; performance.now() < untilMs; ) {
    await sleep(below(2 * EVERY_MS));
    const group = one(GROUPS);
    const clone = `${group}-clone-${1 + below(4)}`;
    const has = (name: string) => host.vmNames.includes(name);
    const kind = one([
      "load",
      "load",
      "destroy",
      "create",
      "anew",
      "crash",
      "primary",
      "fault",
      "fault_end",
      "reload",
    ]);
    done.push(`person ${kind}`);
    if (kind === "load" && has(group)) host.setLoad(group, one([10, 10, 60, 150, 300, 300]));
    else if (kind === "reload") program.reload();
    else if (kind === "destroy" && has(clone)) host.removeVm(clone);
    else if (kind === "create" && has(group) && !has(clone)) host.addVm({ name: clone, load: 20 });
    else if (kind === "crash" && has(clone)) host.restartVm(clone);
    else if (kind === "anew" && has(clone)) {
      host.removeVm(clone);
      host.addVm({ name: clone, load: 20, image: "another" });
    } else if (kind === "primary" && has(group)) {
      const image = `image-${below(2)}`;
      host.removeVm(group);
      host.addVm({ name: group, load: 150, image, shareLoadWithClones: true });
    } else if (kind === "fault") {
      const fault = one(faults);
      done.push(`fault ${fault.type}`);
      await endFault?.();
      endFault = await host.misbehave({ ...fault, times: 1 + below(2) });
    } else if (kind === "fault_end") {
      await endFault?.();
      endFault = null;
    }
  }
  return done;
}

/** Kills the program at seeded moments and starts it again. */
async function killing(
  program: Program,
  seed: number,
  { kills, seconds, say }: Pick<StressOptions, "kills" | "seconds" | "say">,
): Promise<readonly string[]> {
  for (let kill = 0; kill < kills; kill++) {
    await sleep((2 * unitAt(seed + 1, kill) * seconds * 1000) / (kills + 1));
    await program.killed();
    await program.start();
    say(`killed ${kill + 1} times`);
  }
  return Array.from({ length: kills }, () => "SIGKILL");
}

/** Waits until groups are where the rules want them: at most clones when they are overloaded, and none of ours when idle. */
async function calm(host: SimulatedHost, program: Program): Promise<readonly string[]> {
  const wrong: string[] = [];
  const reached = async (what: string, isSo: (group: Group) => boolean) => {
    const untilMs = performance.now() + CALM_MS;
    let groups: readonly Group[] = [];
    for (let looks = 0; performance.now() < untilMs; looks++) {
      // what failed just now is not tried again for a minute otherwise
      if (looks % 20 === 0) program.reload();
      await sleep(500);
      groups = (await program.groups()).filter(({ path, group }) => GROUPS.includes(`${path}:${group}`));
      if (groups.length === GROUPS.length && groups.every(isSo)) return;
    }
    const left = groups
      .filter((group) => !isSo(group))
      .map(({ group, scaler }) => `${group}: ${scaler?.text}`);
    wrong.push(`${what}, not within ${CALM_MS / 1000} s: ${left.join("; ")}`);
  };
  for (const name of GROUPS) {
    if (!host.vmNames.includes(name)) host.addVm({ name, shareLoadWithClones: true });
    host.setLoad(name, 1000);
  }
  // people may have made more than it allows, which it must not remove
  const isFull = (group: Group) => {
    const { reason, clones = 0 } = group.scaler ?? {};
    return reason === "at_max" || (reason === "not_ours" && clones > MAX_CLONES);
  };
  await reached("overloaded groups have all their clones", isFull);
  for (const name of GROUPS) host.setLoad(name, 5);
  await reached(
    "idle groups have no clone that is ours",
    ({ scaler }) => scaler?.reason === "not_ours" || (scaler?.reason === "normal" && scaler.clones === 0),
  );
  return wrong;
}

interface Group {
  readonly path: string;
  readonly group: string;
  readonly scaler: { readonly reason: string; readonly clones: number; readonly text: string } | null;
}

/** The actions in the decision log, rotated files included. */
function actionsIn(folder: string): readonly ActionJson[] {
  const files = readdirSync(folder).filter((name) => name.startsWith("decisions.ndjson"));
  return files
    .sort()
    .reverse()
    .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))
    .filter((line) => line.operation !== undefined);
}

/** The built program, started as often as need be. */
class Program {
  readonly complaints: string[] = [];
  readonly #main: string;
  readonly #folder: string;
  readonly #url: string;
  #child: ChildProcess | null = null;
  #serves = false;

  constructor(main: string, folder: string, url: string) {
    this.#main = main;
    this.#folder = folder;
    this.#url = url;
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [this.#main, "--config.file", join(this.#folder, "config.yaml")], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, STATE_DIRECTORY: this.#folder },
    });
    this.#child = child;
    let rest = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (!isFine(line)) this.complaints.push(line);
    });
    for (let looks = 0; looks < 200; looks++) {
      const answer = await fetch(`${this.#url}/-/ready`).catch(() => null);
      this.#serves = answer?.ok === true;
      if (this.#serves) return;
      if (child.exitCode !== null || child.signalCode !== null) break;
      await sleep(100);
    }
    throw new Error(`the program does not start: ${this.complaints.join("\n")}`);
  }

  async get(path: string): Promise<string> {
    return (await fetch(`${this.#url}${path}`, { headers: { accept: "text/plain" } })).text();
  }

  async groups(): Promise<readonly Group[]> {
    return JSON.parse(await this.get("/api/v1/groups")).data;
  }

  async killed(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const ended = once(child, "exit");
    this.#serves = false;
    child.kill("SIGKILL");
    await ended;
  }

  /** Another beginning for groups whose actions have failed. */
  reload(): void {
    // before it serves Node itself may still be starting, which the signal would end
    if (this.#serves) this.#child?.kill("SIGHUP");
  }

  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  /** Why it did not end in good order; nothing where it did. */
  async stop(): Promise<readonly string[]> {
    const child = this.#child;
    if (child === null || child.exitCode !== null) return [`it had ended before: ${child?.exitCode}`];
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    const result = await Promise.race([ended, sleep(STOP_MS, null)]);
    if (result === null) return [`it does not end within ${STOP_MS / 1000} s`];
    return result[0] === 0 ? [] : [`it ends with code ${result[0]} and signal ${result[1]}`];
  }
}

/** An event below the level error. */
function isFine(line: string): boolean {
  try {
    const { level } = JSON.parse(line);
    return level !== "error" && level !== "fatal" && !(level >= 50);
  } catch {
    return false;
  }
}
