/** The events of trace files, in order of time. */
import { createReadStream, ReadStream } from "node:fs";
import { pipeline, type Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { createGunzip } from "node:zlib";
import { parseJson } from "../files.ts";
import { plainMessage } from "../systemError.ts";
import { infoOfKnown, type NamedInfo, type Stats } from "../wire/messages.ts";
import { type Name, tryParseName } from "../wire/names.ts";
import { statsOfUsage } from "../wire/stats.ts";

/** A trace that cannot be replayed; the message names the file and, where there is one, the line. */
export class TraceError extends Error {
  override readonly name = "TraceError";
}

type OfHost<K, T> = Readonly<{ kind: K; timeMs: number; host: string } & T>;
export type TraceEvent =
  /** `stats` hold what CPU usage and restarts are told from; everything else is 0 */
  | OfHost<"sample", { name: Name; stats: Stats }>
  /** `entries` hold CPUs, cores and start, everything else is empty; more of the same list may follow */
  | OfHost<"info", { entries: readonly NamedInfo[]; more: boolean }>
  /** the host's statistics no longer arrive, or do again */
  | OfHost<"connection", { up: boolean }>
  /** what the query of a group's load was answered for the tick of that time; null for nothing that is a load */
  | OfHost<"load", { path: string; group: string; value: number | null }>
  | { readonly kind: "tick"; readonly timeMs: number };

/** A longer line is none of a trace's; it is skipped without being kept. */
const MAX_LINE_LENGTH = 4 * 1024 * 1024;
/** What is kept of it: however it goes on, it is no JSON. */
const OVERLONG = "a line without an end: ";
const READ_BYTES = 256 * 1024;
const SHOWN_CHARACTERS = 60;

/** One trace file, read in batches and in order of time. */
export class TraceSource {
  readonly file: string;
  /** Lines that are none of a trace's; empty ones do not count. */
  skipped = 0;
  #firstSkipped = "";
  #samples = 0;
  #otherEvents = 0;
  /** by host, the beginning of a list that has not come to its end */
  readonly #listed = new Map<string, NamedInfo[]>();
  readonly #raw: Readable;
  readonly #batches: AsyncIterator<readonly string[]>;
  #line = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #events: TraceEvent[] = [];

  /** `-` reads `stdin`; what gzip has packed is unpacked, whatever it is called. */
  constructor(file: string, stdin: Readable) {
    this.file = file === "-" ? "standard input" : file;
    this.#raw = file === "-" ? stdin : createReadStream(file, { highWaterMark: READ_BYTES });
    this.#batches = batchesOfLines(this.#raw);
  }

  /** What was found in a file without samples, on one line; null for one that has some. */
  get foundInstead(): string | null {
    if (this.#samples > 0) return null;
    const isText = !/[\p{Cc}\ufffd]/u.test(this.#firstSkipped);
    const skipped = isText ? `something else, first: ${this.#firstSkipped}` : "binary data";
    const found: string[] = [];
    if (this.#otherEvents > 0) found.push(`${this.#otherEvents} events of a trace`);
    if (this.skipped > 0) found.push(`${this.skipped} line${this.skipped === 1 ? "" : "s"} of ${skipped}`);
    return `no samples in ${this.file}: ${found.join(", ") || "it is empty"}`;
  }

  /** Of the file, packed ones of a `.gz`; 0 for standard input. */
  get bytesRead(): number {
    return this.#raw instanceof ReadStream ? this.#raw.bytesRead : 0;
  }

  /** Time of the last event that was read and not taken yet. */
  get readUntilMs(): number {
    return this.#events.at(-1)?.timeMs ?? Number.NEGATIVE_INFINITY;
  }

  /** Reads on until there is an event to take. False at the end of the file. Throws TraceError. */
  async fill(): Promise<boolean> {
    while (this.#events.length === 0) {
      const { value: lines, done } = await this.#next();
      if (done === true) return false;
      for (const line of lines) this.#read(line);
    }
    return true;
  }

  /** Takes the events that were read, up to the first that is not `wanted`. */
  take(wanted: (event: TraceEvent) => boolean = () => true): readonly TraceEvent[] {
    const end = this.#events.findIndex((event) => !wanted(event));
    return this.#events.splice(0, end === -1 ? this.#events.length : end);
  }

  /** Standard input left open would keep the process alive. */
  close(): void {
    this.#raw.destroy();
  }

  async #next(): Promise<IteratorResult<readonly string[], undefined>> {
    try {
      return await this.#batches.next();
    } catch (error) {
      if (error instanceof TraceError) throw new TraceError(`${this.file} ${error.message}`);
      throw new TraceError(`${this.file}: ${reason(error)}`);
    }
  }

  #read(line: string): void {
    this.#line += 1;
    const text = line.trim();
    if (text === "") return;
    const event = readLine(text);
    if (event === null) {
      this.skipped += 1;
      if (this.skipped === 1) this.#firstSkipped = text.slice(0, SHOWN_CHARACTERS);
      return;
    }
    if (event.timeMs < this.#lastMs) {
      const [now, before] = [event.timeMs, this.#lastMs].map((ms) => new Date(ms).toISOString());
      throw new TraceError(`${this.file}:${this.#line}: time goes back from ${before} to ${now}`);
    }
    this.#lastMs = event.timeMs;
    if (event.kind === "sample") this.#samples += 1;
    else this.#otherEvents += 1;
    if (event.kind !== "info") this.#events.push(event);
    else this.#takeList(event);
  }

  /** A list that comes in several lines is one event, at the time of its last. */
  #takeList(event: TraceEvent & { kind: "info" }): void {
    const entries = this.#listed.get(event.host) ?? [];
    for (const entry of event.entries) entries.push(entry);
    if (event.more) {
      this.#listed.set(event.host, entries);
      return;
    }
    this.#listed.delete(event.host);
    this.#events.push({ ...event, entries });
  }
}

async function* batchesOfLines(raw: Readable): AsyncGenerator<readonly string[], undefined> {
  const utf8 = new StringDecoder("utf8");
  let rest = "";
  for await (const chunk of await unpacked(raw)) {
    const lines = (rest + utf8.write(chunk)).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_LENGTH) rest = OVERLONG;
    yield lines;
  }
  yield [rest + utf8.end()];
}

const UTF16 = /^(fffe|feff|(?!00)..00(?!00)..00|00(?!00)..00(?!00)..)/;
/** What files of other packers begin with, in hex. */
const PACKERS: Readonly<Record<string, string>> = {
  "28b52ffd": "zstd",
  fd377a58: "xz",
  "425a6839": "bzip2",
  "504b0304": "zip",
};
const KIND_BYTES = 4;

async function unpacked(raw: Readable): Promise<AsyncIterable<Buffer>> {
  const chunks: AsyncIterator<Buffer> = raw[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
    head = Buffer.concat([head, next.value]);
    if (head.length >= KIND_BYTES) break;
  }
  const beginning = head.toString("hex", 0, KIND_BYTES);
  if (UTF16.test(beginning)) throw new TraceError("is text in UTF-16: a trace is UTF-8 (try iconv)");
  const packer = PACKERS[beginning];
  if (packer !== undefined) throw new TraceError(`is packed by ${packer}: unpack it, or pack it by gzip`);
  async function* whole() {
    yield head;
    yield* { [Symbol.asyncIterator]: () => chunks };
  }
  // what goes wrong comes out of reading
  return beginning.startsWith("1f8b") ? pipeline(whole(), createGunzip(), () => undefined) : whole();
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EISDIR: "is a directory, not a file",
  EACCES: "may not be read: permission denied",
  Z_BUF_ERROR: "ends in the middle of the packed data: is it still being written, or was the copy cut short?",
};

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? String(error.code) : "";
  if (code === "Z_DATA_ERROR") return `is damaged (${error.message})`;
  return REASONS[code] ?? `cannot be read: ${plainMessage(error)}`;
}

