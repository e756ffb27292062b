import type { Command } from "commander";
import { systemClock } from "../clock.ts";
import { untilSignal } from "../signals.ts";
import { BUILTIN_SCENARIOS } from "../simulator/builtin.ts";
import { flagValue, wholeNumber } from "./shared.ts";

/** Where the exporter listens unless told otherwise. */
const DEFAULT_PORT = 10_042;

/** `demo`: a simulated host and an exporter that reads it. */
export function register(program: Command): void {
  program
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
    .addHelpText(
      "after",
      "\nExample: albatross-exporter demo, then http://127.0.0.1:10042/metrics in a browser",
    )
    .action(async (options: { readonly port: number }) => {
      const until = untilSignal();
      const { loadScenario } = await import("../simulator/scenarioFile.ts");
      const { runDemo } = await import("../demo/demo.ts");
      const loaded = loadScenario("demo", BUILTIN_SCENARIOS["demo"]?.yaml ?? "");
      if (!loaded.ok) throw new Error("the built-in scenario demo is wrong");
      await runDemo({
        scenario: loaded.scenario,
        port: options.port,
        clock: systemClock(),
        say: (line) => console.log(line),
        until,
      });
    });
}
