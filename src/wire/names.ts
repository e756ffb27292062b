import { WireError } from "./errors.ts";
import { InternTable } from "./intern.ts";

/** A unikernel's or a path's name as Albatross knows it: labels, lower-cased. `label` is null for a path. */
export interface Name {
  readonly path: readonly string[];
  readonly label: string | null;
}

/** Its text is made once: each sample and each listing is looked up by it. */
class ParsedName implements Name {
  readonly path: readonly string[];
  readonly label: string | null;
  #text: string | null = null;

  constructor(path: readonly string[], label: string | null) {
    this.path = path;
    this.label = label;
  }

  get text(): string {
    this.#text ??= textOf(this);
    return this.#text;
  }
}

/** Albatross names files after unikernels: no name is longer than a file's may be (255). */
const MAX_NAME_LENGTH = 1024;
const LABEL = /^[a-zA-Z0-9.][a-zA-Z0-9.-]{0,62}$/;

/** At 10,000 unikernels one name in ten is parsed anew each time. */
const INTERNED_NAMES = 32_768;
const INTERNED_NAME_BYTES = 128;

/** Null for what is no name. */
export const internedNames = new InternTable<Name>(INTERNED_NAMES, INTERNED_NAME_BYTES, tryParseName);

export const ROOT: Name = { path: [], label: null };

export function isValidLabel(text: string): boolean {
  return LABEL.test(text);
}

/** Reads `:`, `user:`, `user:web`, `:web` or `web`. Throws a WireError "name", at byte `offset`, for anything else. */
export function parseName(text: string, offset = 0): Name {
  const name = tryParseName(text);
  if (name === null) {
    const found = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
    const allowed = `labels of 1 to 63 letters, digits, "." or "-" (not first), joined by ":"`;
    throw new WireError("name", offset, `name ${found}: expected ${allowed}, ${MAX_NAME_LENGTH} in all`);
  }
  return name;
}

/** As `parseName`, but null for what is no name. */
export function tryParseName(text: string): Name | null {
  if (text === ":") return ROOT;
  if (text.length > MAX_NAME_LENGTH) return null;
  const isPath = text.endsWith(":");
  const path: string[] = [];
  for (const label of text.slice(text.startsWith(":") ? 1 : 0, isPath ? -1 : undefined).split(":")) {
    if (!isValidLabel(label)) return null;
    path.push(label.toLowerCase());
  }
  const label = isPath ? null : (path.pop() ?? null);
  return new ParsedName(path, label);
}

/** In Albatross' own form: `:`, `user:`, `user:web`, `:web`. */
export function formatName(name: Name): string {
  return name instanceof ParsedName ? name.text : textOf(name);
}

function textOf({ path, label }: Name): string {
  return `${pathText(path)}:${label ?? ""}`;
}

/** A path without the trailing colon: `user:sub`, empty at the root. */
export function pathText(path: readonly string[]): string {
  return path.length === 1 ? (path[0] ?? "") : path.join(":");
}

/** albatross-stats cuts the path of `subscribed` off names, albatrossd does for a query by path, not by name. */
export function resolveName(subscribed: Name, relative: Name): Name {
  if (subscribed.path.length === 0) return relative;
  return { path: [...subscribed.path, ...relative.path], label: relative.label };
}

export function subscriptionCovers(subscribed: Name, name: Name): boolean {
  const isBelow = subscribed.path.every((label, i) => label === name.path[i]);
  if (subscribed.label === null) return isBelow;
  return isBelow && subscribed.path.length === name.path.length && subscribed.label === name.label;
}

/** Where albatross-stats keeps a subscription: by labels alone, `user:web` pushes out the path `user:web:`. */
export function subscriptionPlace({ path, label }: Name): string {
  return [...path, ...(label === null ? [] : [label])].join(":");
}
