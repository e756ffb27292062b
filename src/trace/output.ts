import { createWriteStream } from "node:fs";
import type { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { plainMessage } from "../systemError.ts";

/** Why nothing, or nothing more, can be recorded; for people, on one line. */
export class RecordError extends Error {
  override readonly name = "RecordError";
}

/** Where a trace goes. */
export interface TraceOutput {
  /** The file's name, or what stands for it. */
  readonly name: string;
  /** Resolves when the output takes more. Throws a RecordError when it takes no more at all. */
  write(lines: string): Promise<void>;
  /** Resolves when all that was written has reached the file. Throws a RecordError when that fails. */
  close(): Promise<void>;
}

/**
 * Opens a file to append a trace to, compressed when its name ends in `.gz` (a second recording becomes a second gzip
 * member, which gunzip reads on). Throws a RecordError when it cannot be written.
 */
export async function openTraceFile(file: string): Promise<TraceOutput> {
  const disk = createWriteStream(file, { flags: "a" });
  const done = finished(disk);
  // what it fails with is thrown where somebody waits: by open, write or close
  done.catch(() => undefined);
  const failed = (error: unknown) => new RecordError(`cannot write ${file}: ${plainMessage(error)}`);
  try {
    await Promise.race([done, new Promise((resolve) => disk.once("open", resolve))]);
  } catch (error) {
    throw failed(error);
  }
  const top = file.endsWith(".gz") ? createGzip() : disk;
  if (top !== disk) top.pipe(disk);
  return outputTo(top, { name: file, done, failed });
}

/** Prints a trace. */
export function printedTrace(stdout: Writable): TraceOutput {
  const done = finished(stdout, { readable: false });
  done.catch(() => undefined);
  const failed = (error: unknown) => new RecordError(`cannot print the trace: ${plainMessage(error)}`);
  const output = outputTo(stdout, { name: "standard output", done, failed });
  // standard output is the process' own and stays open
  return { ...output, close: async () => undefined };
}

interface Ending {
  readonly name: string;
  /** settles when `stream`'s far end has closed or failed */
  readonly done: Promise<void>;
  readonly failed: (error: unknown) => RecordError;
}

function outputTo(stream: Writable, { name, done, failed }: Ending): TraceOutput {
  return {
    name,
    async write(lines) {
      try {
        if (stream.write(lines)) return;
        await Promise.race([done, new Promise((resolve) => stream.once("drain", resolve))]);
      } catch (error) {
        throw failed(error);
      }
    },
    async close() {
      try {
        stream.end();
        await done;
      } catch (error) {
        throw failed(error);
      }
    },
  };
}
