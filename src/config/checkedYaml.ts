import { readFileSync } from "node:fs";
import {
  type Alias,
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
import type { z } from "zod";

/** A way into the file: `["targets", 0, "name"]`. */
export type Path = readonly (string | number)[];

/** A path as people write it: `targets[0].name`. */
export function formatPath(path: Path): string {
  const plain = (key: string) => (/^[\w.<-]+$/.test(key) ? key : JSON.stringify(key));
  const steps = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${plain(step)}`));
  return steps.join("").replace(/^\./, "");
}

/** Something wrong with a configuration file, or a setting in it without effect. */
export interface Problem {
  readonly file: string;
  /** From 1; null when the whole file is meant, because it could not be read. */
  readonly position: { readonly line: number; readonly column: number } | null;
  /** `targets[0].name`; empty for the whole file */
  readonly path: string;
  /** What is wrong and what is allowed. */
  readonly text: string;
}

/** `file:line:column: path: what and what is allowed`, on one line. */
export function formatProblem({ file, position, path, text }: Problem): string {
  const where = position === null ? file : `${file}:${position.line}:${position.column}`;
  return path === "" ? `${where}: ${text}` : `${where}: ${path}: ${text}`;
}

export function inFileOrder(problems: readonly Problem[]): readonly Problem[] {
  const line = ({ position }: Problem) => position?.line ?? 0;
  const column = ({ position }: Problem) => position?.column ?? 0;
  return [...problems].sort((a, b) => line(a) - line(b) || column(a) - column(b));
}

/** What was read from a file, or all that is wrong with it. */
export type Checked<T> =
  | ({ readonly ok: true } & T)
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Far beyond any file that people write; what is larger is the wrong file. */
const MAX_FILE_BYTES = 4 * 2 ** 20;

/** The text of a file. Never throws: a file that cannot be read is a problem like any other. */
export function readTextFile(file: string): Checked<{ readonly text: string }> {
  const unreadable = (text: string) => {
    return { ok: false as const, problems: [{ file, position: null, path: "", text }] };
  };
  try {
    const bytes = readFileSync(file);
    if (bytes.length > MAX_FILE_BYTES)
      return unreadable(`is larger than allowed: at most ${MAX_FILE_BYTES} bytes`);
    return { ok: true, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") return unreadable("is not text in UTF-8");
    return unreadable(READ_ERRORS[code ?? ""] ?? `cannot be read: ${message}`);
  }
}

const READ_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EISDIR: "is a directory, not a file",
  EACCES: "may not be read: permission denied",
};

/** Checks the text of a YAML file against a schema: the value, or all that is wrong with it in the order of the file. */
export function checkYaml<T>(
  file: string,
  text: string,
  schema: z.ZodType<T, unknown>,
): Checked<{ readonly value: T; readonly document: YamlFile }> {
  const document = new YamlFile(file, text);
  const { problems, content } = document;
  if (content === null) return { ok: false, problems };
  const parsed = schema.safeParse(content.value);
  if (parsed.success && problems.length === 0) return { ok: true, value: parsed.data, document };
  const issues = (parsed.error?.issues ?? []).map(({ path, message }) => {
    const steps = path.map((step) => (typeof step === "number" ? step : String(step)));
    return document.problem(steps, message, { ofKey: message.startsWith("unknown key") });
  });
  return { ok: false, problems: inFileOrder([...problems, ...issues]) };
}

/** Enough for people who repeat themselves, too few for a file whose aliases multiply to fill the memory. */
const MAX_ALIAS_COUNT = 100;

/** A file of YAML 1.2 as a plain value that remembers where each part stands. */
export class YamlFile {
  /** What YAML itself has to say against the file. */
  readonly problems: readonly Problem[];
  /** Null when the file cannot be read as YAML at all. */
  readonly content: { readonly value: unknown } | null;
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #root: Node | null;
  readonly #aliases = new Map<Alias, Node | undefined>();

  /** Never throws: what is wrong is in `problems`. */
  constructor(file: string, text: string) {
    this.#file = file;
    const document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      stringKeys: true,
      resolveKnownTags: false,
    });
    this.#root = document.contents;
    const unknown: Problem[] = [];
    visit(document, {
      Alias: (_, alias) => {
        const node = alias.resolve(document);
        this.#aliases.set(alias, node);
        if (node !== undefined) return;
        const text = `alias *${alias.source} without an anchor &${alias.source} before it; allowed: aliases of anchors`;
        unknown.push(this.#problemAt(alias.range?.[0] ?? 0, [], text));
      },
    });
    const errors = distinct([...document.errors, ...document.warnings]);
    const problems = [...errors.map((error) => this.#syntaxProblem(error)), ...unknown];
    this.problems = problems;
    this.content = null;
    // A key given twice leaves a file that can be checked further; other damage does not.
    if (unknown.length > 0 || errors.some(({ code }) => code !== "DUPLICATE_KEY")) return;
    try {
      this.content = { value: document.toJS({ maxAliasCount: MAX_ALIAS_COUNT }) };
    } catch (error) {
      if (!(error instanceof ReferenceError)) throw error;
      const text = `too many aliases (*name); allowed: at most ${MAX_ALIAS_COUNT} values by way of aliases`;
      this.problems = [...problems, this.#problemAt(0, [], text)];
    }
  }

  /** Was something written at this path? */
  has(path: Path): boolean {
    return this.#find(path).whole;
  }

  /** A problem with the value at `path`, or with what is there of the way to it; with `ofKey` with its key. */
  problem(path: Path, text: string, { ofKey = false } = {}): Problem {
    const { node, key, whole } = this.#find(path);
    const [first, second] = ofKey && whole ? [key, node] : [node, key];
    return this.#problemAt(first?.range?.[0] ?? second?.range?.[0] ?? 0, path, text);
  }

  #problemAt(offset: number, path: Path, text: string): Problem {
    const { line, col } = this.#lines.linePos(offset);
    const position = { line: Math.max(line, 1), column: Math.max(col, 1) };
    return { file: this.#file, position, path: formatPath(path), text };
  }

  #syntaxProblem(error: YAMLError): Problem {
    const offset = error.pos[0];
    if (error.code === "DUPLICATE_KEY") {
      return this.#problemAt(offset, pathOfKey(this.#root, offset) ?? [], "key given twice; allowed: once");
    }
    const problem = this.#problemAt(offset, [], `not valid YAML: ${syntaxText(error)}`);
    const { position } = problem;
    // How deep is too deep depends on the stack; the line says enough.
    if (error.code !== "RESOURCE_EXHAUSTION" || position === null) return problem;
    return { ...problem, position: { ...position, column: 1 } };
  }

  /** Follows `path` as far as it goes: the last node, the key that led to it, and whether the whole path was there. */
  #find(path: Path): { node: Node | null; key: Node | null; whole: boolean } {
    let node = this.#root;
    let key: Node | null = null;
    for (const step of path) {
      const parent: Node | null = isAlias(node) ? (this.#aliases.get(node) ?? null) : node;
      const child = isSeq<Node>(parent)
        ? { key: null, node: parent.items[Number(step)] }
        : entriesOf(parent).find((entry) => entry.step === step);
      if (child?.node === undefined) return { node, key, whole: false };
      ({ node, key } = child);
    }
    return { node, key, whole: true };
  }
}

interface Entry {
  readonly step: string | number;
  readonly key: Node | null;
  readonly node: Node | null;
}

/** What stands in a mapping or a list. */
function entriesOf(parent: Node | null): readonly Entry[] {
  if (isSeq<Node>(parent)) return parent.items.map((node, step) => ({ step, key: null, node }));
  if (!isMap<Node, Node | null>(parent)) return [];
  return parent.items.map(({ key, value: node }) => ({
    step: String(isScalar(key) ? key.value : key),
    key,
    node,
  }));
}

/** The path of the key that stands at `offset`. */
function pathOfKey(parent: Node | null, offset: number): Path | null {
  for (const { step, key, node } of entriesOf(parent)) {
    const below = key?.range?.[0] === offset ? [] : pathOfKey(node, offset);
    if (below !== null) return [step, ...below];
  }
  return null;
}

/** All that YAML objects to, in the order of the file, each once. Nesting that no person wrote ends the list. */
function distinct(all: readonly YAMLError[]): readonly YAMLError[] {
  const errors = all.toSorted((a, b) => a.pos[0] - b.pos[0]);
  const tooDeep = errors.find(({ code }) => code === "RESOURCE_EXHAUSTION");
  if (tooDeep !== undefined) return [tooDeep];
  return errors.filter(({ pos, message }, index) => {
    const previous = errors[index - 1];
    return previous?.pos[0] !== pos[0] || previous.message !== message;
  });
}

/** The library's words, but for where they speak to a programmer. */
function syntaxText({ code, message }: YAMLError): string {
  if (code === "RESOURCE_EXHAUSTION") return "nested too deeply";
  if (code === "MULTIPLE_DOCS") return "a second document (---); allowed: one";
  if (code === "NON_STRING_KEY") return "a key that is no text";
  return message.replace(/\s+/g, " ").trim();
}
