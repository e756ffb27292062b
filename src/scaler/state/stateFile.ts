import { constants, readFileSync, realpathSync, renameSync, statSync } from "node:fs";
import {
  access,
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Clock } from "../../clock.ts";
import { LongAddress, lockFile } from "../../fileLock.ts";
import type { Logger } from "../../log.ts";
import { isErrno } from "../../systemError.ts";
import { parseState, type SavedState, StateError, UnreadableState } from "./savedState.ts";

/** Damaged files that are kept for whoever wants to know what happened. */
const DAMAGED_KEPT = 3;

/** What became of the file, to be counted. */
export type StateFileOutcome = "written" | "failed" | "damaged";

export interface StateFileOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onOutcome: (outcome: StateFileOutcome) => void;
}

/** What the scaler needs of its state file. */
export type StateStore = Pick<StateFile, "path" | "load" | "save" | "flush">;

/** The file that the scaler's state outlives the process in. At every moment it is whole: the old one or the new one. */
export class StateFile {
  readonly path: string;
  readonly #options: StateFileOptions;
  /** what is to be written next; a newer one takes its place */
  #pending: (() => Iterable<string>) | null = null;
  #writing: Promise<void> | null = null;
  #isFailing = false;

  constructor(options: StateFileOptions) {
    this.path = options.path;
    this.#options = options;
  }

  /**
   * What was saved last; null for a fresh start. A file that is damaged is renamed, said and counted. Throws an
   * UnreadableState, the file untouched, where it cannot be told what was saved.
   */
  load(): SavedState | null {
    const text = readText(this.path);
    if (text === null) return null;
    try {
      return parseState(text);
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      const unfinished = this.#loadUnfinished();
      if (unfinished === null) this.#setAside(error.message);
      return unfinished;
    }
  }

  /**
   * Saves what `pieces` makes, as soon as what is being written is: of several asked for meanwhile, the last. `pieces`
   * is called later, so what it reads must not change. Failures are said and counted, never thrown.
   */
  save(pieces: () => Iterable<string>): void {
    this.#pending = pieces;
    this.#writing ??= this.#writeAll();
  }

  /** Resolves when all that was asked for has been written, or has failed to be. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    // not in the caller's turn: a tick does not wait for disks
    await Promise.resolve();
    for (let pieces = this.#pending; pieces !== null; pieces = this.#pending) {
      this.#pending = null;
      await this.#write(pieces());
    }
    this.#writing = null;
  }

  async #write(pieces: Iterable<string>): Promise<void> {
    const { log, onOutcome } = this.#options;
    try {
      await writeWhole(this.path, pieces);
    } catch (error) {
      onOutcome("failed");
      if (!this.#isFailing) log.error({ file: this.path, err: error }, "scaler state cannot be written");
      this.#isFailing = true;
      return;
    }
    onOutcome("written");
    if (this.#isFailing) log.info({ file: this.path }, "scaler state can be written again");
    this.#isFailing = false;
  }

  /** What was being written in place of the file when the process was killed is whole beside it. */
  #loadUnfinished(): SavedState | null {
    try {
      const text = readText(temporaryOf(realpathSync(this.path)));
      return text === null ? null : parseState(text);
    } catch {
      // no help: the file itself is what is told about
      return null;
    }
  }

  #setAside(reason: string): void {
    const { clock, log, onOutcome } = this.#options;
    const { path } = this;
    onOutcome("damaged");
    try {
      const file = realpathSync(path);
      const setAside = `${file}.damaged-${new Date(clock.wallMs()).toISOString().replace(/[-:]/g, "")}`;
      renameSync(file, setAside);
      log.error({ file, setAside, reason }, "scaler state damaged: starting afresh");
      void this.#dropOldDamaged(file);
    } catch (err) {
      log.error(
        { file: path, reason, err },
        "scaler state damaged, and cannot be set aside: starting afresh",
      );
    }
  }

  async #dropOldDamaged(file: string): Promise<void> {
    const folder = dirname(file);
    const prefix = `${basename(file)}.damaged-`;
    try {
      const names = (await readdir(folder)).filter((name) => name.startsWith(prefix)).sort();
      for (const name of names.slice(0, -DAMAGED_KEPT)) await rm(join(folder, name), { force: true });
    } catch (error) {
      this.#options.log.warn({ folder, err: error }, "old damaged scaler states cannot be removed");
    }
  }
}

