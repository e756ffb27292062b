import { existsSync } from "node:fs";
import { defaultConfig, loadConfigFile } from "./load.ts";
import { type Overrides, override } from "./override.ts";
import type { Problem } from "./problem.ts";
import type { Config } from "./types.ts";

/** Taken from the working directory when it is there and no other file is named. */
export const USUAL_FILE = "config.yaml";

/** What the command line of `serve` says. */
export interface ServeFlags extends Overrides {
  readonly configFile?: string;
}

export type Settings =
  | {
      readonly ok: true;
      readonly config: Config;
      readonly warnings: readonly Problem[];
      readonly file: string | null;
    }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly file: string };

/**
 * The configuration that `serve` runs with: of the named file, else of config.yaml in the working directory if there
 * is one, else the defaults; the command line's flags win over all of them.
 */
export function loadSettings(flags: ServeFlags): Settings {
  const file = flags.configFile ?? (existsSync(USUAL_FILE) ? USUAL_FILE : null);
  if (file === null) return { ok: true, config: override(defaultConfig(), flags), warnings: [], file };
  const result = loadConfigFile(file);
  return result.ok ? { ...result, config: override(result.config, flags), file } : { ...result, file };
}
