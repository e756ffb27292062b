import type { Command } from "commander";
import { systemClock } from "../clock.ts";
import { untilSignal } from "../signals.ts";
import { BUILTIN_SCENARIOS } from "../simulator/builtin.ts";
import { type AccessFlags, accessOf, flagValue, path, wholeNumber, withAccessFlags } from "./shared.ts";

/** Where the exporter listens unless told otherwise. */
const DEFAULT_PORT = 10_042;

/** `demo`: a simulated host and an exporter that reads it. */
export function register(program: Command): void {
  const command = program
    .command("demo")
    .summary("run a simulated host and an exporter that reads it, and print where to look")
    .description(
      "Run a simulated Albatross host (the built-in scenario demo) and an exporter that reads it, print the URLs, and tell " +
        "on stdout what happens. Everything it makes lies in a temporary directory; Ctrl-C ends it and leaves nothing behind.",
    )
    .option(
      "--port <port>",
      "where the exporter listens on 127.0.0.1; another one if it is taken, 0 for any",
      flagValue("a port from 0 to 65535", (text) => wholeNumber(text, 65_535)),
      DEFAULT_PORT,
    )
    .option("--tls", "have the exporter reach the host by TLS, with certificates made for it")
    .option("--web.config.file <file>", "web configuration file of the exporter: TLS, users", path)
    .option("--user <name>", "the user whom the demo asks it as (default: the first of that file)");
  withAccessFlags(command)
    .addHelpText(
      "after",
      "\nExample: albatross-exporter demo, then http://127.0.0.1:10042/metrics in a browser",
    )
    .action(async (options: DemoFlags) => {
      const until = untilSignal();
      const web = await webOf(options);
      const { loadScenario } = await import("../simulator/scenarioFile.ts");
      const { runDemo } = await import("../demo/demo.ts");
      const loaded = loadScenario("demo", BUILTIN_SCENARIOS["demo"]?.yaml ?? "");
      if (!loaded.ok) throw new Error("the built-in scenario demo is wrong");
      await runDemo({
        scenario: loaded.scenario,
        port: options.port,
        tls: options.tls ?? false,
        clock: systemClock(),
        say: (line) => console.log(line),
        until,
        web,
      });
    });
}

interface DemoFlags extends AccessFlags {
  readonly port: number;
  readonly tls?: true;
  readonly user?: string;
  readonly "web.config.file"?: string;
}

async function webOf(flags: DemoFlags) {
  const file = flags["web.config.file"];
  if (file === undefined) return { file: null, isTls: false, access: {} };
  const { loadWebConfig } = await import("../config/webConfig.ts");
  const { formatProblem } = await import("../config/checkedYaml.ts");
  const loaded = loadWebConfig(file);
  if (!loaded.ok) throw new Error(loaded.problems.map(formatProblem).join("\n"));
  const { tls, users } = loaded.access;
  const [user = null] = flags.user === undefined ? users.keys() : [flags.user];
  return { file, isTls: tls !== null, access: await accessOf(flags, user) };
}
