import { distance } from "fastest-levenshtein";
import { z } from "zod";
import { isMapping, type Path, shownOf } from "./checkedYaml.ts";
import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

/** Why a value was refused: what is allowed, and what was found (by default the value itself). */
export class Refused {
  readonly allowed: string;
  readonly found: string | undefined;

  constructor(allowed: string, found?: string) {
    this.allowed = allowed;
    this.found = found;
  }

  /** `"fast" is not allowed; allowed: ...` */
  about(value: unknown): string {
    return `${this.found ?? describeValue(value)}; allowed: ${this.allowed}`;
  }
}

/** Reads one value of the file; `write` gives the file's form back where that is another. */
export interface Reader<T> {
  (value: unknown): T | Refused;
  write?(value: T): unknown;
}

export function reader<T>(read: (value: unknown) => T | Refused, write: (value: T) => unknown): Reader<T> {
  return Object.assign(read, { write });
}

export function field<T>(read: Reader<T>): z.ZodType<T, unknown> {
  return z.unknown().transform((value, context) => {
    const result = read(value);
    if (!(result instanceof Refused)) return result;
    context.addIssue(result.about(value));
    return z.NEVER;
  });
}

/** What stands for a secret wherever the configuration is shown. */
export const SECRET = "<secret>";

/** A value that is in no error and no dump. */
export function secret<T>(read: Reader<T>): Reader<T> {
  return reader(
    (value) => {
      const result = read(value);
      if (!(result instanceof Refused)) return result;
      return new Refused(result.allowed, result.found ?? describeSecret(value));
    },
    () => SECRET,
  );
}

/** A schema whose own errors do not show a text that stands where a mapping or list of secrets is meant. */
export function unshown<T>(schema: z.ZodType<T, unknown>, allowed: string): z.ZodType<T, unknown> {
  const structure: Reader<unknown> = (value) =>
    typeof value === "object" || value === undefined ? value : new Refused(allowed, describeSecret(value));
  return field(structure).pipe(schema);
}

function describeSecret(value: unknown): string {
  return typeof value === "object" || value === undefined ? describeValue(value) : "the value is not allowed";
}

function describeValue(value: unknown): string {
  if (value === undefined) return "is missing";
  if (value === null) return "has no value";
  if (Array.isArray(value)) return "a list is not allowed";
  if (typeof value === "object") return "a mapping is not allowed";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return `${text.length > 80 ? `${text.slice(0, 80)}...` : text} is not allowed`;
}

export const flag: Reader<boolean> = (value) =>
  typeof value === "boolean" ? value : new Refused("true or false");

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly hint?: string;
}

