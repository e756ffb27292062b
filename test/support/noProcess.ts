import childProcess from "node:child_process";
import { syncBuiltinESMExports } from "node:module";
import { beforeEach } from "vitest";

/**
 * Holds `npm run test:fast` to what it says: only a test with the tag `process` may start one. A setup file of the unit
 * tests; calls are refused where they are made, so that the test that makes one fails.
 */
const GUARD = Symbol.for("what starts processes");
const STARTERS = ["spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "fork"] as const;
interface Guard {
  /** the name of a test without the tag, or null while processes may be started */
  refusedTo: string | null;
}

/** One for all files that a worker runs. */
const worker = globalThis as { [GUARD]?: Guard };
const guard = worker[GUARD] ?? guarded();
worker[GUARD] = guard;
guard.refusedTo = "a file";

function guarded(): Guard {
  const guard: Guard = { refusedTo: null };
  for (const name of STARTERS) {
    const start: (...args: never[]) => unknown = childProcess[name];
    const started = (...args: never[]) => {
      const { refusedTo } = guard;
      if (refusedTo !== null) throw new Error(`${refusedTo} starts a process: give it the tag "process"`);
      return start(...args);
    };
    Object.assign(childProcess, { [name]: started });
  }
  syncBuiltinESMExports();
  return guard;
}

beforeEach(({ task }) => {
  guard.refusedTo = task.tags?.includes("process") ? null : `the test "${task.name}"`;
});
