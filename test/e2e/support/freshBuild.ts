import { spawnSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
/** All that the compiled program depends on. */
const SOURCES = ["src", "package.json", "tsconfig.json", "tsconfig.build.json"];

/**
 * Before the first end-to-end test: compiles the program unless that was done since its sources last changed (after
 * `npm ci` it was). Nobody should look for a fault in a program that is not the one at hand.
 */
export default function freshBuild(): void {
  const builtMs = modifiedMs(join(ROOT, "dist/main.js"));
  if (SOURCES.every((source) => newestMs(join(ROOT, source)) < builtMs)) return;
  const build = spawnSync("npm", ["run", "--silent", "build"], { cwd: ROOT, encoding: "utf8" });
  if (build.status !== 0) throw new Error(`the program does not build:\n${build.stdout}${build.stderr}`);
}

/** When a file, or the last of a folder's, was changed; ms since the epoch. */
function newestMs(path: string): number {
  if (!statSync(path).isDirectory()) return modifiedMs(path);
  return Math.max(
    ...readdirSync(path, { recursive: true }).map((name) => modifiedMs(join(path, String(name)))),
  );
}

/** 0 for what does not exist. */
function modifiedMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
