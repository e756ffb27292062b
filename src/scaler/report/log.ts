import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { policyNumbers } from "../../config/scaler.ts";
import type { Logger } from "../../log.ts";
import type { Evaluation, GroupKey, GroupName, Scale } from "../rules/types.ts";
import type { DecisionJson } from "./json.ts";

/** What may wait for a disk that does not keep up; beyond it lines are lost, and that is said. */
const MAX_WAITING_CHARACTERS = 16 * 2 ** 20;
const NEWLINE = 0x0a;

export interface DecisionLogOptions {
  readonly path: string;
  /** A file that a line would make larger than this is rotated first. */
  readonly maxBytes: number;
  /** How many files are kept, the current one included; the older ones are `path.1` (the newest of them), `path.2`... */
  readonly files: number;
  readonly log: Logger;
}

/** What the scaler needs of its decision log. */
export type LineLog = Pick<DecisionLog, "append" | "setLimits" | "flush">;

/** Appends lines to a file and rotates it when it is full. Each line is whole, in one file. */
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

/** Tells a transition, which is worth a line, from a plain repeat of the group's last hold. */
export class Transitions {
  readonly #lastHolds: Map<GroupKey, string>;

  /** With the last holds of an earlier run of the program, by group, where there are any. */
  constructor(lastHolds: ReadonlyMap<GroupKey, string> = new Map()) {
    this.#lastHolds = new Map(lastHolds);
  }

  /** A group's last hold, in words that mean something only here; null when it has had none. */
  lastHold(key: GroupKey): string | null {
    return this.#lastHolds.get(key) ?? null;
  }

  /** True for every scale decision, and for a hold whose reason (or, paused, what it would be) is not the last hold's. */
  isTransition({ observation: { key }, decision }: Evaluation): boolean {
    if (decision.decision !== "hold") return true;
    const text = decision.reason === "paused" ? `paused ${scaleText(decision.would)}` : decision.reason;
    if (this.#lastHolds.get(key) === text) return false;
    this.#lastHolds.set(key, text);
    return true;
  }

  /** Forgets the groups that are not among these. */
  keepOnly(groups: ReadonlyMap<GroupKey, unknown>): void {
    if (this.#lastHolds.size <= groups.size) return;
    for (const key of this.#lastHolds.keys()) if (!groups.has(key)) this.#lastHolds.delete(key);
  }
}

function scaleText({ decision, reason, clone }: Scale): string {
  return `${decision} ${reason} ${clone}`;
}

/** A decision as the decision log and `/api/v1/decisions` show it. */
export type LoggedDecision = DecisionJson & { readonly mode: string };

/** One line of the program's log with the decision's numbers; a group that no policy matches is worth one at debug only. */
export function logDecision(log: Logger, { policy }: Evaluation, logged: LoggedDecision): void {
  const {
    time: _,
    would,
    average_percent,
    average_for_up_percent,
    average_for_down_percent,
    ...fields
  } = logged;
  const event = {
    ...fields,
    average_percent: rounded(average_percent),
    average_for_up_percent: rounded(average_for_up_percent),
    average_for_down_percent: rounded(average_for_down_percent),
    ...(would && { would: would.decision, would_reason: would.reason, would_clone: would.clone }),
    ...(policy && policyNumbers(policy)),
  };
  if (logged.decision !== "hold") log.info(event, "scale decision");
  else if (policy === null) log.debug(event, "scaler holds");
  else log.info(event, "scaler holds");
}

/** To a hundredth: the decision log has every digit. */
function rounded(percent: number | null): number | null {
  return percent === null ? null : Math.round(percent * 100) / 100;
}

/** Days of decisions on a usual host; some 5 MB where thousands of groups fill it. */
export const MAX_RECENT = 10_000;

export interface RecentQuery {
  readonly limit: number;
  /** a primary's label (`web`) or full name (`user:web`, `:web`); absent is all */
  readonly group?: string;
  readonly host?: string;
}

/** The last decisions, in memory and bounded: when it is full the oldest go. */
export class Recent<T extends GroupName> {
  readonly #capacity: number;
  readonly #ring: T[] = [];
  /** where the next one goes once the ring is full: where the oldest is */
  #next = 0;

  constructor(capacity: number = MAX_RECENT) {
    this.#capacity = capacity;
  }

  add(decision: T): void {
    this.#ring[this.#next] = decision;
    this.#next = (this.#next + 1) % this.#capacity;
  }

  /** The newest first, `limit` at most. */
  list({ limit, group, host }: RecentQuery): T[] {
    const found: T[] = [];
    const size = this.#ring.length;
    for (let back = 1; back <= size && found.length < limit; back++) {
      const decision = this.#ring[(this.#next - back + size) % size];
      if (decision !== undefined && isAbout(decision, group, host)) found.push(decision);
    }
    return found;
  }
}

function isAbout(decision: GroupName, group: string | undefined, host: string | undefined): boolean {
  if (host !== undefined && decision.host !== host) return false;
  if (group === undefined) return true;
  return group.includes(":") ? `${decision.path}:${decision.group}` === group : decision.group === group;
}
