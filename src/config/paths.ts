import { isAbsolute, join } from "node:path";

/**
 * Where a file that the program writes stands: a relative path is below `$STATE_DIRECTORY`, which systemd sets to the
 * unit's own directory (the first one if there are several), else below `./data`.
 */
export function statePath(path: string, environment: NodeJS.ProcessEnv = process.env): string {
  if (isAbsolute(path)) return path;
  const [directory] = (environment["STATE_DIRECTORY"] ?? "").split(":");
  return join(directory || "data", path);
}
