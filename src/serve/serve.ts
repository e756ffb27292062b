import { formatProblem } from "../config/problem.ts";
import { createLogger } from "../log.ts";
import { loadSettings, type ServeFlags } from "./settings.ts";

/** Serves metrics until it is told to stop. Resolves to the process' exit code. */
export async function serveUntilStopped(flags: ServeFlags): Promise<number> {
  const settings = loadSettings(flags);
  if (!settings.ok) {
    for (const problem of settings.problems) console.error(formatProblem(problem));
    return 1;
  }
  const log = createLogger(settings.config.log);
  if (settings.file === null) log.info("no configuration file: running with the defaults");
  else log.info({ file: settings.file }, "configuration loaded");
  return 0;
}
