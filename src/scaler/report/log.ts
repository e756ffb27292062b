import { constants, existsSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { OneAtATime } from "../../clock.ts";
import { type policyJson, policyNumbers, type ScalerConfig } from "../../config/scaler.ts";
import { lineBefore, linkedFile, makeFolder } from "../../files.ts";
import type { Logger } from "../../log.ts";
import type { Decision, Evaluation, GroupKey, GroupName, Scale } from "../rules/types.ts";
import type { DecisionJson } from "./json.ts";

/** What may wait for a disk that does not keep up; beyond it lines are lost. */
const MAX_WAITING_CHARACTERS = 16 * 2 ** 20;

export interface DecisionLogOptions {
  readonly path: string;
  /** As it is now: how large a file may be, and how many are kept. */
  readonly config: () => Pick<ScalerConfig, "decisionLogMaxBytes" | "decisionLogFiles">;
  readonly log: Logger;
  /** told of each append and rotation that failed */
  readonly onFailure: () => void;
}

export type LineLog = Pick<DecisionLog, "append" | "flush">;

/** Appends whole lines to a file and rotates it when it is full. */
export class DecisionLog {
  readonly #options: DecisionLogOptions;
  #waiting: string[] = [];
  #waitingCharacters = 0;
  readonly #writes = new OneAtATime(() => this.#writeWaiting());
  #isFailing = false;
  #isStuck = false;
  #lost = 0;

  constructor(options: DecisionLogOptions) {
    this.#options = options;
  }

  /** Appends lines, later. What cannot be written is said, and lost. */
  append(lines: readonly string[]): void {
    for (const line of lines) {
      if (this.#waitingCharacters + line.length > MAX_WAITING_CHARACTERS) {
        if (this.#lost++ === 0) this.#options.onFailure();
        continue;
      }
      this.#waiting.push(line);
      this.#waitingCharacters += line.length;
    }
    this.#writes.request();
  }

  /** Resolves when all lines so far have been written, or have failed to be. */
  flush(): Promise<void> {
    return this.#writes.idle();
  }

  async #writeWaiting(): Promise<void> {
    const { path: file, log, onFailure } = this.#options;
    const lines = this.#waiting;
    this.#waiting = [];
    this.#waitingCharacters = 0;
    try {
      while (lines.length > 0) lines.splice(0, await this.#writeToOneFile(lines));
    } catch (err) {
      onFailure();
      this.#lost += lines.length;
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

  /** As many lines as the file has room for, at least one; returns how many. */
  async #writeToOneFile(lines: readonly string[]): Promise<number> {
    const { decisionLogMaxBytes: maxBytes, decisionLogFiles: files } = this.#options.config();
    const path = await linkedFile(this.#options.path);
    await makeFolder(dirname(path));
    let file = await openForAppending(path);
    try {
      let { size } = await file.stat();
      const [first = ""] = lines;
      if (size > 0 && size + byteLength(first) > maxBytes && (await this.#rotate(path, files))) {
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

  /** Whether the file was rotated. Where it cannot be it grows. */
  async #rotate(path: string, files: number): Promise<boolean> {
    const { log, onFailure } = this.#options;
    try {
      await rotate(path, files);
      this.#isStuck = false;
    } catch (err) {
      onFailure();
      if (!this.#isStuck) log.error({ file: path, err }, "decision log cannot be rotated: it grows");
      this.#isStuck = true;
    }
    return !this.#isStuck;
  }
}

/** As many lines as a full disk takes whole; returns how many. */
async function appendWhole(file: FileHandle, size: number, lines: readonly string[]): Promise<number> {
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
  try {
    await file.appendFile(bytes);
    return lines.length;
  } catch (error) {
    const { size: reached } = await file.stat();
    const { start } = await lineBefore(file, reached);
    if (start < reached) await file.truncate(start);
    if (start <= size) throw error;
    return bytes.toString("utf8", 0, start - size).split("\n").length - 1;
  }
}

/** `path` becomes `path.1`, that `path.2`, and so on. */
async function rotate(path: string, files: number): Promise<void> {
  const numbered = (number: number) => (number === 0 ? path : `${path}.${number}`);
  let free = 1;
  while (free < files && existsSync(numbered(free))) free++;
  if (free === files) await rm(numbered(--free));
  while (free > 0) await rename(numbered(free - 1), numbered(free--));
  // fewer files than before the last reload of the configuration
  for (let number = files; existsSync(numbered(number)); number++) await rm(numbered(number));
}

function byteLength(line: string): number {
  return Buffer.byteLength(line) + 1;
}

const LINE_START = '{"time":"';
/** As `a+`, but a pipe that is not read is not waited for. */
const APPEND = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/** At its end: half a line of ours is cut off, half of something else is ended. */
async function openForAppending(path: string): Promise<FileHandle> {
  const file = await open(path, APPEND);
  try {
    const { size } = await file.stat();
    const { start, head } = await lineBefore(file, size);
    const isOurs = head.startsWith(LINE_START.slice(0, head.length));
    if (start < size) await (isOurs ? file.truncate(start) : file.appendFile("\n"));
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Tells a transition, which is worth a line, from a repeat of a hold. */
export class Transitions {
  readonly #lastHolds: Map<GroupKey, string>;

  constructor(lastHolds: ReadonlyMap<GroupKey, string> = new Map()) {
    this.#lastHolds = new Map(lastHolds);
  }

  /** A group's last hold, in words that mean something only here. */
  lastHold(key: GroupKey): string | null {
    return this.#lastHolds.get(key) ?? null;
  }

  /** Scale decisions, and a hold whose reason (or what it would be) is new. */
  isTransition({ observation: { key }, decision }: Evaluation): boolean {
    if (decision.decision !== "hold") return true;
    const text = decision.reason === "paused" ? `paused ${scaleText(decision.would)}` : decision.reason;
    if (this.#lastHolds.get(key) === text) return false;
    this.#lastHolds.set(key, text);
    return true;
  }

  keepOnly(groups: ReadonlyMap<GroupKey, unknown>): void {
    if (this.#lastHolds.size <= groups.size) return;
    for (const key of this.#lastHolds.keys()) if (!groups.has(key)) this.#lastHolds.delete(key);
  }
}

function scaleText({ decision, reason, clone, step }: Scale): string {
  return `${decision} ${reason} ${clone} ${step}`;
}

/** A decision as the decision log shows it. */
export type LoggedDecision = DecisionJson & { readonly mode: string; readonly text: string };

/** As `/api/v1/decisions` shows it, with the bounds that held. */
export type RecentDecision = LoggedDecision & { readonly policy: ReturnType<typeof policyJson> | null };

/** One line of the program's log; of a group without a policy at debug only. */
export function logDecision(log: Logger, { policy }: Evaluation, logged: LoggedDecision): void {
  const level = logged.decision === "hold" && policy === null ? "debug" : "info";
  // at the first tick of many groups the event costs more than the decision
  if (!log.isLevelEnabled(level)) return;
  const { time: _, would, ...fields } = logged;
  const event = {
    ...Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, rounded(value)])),
    ...(would && {
      would: would.decision,
      would_reason: would.reason,
      would_clone: would.clone,
      would_step: would.step,
    }),
    ...(policy && policyNumbers(policy)),
  };
  log[level](event, logged.decision === "hold" ? "scaler holds" : "scale decision");
}

/** To a hundredth, or to four digits where it is less than 1, as a load may be: the decision log has every digit. */
function rounded<T>(value: T): T | number {
  if (typeof value !== "number") return value;
  return Number(Math.abs(value) < 1 ? value.toPrecision(4) : value.toFixed(2));
}

/** So many scale decisions are kept, and as many changes of hold: some 10 MB. */
export const MAX_RECENT = 10_000;

export interface RecentQuery {
  readonly limit: number;
  /** a primary's label (`web`) or full name (`user:web`, `:web`); absent is all */
  readonly group?: string;
  readonly host?: string;
  readonly decision?: Decision["decision"];
  readonly reason?: Decision["reason"];
}

type Kept = GroupName & Pick<Decision, "decision" | "reason">;

/** The last decisions. Holds have a room of their own, lest they push others out. */
export class Recent<T extends Kept> {
  readonly #capacity: number;
  readonly #scales: Numbered<T>[] = [];
  readonly #holds: Numbered<T>[] = [];
  #count = 0;

  constructor(capacity: number = MAX_RECENT) {
    this.#capacity = capacity;
  }

  add(decision: T): void {
    const kept = decision.decision === "hold" ? this.#holds : this.#scales;
    kept.push({ number: this.#count++, decision });
    if (kept.length > this.#capacity) kept.shift();
  }

  /** The newest first, `limit` at most. */
  list({ limit, group, host, decision, reason }: RecentQuery): T[] {
    const isWanted = ({ decision: one }: Numbered<T>) =>
      (decision === undefined || one.decision === decision) &&
      (reason === undefined || one.reason === reason) &&
      (host === undefined || one.host === host) &&
      (group === undefined || group === one.group || group === `${one.path}:${one.group}`);
    return [...this.#scales, ...this.#holds]
      .filter(isWanted)
      .sort((a, b) => b.number - a.number)
      .slice(0, limit)
      .map(({ decision }) => decision);
  }
}

interface Numbered<T> {
  readonly number: number;
  readonly decision: T;
}
