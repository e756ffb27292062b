/** What one glob matches, piece by piece: any run of characters, or one character out of a set (null: any). */
type Token = { readonly run: true } | { readonly run: false; readonly chars: ReadonlySet<string> | null };

export interface Glob {
  /** lower-cased, as it was written otherwise */
  readonly pattern: string;
  readonly tokens: readonly Token[];
}

/** A glob that cannot be understood; the message says what is wrong with it. */
export class GlobError extends Error {
  override readonly name = "GlobError";
}

const MAX_PATTERN_LENGTH = 512;
/** All that occurs in a full name, by Albatross' rule for labels plus the separator. */
const NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.-:";
const RUN: Token = { run: true };
const ONE: Token = { run: false, chars: null };

/**
 * Reads a glob on full names: `*` is any characters, `?` one, `[abc]` and `[a-c]` one of a set; everything else is
 * itself, lower-cased as names are. Throws GlobError.
 */
export function parseGlob(text: string): Glob {
  if (text === "") throw new GlobError("is empty");
  if (text.length > MAX_PATTERN_LENGTH)
    throw new GlobError(`is longer than ${MAX_PATTERN_LENGTH} characters`);
  const pattern = text.toLowerCase();
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern.charAt(at);
    if (char === "*") {
      if (tokens.at(-1) !== RUN) tokens.push(RUN);
    } else if (char === "?") {
      tokens.push(ONE);
    } else if (char === "[") {
      const end = pattern.indexOf("]", at);
      if (end === -1) throw new GlobError(`has a "[" without a "]"`);
      tokens.push({ run: false, chars: parseSet(pattern.slice(at + 1, end)) });
      at = end;
    } else {
      tokens.push({ run: false, chars: new Set(nameCharacter(char)) });
    }
  }
  return { pattern, tokens };
}

function parseSet(body: string): ReadonlySet<string> {
  if (body === "") throw new GlobError(`has an empty set "[]"`);
  if (/^[!^]/.test(body))
    throw new GlobError(`has "[${body}]": sets of characters to leave out are not supported`);
  const chars = new Set<string>();
  for (let at = 0; at < body.length; at++) {
    const first = nameCharacter(body.charAt(at));
    if (body[at + 1] === "-" && at + 2 < body.length) {
      const last = nameCharacter(body.charAt(at + 2));
      if (first > last) throw new GlobError(`has the range "${first}-${last}", which is the wrong way round`);
      for (const char of NAME_CHARACTERS) if (char >= first && char <= last) chars.add(char);
      at += 2;
    } else {
      chars.add(first);
    }
  }
  return chars;
}

function nameCharacter(char: string): string {
  if (NAME_CHARACTERS.includes(char)) return char;
  throw new GlobError(`holds ${JSON.stringify(char)}, which no name holds`);
}

/** Does the glob match the whole of `name` (a full name, lower-cased)? At most tokens x characters steps. */
export function matchesGlob({ tokens }: Glob, name: string): boolean {
  let token = 0;
  let char = 0;
  // Where to go on when the characters after the last run do not fit: that run takes one more. Earlier runs need
  // not be tried again, for whatever they could give the last one can take itself.
  let runToken = -1;
  let runChar = 0;
  while (char < name.length) {
    const current = tokens[token];
    if (current?.run) {
      runToken = token++;
      runChar = char;
    } else if (current !== undefined && accepts(current, name.charAt(char))) {
      token++;
      char++;
    } else if (runToken >= 0) {
      token = runToken + 1;
      char = ++runChar;
    } else {
      return false;
    }
  }
  while (tokens[token]?.run) token++;
  return token === tokens.length;
}

function accepts(token: Token, char: string): boolean {
  return token.run || token.chars === null || token.chars.has(char);
}

/** A function that tells whether any of the globs matches a full name. Throws GlobError. */
export function compileGlobs(patterns: readonly string[]): (name: string) => boolean {
  const globs = patterns.map(parseGlob);
  return (name) => globs.some((glob) => matchesGlob(glob, name));
}

/** More steps than any pair of patterns that people write; beyond it the answer is the safe one. */
const COVER_STEPS = 20_000;

/**
 * Does `wide` match every name that `narrow` matches? True only when that is certain: pairs of patterns that would
 * take too long to compare count as not covered.
 */
export function globCovers(wide: Glob, narrow: Glob): boolean {
  // Walks the names that `narrow` matches and follows, beside each, every place where `wide` could be by then.
  const start: [number, ReadonlySet<number>] = [0, withRuns(wide, [0])];
  const todo = [start];
  const seen = new Set<string>([stateKey(...start)]);
  for (let steps = 0; todo.length > 0; steps++) {
    if (steps > COVER_STEPS) return false;
    const [at, wideAt] = todo.pop() ?? start;
    if (at === narrow.tokens.length && !wideAt.has(wide.tokens.length)) return false;
    for (const next of successors(narrow, at, wide, wideAt)) {
      const key = stateKey(...next);
      if (seen.has(key)) continue;
      seen.add(key);
      todo.push(next);
    }
  }
  return true;
}

function* successors(
  narrow: Glob,
  at: number,
  wide: Glob,
  wideAt: ReadonlySet<number>,
): Generator<[number, ReadonlySet<number>]> {
  const token = narrow.tokens[at];
  if (token === undefined) return;
  if (token.run) yield [at + 1, wideAt];
  for (const char of NAME_CHARACTERS) {
    if (accepts(token, char)) yield [token.run ? at : at + 1, advance(wide, wideAt, char)];
  }
}

function advance(glob: Glob, places: ReadonlySet<number>, char: string): ReadonlySet<number> {
  const next: number[] = [];
  for (const place of places) {
    const token = glob.tokens[place];
    if (token !== undefined && accepts(token, char)) next.push(token.run ? place : place + 1);
  }
  return withRuns(glob, next);
}

/** The places reachable without a character: a run may be empty. */
function withRuns(glob: Glob, places: readonly number[]): ReadonlySet<number> {
  const all = new Set<number>();
  for (let place of places) {
    all.add(place);
    while (glob.tokens[place]?.run) all.add(++place);
  }
  return all;
}

function stateKey(at: number, places: ReadonlySet<number>): string {
  return `${at}/${[...places].sort((a, b) => a - b).join(",")}`;
}
