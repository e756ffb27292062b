import { constants, readFileSync, realpathSync, renameSync, statSync } from "node:fs";
import { access, copyFile, type FileHandle, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Clock } from "../../clock.ts";
import { LongAddress, lockFile } from "../../fileLock.ts";
import { linkedFile, makeFolder } from "../../files.ts";
import type { Logger } from "../../log.ts";
import { isErrno, messageOf } from "../../systemError.ts";
import { StateError, UnreadableState } from "./savedState.ts";

const DAMAGED_KEPT = 3;

export type StateFileOutcome = "written" | "failed" | "damaged";

interface WholeFileOptions<T> {
  readonly path: string;
  readonly what: string;
  /** Throws a StateError for what is damaged. */
  readonly parse: (text: string) => T;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onOutcome: (outcome: StateFileOutcome) => void;
}

/** What the scaler needs of a file in which something outlives the process. */
export type Store<T> = Pick<WholeFile<T>, "path" | "load" | "save" | "flush">;

/** A file in which something outlives the process: whole at every moment. */
export class WholeFile<T> {
  readonly path: string;
  readonly #options: WholeFileOptions<T>;
  /** what is to be written next; a newer one takes its place */
  #pending: () => Iterable<string> = () => [];
  /** a write that has not begun, and the last one asked for */
  #next: Promise<boolean> | null = null;
  #last: Promise<boolean> = Promise.resolve(true);
  #isFailing = false;

  constructor(options: WholeFileOptions<T>) {
    this.path = options.path;
    this.#options = options;
  }

  /** Null for a fresh start. A damaged file is renamed. Throws an UnreadableState. */
  load(): T | null {
    const text = readText(this.path);
    if (text === null) return null;
    try {
      return this.#options.parse(text);
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      const unfinished = this.#loadUnfinished();
      if (unfinished === null) this.#setAside(error.message);
      return unfinished;
    }
  }

  /** Saves what `pieces` makes, or a newer one. Resolves to whether it is on the disk. */
  save(pieces: () => Iterable<string>): Promise<boolean> {
    this.#pending = pieces;
    // a tick does not wait for disks
    this.#next ??= this.#last.then(() => {
      this.#next = null;
      return this.#write();
    });
    this.#last = this.#next;
    return this.#next;
  }

  /** Resolves when all that was asked for has been written, or has failed to be. */
  async flush(): Promise<void> {
    for (let last = null; last !== this.#last; ) {
      last = this.#last;
      await last;
    }
  }

  async #write(): Promise<boolean> {
    const { what, log, onOutcome } = this.#options;
    try {
      await writeWhole(this.path, this.#pending());
    } catch (error) {
      onOutcome("failed");
      if (!this.#isFailing) log.error({ file: this.path, err: error }, `${what} cannot be written`);
      this.#isFailing = true;
      return false;
    }
    onOutcome("written");
    if (this.#isFailing) log.info({ file: this.path }, `${what} can be written again`);
    this.#isFailing = false;
    return true;
  }

  /** Whole, where the process was killed while it wrote in place of the file. */
  #loadUnfinished(): T | null {
    try {
      const text = readText(temporaryOf(realpathSync(this.path)));
      return text === null ? null : this.#options.parse(text);
    } catch {
      return null;
    }
  }

  #setAside(reason: string): void {
    const { path, what, clock, log, onOutcome } = this.#options;
    onOutcome("damaged");
    try {
      const file = realpathSync(path);
      const setAside = `${file}.damaged-${new Date(clock.wallMs()).toISOString().replace(/[-:]/g, "")}`;
      renameSync(file, setAside);
      log.error({ file, setAside, reason }, `${what} damaged: starting afresh`);
      void this.#dropOldDamaged(file);
    } catch (err) {
      log.error({ file: path, reason, err }, `${what} damaged, and cannot be set aside: starting afresh`);
    }
  }

  async #dropOldDamaged(file: string): Promise<void> {
    const folder = dirname(file);
    const prefix = `${basename(file)}.damaged-`;
    try {
      const names = (await readdir(folder)).filter((name) => name.startsWith(prefix)).sort();
      for (const name of names.slice(0, -DAMAGED_KEPT)) await rm(join(folder, name), { force: true });
    } catch (error) {
      this.#options.log.warn({ folder, err: error }, "old damaged files cannot be removed");
    }
  }
}

/** Why the state's folder cannot be had, and what to do. */
export class StateFolderError extends Error {
  override readonly name = "StateFolderError";
}

/** Keeps other programs off the folder; resolves to what lets them. Throws a StateFolderError. */
export async function lockStateFolder(path: string, log: Logger): Promise<() => Promise<void>> {
  const folder = dirname(await linkedFile(path));
  const unlocked = (err: unknown, why: string) => {
    log.error({ folder, err }, `scaler state's folder cannot be ${why}`);
    return () => Promise.resolve();
  };
  try {
    await makeFolder(folder);
    await access(folder, constants.W_OK);
  } catch (error) {
    return unlocked(error, "written: a restart will begin afresh");
  }
  const unlock = await lockFile(join(folder, "albatross-exporter"), "refuse").catch((error: unknown) => {
    if (!(error instanceof LongAddress)) return unlocked(error, "locked: keep other programs off it");
    throw new StateFolderError(`${error.message}: choose a state_file in a folder with a shorter path`);
  });
  if (unlock !== null) return unlock;
  throw new StateFolderError(
    `another albatross-exporter keeps its state in ${folder}: give each a state_file in a folder of its own`,
  );
}

/** A file's text; null when it is not there. Throws an UnreadableState. */
function readText(path: string): string | null {
  try {
    // a pipe or a device could be read for ever
    if (!statSync(path).isFile()) throw new Error(`${path} is no file`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return null;
    throw new UnreadableState(messageOf(error));
  }
}

/** Replaces the file at once, when the new one is safely on the disk. */
async function writeWhole(path: string, pieces: Iterable<string>): Promise<void> {
  const file = await linkedFile(path);
  await makeFolder(dirname(file));
  const temporary = temporaryOf(file);
  await synced(open(temporary, "w"), pieces);
  try {
    await rename(temporary, file);
  } catch (error) {
    // mounted by itself, as into a container
    if (!isErrno(error, "EBUSY")) throw error;
    await copyFile(temporary, file);
    await synced(open(file, "r+"));
    await rm(temporary);
  }
  await synced(open(dirname(file), "r"));
}

/** Always the same: what a killed process leaves behind is overwritten. */
function temporaryOf(file: string): string {
  return `${file}.tmp`;
}

/** Writes to a file that is being opened, and waits until it is on the disk. */
export async function synced(opening: Promise<FileHandle>, pieces: Iterable<string> = []): Promise<void> {
  const handle = await opening;
  try {
    for (const piece of pieces) await handle.appendFile(piece);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
