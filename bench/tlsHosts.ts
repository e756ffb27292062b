import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Target } from "../src/client/target.ts";
import { systemClock } from "../src/clock.ts";
import { loadConfig } from "../src/config/load.ts";
import { SimulatedHost } from "../src/simulator/host.ts";
import { loadScenario } from "../src/simulator/scenarioFile.ts";
import { type BenchRow, row } from "./types.ts";

const HOSTS = 50;
const VMS = 20;
const POLL_S = 30;
/** A target's certificates are made anew every ten minutes: for one poll in twenty. */
const POLLS_A_CERTIFICATE = 20;
const ROUNDS = 2;
const SCENARIO = `
policies: [{ path: ":" }, { path: "user:", unikernels: 100 }]
vms: [{ name: "user:vm-{n}", count: ${VMS}, load: 50 }]
`;

const [, , role, folder = ""] = process.argv;
if (role === "hosts") await serveHosts(folder);

/** Hosts in a process of their own: it tells their addresses, and ends when nobody listens to it any more. */
async function serveHosts(within: string): Promise<void> {
  process.once("disconnect", () => process.exit());
  const loaded = loadScenario("bench", SCENARIO);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const addresses: (string | null)[] = [];
  for (let i = 0; i < HOSTS; i++) {
    const socketDir = join(within, String(i));
    const tls = { address: { host: "127.0.0.1", port: 0 }, folder: join(socketDir, "tls") };
    const host = new SimulatedHost(loaded.scenario, { socketDir, clock: systemClock(), tls });
    await host.start();
    addresses.push(host.tlsAddress);
  }
  process.send?.(addresses);
}

/** What it costs to read 50 hosts by TLS: a subscription each, and two questions every 30 s. */
export async function tlsHostsRows(): Promise<BenchRow[]> {
  const within = mkdtempSync(join(tmpdir(), "albatross-bench-"));
  const hosts = fork(fileURLToPath(import.meta.url), ["hosts", within], { execArgv: [] });
  try {
    return await measured(hosts, within);
  } finally {
    hosts.kill();
    rmSync(within, { recursive: true, force: true });
  }
}

async function measured(hosts: ChildProcess, within: string): Promise<BenchRow[]> {
  const [addresses] = (await once(hosts, "message")) as [string[]];
  const clock = systemClock();
  let answers = 0;
  const sink = {
    onSample: () => undefined,
    live: () => undefined,
    info: () => undefined,
    // asked last
    policies: () => {
      answers++;
    },
  };
  const log = { debug: ignore, info: ignore, warn: console.error, error: console.error };
  const targets = targetsOf(within, addresses).map((config) => new Target(config, sink, clock, log));
  globalThis.gc?.();
  const idleBytes = process.memoryUsage.rss();
  /** CPU time in ms until all hosts have answered. */
  const round = async (begin: () => void) => {
    const wanted = answers + HOSTS;
    const before = process.cpuUsage();
    begin();
    while (answers < wanted) await sleep(5);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  // it makes certificates, and subscribes
  const first = await round(() => {
    for (const target of targets) target.start();
  });
  while (!targets.every((target) => target.snapshot().up)) await sleep(5);
  const others: number[] = [];
  for (let i = 0; i < ROUNDS; i++)
    others.push(
      await round(() => {
        for (const target of targets) target.askInfoSoon();
      }),
    );
  const grown = (process.memoryUsage.rss() - idleBytes) / 1e6;
  await Promise.all(targets.map((target) => target.stop()));
  const usual = Math.min(...others);
  const mean = (first + (POLLS_A_CERTIFICATE - 1) * usual) / POLLS_A_CERTIFICATE;
  const name = `${HOSTS} hosts by TLS with ${VMS} VMs each`;
  return [
    row(`${name}, a round of questions with new certificates`, first, "ms of CPU"),
    row(`${name}, a round of questions`, usual, "ms of CPU"),
    row(`${name}, polled every ${POLL_S} s`, (100 * mean) / (POLL_S * 1000), "% of a core", 5),
    row(`${name}, resident memory above idle`, grown, "MB", 100),
  ];
}

function ignore(): void {}

function targetsOf(within: string, addresses: readonly string[]) {
  const lines = addresses.map((address, i) => {
    const file = (name: string) => join(within, String(i), "tls", name);
    const issuer = `{ certificate: ${file("issuer-user.pem")}, key: ${file("issuer-user.key")} }`;
    const tls = `{ address: "${address}", ca: ${file("ca.pem")}, issuer: ${issuer} }`;
    return `  - { name: host-${i}, tls: ${tls}, enforces_policy: true, allow_unchecked_path: true }`;
  });
  const loaded = loadConfig("bench.yaml", `targets:\n${lines.join("\n")}\n`);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.config.targets;
}
