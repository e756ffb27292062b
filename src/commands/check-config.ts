// biome-ignore lint/style/useFilenamingConvention: each command has the file of its name
import type { Command } from "commander";
import type { Checked, Problem } from "../config/checkedYaml.ts";
import type { ConfigResult } from "../config/load.ts";
import { path } from "./shared.ts";

const HELP = `
Each error is one line, "file:line:column: path: what and what is allowed", all of them at once. Settings without effect
are told the same way, with "(warning)" at the end, and leave the exit code at 0.
`;

/** `check-config FILE` and `check-web-config FILE`: is a file right, and does every setting in it have an effect? */
export function register(program: Command): void {
  addCheck(program, "check-config", "a configuration file")
    .option("--online", "ask Prometheus the query of each policy's load once, too")
    .addHelpText(
      "after",
      `${HELP}
Of a target with tls the certificates are read, too; what they reach, and which policies they put in force, is printed.

--online prints a line for each policy with load: policy, query, value, percent of what the members can carry, verdict. A
query is filled in for the first group that a target lists, by its sockets or by TLS, or the one that match spells out.
That of a disabled policy is not asked. The exit code is 1 when a query has no answer of exactly one number.

Example: albatross-exporter check-config config.yaml && systemctl reload albatross-exporter`,
    )
    .action(async (file: string, { online = false }: { online?: boolean }) => {
      const { loadConfigFile } = await import("../config/load.ts");
      const result = loadConfigFile(file);
      await tell(file, result.ok ? await withCertificates(file, result) : result);
      if (!result.ok || !online || process.exitCode === 1) return;
      const { checkOnline } = await import("../app/onlineCheck.ts");
      const { systemClock } = await import("../clock.ts");
      const passed = await checkOnline(result.config, systemClock(), (line) => console.log(line));
      if (!passed) process.exitCode = 1;
    });
  addCheck(program, "check-web-config", "a file of --web.config.file and the certificates that it names")
    .addHelpText(
      "after",
      `${HELP}
Example: albatross-exporter check-web-config web.yaml`,
    )
    .action(async (file: string) => {
      const { loadWebConfig } = await import("../config/webConfig.ts");
      await tell(file, loadWebConfig(file));
    });
}

async function withCertificates(
  file: string,
  result: Extract<ConfigResult, { ok: true }>,
): Promise<ConfigResult> {
  if (result.config.targets.every(({ tls }) => tls === null)) return result;
  const { checkCertificates } = await import("../app/certificateCheck.ts");
  const { errors, warnings, lines } = await checkCertificates(file, result.config, Date.now());
  if (errors.length > 0) return { ok: false, problems: errors };
  for (const line of lines) console.log(line);
  return { ...result, warnings: [...result.warnings, ...warnings] };
}

function addCheck(program: Command, name: string, what: string): Command {
  return program
    .command(name)
    .description(`check ${what}: errors and warnings on stderr, exit 1 when there is an error`)
    .argument("<file>", "the file to check", path);
}

async function tell(file: string, result: Checked<{ warnings: readonly Problem[] }>): Promise<void> {
  const { formatProblem } = await import("../config/checkedYaml.ts");
  if (result.ok) {
    for (const warning of result.warnings) console.error(`${formatProblem(warning)} (warning)`);
    console.log(`${file}: configuration is valid`);
    return;
  }
  for (const problem of result.problems) console.error(formatProblem(problem));
  process.exitCode = 1;
}
