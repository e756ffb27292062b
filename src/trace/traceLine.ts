/**
 * One line of a trace. Lines that `record` wrote are read by one pattern that takes out just what a replay needs, since
 * parsing the whole JSON costs five times as much; every other line goes through JSON.parse. Text comes as bytes, one
 * character each (latin1): decoding UTF-8 costs as much as the pattern, and what the pattern takes out is ASCII.
 */
import type { Stats } from "../wire/messages.ts";
import { type Name, parseName } from "../wire/names.ts";
import { RECORDED_SAMPLE } from "./recordedSample.ts";

export interface SampleEvent {
  readonly kind: "sample";
  readonly timeMs: number;
  readonly host: string;
  readonly name: Name;
  /** what CPU usage and restarts are told from; everything else is 0 */
  readonly stats: Stats;
}

export interface InfoEvent {
  readonly kind: "info";
  readonly timeMs: number;
  readonly host: string;
  readonly vms: readonly { readonly name: Name; readonly cpus: number; readonly startedMs: number | null }[];
}

/** The host's statistics no longer arrive, or do again. */
export interface ConnectionEvent {
  readonly kind: "connection";
  readonly timeMs: number;
  readonly host: string;
  readonly up: boolean;
}

export interface TickEvent {
  readonly kind: "tick";
  readonly timeMs: number;
}

export type TraceEvent = SampleEvent | InfoEvent | ConnectionEvent | TickEvent;

const CLOSING_BRACE = 0x7d;

/** Names and times repeat from line to line; what was last read of them is kept for this many. */
const MAX_NAMES = 100_000;

/** Reads the lines of one trace. Holds caches, nothing else. */
export class TraceLineReader {
  readonly #names = new Map<string, Name>();
  #timeText = "";
  #timeMs = Number.NaN;

  /**
   * What the line from `start` to `end` of `bytes` says; null for one that is none of a trace's. There is
   * no newline in it. Never throws.
   */
  read(bytes: string, start = 0, end = bytes.length): TraceEvent | null {
    return this.#readRecorded(bytes, start, end) ?? this.#readAny(bytes.slice(start, end));
  }

  #readRecorded(bytes: string, start: number, end: number): SampleEvent | null {
    const isWhole =
      bytes.charCodeAt(end - 1) === CLOSING_BRACE && bytes.charCodeAt(end - 2) === CLOSING_BRACE;
    if (!isWhole) return null;
    RECORDED_SAMPLE.lastIndex = start;
    const match = RECORDED_SAMPLE.exec(bytes);
    if (match === null) return null;
    const [, time = "", host = "", nameText = "", uSec, uUsec, sSec, sUsec, minflt, nvcsw] = match;
    const timeMs = this.#time(time);
    const name = this.#name(nameText);
    if (Number.isNaN(timeMs) || name === null) return null;
    return {
      kind: "sample",
      timeMs,
      host,
      name,
      stats: statsOf(Number(uSec), Number(uUsec), Number(sSec), Number(sUsec), Number(minflt), Number(nvcsw)),
    };
  }

  #readAny(line: string): TraceEvent | null {
    const json = parseJson(utf8(line));
    const timeText = json?.["time"];
    if (json === null || typeof timeText !== "string") return null;
    const timeMs = this.#time(timeText);
    if (Number.isNaN(timeMs)) return null;
    if (json["event"] === "tick") return { kind: "tick", timeMs };
    const host = json["host"];
    if (typeof host !== "string") return null;
    if (json["event"] === "info") return this.#info(timeMs, host, json["vms"]);
    if (json["event"] === "connection" && typeof json["up"] === "boolean") {
      return { kind: "connection", timeMs, host, up: json["up"] };
    }
    return this.#sample(timeMs, host, json);
  }

  #sample(timeMs: number, host: string, json: JsonObject): SampleEvent | null {
    const nameText = object(json["header"])?.["name"];
    const rusage = object(object(json["payload"])?.["rusage"]);
    const utime = object(rusage?.["utime"]);
    const stime = object(rusage?.["stime"]);
    const name = typeof nameText === "string" ? this.#name(nameText) : null;
    const utimeSec = integer(utime?.["sec"]);
    const utimeUsec = integer(utime?.["usec"]);
    const stimeSec = integer(stime?.["sec"]);
    const stimeUsec = integer(stime?.["usec"]);
    if (name === null || utimeSec === null || utimeUsec === null || stimeSec === null || stimeUsec === null) {
      return null;
    }
    const minflt = integer(rusage?.["minflt"]) ?? 0;
    const nvcsw = integer(rusage?.["nvcsw"]) ?? 0;
    const stats = statsOf(utimeSec, utimeUsec, stimeSec, stimeUsec, minflt, nvcsw);
    return { kind: "sample", timeMs, host, name, stats };
  }

  #info(timeMs: number, host: string, vms: unknown): InfoEvent | null {
    if (!Array.isArray(vms)) return null;
    const entries = vms.flatMap((entry: unknown) => {
      const vm = object(entry);
      const name = typeof vm?.["name"] === "string" ? this.#name(vm["name"]) : null;
      if (vm === null || name === null) return [];
      const started = vm["started"];
      const startedMs = typeof started === "string" ? Date.parse(started) : null;
      const cpus = integer(vm["cpus"]);
      return [
        {
          name,
          cpus: cpus !== null && cpus >= 1 ? cpus : 1,
          startedMs: Number.isNaN(startedMs) ? null : startedMs,
        },
      ];
    });
    return { kind: "info", timeMs, host, vms: entries };
  }

  #time(text: string): number {
    if (text !== this.#timeText) {
      this.#timeText = text;
      this.#timeMs = Date.parse(text);
    }
    return this.#timeMs;
  }

  /** The unikernel of this name, null for a path or for what is no name. */
  #name(text: string): Name | null {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    const name = unikernelName(text);
    if (name !== null && this.#names.size < MAX_NAMES) this.#names.set(text, name);
    return name;
  }
}

/** Written out field by field: spreading the zeros in takes ten times as long. */
function statsOf(
  utimeSec: number,
  utimeUsec: number,
  stimeSec: number,
  stimeUsec: number,
  minflt: number,
  nvcsw: number,
): Stats {
  return {
    rusage: {
      utimeSec,
      utimeUsec,
      stimeSec,
      stimeUsec,
      maxrss: 0,
      ixrss: 0,
      idrss: 0,
      isrss: 0,
      minflt,
      majflt: 0,
      nswap: 0,
      inblock: 0,
      outblock: 0,
      msgsnd: 0,
      msgrcv: 0,
      nsignals: 0,
      nvcsw,
      nivcsw: 0,
    },
    kinfoMem: null,
    vmm: null,
    ifdata: [],
  };
}

function unikernelName(text: string): Name | null {
  try {
    const name = parseName(text);
    return name.label === null ? null : name;
  } catch {
    // a line whose name Albatross would not take is no sample
    return null;
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

function object(value: unknown): JsonObject | null {
  return isObject(value) ? value : null;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const DECODER = new TextDecoder();

function utf8(bytes: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what needs no decoding
  return /^[\x00-\x7f]*$/.test(bytes) ? bytes : DECODER.decode(Buffer.from(bytes, "latin1"));
}

function parseJson(line: string): JsonObject | null {
  try {
    return object(JSON.parse(line));
  } catch {
    // a line that is no JSON is no sample; the caller counts it
    return null;
  }
}

/** 64-bit values are strings in a trace, others numbers. */
function integer(value: unknown): number | null {
  const number = typeof value === "string" && /^-?\d{1,19}$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isInteger(number) ? number : null;
}
