import type { Reporter, TestModule } from "vitest/node";

/** Ends a run of the tests with the names of those that were skipped: what is not tried must not look tried. */
export default class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((file) =>
      Array.from(file.children.allTests("skipped"), (test) => `${file.relativeModuleId}: ${test.fullName}`),
    );
    if (skipped.length > 0) console.log(`SKIPPED ${skipped.length}:\n  ${skipped.join("\n  ")}`);
  }
}
