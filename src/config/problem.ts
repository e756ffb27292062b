/** A way into the file: `["targets", 0, "name"]`. */
export type Path = readonly (string | number)[];

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

/** A path as people write it: `targets[0].name`. */
export function formatPath(path: Path): string {
  return path
    .map((step, at) => (typeof step === "number" ? `[${step}]` : `${at === 0 ? "" : "."}${plainKey(step)}`))
    .join("");
}

function plainKey(key: string): string {
  return /^[\w.<-]+$/.test(key) ? key : JSON.stringify(key);
}
