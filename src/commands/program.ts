import { Command, CommanderError } from "commander";
import { nearest } from "../config/fields.ts";
import { messageOf } from "../systemError.ts";
import { buildInfo, versionText } from "../version.ts";
import { register as backtest } from "./backtest.ts";
import { register as certificate } from "./certificate.ts";
import { register as checkConfig } from "./check-config.ts";
import { register as decode } from "./decode.ts";
import { register as demo } from "./demo.ts";
import { register as record } from "./record.ts";
import { register as serve } from "./serve.ts";
import { register as simulate } from "./simulate.ts";

const REGISTER = [serve, checkConfig, certificate, decode, simulate, demo, record, backtest];

/** Does what the command line says. Resolves to the exit code; errors are on stderr then. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  try {
    process.exitCode = 0;
    await buildProgram().parseAsync(args, { from: "user" });
    // A command says with the process' exit code that it failed.
    return Number(process.exitCode);
  } catch (error) {
    return exitCodeOf(error);
  }
}

/** Says what went wrong, unless commander has. Wrong usage is 2, any other failure 1. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  console.error(`albatross-exporter: ${messageOf(error)}`);
  return 1;
}

/** Wrong usage throws commander's CommanderError, its message on stderr already. */
export function buildProgram(): Command {
  const version = versionText(buildInfo());
  const program = new Command("albatross-exporter")
    .description("Prometheus exporter for the unikernels and VMs of Albatross hosts")
    .version(version, "--version", "print what this program is")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show help for a command")
    .enablePositionalOptions()
    .allowExcessArguments()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(oneLine(text)) });
  for (const register of REGISTER) register(program);
  for (const command of program.commands) command.allowExcessArguments(false);
  program.commands
    .find((command) => command.name() === "serve")
    ?.version(version, "--version", "print what this program is");
  program.hook("preAction", (_, command) => refuseStrayArguments(program, command));
  return program;
}

/** commander's error and the hint below it become one line that names the program. */
function oneLine(text: string): string {
  return `albatross-exporter: ${text
    .replace(/^error: /, "")
    .trim()
    .replace(/\s*\n\s*/g, " ")}\n`;
}

/** Refuses an unknown command, and flags of `serve` before the name of another. */
function refuseStrayArguments(program: Command, command: Command): void {
  const [word] = command === program ? program.args : [];
  if (word !== undefined) {
    const names = program.commands.map((known) => known.name());
    const near = nearest(word, names);
    program.error(
      `unknown command '${word}'${near === null ? "" : `, did you mean ${near}?`} (commands: ${names.join(", ")})`,
    );
  }
  if (command === program || command.name() === "serve") return;
  const stray = program.options.find(
    (option) => program.getOptionValueSource(option.attributeName()) === "cli",
  );
  if (stray === undefined) return;
  const isItsOwn = command.options.some(({ long }) => long === stray.long);
  const belongs = isItsOwn ? "belongs after" : "is a flag of serve, not of";
  program.error(`${stray.long} ${belongs} ${command.name()}`);
}
