import { readBlockCommand, writeBlockCommand } from "./blockCommands.ts";
import { readConsoleCommand, writeConsoleCommand } from "./consoleCommands.ts";
import { context, type DerReader, type DerWriter } from "./der.ts";
import { WireError } from "./errors.ts";
import type { Command } from "./messages.ts";
import { readPolicyCommand, writePolicyCommand } from "./policy.ts";
import { readStatsCommand, writeStatsCommand } from "./statsCommands.ts";
import { readUnikernelCommand, writeUnikernelCommand } from "./unikernelCommands.ts";

const CLASS_TAGS: Record<Command["class"], number> = {
  console: 0,
  stats: 1,
  unikernel: 3,
  policy: 4,
  block: 5,
};

/** Reads a command; throws a WireError "message" for one that Albatross 2.7 does not know. */
export function readCommand(reader: DerReader): Command {
  const at = reader.pos;
  const { number: classNumber, outer } = reader.enterContext("command class");
  const commandAt = reader.pos;
  const { number, outer: inner } = reader.enterContext("command");
  let command: Command | null;
  switch (classNumber) {
    case CLASS_TAGS.console:
      command = readConsoleCommand(reader, number);
      break;
    case CLASS_TAGS.stats:
      command = readStatsCommand(reader, number);
      break;
    case CLASS_TAGS.unikernel:
      command = readUnikernelCommand(reader, number);
      break;
    case CLASS_TAGS.policy:
      command = readPolicyCommand(reader, number);
      break;
    case CLASS_TAGS.block:
      command = readBlockCommand(reader, number);
      break;
    default:
      throw new WireError(
        "message",
        at,
        `command class: expected [0], [1], [3], [4] or [5], found [${classNumber}]`,
      );
  }
  if (command === null) {
    throw new WireError("message", commandAt, `command: class [${classNumber}] has no command [${number}]`);
  }
  reader.leave(inner, "command");
  reader.leave(outer, "command class");
  return command;
}

export function writeCommand(writer: DerWriter, command: Command): void {
  const outer = writer.open(context(CLASS_TAGS[command.class]));
  switch (command.class) {
    case "console":
      writeConsoleCommand(writer, command);
      break;
    case "stats":
      writeStatsCommand(writer, command);
      break;
    case "unikernel":
      writeUnikernelCommand(writer, command);
      break;
    case "policy":
      writePolicyCommand(writer, command);
      break;
    case "block":
      writeBlockCommand(writer, command);
      break;
  }
  writer.close(outer);
}
