import { lstatSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { stringify } from "yaml";
import { type Checked, checkYaml, inFileOrder, type Problem, readTextFile } from "./checkedYaml.ts";
import { type Config, configFile, type LogConfig, type WebConfig } from "./sections.ts";
import { type Machine, thisMachine } from "./target.ts";
import { findWarnings } from "./warnings.ts";

export type ConfigResult = Checked<{ readonly config: Config; readonly warnings: readonly Problem[] }>;

/** Reads and checks a configuration file. Never throws: a file that cannot be read is a problem like any other. */
export function loadConfigFile(file: string): ConfigResult {
  const read = readTextFile(file);
  return read.ok ? loadConfig(file, read.text) : read;
}

/**
 * Checks the text of a configuration file: all that is wrong with it at once, in the order of the file, or the
 * configuration with every default filled in and the settings that have no effect.
 */
export function loadConfig(file: string, text: string, machine: Machine = thisMachine()): ConfigResult {
  const checked = checkYaml(file, text, configFile(() => machine).schema);
  if (!checked.ok) return checked;
  const warnings = findWarnings(checked.value, checked.document, machine);
  return { ok: true, config: checked.value, warnings: inFileOrder(warnings) };
}

/** A configuration as a file would say it, with every key: what is in force. Reading it gives the same again. */
export function configToYaml(config: Config): string {
  return stringify(configFile(thisMachine).write(config));
}

/** Taken from the working directory when it is there and no other file is named. */
const USUAL_FILE = "config.yaml";

/** What the command line of `serve` says; its settings win over the file's, also when the file is read again. */
export interface ServeFlags {
  readonly configFile?: string;
  readonly web?: Partial<WebConfig>;
  readonly log?: Partial<LogConfig>;
}

/**
 * The configuration that `serve` runs with: of the named file, else of config.yaml in the working directory if there
 * is one, else the defaults; the command line's flags win over all of them. `file` is the one that was read. A reload
 * names that one, `isReload`: should it be empty now, something went wrong with writing it.
 */
export function loadSettings(
  flags: ServeFlags,
  { isReload = false }: { isReload?: boolean } = {},
): ConfigResult & { readonly file: string | null } {
  const file = flags.configFile ?? usualFile();
  const read = file === null ? { ok: true as const, text: "" } : readTextFile(file);
  if (!read.ok) return { ...read, file };
  if (file !== null && isReload && saysNothing(read.text)) {
    const text = "is empty; allowed on a reload: a file with settings, or a comment for all the defaults";
    return { ok: false, problems: [{ file, position: null, path: "", text }], file };
  }
  const result = loadConfig(file ?? "no configuration file", read.text);
  return result.ok ? { ...result, config: override(result.config, flags), file } : { ...result, file };
}

/** What is left of a file when writing it went wrong, or whatever fills in a template had nothing to fill in. */
function saysNothing(text: string): boolean {
  return /^(?:\s|---|null\b|~)*$/.test(text);
}

/** config.yaml if there is one here, be it one that cannot be read; else null. */
export function usualFile(): string | null {
  try {
    return lstatSync(USUAL_FILE, { throwIfNoEntry: false }) === undefined ? null : USUAL_FILE;
  } catch {
    // Whoever reads it tells why that does not work.
    return USUAL_FILE;
  }
}

/** The configuration with the command line's settings in place of the file's. */
export function override(config: Config, { web, log }: ServeFlags): Config {
  return { ...config, web: { ...config.web, ...web }, log: { ...config.log, ...log } };
}

/**
 * Where a file that the program writes stands: a relative path is below `$STATE_DIRECTORY`, which systemd sets to the
 * unit's own directory (the first one if there are several), else below `./data`.
 */
export function statePath(path: string, environment: NodeJS.ProcessEnv = process.env): string {
  if (isAbsolute(path)) return path;
  const [directory] = (environment["STATE_DIRECTORY"] ?? "").split(":");
  return join(directory || "data", path);
}
