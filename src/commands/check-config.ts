// biome-ignore lint/style/useFilenamingConvention: each command has the file of its name
import type { Command } from "commander";
import { path } from "./shared.ts";

/** `check-config FILE`: is a configuration file right, and does every setting in it have an effect? */
export function register(program: Command): void {
  program
    .command("check-config")
    .description("check a configuration file: errors and warnings on stderr, exit 1 when there is an error")
    .argument("<file>", "the file to check", path)
    .addHelpText(
      "after",
      `
Each error is one line, "file:line:column: path: what and what is allowed", all of them at once. Settings without effect
are told the same way, with "(warning)" at the end, and leave the exit code at 0.

Example: albatross-exporter check-config config.yaml && systemctl reload albatross-exporter`,
    )
    .action(async (file: string) => {
      const { loadConfigFile } = await import("../config/load.ts");
      const { formatProblem } = await import("../config/checkedYaml.ts");
      const result = loadConfigFile(file);
      if (!result.ok) {
        for (const problem of result.problems) console.error(formatProblem(problem));
        process.exitCode = 1;
        return;
      }
      for (const warning of result.warnings) console.error(`${formatProblem(warning)} (warning)`);
      console.log(`${file}: configuration is valid`);
    });
}
