import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  type Scalar,
  type YAMLError,
} from "yaml";
import type { z } from "zod";
import { plainMessage } from "../systemError.ts";

/** A way into the file: `["targets", 0, "name"]`. */
export type Path = readonly (string | number)[];

/** What a key, an alias or a tag looks like; where something is missing, a secret may stand in its place. */
const PLAIN = /^[\w.<-]*/;

/** A text where none belongs, or only its beginning. */
export function shownOf(text: string): string {
  const [plain] = PLAIN.exec(text) ?? [""];
  return plain === text ? text : `${plain}...`;
}

/** A path as people write it: `targets[0].name`. Of an odd key only the beginning is shown. */
export function formatPath(path: Path): string {
  const plain = (key: string) => {
    const shown = shownOf(key);
    return shown === key && key !== "" ? key : JSON.stringify(shown);
  };
  const steps = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${plain(step)}`));
  return steps.join("").replace(/^\./, "");
}

/** Something wrong with a file, or a setting in it without effect. */
export interface Problem {
  readonly file: string;
  /** from 1; null when the whole file is meant */
  readonly position: { readonly line: number; readonly column: number } | null;
  /** `targets[0].name`; empty for the whole file */
  readonly path: string;
  readonly text: string;
}

/** `file:line:column: path: what and what is allowed`, on one line. */
export function formatProblem({ file, position, path, text }: Problem): string {
  const name = /^$|\p{Cc}/u.test(file) ? JSON.stringify(file) : file;
  const where = position === null ? name : `${name}:${position.line}:${position.column}`;
  return path === "" ? `${where}: ${text}` : `${where}: ${path}: ${text}`;
}

export function inFileOrder(problems: readonly Problem[]): readonly Problem[] {
  const line = ({ position }: Problem) => position?.line ?? 0;
  const column = ({ position }: Problem) => position?.column ?? 0;
  return [...problems].sort((a, b) => line(a) - line(b) || column(a) - column(b));
}

export type Checked<T> =
  | ({ readonly ok: true } & T)
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** What is larger is the wrong file. */
const MAX_FILE_BYTES = 2 ** 20;

/** The text of a file; never throws. A FIFO or device is not read: it would wait for a writer, or never end. */
export function readTextFile(file: string): Checked<{ readonly text: string }> {
  const unreadable = (text: string) => refused(file, text);
  let fd: number | null = null;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = fstatSync(fd);
    if (!stats.isFile()) return unreadable(`is ${kindOf(stats)}, not a file`);
    // One byte more than is allowed: some files (of /proc, or that grow) are longer than they say.
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && stats.size <= MAX_FILE_BYTES; length += read)
      read = readSync(fd, bytes, length, bytes.length - length, null);
    if (Math.max(stats.size, length) > MAX_FILE_BYTES)
      return unreadable(`is larger than allowed: at most ${MAX_FILE_BYTES} bytes`);
    return { ok: true, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length)) };
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    return unreadable(READ_ERRORS[code] ?? `cannot be read: ${plainMessage(error)}`);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** The text of a file with settings. One that is empty at a reload went wrong in writing. */
export function readSettings(file: string, { isReload = false }: { isReload?: boolean } = {}) {
  const read = readTextFile(file);
  if (!isReload || !read.ok || !SAYS_NOTHING.test(read.text)) return read;
  return refused(
    file,
    "is empty; allowed on a reload: a file with settings, or a comment for all the defaults",
  );
}

function refused(file: string, text: string) {
  return { ok: false, problems: [{ file, position: null, path: "", text }] } as const;
}

const SAYS_NOTHING = /^(?:\s|---|null\b|~)*$/;

function kindOf(stats: Stats): string {
  if (stats.isDirectory()) return "a directory";
  return stats.isFIFO() ? "a FIFO" : "a device";
}

const READ_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENXIO: "is a socket or a device that is not there, not a file",
  EACCES: "may not be read: permission denied",
  ERR_ENCODING_INVALID_ENCODED_DATA: "is not text in UTF-8",
};

/** The value of a YAML text by a schema, or all that is wrong with it in the order of the file. */
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

/** Too few for a file whose aliases multiply to fill the memory. */
const MAX_ALIASED_VALUES = 1000;
const TOO_MANY_ALIASES = `too many aliases (*name); allowed: at most ${MAX_ALIASED_VALUES} values by way of aliases`;

/** A value, where it stands, and its key (or the list that it is in). */
interface Place {
  readonly value: unknown;
  readonly offset: number;
  readonly keyOffset: number;
  readonly below: ReadonlyMap<string | number, Place>;
}

/** A file of YAML 1.2 as a plain value, and where each part of it stands. Merge keys (`<<: *name`) are followed. */
export class YamlFile {
  /** what YAML itself has to say against the file */
  readonly problems: readonly Problem[];
  /** null when the file cannot be read as YAML at all */
  readonly content: { readonly value: unknown } | null;
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #document: Document;
  readonly #found: Problem[] = [];
  #root: Place = { value: null, offset: 0, keyOffset: 0, below: new Map() };
  #isWhole = true;
  #aliasedValues = 0;

  constructor(file: string, text: string) {
    this.#file = file;
    const document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      stringKeys: true,
      uniqueKeys: false,
      resolveKnownTags: false,
    });
    this.#document = document;
    const errors = distinct([...document.errors, ...document.warnings]);
    this.problems = errors.map((error) => this.#syntaxProblem(error));
    this.content = null;
    if (errors.length > 0) return;
    this.#root = this.#read(document.contents, [], 0);
    if (this.#aliasedValues > MAX_ALIASED_VALUES) this.#refuse(0, TOO_MANY_ALIASES);
    this.problems = this.#found;
    if (this.#isWhole) this.content = this.#root;
  }

  has(path: Path): boolean {
    return this.#find(path).whole;
  }

  problem(path: Path, text: string, { ofKey = false } = {}): Problem {
    const { place, whole } = this.#find(path);
    return this.#problemAt(ofKey && whole ? place.keyOffset : place.offset, path, text);
  }

  #find(path: Path): { readonly place: Place; readonly whole: boolean } {
    let place = this.#root;
    for (const step of path) {
      const next = place.below.get(step);
      if (next === undefined) return { place, whole: false };
      place = next;
    }
    return { place, whole: true };
  }

  #read(node: unknown, path: Path, keyOffset: number, aliased = false): Place {
    const below = new Map<string | number, Place>();
    const offset = (isNode(node) && node.range?.[0]) || keyOffset;
    const place = (value: unknown) => ({ value, offset, keyOffset, below });
    if (aliased) this.#aliasedValues++;
    if (this.#aliasedValues > MAX_ALIASED_VALUES) return place(null);
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target === undefined) {
        const { source } = node;
        const isName = /^[a-z_]\w*$/i.test(source);
        const found = isName
          ? `alias *${source} without an anchor &${source}`
          : "an alias without its anchor";
        this.#refuse(offset, `${found} before it; allowed: aliases of anchors`);
      }
      return { ...this.#read(target, path, keyOffset, true), offset };
    }
    if (isSeq(node)) {
      for (const [step, item] of node.items.entries())
        below.set(step, this.#read(item, [...path, step], offset, aliased));
      return place(Array.from(below.values(), ({ value }) => value));
    }
    if (!isMap(node)) return place(isScalar(node) ? node.value : null);
    const merges: Place[] = [];
    for (const { key, value: child } of node.items as Pair<Scalar>[]) {
      const step = String(key.source);
      const at = key.range?.[0] ?? offset;
      const refuse = (text: string) => this.#found.push(this.#problemAt(at, [...path, step], text));
      const read = this.#read(child, [...path, step], at, aliased);
      if (step === "__proto__") refuse("unknown key; no setting is called so");
      else if (step === "<<" && key.type === "PLAIN") merges.push(...mergedBy(read, refuse));
      else if (below.has(step)) refuse("key given twice; allowed: once");
      else below.set(step, read);
    }
    for (const merged of merges.flatMap((one) => [...one.below]))
      if (!below.has(merged[0])) below.set(...merged);
    return place(Object.fromEntries(Array.from(below, ([step, { value }]) => [step, value])));
  }

  /** A problem after which nothing of the file is looked at further. */
  #refuse(offset: number, text: string): void {
    this.#found.push(this.#problemAt(offset, [], text));
    this.#isWhole = false;
  }

  #problemAt(offset: number, path: Path, text: string): Problem {
    const { line, col } = this.#lines.linePos(offset);
    const position = { line: Math.max(line, 1), column: Math.max(col, 1) };
    return { file: this.#file, position, path: formatPath(path), text };
  }

  #syntaxProblem(error: YAMLError): Problem {
    const problem = this.#problemAt(error.pos[0], [], `not valid YAML: ${syntaxText(error)}`);
    const { position } = problem;
    // How deep is too deep depends on the stack; the line says enough.
    if (error.code !== "RESOURCE_EXHAUSTION" || position === null) return problem;
    return { ...problem, position: { ...position, column: 1 } };
  }
}

function mergedBy(place: Place, refuse: (text: string) => void): readonly Place[] {
  const all = Array.isArray(place.value) ? [...place.below.values()] : [place];
  if (all.every(({ value }) => isMapping(value))) return all;
  refuse("merges what is no mapping; allowed: a mapping or a list of mappings, such as *name");
  return [];
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function distinct(all: readonly YAMLError[]): readonly YAMLError[] {
  const errors = all.toSorted((a, b) => a.pos[0] - b.pos[0]);
  const tooDeep = errors.find(({ code }) => code === "RESOURCE_EXHAUSTION");
  if (tooDeep !== undefined) return [tooDeep];
  return errors.filter(({ pos, message }, index) => {
    const previous = errors[index - 1];
    return previous?.pos[0] !== pos[0] || previous.message !== message;
  });
}

function syntaxText({ code, message }: YAMLError): string {
  if (code === "RESOURCE_EXHAUSTION") return "nested too deeply";
  if (code === "MULTIPLE_DOCS") return "a second document (---); allowed: one";
  if (code === "NON_STRING_KEY") return "a key that is no text";
  if (code === "TAG_RESOLVE_FAILED" && !/: !+[a-z]+$/i.test(message)) return "Unresolved tag";
  // what stands there is not told: it may be a secret
  const [said = ""] = message.split(" in YAML stream: ");
  return said.replace(/\s+/g, " ").trim();
}
