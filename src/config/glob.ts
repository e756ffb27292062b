import { type Reader, Refused } from "./fields.ts";

export interface Glob {
  /** lower-cased, as it was written otherwise */
  readonly pattern: string;
  readonly regExp: RegExp;
}

export class GlobError extends Error {
  override readonly name = "GlobError";
}

const MAX_PATTERN_LENGTH = 512;
/** all that occurs in a full name */
const NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.-:";
const TOKEN = /\*+|\?|\[(?<set>[^\]]*)(?<end>\]?)|./gs;

/** Reads a glob on full names: `*` any characters, `?` one, `[abc]` and `[a-c]` one of a set. Throws GlobError. */
export function parseGlob(text: string): Glob {
  if (text === "") throw new GlobError("is empty");
  if (text.length > MAX_PATTERN_LENGTH)
    throw new GlobError(`is longer than ${MAX_PATTERN_LENGTH} characters`);
  const pattern = text.toLowerCase();
  const source = pattern.replace(TOKEN, (token: string, set: string, end: string) => {
    if (token.startsWith("*")) return "*";
    if (token === "?") return ".";
    if (!token.startsWith("[")) return nameCharacter(token).replace(".", "\\.");
    if (end === "") throw new GlobError(`has a "[" without a "]"`);
    checkSet(set);
    return token;
  });
  const [first = "", ...others] = source.split("*");
  const last = others.pop();
  // The text between two stars is looked for once: as a lookahead is never entered again, a pattern made to backtrack
  // costs no more than pattern x name steps.
  const middle = others.map((part, at) => `(?=(?<part${at}>.*?${part}))\\k<part${at}>`);
  const tail = last === undefined ? "" : `${middle.join("")}.*${last}`;
  return { pattern, regExp: new RegExp(`^${first}${tail}$`, "s") };
}

/** A set without faults means the same to a regular expression. */
function checkSet(set: string): void {
  if (set === "") throw new GlobError(`has an empty set "[]"`);
  if (/^[!^]/.test(set))
    throw new GlobError(`has "[${set}]": sets of characters to leave out are not supported`);
  for (const [, low, high, char = ""] of set.matchAll(/(.)-(.)|(.)/gs)) {
    const [first, last] = [nameCharacter(low ?? char), nameCharacter(high ?? char)];
    if (first > last) throw new GlobError(`has the range "${first}-${last}", which is the wrong way round`);
  }
}

function nameCharacter(char: string): string {
  if (NAME_CHARACTERS.includes(char)) return char;
  throw new GlobError(`holds ${JSON.stringify(char)}, which no name holds`);
}

/** Whether a policy is for the unikernel with this full name, lower-cased, on this host. */
export function matcherOf(policy: { readonly match: string; readonly host: string | null }) {
  const glob = parseGlob(policy.match);
  return (host: string, name: string): boolean =>
    (policy.host === null || policy.host === host) && matchesGlob(glob, name);
}

/** Whether the glob matches a full name, lower-cased. */
export function matchesGlob({ regExp }: Glob, name: string): boolean {
  return regExp.test(name);
}

/** Whether any of the globs matches a full name. Throws GlobError. */
export function compileGlobs(patterns: readonly string[]): (name: string) => boolean {
  const globs = patterns.map(parseGlob);
  return (name) => globs.some((glob) => matchesGlob(glob, name));
}

/** Whether `wide` matches all that `narrow` does: tried on names with nothing, one and several of each character. */
export function globCovers(wide: Glob, narrow: Glob): boolean {
  return Array.from(NAME_CHARACTERS).every((char) =>
    ["", char, char.repeat(3)].every((run) => {
      const name = narrow.pattern.replace(TOKEN, (token: string, set: string | undefined) => {
        if (set !== undefined) return new RegExp(`[${set}]`).test(char) ? char : set.charAt(0);
        return token === "?" ? char : token.replace(/\*+/, run);
      });
      return matchesGlob(wide, name);
    }),
  );
}

export const glob: Reader<string> = (value) => {
  const allowed =
    'a glob on full names such as "user:web", "user:*" or ":hello": * is any characters, ? one, [abc] one of a set';
  if (typeof value !== "string") return new Refused(allowed);
  try {
    return parseGlob(value).pattern;
  } catch (error) {
    if (error instanceof GlobError)
      return new Refused(allowed, `glob ${JSON.stringify(value)} ${error.message}`);
    throw error;
  }
};
