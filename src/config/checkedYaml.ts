import { readFileSync } from "node:fs";
import type { z } from "zod";
import {
  type ConfigDocument,
  formatPath,
  type Path,
  type Position,
  parseConfigDocument,
} from "./document.ts";

/** Something wrong with a configuration file, or a setting in it without effect. */
export interface Problem {
  readonly file: string;
  /** From 1; null when the whole file is meant, because it could not be read. */
  readonly position: Position | null;
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

export type TextResult =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Far beyond any file that people write; what is larger is the wrong file. */
const MAX_FILE_BYTES = 4 * 2 ** 20;

/** The text of a file. Never throws: a file that cannot be read is a problem like any other. */
export function readTextFile(file: string): TextResult {
  const unreadable = (text: string): TextResult => ({
    ok: false,
    problems: [{ file, position: null, path: "", text }],
  });
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    return unreadable(readErrorText(error));
  }
  if (bytes.length > MAX_FILE_BYTES)
    return unreadable(`is larger than allowed: at most ${MAX_FILE_BYTES} bytes`);
  try {
    return { ok: true, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (error) {
    if (error instanceof TypeError) return unreadable("is not text in UTF-8");
    throw error;
  }
}

function readErrorText(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "no such file";
  if (code === "EISDIR") return "is a directory, not a file";
  if (code === "EACCES") return "may not be read: permission denied";
  return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
}

export type CheckedYaml<T> =
  | { readonly ok: true; readonly value: T; readonly document: ConfigDocument }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Checks the text of a YAML file against a schema: the value, or all that is wrong with it in the order of the file. */
export function checkYaml<T>(file: string, text: string, schema: z.ZodType<T, unknown>): CheckedYaml<T> {
  const document = parseConfigDocument(text);
  const problems = document.problems.map(
    ({ position, path, text }): Problem => ({ file, position, path: formatPath(path), text }),
  );
  if (!document.readable) return { ok: false, problems };
  const parsed = schema.safeParse(document.value);
  const issues = parsed.success ? [] : parsed.error.issues;
  problems.push(...issues.map((issue) => issueProblem(file, document, issue)));
  if (!parsed.success || problems.length > 0) return { ok: false, problems: inFileOrder(problems) };
  return { ok: true, value: parsed.data, document };
}

function issueProblem(file: string, document: ConfigDocument, issue: z.core.$ZodIssue): Problem {
  const path: Path = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
  const position = document.positionOf(path, { ofKey: issue.message.startsWith("unknown key") });
  return { file, position, path: formatPath(path), text: issue.message };
}

export function inFileOrder(problems: readonly Problem[]): readonly Problem[] {
  const line = ({ position }: Problem) => position?.line ?? 0;
  const column = ({ position }: Problem) => position?.column ?? 0;
  return [...problems].sort((a, b) => line(a) - line(b) || column(a) - column(b));
}
