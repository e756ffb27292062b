import { existsSync, readFileSync } from "node:fs";

const PACKAGE_FILE = new URL("../package.json", import.meta.url);
/** Written by `npm run build` into the folder of the compiled program. */
const REVISION_FILE = new URL("./REVISION", import.meta.url);

export type BuildInfo = Readonly<ReturnType<typeof buildInfo>>;

/** What this program is. Throws when its own package.json is missing or damaged. */
export function buildInfo() {
  const { name, version }: { name: string; version: string } = JSON.parse(readFileSync(PACKAGE_FILE, "utf8"));
  /** The commit it was built from; null when that is not known, as when run from the sources. */
  const revision = existsSync(REVISION_FILE) ? readFileSync(REVISION_FILE, "utf8").trim() || null : null;
  return { name, version, revision, nodeVersion: process.versions.node };
}

/** What `--version` prints. */
export function versionText({ name, version, revision, nodeVersion }: BuildInfo): string {
  return [
    `${name}, version ${version}`,
    `  revision: ${revision ?? "unknown"}`,
    `  node:     ${nodeVersion}`,
  ].join("\n");
}
