/** The file that a trace is written to: one writer at a time, and whole lines before what is appended. */
import { createReadStream, createWriteStream, constants as fileConstants } from "node:fs";
import { type FileHandle, open, realpath, rename, rm, stat } from "node:fs/promises";
import { pipeline } from "node:stream";
import { pipeline as pipelined } from "node:stream/promises";
import { constants, createGunzip, createGzip } from "node:zlib";
import type { Clock } from "../clock.ts";
import { lockFile } from "../fileLock.ts";
import { lineBefore } from "../files.ts";
import { isErrno, plainMessage } from "../systemError.ts";

/** Why nothing, or nothing more, can be recorded; for people, on one line. */
export class RecordError extends Error {
  override readonly name = "RecordError";
}

export interface TraceOutput {
  readonly name: string;
  /** The time of the last line that is there already; null without one. */
  readonly lastMs: number | null;
  /** Resolves when all `lines`, taken no faster than written, are in the file. Throws a RecordError. */
  write(lines: AsyncIterable<string>): Promise<void>;
  /** Lets others write. */
  close(): Promise<void>;
}

export interface TraceFileOptions {
  readonly clock: Clock;
  readonly report: (line: string) => void;
}

/** What is compressed and not yet written is lost with the process. */
const FLUSH_US = 10_000_000;

/** A `.gz` gets a gzip member of its own. Throws a RecordError where it cannot be written, is no trace or is in use. */
export async function openTraceFile(file: string, { clock, report }: TraceFileOptions): Promise<TraceOutput> {
  const isPacked = file.endsWith(".gz");
  const mend = isPacked ? mendPacked : mendPlain;
  let unlock = async () => {};
  try {
    // a terminal, a pipe: nothing is there that could be mended
    const isFile = await stat(file).then(
      (found) => found.isFile(),
      () => true,
    );
    if (isFile) unlock = await locked(file, report);
    const lastMs = isFile ? await mend(file, report) : null;
    // A FIFO that nobody reads would be waited for. The probe is held until the handle is there, lest the reader end.
    const probe = isFile ? null : await open(file, fileConstants.O_WRONLY | fileConstants.O_NONBLOCK);
    const handle = await open(file, "a");
    await probe?.close();
    return {
      name: file,
      lastMs,
      async write(lines) {
        const disk = handle.createWriteStream();
        const gzip = createGzip();
        try {
          await (isPacked ? pipelined(flushed(lines, gzip, clock), gzip, disk) : pipelined(lines, disk));
        } catch (error) {
          // a full disk takes a part of a line: the file is to be readable without it
          if (isFile) await mend(file, () => undefined).catch(() => null);
          throw cannotWrite(file, error);
        }
      },
      async close() {
        await handle.close();
        await unlock();
      },
    };
  } catch (error) {
    await unlock();
    throw cannotWrite(file, error);
  }
}

function cannotWrite(file: string, error: unknown): RecordError {
  if (error instanceof RecordError) return error;
  return new RecordError(`cannot write ${file}: ${plainMessage(error)}`);
}

/** Hands lines on to be compressed, and has what came of them written now and then. */
async function* flushed(lines: AsyncIterable<string>, gzip: { flush(): void }, clock: Clock) {
  let lastUs = clock.nowUs();
  for await (const some of lines) {
    yield some;
    if (clock.nowUs() - lastUs < FLUSH_US) continue;
    lastUs = clock.nowUs();
    gzip.flush();
  }
}

/** Keeps other recorders away from the file; what comes back lets them. */
async function locked(file: string, report: (line: string) => void): Promise<() => Promise<void>> {
  let unlock: Awaited<ReturnType<typeof lockFile>>;
  try {
    unlock = await lockFile(file);
  } catch (error) {
    if (isErrno(error, "ENOENT")) throw error;
    report(`${file} cannot be locked, so see that nobody else records to it: ${plainMessage(error)}`);
    return async () => {};
  }
  if (unlock === null) throw new RecordError(`another recorder writes to ${file}`);
  return unlock;
}

const NEWLINE = 0x0a;
/** what a line's time stands in */
const HEAD_BYTES = 64;
const LINE_BEGINNING = '{"time":"';
const TIME = /^\{"time":"([^"]+)"/;

async function mendPlain(file: string, report: (line: string) => void): Promise<number | null> {
  const handle = await openThere(file);
  if (handle === null) return null;
  try {
    const { size } = await handle.stat();
    const torn = await lineBefore(handle, size);
    if (torn.start < size) {
      // a host that lost power leaves bytes of zero
      const isOurs = LINE_BEGINNING.startsWith(torn.head) || /^(\{"time":"|\0)/.test(torn.head);
      if (!isOurs) throw new RecordError(`${file} does not end in a line of a trace: record to another file`);
      await handle.truncate(torn.start);
      report(`cut back ${file}, which ended in the middle of a line, by ${size - torn.start} bytes`);
    }
    return torn.start === 0 ? null : timeOf((await lineBefore(handle, torn.start - 1)).head);
  } finally {
    await handle.close();
  }
}

/** Null for a file that is not there yet. */
function openThere(file: string): Promise<FileHandle | null> {
  return open(file, "r+").catch((error) => {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  });
}

function timeOf(line: string): number | null {
  const ms = Date.parse(TIME.exec(line)?.[1] ?? "");
  return Number.isNaN(ms) ? null : ms;
}

/** The same for a packed trace: one whose end is missing is packed anew as far as its lines are whole. */
async function mendPacked(file: string, report: (line: string) => void): Promise<number | null> {
  const handle = await openThere(file);
  if (handle === null) return null;
  const { mode, size } = await handle.stat();
  await handle.close();
  if (size === 0) return null;
  const seen = { lastMs: null as number | null, isTorn: false };
  try {
    for await (const _ of unpackedLines(file, constants.Z_FINISH, seen));
    if (!seen.isTorn) return seen.lastMs;
  } catch (error) {
    if (isErrno(error, "Z_DATA_ERROR"))
      throw new RecordError(`${file} is damaged, or not packed by gzip: record to another file`);
    if (!isErrno(error, "Z_BUF_ERROR")) throw error;
  }
  const real = await realpath(file);
  const mended = `${real}.mended`;
  try {
    const lines = unpackedLines(file, constants.Z_SYNC_FLUSH, seen);
    await pipelined(lines, createGzip(), createWriteStream(mended, { mode, flush: true }));
    await rename(mended, real);
  } catch (error) {
    await rm(mended, { force: true });
    throw error;
  }
  report(`packed ${file} anew up to its last whole line: its end was missing`);
  return seen.lastMs;
}

async function* unpackedLines(
  file: string,
  finishFlush: number,
  seen: { lastMs: number | null; isTorn: boolean },
): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  // what goes wrong comes out of reading
  const unpacked = pipeline(createReadStream(file), createGunzip({ finishFlush }), () => undefined);
  for await (const chunk of unpacked) {
    const bytes = Buffer.concat([rest, chunk]);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    rest = bytes.subarray(end);
    if (end === 0) continue;
    const last = end < 2 ? 0 : bytes.lastIndexOf(NEWLINE, end - 2) + 1;
    seen.lastMs = timeOf(bytes.toString("utf8", last, Math.min(end, last + HEAD_BYTES)));
    yield bytes.subarray(0, end);
  }
  seen.isTorn = rest.length > 0;
}