/** A whole number within bounds, both included. */
export function integer({ min, max, hint = "" }: Bounds): Reader<number> {
  const allowed = `a whole number from ${min} to ${max}${hint}`;
  return (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
      ? value
      : new Refused(allowed);
}

export const percent: Reader<number> = (value) =>
  typeof value === "number" && value >= 0 && value <= 100 ? value : new Refused("a number from 0 to 100");

export function oneOf<T extends string>(choices: readonly T[]): Reader<T> {
  return (value) => choices.find((choice) => choice === value) ?? new Refused(choices.join(", "));
}

/** Text on one line, without control characters, trimmed of nothing. */
export function text({ what, maxLength = 255 }: { what: string; maxLength?: number }): Reader<string> {
  return (value) => {
    if (typeof value !== "string" || value.length === 0 || value.length > maxLength) {
      return new Refused(`${what}, 1 to ${maxLength} characters`);
    }
    if (/\p{Cc}/u.test(value)) return new Refused(what, "control characters are not allowed");
    // Written out, two such texts would be the same.
    return /\p{Cs}/u.test(value) ? new Refused(what, "half a surrogate pair is not allowed") : value;
  };
}

/** Node's timers take 24.8 days at most. */
const LONGEST_DURATION_MS = 24 * 86_400_000;

/** A duration in ms within bounds, both included. Numbers other than 0 need a unit. */
export function duration({ min, max = LONGEST_DURATION_MS }: { min: number; max?: number }): Reader<number> {
  const allowed = `a duration such as 500ms, 90s, 10m or 1h30m, from ${formatDuration(min)} to ${formatDuration(max)}`;
  return reader((value) => {
    if (typeof value === "number" && value !== 0) return new Refused(allowed, `${value} has no unit`);
    const ms = typeof value === "string" ? parseDuration(value) : value === 0 ? 0 : null;
    if (ms === null) return new Refused(allowed);
    if (ms < min) return new Refused(allowed, `${value} is too short`);
    return ms > max ? new Refused(allowed, `${value} is too long`) : ms;
  }, formatDuration);
}

/** A size in bytes within bounds, both included. */
export function size({ min, max }: Bounds): Reader<number> {
  const allowed = `a size such as 512KiB or 64MiB, or a number of bytes, from ${formatSize(min)} to ${formatSize(max)}`;
  return reader((value) => {
    const bytes = typeof value === "string" ? parseSize(value) : value;
    if (typeof bytes !== "number" || !Number.isInteger(bytes)) return new Refused(allowed);
    if (bytes < min) return new Refused(allowed, `${value} is too small`);
    return bytes > max ? new Refused(allowed, `${value} is too large`) : bytes;
  }, formatSize);
}

export function list<T>(item: z.ZodType<T, unknown>, what: string): z.ZodArray<z.ZodType<T, unknown>> {
  return z.array(item, { error: ({ input }) => new Refused(`a list of ${what}`).about(input) });
}

function structure(value: unknown): unknown {
  return typeof value === "string" ? shownOf(value) : value;
}

/** Where keys stand that people look for in another place. */
export type Elsewhere = Readonly<Record<string, string>>;

/** A mapping with the keys of `shape` and no others. One that is empty (`log:`) is as good as absent. */
export function section<Shape extends z.ZodRawShape>(shape: Shape, elsewhere: Elsewhere = {}) {
  const keys = Object.keys(shape);
  const mapping = z.looseObject(shape, {
    error: ({ input }) => new Refused(`a mapping with the keys ${keys.join(", ")}`).about(structure(input)),
  });
  return z
    .preprocess((value) => value ?? {}, mapping)
    .superRefine(
      (value, context) => {
        for (const key of Object.keys(value)) {
          if (keys.includes(key)) continue;
          context.addIssue({ code: "custom", path: [key], message: unknownKey(key, keys, elsewhere) });
        }
      },
      { when: ({ value }) => isMapping(value) },
    );
}

function unknownKey(key: string, keys: readonly string[], elsewhere: Elsewhere): string {
  const allowed = `allowed: ${keys.join(", ")}`;
  const place = Object.hasOwn(elsewhere, key) ? elsewhere[key] : undefined;
  if (place !== undefined) return `unknown key: it stands ${place}; ${allowed}`;
  const near = nearest(key, keys);
  return near === null ? `unknown key; ${allowed}` : `unknown key, did you mean ${near}? ${allowed}`;
}

/** The candidate that `word` most likely meant; null when a third of it would be typing errors. */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  const limit = Math.max(1, Math.floor(word.length / 3));
  const near = Array.from(candidates, (candidate) => ({
    candidate,
    errors: typingErrors(normalised(word), normalised(candidate)),
  })).filter(({ candidate, errors }) => errors <= limit && Math.abs(candidate.length - word.length) <= limit);
  return near.sort((a, b) => a.errors - b.errors)[0]?.candidate ?? null;
}

/** `socketDir`, `socket-dir` and `SOCKET_DIR` are ways of writing `socket_dir`. */
function normalised(word: string): string {
  return word.replace(/[-_.]/g, "").toLowerCase();
}

/** Characters to insert, delete or replace, perhaps after one swap of neighbours. */
function typingErrors(a: string, b: string): number {
  const swapped = Array.from(
    a.slice(1),
    (next, at) => a.slice(0, at) + next + a.charAt(at) + a.slice(at + 2),
  );
  return Math.min(distance(a, b), ...swapped.map((word) => 1 + distance(word, b)));
}

export type Report = (path: Path, message: string) => void;

/** A rule between keys of a mapping. Runs when they are right, whatever is wrong elsewhere: one run tells every error. */
export function rule<T>(keys: readonly string[], check: (value: T, report: Report) => void) {
  return z.superRefine<T>(
    (value, context) =>
      check(value, (path, message) => context.addIssue({ code: "custom", path: [...path], message })),
    {
      when: ({ value, issues }) =>
        isMapping(value) && !issues.some((issue) => keys.includes(String(issue.path?.[0] ?? ""))),
    },
  );
}
