import { readFileSync } from "node:fs";
import type { z } from "zod";
import { type ConfigDocument, parseConfigDocument } from "./document.ts";
import { type Machine, thisMachine } from "./machine.ts";
import { formatPath, type Path, type Problem } from "./problem.ts";
import { configSchema } from "./schema/file.ts";
import type { Config } from "./types.ts";
import { findWarnings } from "./warnings.ts";

export type ConfigResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Far beyond any file that people write; what is larger is the wrong file. */
const MAX_FILE_BYTES = 4 * 2 ** 20;

/** The configuration without a file: one target, this machine's own Albatross. */
export function defaultConfig(machine: Machine = thisMachine()): Config {
  return configSchema(machine).parse({});
}

/** Reads and checks a configuration file. Never throws: a file that cannot be read is a problem like any other. */
export function loadConfigFile(file: string, machine: Machine = thisMachine()): ConfigResult {
  const unreadable = (text: string): ConfigResult => ({
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
    return unreadable(`is larger than ${MAX_FILE_BYTES} bytes; allowed: a configuration file`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return unreadable("is not text in UTF-8");
    throw error;
  }
  return loadConfig(file, text, machine);
}

function readErrorText(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT") return "no such file";
  if (code === "EISDIR") return "is a directory; allowed: a configuration file";
  if (code === "EACCES") return "may not be read: permission denied";
  return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
}

/**
 * Checks the text of a configuration file: all that is wrong with it at once, in the order of the file, or the
 * configuration with every default filled in and the settings that have no effect.
 */
export function loadConfig(file: string, text: string, machine: Machine = thisMachine()): ConfigResult {
  const document = parseConfigDocument(text);
  const problems = document.problems.map(
    ({ position, path, text }): Problem => ({ file, position, path: formatPath(path), text }),
  );
  if (!document.readable) return { ok: false, problems };
  const parsed = configSchema(machine).safeParse(document.value);
  const issues = parsed.success ? [] : parsed.error.issues;
  problems.push(...issues.map((issue) => issueProblem(file, document, issue)));
  if (!parsed.success || problems.length > 0) return { ok: false, problems: inFileOrder(problems) };
  const warnings = findWarnings(parsed.data, document).map(
    ({ path, text }): Problem => ({
      file,
      position: document.positionOf(path),
      path: formatPath(path),
      text,
    }),
  );
  return { ok: true, config: parsed.data, warnings: inFileOrder(warnings) };
}

function issueProblem(file: string, document: ConfigDocument, issue: z.core.$ZodIssue): Problem {
  const path: Path = issue.path.map((step) => (typeof step === "number" ? step : String(step)));
  const position = document.positionOf(path, { ofKey: issue.message.startsWith("unknown key") });
  return { file, position, path: formatPath(path), text: issue.message };
}

function inFileOrder(problems: readonly Problem[]): readonly Problem[] {
  const line = ({ position }: Problem) => position?.line ?? 0;
  const column = ({ position }: Problem) => position?.column ?? 0;
  return [...problems].sort((a, b) => line(a) - line(b) || column(a) - column(b));
}
