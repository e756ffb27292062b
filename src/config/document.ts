import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLError,
} from "yaml";

/** A way into the file: `["targets", 0, "name"]`. */
export type Path = readonly (string | number)[];

/** A path as people write it: `targets[0].name`. */
export function formatPath(path: Path): string {
  return path
    .map((step, at) => (typeof step === "number" ? `[${step}]` : `${at === 0 ? "" : "."}${plainKey(step)}`))
    .join("");
}

function plainKey(key: string): string {
  return /^[\w.<-]+$/.test(key) ? key : JSON.stringify(key);
}

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** What YAML itself has to say against a file. */
export interface SyntaxProblem {
  readonly position: Position;
  readonly path: Path;
  readonly text: string;
}

/** A YAML file as a plain value that remembers where each part stands. */
export interface ConfigDocument {
  /** Whether there is a value; else the file cannot be read as YAML at all and `value` is undefined. */
  readonly readable: boolean;
  readonly value: unknown;
  readonly problems: readonly SyntaxProblem[];
  /** Was something written at this path? */
  has(path: Path): boolean;
  /** Where the value at `path` stands, or what is there of the way to it; with `ofKey` where its key does. */
  positionOf(path: Path, options?: { ofKey?: boolean }): Position;
}

/** Enough for people who repeat themselves, too few for a file whose aliases multiply to fill the memory. */
const MAX_ALIAS_COUNT = 100;

/** Reads YAML 1.2. Never throws: what is wrong is in `problems`. */
export function parseConfigDocument(text: string): ConfigDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    resolveKnownTags: false,
  });
  const positionAt = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const syntax = syntaxErrors(document);
  const aliases = unknownAliases(document);
  const problems = [
    ...syntax.map((error) => syntaxProblem(document, error, positionAt)),
    ...aliases.map((alias) => aliasProblem(alias, positionAt)),
  ];
  const base = {
    has: (path: Path) => find(document, path).whole,
    positionOf: (path: Path, { ofKey = false } = {}) => positionAt(offsetOf(document, path, ofKey)),
  };
  // A key given twice leaves a file that can be checked further; other damage does not.
  if (aliases.length > 0 || syntax.some(({ code }) => code !== "DUPLICATE_KEY")) {
    return { ...base, readable: false, value: undefined, problems };
  }
  try {
    return { ...base, readable: true, value: document.toJS({ maxAliasCount: MAX_ALIAS_COUNT }), problems };
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
    const text = `too many aliases (*name); allowed: at most ${MAX_ALIAS_COUNT} values by way of aliases`;
    const bomb = { position: positionAt(0), path: [], text };
    return { ...base, readable: false, value: undefined, problems: [...problems, bomb] };
  }
}

/** All that YAML objects to, in the order of the file, each once. Nesting that no person wrote ends the list. */
function syntaxErrors(document: Document): readonly YAMLError[] {
  const errors = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  const tooDeep = errors.find(({ code }) => code === "RESOURCE_EXHAUSTION");
  if (tooDeep !== undefined) return [tooDeep];
  return errors.filter(({ pos, message }, index) => {
    const previous = errors[index - 1];
    return previous === undefined || previous.pos[0] !== pos[0] || previous.message !== message;
  });
}

function syntaxProblem(document: Document, error: YAMLError, positionAt: PositionAt): SyntaxProblem {
  const position = positionAt(error.pos[0]);
  if (error.code === "DUPLICATE_KEY") {
    return { position, path: pathOfKey(document, error.pos[0]), text: "key given twice; allowed: once" };
  }
  // How deep is too deep depends on the stack; the line says enough.
  const place = error.code === "RESOURCE_EXHAUSTION" ? { line: position.line, column: 1 } : position;
  return { position: place, path: [], text: `not valid YAML: ${syntaxText(error)}` };
}

/** The library's words, but for where they speak to a programmer. */
function syntaxText({ code, message }: YAMLError): string {
  switch (code) {
    case "RESOURCE_EXHAUSTION":
      return "nested too deeply";
    case "MULTIPLE_DOCS":
      return "a second document (---); allowed: one";
    case "NON_STRING_KEY":
      return "a key that is no text";
    default:
      return message.replace(/\s+/g, " ").trim();
  }
}

type PositionAt = (offset: number) => Position;

function unknownAliases(document: Document): readonly Alias[] {
  const unknown: Alias[] = [];
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) === undefined) unknown.push(alias);
    },
  });
  return unknown;
}

function aliasProblem({ source, range }: Alias, positionAt: PositionAt): SyntaxProblem {
  const text = `alias *${source} without an anchor &${source} before it; allowed: aliases of anchors`;
  return { position: positionAt(range?.[0] ?? 0), path: [], text };
}

/** The path of the key that stands at `offset`. */
function pathOfKey(document: Document, offset: number): Path {
  let found: Path = [];
  visit(document, {
    Pair(_, pair, ancestors) {
      if (!isScalar(pair.key) || pair.key.range?.[0] !== offset) return undefined;
      const steps = [...ancestors, pair];
      found = steps.flatMap((node, depth): (string | number)[] => {
        const child = steps[depth + 1];
        if (isSeq(node)) return [node.items.indexOf(child)];
        return isMap(node) ? [keyText(node.items.find((item) => item === child)?.key)] : [];
      });
      return visit.BREAK;
    },
  });
  return found;
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key);
}

interface Found {
  readonly node: Node | null;
  /** the key that led to `node` */
  readonly key: Node | null;
  /** the whole path was there */
  readonly whole: boolean;
}

/** Follows `path` as far as it goes. */
function find(document: Document, path: Path): Found {
  let node: Node | null = document.contents;
  let key: Node | null = null;
  for (const step of path) {
    const parent: Node | null = isAlias(node) ? (node.resolve(document) ?? null) : node;
    if (isMap<Node, Node | null>(parent)) {
      const pair = parent.items.find((item) => keyText(item.key) === String(step));
      if (pair === undefined) return { node, key, whole: false };
      key = pair.key;
      node = pair.value;
    } else if (isSeq<Node>(parent) && typeof step === "number" && parent.items[step] !== undefined) {
      key = null;
      node = parent.items[step];
    } else {
      return { node, key, whole: false };
    }
  }
  return { node, key, whole: true };
}

function offsetOf(document: Document, path: Path, ofKey: boolean): number {
  const { node, key, whole } = find(document, path);
  const order = ofKey && whole ? [key, node] : [node, key];
  for (const candidate of order) if (candidate?.range) return candidate.range[0];
  return 0;
}
