import { lstatSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { stringify } from "yaml";
import {
  type Checked,
  checkYaml,
  inFileOrder,
  type Problem,
  readSettings,
  readTextFile,
} from "./checkedYaml.ts";
import { filesFrom } from "./keys.ts";
import { type Config, configFile, type ExporterConfig, type LogConfig, type WebConfig } from "./sections.ts";
import { type Machine, thisMachine } from "./target.ts";
import { findWarnings } from "./warnings.ts";

export type ConfigResult = Checked<{ readonly config: Config; readonly warnings: readonly Problem[] }>;

/** Reads and checks a configuration file; never throws. */
export function loadConfigFile(file: string): ConfigResult {
  const read = readTextFile(file);
  return read.ok ? loadConfig(file, read.text) : read;
}

/** The configuration, every default filled in, and its settings without effect; or all that is wrong with it. */
export function loadConfig(file: string, text: string, machine: Machine = thisMachine()): ConfigResult {
  const codec = configFile(() => machine);
  const checked = checkYaml(file, text, codec.schema);
  if (!checked.ok) return checked;
  const warnings = findWarnings(checked.value, checked.document, machine);
  const config = filesFrom(dirname(file), codec, checked.value);
  return { ok: true, config, warnings: inFileOrder(warnings) };
}

export function configToYaml(config: Config): string {
  return stringify(configFile(thisMachine).write(config));
}

/** Taken from the working directory when it is there and no other file is named. */
const USUAL_FILE = "config.yaml";

/** What the command line of `serve` says, which wins over the file. */
export interface ServeFlags {
  readonly configFile?: string;
  /** TLS, users and more of the web side */
  readonly webConfigFile?: string;
  readonly web?: Partial<WebConfig>;
  readonly collectors?: Partial<ExporterConfig["collectors"]>;
  readonly log?: Partial<LogConfig>;
  /** listen on what systemd hands over */
  readonly systemdSocket?: boolean;
  /** no policy acts, whatever the file says */
  readonly dryRun?: boolean;
}

/** The configuration of the named `file`, else of config.yaml in the working directory if there is one, else the defaults. */
export function loadSettings(
  flags: ServeFlags,
  options: { isReload?: boolean } = {},
): ConfigResult & { readonly file: string | null } {
  const file = flags.configFile ?? usualFile();
  const read = file === null ? { ok: true as const, text: "" } : readSettings(file, options);
  if (!read.ok) return { ...read, file };
  const result = loadConfig(file ?? "no configuration file", read.text);
  return result.ok ? { ...result, config: override(result.config, flags), file } : { ...result, file };
}

/** config.yaml if there is one here, readable or not. */
export function usualFile(): string | null {
  try {
    return lstatSync(USUAL_FILE, { throwIfNoEntry: false }) === undefined ? null : USUAL_FILE;
  } catch {
    // Whoever reads it tells why that does not work.
    return USUAL_FILE;
  }
}

export function override(config: Config, { web, log, dryRun, collectors }: ServeFlags): Config {
  const exporter = { ...config.exporter, collectors: { ...config.exporter.collectors, ...collectors } };
  const scaler = dryRun ? { ...config.scaler, mode: "dry_run" as const } : config.scaler;
  return { ...config, exporter, scaler, web: { ...config.web, ...web }, log: { ...config.log, ...log } };
}

/** Where a file that the program writes stands: below the (first) `$STATE_DIRECTORY` of systemd, else below `./data`. */
export function statePath(path: string, environment: NodeJS.ProcessEnv = process.env): string {
  if (isAbsolute(path)) return path;
  const [directory] = (environment["STATE_DIRECTORY"] ?? "").split(":");
  return join(directory || "data", path);
}
