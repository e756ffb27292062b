import { readFileSync } from "node:fs";

export interface BuildInfo {
  readonly name: string;
  readonly version: string;
  /** The commit it was built from; null when that is not known, as when run from the sources. */
  readonly revision: string | null;
  /** Of Node, without the `v`. */
  readonly nodeVersion: string;
}

const PACKAGE_FILE = new URL("../package.json", import.meta.url);
/** Written by `npm run build` into the folder of the compiled program. */
const REVISION_FILE = new URL("./REVISION", import.meta.url);

/** What this program is. Throws when its own package.json is missing or damaged. */
export function buildInfo(): BuildInfo {
  const { name, version }: { name: string; version: string } = JSON.parse(readFileSync(PACKAGE_FILE, "utf8"));
  return { name, version, revision: readRevision(), nodeVersion: process.versions.node };
}

function readRevision(): string | null {
  try {
    return readFileSync(REVISION_FILE, "utf8").trim() || null;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** What `--version` prints. */
export function versionText({ name, version, revision, nodeVersion }: BuildInfo): string {
  return [
    `${name}, version ${version}`,
    `  revision: ${revision ?? "unknown"}`,
    `  node:     ${nodeVersion}`,
  ].join("\n");
}
