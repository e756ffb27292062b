import { readFileSync, renameSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Clock } from "../../clock.ts";
import type { Logger } from "../../log.ts";
import { parseState, type SavedState, StateError } from "./savedState.ts";

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
   * What was saved last; null for a fresh start. A file that cannot be read is set aside under another name, said and
   * counted.
   */
  load(): SavedState | null {
    try {
      return parseState(readFileSync(this.path, "utf8"));
    } catch (error) {
      if (isMissing(error)) return null;
      this.#setAside(error instanceof StateError ? error.message : String(error));
      return null;
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
      await writeAtomically(this.path, pieces);
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

  #setAside(reason: string): void {
    const { clock, log, onOutcome } = this.#options;
    const file = this.path;
    onOutcome("damaged");
    const setAside = `${file}.damaged-${new Date(clock.wallMs()).toISOString().replace(/[-:]/g, "")}`;
    try {
      renameSync(file, setAside);
      log.error({ file, setAside, reason }, "scaler state damaged: starting afresh");
    } catch (err) {
      log.error({ file, reason, err }, "scaler state damaged, and cannot be set aside: starting afresh");
    }
    void this.#dropOldDamaged();
  }

  async #dropOldDamaged(): Promise<void> {
    const folder = dirname(this.path);
    const prefix = `${basename(this.path)}.damaged-`;
    try {
      const names = (await readdir(folder)).filter((name) => name.startsWith(prefix)).sort();
      for (const name of names.slice(0, -DAMAGED_KEPT)) await rm(join(folder, name), { force: true });
    } catch (error) {
      this.#options.log.warn({ folder, err: error }, "old damaged scaler states cannot be removed");
    }
  }
}

/** The file is replaced at once and when it is safely on the disk; what was there before stays until then. */
async function writeAtomically(path: string, pieces: Iterable<string>): Promise<void> {
  // One name for all: what a killed process leaves behind is overwritten by the next write.
  const temporary = `${path}.tmp`;
  await mkdir(dirname(path), { recursive: true });
  const file = await open(temporary, "w");
  try {
    for (const piece of pieces) await file.appendFile(piece);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** Neither the file nor, perhaps, its folder is there. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
