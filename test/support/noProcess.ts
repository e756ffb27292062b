import childProcess from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import { beforeEach } from "vitest";

/**
 * Holds `npm run test:fast` to what it says: only a test with the tag `process` may start one. A setup file of the unit
 * tests; calls are refused where they are made, so that the test that makes one fails.
 */
const STARTERS = ["spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "fork"] as const;
/** the name of a test without the tag, or null while processes may be started */
let refusedTo: string | null = "a file";

for (const name of STARTERS) {
  const start: (...args: never[]) => unknown = childProcess[name];
  const guarded = (...args: never[]) => {
    if (refusedTo !== null) throw new Error(`${refusedTo} starts a process: give it the tag "process"`);
    return start(...args);
  };
  Object.assign(childProcess, { [name]: guarded });
}
syncBuiltinESMExports();

beforeEach(({ task }) => {
  refusedTo = task.tags?.includes("process") ? null : `the test "${task.name}"`;
});
