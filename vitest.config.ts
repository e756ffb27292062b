import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const END_TO_END = "test/e2e/**/*.test.ts";
/** They replace modules, which would last for other files of the worker. */
const MOCKING = ["test/scaler/decisionLog.test.ts", "test/scaler/stateFile.test.ts"];

/** They take a minute and more, and are not to be the last that one worker still runs. */
const LONGEST = /\/(installed|kill\.property|groupPages|load|demo|panels)\.test\.ts$/;

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => LONGEST.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

export default defineConfig({
  test: {
    // above what tests wait for at most (test/support/eventually.ts)
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "forks",
    sequence: { sequencer: LongestFirst },
    // `test:fast` leaves tests out on purpose; whatever else is skipped is named.
    reporters: process.argv.includes("--tags-filter")
      ? ["default"]
      : ["default", "./test/support/skippedReporter.ts"],
    tags: [
      {
        name: "process",
        description: "Starts a process, or takes as long as if: left out by `npm run test:fast`.",
      },
    ],
    // Most end-to-end tests wait for real time to pass: also where there is little to share, four go at once.
    maxWorkers: Math.max(4, availableParallelism() - 1),
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["**/node_modules/**", END_TO_END, ...MOCKING],
          setupFiles: ["test/support/noProcess.ts"],
        },
      },
      {
        extends: true,
        test: { name: "unit-mocking", include: MOCKING, setupFiles: ["test/support/noProcess.ts"] },
      },
      {
        extends: true,
        // The program as it is shipped: started from dist, beside real Prometheus, real sockets, a real browser.
        test: { name: "e2e", include: [END_TO_END], globalSetup: ["test/e2e/support/freshBuild.ts"] },
      },
    ],
  },
});