/** The events of several traces, merged by time; of equal times those of the first file come first. Throws TraceError. */
export async function* mergeTraces(sources: readonly TraceSource[]): AsyncGenerator<readonly TraceEvent[]> {
  for (let open = sources; ; ) {
    const filled = await Promise.all(open.map((source) => source.fill()));
    open = open.filter((_, i) => filled[i]);
    if (open.length === 0) return;
    // all is known up to the end of the batch that ends first; what follows there may be of the same time
    const ends = open.map(({ readUntilMs }) => readUntilMs);
    const untilMs = Math.min(...ends);
    const first = ends.indexOf(untilMs);
    const events = open.flatMap((source, i) =>
      source.take(({ timeMs }) => timeMs < untilMs || (timeMs === untilMs && i <= first)),
    );
    yield events.sort((a, b) => a.timeMs - b.timeMs);
  }
}

function readLine(line: string): TraceEvent | null {
  const json = parseJson(line);
  const timeMs = time(at(json, "time"));
  if (timeMs === null) return null;
  const event = at(json, "event");
  if (event === "tick") return { kind: "tick", timeMs };
  const host = at(json, "host");
  if (typeof host !== "string") return null;
  if (event === "info") {
    const vms = at(json, "vms");
    const more = at(json, "more") === true;
    return Array.isArray(vms) ? { kind: "info", timeMs, host, entries: vms.flatMap(infoOf), more } : null;
  }
  if (event === "load") {
    const [path, group, value] = ["path", "group", "value"].map((key) => at(json, key));
    const isLoad = typeof value === "number" && Number.isFinite(value) && value >= 0;
    if (typeof path !== "string" || typeof group !== "string") return null;
    return { kind: "load", timeMs, host, path, group, value: isLoad ? value : null };
  }
  const up = at(json, "up");
  if (event === "connection" && typeof up === "boolean") return { kind: "connection", timeMs, host, up };
  const name = unikernelName(at(json, "header", "name"));
  const stats = statsOf(at(json, "payload", "rusage"));
  return name === null || stats === null ? null : { kind: "sample", timeMs, host, name, stats };
}

