import { rmSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cancel, Clock } from "../clock.ts";
import { elapsed } from "../simulator/elapsed.ts";
import { SimulatedHost } from "../simulator/host.ts";
import type { Scenario } from "../simulator/model.ts";
import { ExporterProcess } from "./exporterProcess.ts";
import { freePort } from "./freePort.ts";
import { groupLine, groupsIn } from "./groupLine.ts";

const LINE_EVERY_MS = 2_000;

export interface DemoOptions {
  readonly scenario: Scenario;
  readonly port: number;
  readonly clock: Clock;
  readonly say: (line: string) => void;
  /** Resolves when the demo is to end. */
  readonly until: Promise<unknown>;
}

/**
 * Runs a simulated host and an exporter that reads it, and tells what the exporter serves, until it is to end. Throws
 * when the exporter does not start or ends on its own.
 */
export async function runDemo({ scenario, port: wanted, clock, say, until }: DemoOptions): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "albatross-demo-"));
  // When the process ends in a hurry, because nobody reads what it tells any more.
  const leaveNothing = () => rmSync(dir, { recursive: true, force: true });
  process.once("exit", leaveNothing);
  const startedUs = clock.nowUs();
  const sayWhen = (text: string) => say(`${elapsed(clock.nowUs() - startedUs)}  ${text}`);
  const host = new SimulatedHost(scenario, {
    socketDir: dir,
    clock,
    onEvent: (text) => sayWhen(`* ${text}`),
  });
  try {
    await host.start();
    const port = await freePort(wanted);
    if (port !== wanted && wanted !== 0) say(`Port ${wanted} is taken: using ${port}.`);
    const url = `http://127.0.0.1:${port}`;
    const configFile = join(dir, "config.yaml");
    await writeFile(configFile, configOf(dir, port));
    const exporter = new ExporterProcess(configFile);
    let stopTelling: Cancel = () => undefined;
    try {
      await exporter.ready(url);
      say(welcome(url, dir));
      stopTelling = tellGroups(url, clock, sayWhen);
      const why = await Promise.race([until.then(() => null), exporter.ended]);
      if (why !== null) throw new Error(`the exporter has ended: ${why}`);
    } finally {
      stopTelling();
      await exporter.stop();
    }
  } finally {
    await host.stop();
    await rm(dir, { recursive: true, force: true });
    process.off("exit", leaveNothing);
  }
}

/** Tells every now and then what the exporter serves about the groups. */
function tellGroups(url: string, clock: Clock, sayWhen: (text: string) => void): Cancel {
  let stopped = false;
  let cancel: Cancel = () => undefined;
  const tell = async () => {
    const line = await readGroups(url).catch((error: unknown) => `no answer: ${describe(error)}`);
    if (stopped) return;
    if (line !== "") sayWhen(line);
    cancel = clock.after(LINE_EVERY_MS, tell);
  };
  cancel = clock.after(LINE_EVERY_MS, tell);
  return () => {
    stopped = true;
    cancel();
  };
}

async function readGroups(url: string): Promise<string> {
  const response = await fetch(`${url}/metrics`, { headers: { accept: "text/plain" } });
  return groupLine(groupsIn(await response.text()));
}

function configOf(socketDir: string, port: number): string {
  return [
    `targets: [{ name: demo, socket_dir: ${JSON.stringify(socketDir)}, os: linux, page_size: 4096 }]`,
    `web: { listen_addresses: ["127.0.0.1:${port}"] }`,
    "log: { level: warn }",
    "",
  ].join("\n");
}

function welcome(url: string, dir: string): string {
  return `
A simulated Albatross host runs in ${dir}, and an exporter that reads it:

  ${url}/metrics   for Prometheus
  ${url}/          for people

Below: every ${LINE_EVERY_MS / 1000} s the CPU usage of each group of clones as /metrics has it, and what happens on the host (*).
It takes two minutes and begins again. Ctrl-C ends it.
`;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
