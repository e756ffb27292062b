import { createReadStream, ReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { type TraceEvent, TraceLineReader } from "./traceLine.ts";

/** A trace that cannot be replayed; the message names the file and, where there is one, the line. */
export class TraceError extends Error {
  override readonly name = "TraceError";
}

/** A line longer than this is no sample of ours; it is skipped without being kept. */
const MAX_LINE_BYTES = 4 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
/** One trace file, read in batches and in order of time. */
export class TraceSource {
  readonly file: string;
  readonly #lines = new TraceLineReader();
  readonly #raw: Readable;
  readonly #chunks: AsyncIterator<string>;
  #rest = "";
  #overlong = false;
  #line = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #skipped = 0;
  #batch: readonly TraceEvent[] = [];
  #at = 0;

  /** `-` reads `stdin`; a name that ends in `.gz` is unpacked. */
  constructor(file: string, stdin: Readable) {
    this.file = file === "-" ? "standard input" : file;
    this.#raw = file === "-" ? stdin : createReadStream(file, { highWaterMark: READ_BYTES });
    this.#chunks = byteChunks(this.#raw, file.endsWith(".gz"))[Symbol.asyncIterator]();
  }

  /** Bytes read of the file, packed ones of a `.gz`; 0 for standard input. */
  get bytesRead(): number {
    return this.#raw instanceof ReadStream ? this.#raw.bytesRead : 0;
  }

  /** Lines that are none of a trace's; empty ones do not count. */
  get skipped(): number {
    return this.#skipped;
  }

  /** The event that is next, if it has been read; undefined when `fill` must be called first. */
  peek(): TraceEvent | undefined {
    return this.#batch[this.#at];
  }

  /** Moves past the event that `peek` showed. */
  next(): void {
    this.#at += 1;
  }

  /** Reads on until there is an event. False at the end of the file. Throws TraceError. */
  async fill(): Promise<boolean> {
    while (this.#at >= this.#batch.length) {
      const chunk = await this.#read();
      this.#batch = this.#events(chunk ?? "", chunk === null);
      this.#at = 0;
      if (chunk === null) return this.#batch.length > 0;
    }
    return true;
  }

  /** Lets go of the file, at whatever point of it: standard input left open would keep the process alive. */
  close(): void {
    this.#raw.destroy();
  }

  async #read(): Promise<string | null> {
    try {
      const { value, done } = await this.#chunks.next();
      return done === true ? null : value;
    } catch (error) {
      throw new TraceError(`${this.file}: ${reason(error)}`);
    }
  }

  #events(chunk: string, atEnd: boolean): TraceEvent[] {
    const events: TraceEvent[] = [];
    let start = 0;
    for (let end = chunk.indexOf("\n"); end !== -1; end = chunk.indexOf("\n", start)) {
      if (this.#rest === "" && !this.#overlong) this.#take(chunk, start, end, events);
      else this.#takeRest(chunk.slice(start, end), events);
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.slice(start));
    if (atEnd && (this.#rest !== "" || this.#overlong)) this.#takeRest("", events);
    return events;
  }

  /** The line that began in an earlier chunk and ends with `tail`. */
  #takeRest(tail: string, events: TraceEvent[]): void {
    this.#keep(tail);
    const line = this.#rest;
    if (this.#overlong) {
      this.#line += 1;
      this.#skipped += 1;
    } else this.#take(line, 0, line.length, events);
    this.#rest = "";
    this.#overlong = false;
  }

  #keep(tail: string): void {
    if (this.#overlong || this.#rest.length + tail.length > MAX_LINE_BYTES) {
      this.#overlong = true;
      this.#rest = "";
    } else this.#rest += tail;
  }

  #take(bytes: string, start: number, end: number, events: TraceEvent[]): void {
    this.#line += 1;
    const event = this.#lines.read(bytes, start, end);
    if (event === null) {
      if (bytes.slice(start, end).trim() !== "") this.#skipped += 1;
      return;
    }
    if (event.timeMs < this.#lastMs) {
      const [now, before] = [event.timeMs, this.#lastMs].map((ms) => new Date(ms).toISOString());
      throw new TraceError(`${this.file}:${this.#line}: time goes back from ${before} to ${now}`);
    }
    this.#lastMs = event.timeMs;
    events.push(event);
  }
}

async function* byteChunks(raw: Readable, isPacked: boolean): AsyncGenerator<string> {
  for await (const chunk of isPacked ? unpacked(raw) : raw) {
    const bytes: Buffer = chunk;
    yield bytes.toString("latin1");
  }
}

function unpacked(raw: Readable): Readable {
  const gunzip = createGunzip();
  raw.on("error", (error) => gunzip.destroy(error));
  return raw.pipe(gunzip);
}

/** What went wrong with a file, in words where there are plain ones. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  switch ("code" in error ? error.code : undefined) {
    case "ENOENT":
      return "no such file";
    case "EISDIR":
      return "is a directory, not a file";
    case "EACCES":
      return "may not be read: permission denied";
    case "Z_BUF_ERROR":
      return "ends in the middle of the packed data: is it still being written, or was the copy cut short?";
    case "Z_DATA_ERROR":
      return `is damaged, or not packed by gzip (${error.message})`;
    default:
      return `cannot be read: ${error.message}`;
  }
}

/** The events of several traces, merged by time; of equal times those of the first file come first. */
export async function* mergeTraces(sources: readonly TraceSource[]): AsyncGenerator<readonly TraceEvent[]> {
  let open = [...sources];
  for (;;) {
    const filled = await Promise.all(open.map((source) => source.peek() !== undefined || source.fill()));
    open = open.filter((_, i) => filled[i]);
    if (open.length === 0) return;
    yield drain(open);
  }
}

/** The events that can be told in order with what has been read: up to the end of the first batch that runs out. */
function drain(open: readonly TraceSource[]): TraceEvent[] {
  const events: TraceEvent[] = [];
  for (;;) {
    let first: TraceSource | undefined;
    let event: TraceEvent | undefined;
    for (const source of open) {
      const candidate = source.peek();
      if (candidate === undefined) return events;
      if (event === undefined || candidate.timeMs < event.timeMs) {
        first = source;
        event = candidate;
      }
    }
    if (first === undefined || event === undefined) return events;
    events.push(event);
    first.next();
  }
}