function at(json: unknown, ...keys: readonly string[]): unknown {
  let value = json;
  for (const key of keys)
    value = typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  return value;
}

function statsOf(rusage: unknown): Stats | null {
  const utimeSec = integer(at(rusage, "utime", "sec"));
  const utimeUsec = integer(at(rusage, "utime", "usec"));
  const stimeSec = integer(at(rusage, "stime", "sec"));
  const stimeUsec = integer(at(rusage, "stime", "usec"));
  if (utimeSec === null || utimeUsec === null || stimeSec === null || stimeUsec === null) return null;
  const minflt = integer(at(rusage, "minflt")) ?? 0;
  const nvcsw = integer(at(rusage, "nvcsw")) ?? 0;
  return statsOfUsage({ utimeSec, utimeUsec, stimeSec, stimeUsec, minflt, nvcsw });
}

function infoOf(vm: unknown): NamedInfo[] {
  const name = unikernelName(at(vm, "name"));
  const numcpus = Math.max(1, integer(at(vm, "cpus")) ?? 1);
  const pinned = at(vm, "cpuids");
  const cpuids = Array.isArray(pinned) ? pinned.flatMap((cpu) => integer(cpu) ?? []) : [];
  const startedMs = time(at(vm, "started"));
  return name === null ? [] : [{ name, info: infoOfKnown({ numcpus, cpuids, startedMs }) }];
}

function time(value: unknown): number | null {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

/** 64-bit values are strings in a trace, others numbers. */
function integer(value: unknown): number | null {
  const number = typeof value === "string" && /^-?\d{1,19}$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isInteger(number) ? number : null;
}

/** The unikernel of this name; null for a path or for what is no name. */
function unikernelName(value: unknown): Name | null {
  const name = typeof value === "string" ? tryParseName(value) : null;
  return name === null || name.label === null ? null : name;
}