/** The state's folder is not to be had; the message says why and what to do. */
export class StateFolderError extends Error {
  override readonly name = "StateFolderError";
}

/** In the folder, with `.lock` behind it. */
const LOCK_NAME = "albatross-exporter";

/**
 * Keeps a second program off the folder of this state file; resolves to what lets it. A folder that cannot be written, or
 * in which no lock can be, is told and not locked. Throws a StateFolderError.
 */
export async function lockStateFolder(path: string, log: Logger): Promise<() => Promise<void>> {
  const folder = dirname(await linkedFile(path));
  const unlocked = () => Promise.resolve();
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (error) {
    log.error({ folder, err: error }, "scaler state's folder cannot be written: a restart will begin afresh");
    return unlocked;
  }
  let unlock: (() => Promise<void>) | null;
  try {
    unlock = await lockFile(join(folder, LOCK_NAME), "refuse");
  } catch (error) {
    if (error instanceof LongAddress) {
      throw new StateFolderError(`${error.message}: choose a state_file in a folder with a shorter path`);
    }
    log.error({ folder, err: error }, "scaler state's folder cannot be locked: keep other programs off it");
    return unlocked;
  }
  if (unlock !== null) return unlock;
  throw new StateFolderError(
    `another albatross-exporter keeps its state in ${folder}: give each a state_file in a folder of its own`,
  );
}

/** A file's text; null when neither the file nor, perhaps, its folder is there. Throws an UnreadableState. */
function readText(path: string): string | null {
  try {
    // a pipe or a device could be read for ever
    if (!statSync(path).isFile()) throw new Error(`${path} is no file`);
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return null;
    throw new UnreadableState(error instanceof Error ? error.message : String(error));
  }
}

/** The file is replaced at once and when it is safely on the disk; what was there before stays until then. */
async function writeWhole(path: string, pieces: Iterable<string>): Promise<void> {
  const file = await linkedFile(path);
  await mkdir(dirname(file), { recursive: true });
  const temporary = temporaryOf(file);
  await synced(open(temporary, "w"), async (handle) => {
    for (const piece of pieces) await handle.appendFile(piece);
  });
  try {
    await rename(temporary, file);
  } catch (error) {
    // a file that is mounted by itself, as into a container, can only be written in its place
    if (!isErrno(error, "EBUSY")) throw error;
    await copyFile(temporary, file);
    await synced(open(file, "r+"));
    await rm(temporary);
  }
  await synced(open(dirname(file), "r"));
}

/** One name for all: what a killed process leaves behind is overwritten by the next write. */
function temporaryOf(file: string): string {
  return `${file}.tmp`;
}

/** Does something to a file that is being opened, and waits until it is on the disk. */
async function synced(
  opening: Promise<FileHandle>,
  write: (handle: FileHandle) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const handle = await opening;
  try {
    await write(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Links that are followed before they are taken for a circle, as in Linux. */
const MAX_LINKS = 40;

/**
 * The file that a path stands for once symbolic links are followed, whether it is there or not. What is no file, such as
 * the pipe behind /dev/stdout, may have no other name.
 */
export async function linkedFile(path: string): Promise<string> {
  let file = resolve(path);
  const found = await stat(file).catch(() => null);
  if (found?.isFile() === false) return file;
  for (let links = 0; links < MAX_LINKS; links++) {
    try {
      file = resolve(dirname(file), await readlink(file));
    } catch {
      return file;
    }
  }
  return file;
}
