import { constants, existsSync } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { policyNumbers } from "../../config/scaler.ts";
import type { Logger } from "../../log.ts";
import type { Evaluation, GroupKey, GroupName, Scale } from "../rules/types.ts";
import { linkedFile } from "../state/stateFile.ts";
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
  /** told of each append and rotation that failed */
  readonly onFailure: () => void;
}

/** What the scaler needs of its decision log. */
export type LineLog = Pick<DecisionLog, "append" | "setLimits" | "flush">;

/** Appends lines to a file and rotates it when it is full. Each line is whole, in one file. */
export class DecisionLog {
  #options: DecisionLogOptions;
  #waiting: string[] = [];
  #waitingCharacters = 0;
  #writing: Promise<void> | null = null;
  #isFailing = false;
  #isStuck = false;
  #lost = 0;

  constructor(options: DecisionLogOptions) {
    this.#options = options;
  }

  /** Other bounds from the next line on. */
  setLimits(limits: Pick<DecisionLogOptions, "maxBytes" | "files">): void {
    this.#options = { ...this.#options, ...limits };
  }

  /** Appends lines (without their ends), later and in order. Failures are said, never thrown; what cannot be written is lost. */
  append(lines: readonly string[]): void {
    for (const line of lines) {
      if (this.#waitingCharacters + line.length > MAX_WAITING_CHARACTERS) {
        if (this.#lost++ === 0) this.#options.onFailure();
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
    const { path: file, log, onFailure } = this.#options;
    let written = 0;
    try {
      while (written < lines.length) written += await this.#writeToOneFile(lines.slice(written));
    } catch (err) {
      onFailure();
      this.#lost += lines.length - written;
      if (!this.#isFailing) log.error({ file, err }, "decision log cannot be written");
      this.#isFailing = true;
      return;
    }
    if (this.#isFailing || this.#lost > 0) {
      log.warn({ file, lost: this.#lost }, "decision log is written again; lines were lost");
    }
    this.#isFailing = false;
    this.#lost = 0;
  }

  /** Writes as many of the lines as the current file has room for, at least one; returns how many. */
  async #writeToOneFile(lines: readonly string[]): Promise<number> {
    const { maxBytes } = this.#options;
    const path = await linkedFile(this.#options.path);
    await mkdir(dirname(path), { recursive: true });
    let file = await openForAppending(path);
    try {
      let { size } = await file.stat();
      const [first = ""] = lines;
      if (size > 0 && size + byteLength(first) > maxBytes && (await this.#rotate(path))) {
        await file.close();
        file = await openForAppending(path);
        size = 0;
      }
      let end = size;
      const fitting = lines.filter((line, index) => {
        end += byteLength(line);
        return index === 0 || end <= maxBytes;
      });
      return await appendWhole(file, size, fitting);
    } finally {
      await file.close();
    }
  }

  /** Whether the file has been put aside. Where that fails it goes on to grow, which is better than losing lines. */
  async #rotate(path: string): Promise<boolean> {
    const { files, log, onFailure } = this.#options;
    try {
      await rotate(path, files);
      this.#isStuck = false;
      return true;
    } catch (err) {
      onFailure();
      if (!this.#isStuck) log.error({ file: path, err }, "decision log cannot be rotated: it grows");
      this.#isStuck = true;
      return false;
    }
  }
}

/** Appends whole lines to a file of this size, all of them or, on a disk that is full, some; returns how many. */
async function appendWhole(file: FileHandle, size: number, lines: readonly string[]): Promise<number> {
  try {
    await file.appendFile(lines.map((line) => `${line}\n`).join(""));
    return lines.length;
  } catch (error) {
    const { size: reached } = await file.stat();
    let end = size;
    let count = 0;
    for (const line of lines) {
      if (end + byteLength(line) > reached) break;
      end += byteLength(line);
      count++;
    }
    if (reached > end) await file.truncate(end);
    if (count === 0) throw error;
    return count;
  }
}

/** `path.1` becomes `path.2` and so on up to the first number that is free, `path` becomes `path.1`; beyond `files` in all they go. */
async function rotate(path: string, files: number): Promise<void> {
  const numbered = (number: number) => (number === 0 ? path : `${path}.${number}`);
  let free = 1;
  while (free < files && existsSync(numbered(free))) free++;
  if (free === files) await rm(numbered(--free));
  while (free > 0) await rename(numbered(free - 1), numbered(free--));
  // fewer files than before the last reload of the configuration
  for (let number = files; existsSync(numbered(number)); number++) await rm(numbered(number));
}

/** The line and its end, as bytes. */
function byteLength(line: string): number {
  return Buffer.byteLength(line) + 1;
}

/** How a line begins. */
const LINE_START = '{"time":"';
/** More than a line has. */
const LONGEST_LINE = 64 * 1024;

/** As `a+`, but a pipe that is not read takes nothing: whoever waits for it could not be stopped. */
const APPEND = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/** Opens a file at its end. Half a line, of a process that was killed, is cut off; half of something else is ended. */
async function openForAppending(path: string): Promise<FileHandle> {
  const file = await open(path, APPEND);
  try {
    const { size } = await file.stat();
    const tail = Buffer.alloc(Math.min(size, LONGEST_LINE));
    const { bytesRead } = await file.read(tail, 0, tail.length, size - tail.length);
    const rest = tail.subarray(tail.lastIndexOf(NEWLINE, bytesRead - 1) + 1, bytesRead).toString();
    if (rest === "") return file;
    if (rest.startsWith(LINE_START.slice(0, rest.length)))
      await file.truncate(size - Buffer.byteLength(rest));
    else await file.appendFile("\n");
    return file;
  } catch (error) {
    await file.close();
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
  const level = logged.decision === "hold" && policy === null ? "debug" : "info";
  // at the first tick of many groups the event costs more than the decision
  if (!log.isLevelEnabled(level)) return;
  const { time: _, would, ...fields } = logged;
  const event = {
    ...Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, rounded(value)])),
    ...(would && { would: would.decision, would_reason: would.reason, would_clone: would.clone }),
    ...(policy && policyNumbers(policy)),
  };
  log[level](event, logged.decision === "hold" ? "scaler holds" : "scale decision");
}

/** To a hundredth: the decision log has every digit. */
function rounded<T>(value: T): T | number {
  return typeof value === "number" ? Math.round(value * 100) / 100 : value;
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
    const isAbout = (decision: T) =>
      (host === undefined || decision.host === host) &&
      (group === undefined || group === decision.group || group === `${decision.path}:${decision.group}`);
    const newestFirst = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)].reverse();
    return newestFirst.filter(isAbout).slice(0, limit);
  }
}
