import type { Reporter, TestModule } from "vitest/node";
import { isInstalled, PACKAGES } from "./requireProgram.ts";

/**
 * Begins a run of the tests with the programs that they start, and ends it with the names of those that were skipped:
 * what is not tried must not look tried.
 */
export default class SkippedReporter implements Reporter {
  onInit(): void {
    const programs = Object.entries(PACKAGES).map(([program, debian]) =>
      isInstalled(program) ? program : `${program}, NOT INSTALLED (Debian: apt-get install ${debian})`,
    );
    console.log(`Tests start: ${programs.join("; ")}`);
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((file) =>
      Array.from(file.children.allTests("skipped"), (test) => `${file.relativeModuleId}: ${test.fullName}`),
    );
    if (skipped.length > 0) console.log(`SKIPPED ${skipped.length}:\n  ${skipped.join("\n  ")}`);
  }
}
