import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Logger } from "../log.ts";

/** What may wait for a disk that does not keep up; beyond it lines are lost, and that is said. */
const MAX_WAITING_CHARACTERS = 16 * 2 ** 20;
const NEWLINE = 0x0a;

export interface DecisionLogOptions {
  readonly path: string;
  /** A file that a line would make larger than this is set aside first. */
  readonly maxBytes: number;
  /** How many files are kept, the current one included; the older ones are `path.1` (the newest of them), `path.2`... */
  readonly files: number;
  readonly log: Logger;
}

/** Appends lines to a file and sets it aside when it is full. Each line is whole, in one file. */
export class DecisionLog {
  readonly path: string;
  readonly #log: Logger;
  #maxBytes: number;
  #files: number;
  #waiting: string[] = [];
  #waitingCharacters = 0;
  #writing: Promise<void> | null = null;
  #isFailing = false;
  #lost = 0;

  constructor({ path, maxBytes, files, log }: DecisionLogOptions) {
    this.path = path;
    this.#maxBytes = maxBytes;
    this.#files = files;
    this.#log = log;
  }

  /** Other bounds from the next line on. */
  setLimits({ maxBytes, files }: Pick<DecisionLogOptions, "maxBytes" | "files">): void {
    this.#maxBytes = maxBytes;
    this.#files = files;
  }

  /** Appends lines (without their ends), later and in order. Failures are said, never thrown; what cannot be written is lost. */
  append(lines: readonly string[]): void {
    for (const line of lines) {
      if (this.#waitingCharacters + line.length > MAX_WAITING_CHARACTERS) {
        this.#lost++;
        continue;
      }
      this.#waiting.push(line);
      this.#waitingCharacters += line.length;
    }
    if (this.#waiting.length > 0) this.#writing ??= this.#writeAll();
  }

  /** Resolves when all lines so far have been written, or have failed to be. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    // not in the caller's turn: a tick does not wait for disks
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      this.#waitingCharacters = 0;
      await this.#write(lines);
    }
    this.#writing = null;
  }

  async #write(lines: readonly string[]): Promise<void> {
    let written = 0;
    try {
      while (written < lines.length) written += await this.#writeToOneFile(lines.slice(written));
    } catch (error) {
      this.#lost += lines.length - written;
      if (!this.#isFailing) {
        this.#log.error({ file: this.path, err: error }, "decision log cannot be written");
      }
      this.#isFailing = true;
      return;
    }
    if (this.#isFailing || this.#lost > 0) {
      this.#log.warn({ file: this.path, lost: this.#lost }, "decision log is written again; lines were lost");
    }
    this.#isFailing = false;
    this.#lost = 0;
  }

  /** Writes as many of the lines as the current file has room for, at least one; returns how many. */
  async #writeToOneFile(lines: readonly string[]): Promise<number> {
    await mkdir(dirname(this.path), { recursive: true });
    let file = await openForAppending(this.path);
    try {
      let { size } = await file.stat();
      const [first = ""] = lines;
      if (size > 0 && size + byteLength(first) > this.#maxBytes) {
        await file.close();
        await this.#rotate();
        file = await openForAppending(this.path);
        size = 0;
      }
      let count = 0;
      let text = "";
      for (const line of lines) {
        size += byteLength(line);
        if (count > 0 && size > this.#maxBytes) break;
        text += `${line}\n`;
        count++;
      }
      await file.appendFile(text);
      return count;
    } finally {
      await file.close();
    }
  }

  /** `path.1` becomes `path.2` and so on, `path` becomes `path.1`; what is too many goes. */
  async #rotate(): Promise<void> {
    await rm(numbered(this.path, this.#files - 1), { force: true });
    for (let number = this.#files - 2; number >= 0; number--) {
      await renameIfThere(numbered(this.path, number), numbered(this.path, number + 1));
    }
    // fewer files than before the last reload of the configuration
    for (let number = this.#files; await isThere(numbered(this.path, number)); number++) {
      await rm(numbered(this.path, number), { force: true });
    }
  }
}

/** The line and its end, as bytes. */
function byteLength(line: string): number {
  return Buffer.byteLength(line) + 1;
}

/** 0 is the current file. */
function numbered(path: string, number: number): string {
  return number === 0 ? path : `${path}.${number}`;
}

/** Opens a file at its end. A last line without an end, of a process that was killed, is ended. */
async function openForAppending(path: string): Promise<FileHandle> {
  const file = await open(path, "a+");
  try {
    const { size } = await file.stat();
    if (size > 0) {
      const last = Buffer.alloc(1);
      await file.read(last, 0, 1, size - 1);
      if (last[0] !== NEWLINE) await file.appendFile("\n");
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function renameIfThere(from: string, to: string): Promise<void> {
  if (await isThere(from)) await rename(from, to);
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}
