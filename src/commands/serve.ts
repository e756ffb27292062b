import type { Command } from "commander";
import { addServeFlags, serveFlags } from "./serveFlags.ts";
import { untilSignal } from "./untilSignal.ts";

/** `serve`, which is also what runs without a command. */
export function register(program: Command): void {
  const serve = addServeFlags(program.command("serve"))
    .description("read the targets and serve their metrics (the default command)")
    .action(() => run(program, serve));
  addServeFlags(program).action(() => run(program, serve));
}

async function run(program: Command, serve: Command): Promise<void> {
  const flags = serveFlags(program, serve);
  const stop = untilSignal({ hangup: false });
  const { serve: serveUntil } = await import("../serve/serve.ts");
  process.exitCode = await serveUntil({ flags, stop });
}
