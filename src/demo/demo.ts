import { rmSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cancel, Clock } from "../clock.ts";
import { elapsed } from "../simulator/elapsed.ts";
import { SimulatedHost } from "../simulator/host.ts";
import type { Scenario } from "../simulator/model.ts";
import { messageOf } from "../systemError.ts";
import { demoConfig, TLS_FOLDER } from "./config.ts";
import { ask, type ExporterAt, ExporterProcess } from "./exporterProcess.ts";
import { freePort } from "./freePort.ts";
import {
  type Action,
  actionLine,
  type Decision,
  decisionLine,
  decisionsAfter,
  groupLine,
  groupsIn,
} from "./lines.ts";

const GROUPS_EVERY_MS = 3_000;
const DECISIONS_EVERY_MS = 1_000;

export interface DemoOptions {
  readonly scenario: Scenario;
  readonly port: number;
  /** The exporter reaches the host by a TLS endpoint of its own, in place of the sockets. */
  readonly tls: boolean;
  readonly clock: Clock;
  readonly say: (line: string) => void;
  /** Resolves when the demo is to end. */
  readonly until: Promise<unknown>;
  /** TLS and users of the exporter, and how it is asked then */
  readonly web: {
    readonly file: string | null;
    readonly isTls: boolean;
    readonly access: ExporterAt["access"];
  };
}

/**
 * Runs a simulated host and an exporter that reads it, and tells what the exporter serves, until it is to end. Throws
 * when the exporter does not start or ends on its own.
 */
export async function runDemo(options: DemoOptions): Promise<void> {
  const { scenario, port: wanted, clock, say, until, web } = options;
  const dir = await mkdtemp(join(tmpdir(), "albatross-demo-"));
  // When the process ends in a hurry, because nobody reads what it tells any more.
  const leaveNothing = () => rmSync(dir, { recursive: true, force: true });
  process.once("exit", leaveNothing);
  const startedUs = clock.nowUs();
  /** what happens before it has been said how to read it; null from then on */
  let early: string[] | null = [];
  const sayWhen = (text: string) => {
    const line = `${elapsed(clock.nowUs() - startedUs)}  ${text}`;
    if (early === null) say(line);
    else early.push(line);
  };
  const host = new SimulatedHost(scenario, {
    socketDir: dir,
    tls: options.tls ? { address: { host: "127.0.0.1", port: 0 }, folder: join(dir, TLS_FOLDER) } : undefined,
    clock,
    onEvent: (text) => sayWhen(`* ${text}`),
  });
  try {
    await host.start();
    const port = await freePort(wanted);
    if (port !== wanted && wanted !== 0) say(`Port ${wanted} is taken: using ${port}.`);
    // certificates are rather for a name
    const url = web.isTls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
    const at = { url, access: web.access };
    const configFile = join(dir, "config.yaml");
    await writeFile(configFile, demoConfig(dir, port, host.tlsAddress));
    const exporter = new ExporterProcess(configFile, web.file);
    const end = Promise.race([until.then(() => null), exporter.ended]);
    let stopTelling: readonly Cancel[] = [];
    try {
      if (await Promise.race([end.then(() => false), exporter.ready(at).then(() => true)])) {
        say(welcome(url, dir, host.tlsAddress));
        for (const line of early) say(line);
        early = null;
        stopTelling = [
          sayEvery(GROUPS_EVERY_MS, clock, sayWhen, () => readGroups(at)),
          sayEvery(DECISIONS_EVERY_MS, clock, sayWhen, decisionReader(at)),
          sayEvery(DECISIONS_EVERY_MS, clock, sayWhen, actionReader(at)),
        ];
      }
      const why = await end;
      if (why !== null) throw new Error(`the exporter has ended: ${why}`);
    } finally {
      for (const stop of stopTelling) stop();
      await exporter.stop();
    }
  } finally {
    await host.stop();
    await rm(dir, { recursive: true, force: true });
    process.off("exit", leaveNothing);
  }
}

/** Says every now and then what `read` comes back with, or why it cannot. */
function sayEvery(
  ms: number,
  clock: Clock,
  sayWhen: (text: string) => void,
  read: () => Promise<readonly string[]>,
): Cancel {
  let stopped = false;
  let cancel: Cancel = () => undefined;
  const tell = async () => {
    const lines = await read().catch((error: unknown) => [`no answer: ${messageOf(error)}`]);
    if (stopped) return;
    for (const line of lines) sayWhen(line);
    cancel = clock.after(ms, tell);
  };
  cancel = clock.after(ms, tell);
  return () => {
    stopped = true;
    cancel();
  };
}

async function readGroups(at: ExporterAt): Promise<readonly string[]> {
  const line = groupLine(groupsIn((await ask(at, "/metrics")).text));
  return line === "" ? [] : [line];
}

/** Comes back with a line for each decision since it was last called. */
function decisionReader(at: ExporterAt): () => Promise<readonly string[]> {
  let toldUntil = "";
  return async () => {
    const { text } = await ask(at, "/api/v1/decisions");
    const { data } = JSON.parse(text) as { readonly data: readonly Decision[] };
    const decisions = decisionsAfter(toldUntil, data);
    toldUntil = decisions.at(-1)?.time ?? toldUntil;
    return decisions.map((decision) => `> ${decisionLine(decision)}`);
  };
}

/** Comes back with a line for each phase that an action has come to since it was last called. */
function actionReader(at: ExporterAt): () => Promise<readonly string[]> {
  const told = new Set<string>();
  return async () => {
    const { text } = await ask(at, "/api/v1/actions");
    const { data } = JSON.parse(text) as { readonly data: readonly Action[] };
    return data.toReversed().flatMap((action) => {
      const key = `${action.id} ${action.phase}`;
      if (told.has(key)) return [];
      told.add(key);
      return [`+ ${actionLine(action)}`];
    });
  };
}

function welcome(url: string, dir: string, tlsAddress: string | null): string {
  const by = tlsAddress === null ? "" : ` by TLS at ${tlsAddress}, as far as a certificate for user: reaches`;
  return `
A simulated Albatross host runs in ${dir}, and an exporter that reads it${by}:

  ${url}/metrics            for Prometheus
  ${url}/                   for people
  ${url}/api/v1/decisions   what the scaler has decided
  ${url}/api/v1/actions     what has come of it

Below, with the seconds since the start:

  *  what happens on the host
  >  what the scaler decides about user:web, the one group that it has a policy for, and why. It evaluates every 3 s
     and tells when its decision is another one.
  +  what comes of it: the policy says execute, so that clones are created and destroyed, on this simulated host

and every ${GROUPS_EVERY_MS / 1000} s the CPU usage of each group of clones, as /metrics has it. After three minutes it begins
again. Ctrl-C ends it.
`;
}
