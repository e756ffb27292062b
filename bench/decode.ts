import { readFileSync } from "node:fs";
import { encodeFrame, FrameReader } from "../src/wire/framing.ts";
import { decodeMessage, type Message, messageToJson } from "../src/wire/messages.ts";
import type { BenchRow } from "./types.ts";

const VECTORS = "test/fixtures/wire/vectors.json";
/** Memory fields and one interface, 455 bytes: what a Linux host sends for most unikernels. */
const VECTOR = "stats-data-mem-1if";
const SAMPLES_PER_CHUNK = 140;
const PASSES = 7;
const PASS_MS = 150;

const MIN_PER_SECOND = 1_500_000;
const MIN_TIMES_JSON = 6;

/** How fast statistics are decoded: alone, against JSON.parse of the same message, and out of chunks of a stream. */
export async function benchDecode(): Promise<BenchRow[]> {
  const der = statisticsVector();
  const json = JSON.stringify(messageToJson(decodeMessage(der)));
  const { decoded, parsed } = fastestOf(
    () => decodeMessage(der),
    () => JSON.parse(json),
  );
  const streamed = streamRate(der);
  return [
    row(`decode a ${der.length}-byte stats message`, decoded, "messages/s", MIN_PER_SECOND),
    {
      name: `JSON.parse of it, ${json.length} bytes`,
      figure: Math.round(parsed),
      unit: "messages/s",
      bound: "",
      ok: true,
    },
    row("decode against JSON.parse", decoded / parsed, "times", MIN_TIMES_JSON),
    {
      name: "frame and decode out of 64 KiB chunks",
      figure: Math.round(streamed),
      unit: "messages/s",
      bound: "",
      ok: true,
    },
  ];
}

function row(name: string, figure: number, unit: string, least: number): BenchRow {
  const rounded = figure < 100 ? Math.round(figure * 10) / 10 : Math.round(figure);
  return { name, figure: rounded, unit, bound: `>= ${least}`, ok: figure >= least };
}

/** The best rates of both in passes that take turns, so that a busy machine slows both alike. */
function fastestOf(decode: () => unknown, parse: () => unknown): { decoded: number; parsed: number } {
  let decoded = 0;
  let parsed = 0;
  for (let pass = 0; pass < PASSES; pass++) {
    decoded = Math.max(decoded, rate(decode, 1));
    parsed = Math.max(parsed, rate(parse, 1));
  }
  return { decoded, parsed };
}

/** Messages per second of a chunk of samples of different unikernels, as a socket delivers them. */
function streamRate(der: Buffer): number {
  const frames = Array.from({ length: SAMPLES_PER_CHUNK }, (_, i) => encodeFrame(renamed(der, i)));
  const chunk = Buffer.concat(frames);
  const reader = new FrameReader(1 << 20);
  let last: Message | null = null;
  const onFrame = (frame: Buffer) => {
    last = decodeMessage(frame);
  };
  let best = 0;
  for (let pass = 0; pass < PASSES; pass++) {
    best = Math.max(
      best,
      rate(() => reader.push(chunk, onFrame), SAMPLES_PER_CHUNK),
    );
  }
  if (last === null || kept === null) throw new Error("nothing was decoded");
  return best;
}

/** The message under the name of another unikernel, of the same length: `user:hello` becomes `user:h0042`. */
function renamed(der: Buffer, number: number): Buffer {
  const bytes = Buffer.from(der);
  bytes.write(String(number).padStart(4, "0"), bytes.indexOf("user:hello") + "user:h".length);
  return bytes;
}

/** The last result, kept so that making it cannot be optimised away. */
let kept: unknown;

/** What `run`, which handles `perRun` messages, handles in a second. */
function rate(run: () => unknown, perRun: number): number {
  const runsPerLook = Math.ceil(1000 / perRun);
  const start = performance.now();
  let runs = 0;
  let elapsedMs = 0;
  while (elapsedMs < PASS_MS) {
    for (let i = 0; i < runsPerLook; i++) kept = run();
    runs += runsPerLook;
    elapsedMs = performance.now() - start;
  }
  return (runs * perRun * 1000) / elapsedMs;
}

function statisticsVector(): Buffer {
  const vectors = JSON.parse(readFileSync(VECTORS, "utf8")) as { name: string; hex: string }[];
  const vector = vectors.find(({ name }) => name === VECTOR);
  if (vector === undefined) throw new Error(`no vector is called ${VECTOR}`);
  return Buffer.from(vector.hex, "hex");
}
