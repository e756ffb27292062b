import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** The programs that tests start beside ours, with the Debian package that each comes in. */
export const PACKAGES = {
  prometheus: "prometheus",
  promtool: "prometheus",
  "prometheus-alertmanager": "prometheus-alertmanager",
  amtool: "prometheus-alertmanager",
  chromium: "chromium",
  debootstrap: "debootstrap",
  nginx: "nginx",
} as const;

/**
 * Whether a program that is not part of the project is installed, for `test.skipIf(!requireProgram("promtool"))`. Says
 * loudly what is missing where tests may do without it; throws under CI=true, where they may not.
 */
export function requireProgram(program: keyof typeof PACKAGES): boolean {
  if (isInstalled(program)) return true;
  const message = `${program} is not installed (Debian: apt-get install ${PACKAGES[program]})`;
  if (process.env["CI"] === "true") throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
  return false;
}

export function isInstalled(program: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
