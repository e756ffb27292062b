import type { Command } from "commander";
import { addServeFlags, serveFlags } from "./serveFlags.ts";
import { untilSignal } from "./untilSignal.ts";

const HELP = `
Without a configuration file: one target, this machine's own Albatross, served on :10042. A flag wins over the file.
SIGHUP reads the configuration again, all or nothing; SIGTERM and SIGINT end it: responses on the way are finished, exit
code 0. The log goes to stderr. The exit code is 1 when the configuration is wrong or an address cannot be had.

Examples:
  albatross-exporter --config.file /etc/albatross-exporter/config.yaml
  albatross-exporter --web.listen-address 127.0.0.1:10042 --web.listen-address [::1]:10042`;

/** `serve`, which is also what runs without a command. */
export function register(program: Command): void {
  const serve = addServeFlags(program.command("serve"))
    .description("read the targets and serve their metrics (the default command)")
    .addHelpText("after", HELP)
    .action(() => run(program, serve));
  addServeFlags(program)
    .addHelpText("after", "\nWithout a command: serve. `albatross-exporter help COMMAND` tells more.")
    .action(() => run(program, serve));
}

async function run(program: Command, serve: Command): Promise<void> {
  const flags = serveFlags(program, serve);
  const stop = untilSignal({ hangup: false });
  const { serve: serveUntil } = await import("../app/serve.ts");
  process.exitCode = await serveUntil({ flags, stop });
}
