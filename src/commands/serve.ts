import type { Command } from "commander";
import { addServeFlags, serveFlags } from "./serveFlags.ts";

/** `serve`, which is also what runs without a command. */
export function register(program: Command): void {
  const serve = addServeFlags(program.command("serve"))
    .description("read the targets and serve their metrics (the default command)")
    .action(() => run(program, serve));
  addServeFlags(program).action(() => run(program, serve));
}

async function run(program: Command, serve: Command): Promise<void> {
  const flags = serveFlags(program, serve);
  const { serveUntilStopped } = await import("../serve/serve.ts");
  process.exitCode = await serveUntilStopped(flags);
}
