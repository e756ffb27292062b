import { createReadStream } from "node:fs";
import type { Command } from "commander";
import { decodeStream } from "./decodeStream.ts";

/** `decode [FILE]`: what is in a recorded stream? */
export function register(program: Command): void {
  program
    .command("decode")
    .description("print the messages of a recorded Albatross stream, one JSON object per line")
    .argument(
      "[file]",
      "frames as they came over the socket, length prefixes included (default, and `-`: stdin)",
    )
    .addHelpText(
      "after",
      `
64-bit values are printed as signed decimal strings, other integers as numbers (strings beyond 2^53), octets in hex.
Data of a kind that is not known is printed as {"type":"data","data":"unknown","tag":N}.
Damage ends it: the messages before it are printed, then one line on stderr, "frame 3 at byte 912: ..." (frames counted
from 1, bytes from the start of the stream); the exit code is 1 then.
Arguments of unikernels are printed too: they may hold secrets.

Example: albatross-exporter decode stats.bin | jq .payload.rusage`,
    )
    .action(async (file: string | undefined) => {
      const fromStdin = file === undefined || file === "-";
      process.exitCode = await decodeStream({
        input: fromStdin ? process.stdin : createReadStream(file),
        source: fromStdin ? "standard input" : file,
        output: process.stdout,
        report: (line) => console.error(line),
      });
    });
}
