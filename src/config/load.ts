import { checkYaml, inFileOrder, readTextFile } from "./checkedYaml.ts";
import { type Machine, thisMachine } from "./machine.ts";
import { formatPath, type Problem } from "./problem.ts";
import { configSchema } from "./schema/file.ts";
import type { Config } from "./types.ts";
import { findWarnings } from "./warnings.ts";

export type ConfigResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** The configuration without a file: one target, this machine's own Albatross. */
export function defaultConfig(machine: Machine = thisMachine()): Config {
  return configSchema(machine).parse({});
}

/** Reads and checks a configuration file. Never throws: a file that cannot be read is a problem like any other. */
export function loadConfigFile(file: string, machine: Machine = thisMachine()): ConfigResult {
  const read = readTextFile(file);
  return read.ok ? loadConfig(file, read.text, machine) : read;
}

/**
 * Checks the text of a configuration file: all that is wrong with it at once, in the order of the file, or the
 * configuration with every default filled in and the settings that have no effect.
 */
export function loadConfig(file: string, text: string, machine: Machine = thisMachine()): ConfigResult {
  const checked = checkYaml(file, text, configSchema(machine));
  if (!checked.ok) return checked;
  const { value: config, document } = checked;
  const warnings = findWarnings(config, document).map(
    ({ path, text }): Problem => ({
      file,
      position: document.positionOf(path),
      path: formatPath(path),
      text,
    }),
  );
  return { ok: true, config, warnings: inFileOrder(warnings) };
}
