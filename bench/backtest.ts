import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type IfData, messageToJson, type Stats, statsMessage } from "../src/wire/messages.ts";
import type { BenchRow } from "./types.ts";

const CONFIG = "test/fixtures/wire/traces/real-web.config.yaml";
/** A hundred groups of a primary and three clones. */
const GROUPS = 100;
const VMS_PER_GROUP = 4;
const VMS = GROUPS * VMS_PER_GROUP;
const INTERVAL_MS = 10_000;
const SAMPLES = 600_000;
const ROUNDS = 3;
const START_MS = Date.parse("2026-01-01T00:00:00.000Z");

/** Digits of the seconds of CPU time in a line: fixed, so that a line can be changed in place. */
const CPU_DIGITS = 7;
const TIME_TEXT = "2026-01-01T00:00:00.000Z";
const CPU_TEXT = "1111111";

interface Ran {
  readonly seconds: number;
  readonly maxRssMb: number;
}

/**
 * The real command in a process of its own, a trace written into its standard input: from its start to its end, so the
 * time that the program takes to start is in the figure.
 */
export async function backtestRows(): Promise<BenchRow[]> {
  const runs: Ran[] = [];
  for (let round = 0; round < ROUNDS; round++) runs.push(await run(recordedLines(), SAMPLES));
  // the calmest round: other work on the machine only ever takes away
  const perSecond = SAMPLES / Math.min(...runs.map((r) => r.seconds));
  const maxRssMb = Math.max(...runs.map((r) => r.maxRssMb));
  return [
    row("backtest, samples through a pipe", perSecond, "samples/s", ">=", 50_000),
    row("backtest, resident memory at most", maxRssMb, "MB", "<", 200),
  ];
}

function row(name: string, figure: number, unit: string, is: ">=" | "<", limit: number): BenchRow {
  return { name, figure, unit, bound: `${is} ${limit}`, ok: is === ">=" ? figure >= limit : figure < limit };
}

async function run(lines: readonly string[], samples: number): Promise<Ran> {
  const startMs = performance.now();
  const child = start();
  const memory = maxRssMb(child);
  const ended = once(child, "close");
  child.stdout?.resume();
  await writeTrace(child, lines, samples);
  const [code] = await ended;
  if (code !== 0) throw new Error(`backtest ended with exit code ${code}`);
  return { seconds: (performance.now() - startMs) / 1000, maxRssMb: await memory };
}

function start(): ChildProcess {
  const tellMemory = "process.on('exit',()=>console.error(process.resourceUsage().maxRSS))";
  const node = ["--import", `data:text/javascript,${encodeURIComponent(tellMemory)}`];
  const backtest = [
    "backtest",
    "--config.file",
    CONFIG,
    "--set",
    "poll_interval=60s",
    "--format",
    "json",
    "-",
  ];
  return spawn(process.execPath, [...node, "dist/main.js", ...backtest], {
    stdio: ["pipe", "pipe", "pipe"],
  });
}

/** What the program says with its last breath. */
async function maxRssMb(child: ChildProcess): Promise<number> {
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  await once(child, "close");
  const kilobytes = Number(said.trim());
  if (!Number.isFinite(kilobytes)) throw new Error(`backtest complained: ${said}`);
  return kilobytes / 1000;
}

/** Writes the samples of all VMs, step by step, no faster than they are read. */
async function writeTrace({ stdin }: ChildProcess, lines: readonly string[], samples: number): Promise<void> {
  if (stdin === null) throw new Error("the program has no standard input");
  const step = Buffer.from(lines.map((line) => `${line}\n`).join(""), "latin1");
  const places = placesIn(step);
  for (let at = 0; at * VMS < samples; at++) {
    const bytes = Buffer.from(step);
    const time = new Date(START_MS + at * INTERVAL_MS).toISOString();
    places.forEach(({ timeAt, cpuAt }, vm) => {
      bytes.write(time, timeAt, "latin1");
      bytes.write(cpuSeconds(vm, at).toString().padStart(CPU_DIGITS, "0"), cpuAt, "latin1");
    });
    if (!stdin.write(bytes)) await once(stdin, "drain");
  }
  stdin.end();
}

function placesIn(step: Buffer): { readonly timeAt: number; readonly cpuAt: number }[] {
  const places = [];
  for (let at = 0; at < step.length; at = step.indexOf("\n", at) + 1) {
    places.push({ timeAt: step.indexOf(TIME_TEXT, at), cpuAt: step.indexOf(CPU_TEXT, at) });
  }
  return places;
}

/** Most groups idle along, some swing between busy and idle, so that there is something to decide. */
function cpuSeconds(vm: number, step: number): number {
  const group = Math.floor(vm / VMS_PER_GROUP);
  const elapsedS = (step * INTERVAL_MS) / 1000;
  if (group % 10 !== 0) return Math.floor(elapsedS * 0.5);
  const periodS = 3600 + group * 10;
  const busy = Math.floor(elapsedS / periodS);
  return Math.floor(busy * periodS * 0.5 + Math.min(elapsedS % periodS, periodS / 2) * 0.97);
}

/** A line per VM as `record` writes it, with one interface: about 1 KB. */
function recordedLines(): string[] {
  return Array.from({ length: VMS }, (_, vm) => {
    const label = `web-${Math.floor(vm / VMS_PER_GROUP)}`;
    const cloneId = vm % VMS_PER_GROUP;
    const name = { path: ["user"], label: cloneId === 0 ? label : `${label}-clone-${cloneId}` };
    return JSON.stringify({ time: TIME_TEXT, host: "local", ...messageToJson(statsMessage(name, STATS)) });
  });
}

const INTERFACE: IfData = {
  bridge: "service",
  flags: 69_699,
  sendLength: 0,
  maxSendLength: 0,
  sendDrops: 0,
  mtu: 1500,
  baudrate: 0,
  inputPackets: 1001,
  inputErrors: 1,
  outputPackets: 2002,
  outputErrors: 2,
  collisions: 3,
  inputBytes: 1_234_567_890_123,
  outputBytes: 9_876_543_210,
  inputMcast: 5,
  outputMcast: 0,
  inputDropped: 6,
  outputDropped: 7,
};

const STATS: Stats = {
  rusage: {
    utimeSec: Number(CPU_TEXT),
    utimeUsec: 0,
    stimeSec: 0,
    stimeUsec: 0,
    maxrss: 4096,
    ixrss: 1,
    idrss: 2,
    isrss: 3,
    minflt: 1234,
    majflt: 22,
    nswap: 0,
    inblock: 7,
    outblock: 8,
    msgsnd: 9,
    msgrcv: 10,
    nsignals: 0,
    nvcsw: 123_456_789,
    nivcsw: 987_654,
  },
  kinfoMem: {
    vsize: 536_870_912,
    rss: 8192,
    tsize: 512,
    dsize: 131_072,
    ssize: 131_072,
    runtime: 1_246_913_568,
    cow: 42,
    startSec: 1_767_225_600,
    startUsec: 123_456,
  },
  vmm: null,
  ifdata: [INTERFACE],
};
