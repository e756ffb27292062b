import { createReadStream } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { isErrno, plainMessage } from "../systemError.ts";
import { WireError } from "../wire/errors.ts";
import { FrameReader } from "../wire/framing.ts";
import { decodeMessage, messageToJson } from "../wire/messages.ts";
import { path } from "./shared.ts";

/** albatrossd's longest replies are images. */
const MAX_FRAME_BYTES = 64 * 1024 * 1024;

/** `decode [FILE]`: what is in a recorded stream? */
export function register(program: Command): void {
  program
    .command("decode")
    .description("print the messages of a recorded Albatross stream, one JSON object per line")
    .argument(
      "[file]",
      "frames as they came over the socket, length prefixes included (default, and `-`: stdin)",
      path,
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
    .action(async (file = "-") => {
      const input = file === "-" ? process.stdin : createReadStream(file);
      const source = file === "-" ? "standard input" : file;
      process.exitCode = await decodeStream(input, source, process.stdout, (line) => console.error(line));
    });
}

/** Resolves to the exit code: 1 after damage or a failure; 0 at the end, or when nobody reads the output any more. */
export async function decodeStream(
  input: Readable,
  source: string,
  output: Writable,
  report: (line: string) => void,
): Promise<number> {
  const problems: string[] = [];
  try {
    await pipeline(decodedLines(input, source, problems), output, { end: false });
  } catch (error) {
    // nobody wants the rest (`decode FILE | head`)
    if (isErrno(error, "EPIPE")) return 0;
    problems.unshift(`albatross-exporter: cannot write the messages: ${plainMessage(error)}`);
  }
  const [problem] = problems;
  if (problem === undefined) return 0;
  report(problem);
  return 1;
}

async function* decodedLines(input: Readable, source: string, problems: string[]): AsyncGenerator<string> {
  const reader = new FrameReader(MAX_FRAME_BYTES);
  let frames = 0;
  let lines = "";
  try {
    for await (const chunk of input) {
      reader.push(chunk, (frame) => {
        frames++;
        lines += `${JSON.stringify(messageToJson(decodeMessage(frame)))}\n`;
      });
      yield lines;
      lines = "";
    }
    reader.end();
  } catch (error) {
    if (!(error instanceof WireError)) {
      problems.push(`albatross-exporter: cannot read ${source}: ${plainMessage(error)}`);
    } else if (["frame_length", "frame_too_long", "truncated"].includes(error.reason)) {
      problems.push(`frame ${frames + 1} at byte ${error.offset}: ${error.detail}`);
    } else {
      const where = `byte ${error.offset} of the message`;
      problems.push(`frame ${frames} at byte ${reader.frameOffset}: ${error.detail} (${where})`);
    }
  }
  yield lines;
}
