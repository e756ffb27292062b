import { context, type DerReader, Tag } from "./der.ts";
import type { DerWriter } from "./derWriter.ts";
import { WireError } from "./errors.ts";
import type {
  BlockCommand,
  Command,
  ConsoleCommand,
  PolicyCommand,
  StatsCommand,
  UnikernelCommand,
} from "./messages.ts";
import { readPolicy, writePolicy } from "./policy.ts";
import { readTime, writeTime } from "./time.ts";
import { readUnikernelConfig, writeUnikernelConfig } from "./unikernelConfig.ts";

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

function readStatsCommand(reader: DerReader, number: number): StatsCommand | null {
  switch (number) {
    case 0:
      return readStatsAdd(reader);
    case 1:
      reader.null("stats remove");
      return { class: "stats", command: "remove" };
    case 2:
      reader.null("stats subscribe");
      return { class: "stats", command: "subscribe" };
    case 3:
      reader.null("stats initial");
      return { class: "stats", command: "initial" };
    default:
      return null;
  }
}

function readStatsAdd(reader: DerReader): StatsCommand {
  const outer = reader.enter(Tag.sequence, "stats add");
  const vmmdev = reader.utf8("vmmdev");
  const pid = reader.integer("pid");
  const taps: { bridge: string; tap: string }[] = [];
  const list = reader.enter(Tag.sequence, "taps");
  while (reader.more()) {
    const one = reader.enter(Tag.sequence, "tap");
    taps.push({ bridge: reader.utf8("tap's bridge"), tap: reader.utf8("tap") });
    reader.leave(one, "tap");
  }
  reader.leave(list, "taps");
  reader.leave(outer, "stats add");
  return { class: "stats", command: "add", vmmdev, pid, taps };
}

function writeStatsCommand(writer: DerWriter, command: StatsCommand): void {
  switch (command.command) {
    case "remove":
      writeNull(writer, 1);
      break;
    case "subscribe":
      writeNull(writer, 2);
      break;
    case "initial":
      writeNull(writer, 3);
      break;
    case "add": {
      const outer = writer.open(context(0));
      const add = writer.open(Tag.sequence);
      writer.utf8(command.vmmdev);
      writer.integer(command.pid);
      const taps = writer.open(Tag.sequence);
      for (const { bridge, tap } of command.taps) {
        const one = writer.open(Tag.sequence);
        writer.utf8(bridge);
        writer.utf8(tap);
        writer.close(one);
      }
      writer.close(taps);
      writer.close(add);
      writer.close(outer);
    }
  }
}

function readUnikernelCommand(reader: DerReader, number: number): UnikernelCommand | null {
  switch (number) {
    case 3:
      reader.null("destroy");
      return { class: "unikernel", command: "destroy" };
    case 11:
      return { class: "unikernel", command: "get", compressionLevel: reader.integer("compression level") };
    case 14:
      return { class: "unikernel", command: "restart", arguments: readRestartArguments(reader) };
    case 15:
      reader.null("old_info4");
      return { class: "unikernel", command: "old_info4" };
    case 18:
      reader.null("old_info5");
      return { class: "unikernel", command: "old_info5" };
    case 19:
      reader.null("info");
      return { class: "unikernel", command: "info" };
    case 20:
      return { class: "unikernel", command: "create", config: readUnikernelConfig(reader) };
    case 21:
      return { class: "unikernel", command: "force_create", config: readUnikernelConfig(reader) };
    default:
      return null;
  }
}

/** `[0] NULL` restarts a unikernel as it was; `[1]` brings what to change, which is kept as it came. */
function readRestartArguments(reader: DerReader): Uint8Array | null {
  if (reader.peek() === context(0)) {
    const outer = reader.enter(context(0), "restart");
    reader.null("restart");
    reader.leave(outer, "restart");
    return null;
  }
  const outer = reader.enter(context(1), "restart arguments");
  const start = reader.pos;
  reader.skip("restart arguments");
  reader.leave(outer, "restart arguments");
  return reader.bytes.slice(start, reader.pos);
}

function writeUnikernelCommand(writer: DerWriter, command: UnikernelCommand): void {
  switch (command.command) {
    case "destroy":
      writeNull(writer, 3);
      break;
    case "get":
      writeInteger(writer, 11, command.compressionLevel);
      break;
    case "restart": {
      const outer = writer.open(context(14));
      const inner = writer.open(context(command.arguments === null ? 0 : 1));
      if (command.arguments === null) writer.null();
      else writer.raw(command.arguments);
      writer.close(inner);
      writer.close(outer);
      break;
    }
    case "old_info4":
      writeNull(writer, 15);
      break;
    case "old_info5":
      writeNull(writer, 18);
      break;
    case "info":
      writeNull(writer, 19);
      break;
    case "create":
    case "force_create": {
      const outer = writer.open(context(command.command === "create" ? 20 : 21));
      writeUnikernelConfig(writer, command.config);
      writer.close(outer);
    }
  }
}

function readPolicyCommand(reader: DerReader, number: number): PolicyCommand | null {
  switch (number) {
    case 0:
      reader.null("policy info");
      return { class: "policy", command: "info" };
    case 1:
      return { class: "policy", command: "add", policy: readPolicy(reader) };
    case 2:
      reader.null("policy remove");
      return { class: "policy", command: "remove" };
    default:
      return null;
  }
}

function writePolicyCommand(writer: DerWriter, command: PolicyCommand): void {
  switch (command.command) {
    case "info":
      writeNull(writer, 0);
      break;
    case "add": {
      const outer = writer.open(context(1));
      writePolicy(writer, command.policy);
      writer.close(outer);
      break;
    }
    case "remove":
      writeNull(writer, 2);
      break;
  }
}

function readBlockCommand(reader: DerReader, number: number): BlockCommand | null {
  switch (number) {
    case 0:
      reader.null("block info");
      return { class: "block", command: "info" };
    case 1:
      return { class: "block", command: "add", size: reader.integer("block size") };
    case 2:
      reader.null("block remove");
      return { class: "block", command: "remove" };
    case 3: {
      const outer = reader.enter(Tag.sequence, "block add");
      const size = reader.integer("block size");
      const compressed = reader.boolean("compressed");
      const data = reader.peek() === Tag.octetString ? reader.octets("block data") : null;
      reader.leave(outer, "block add");
      return { class: "block", command: "old_add", size, compressed, data };
    }
    case 4: {
      const outer = reader.enter(Tag.sequence, "block set");
      const compressed = reader.boolean("compressed");
      const data = reader.octets("block data");
      reader.leave(outer, "block set");
      return { class: "block", command: "old_set", compressed, data };
    }
    case 5:
      return { class: "block", command: "old_dump", compressionLevel: reader.integer("compression level") };
    case 6:
      return { class: "block", command: "dump", compressionLevel: reader.integer("compression level") };
    case 7:
      return { class: "block", command: "set", compressed: reader.boolean("compressed") };
    default:
      return null;
  }
}

function writeBlockCommand(writer: DerWriter, command: BlockCommand): void {
  switch (command.command) {
    case "info":
      writeNull(writer, 0);
      break;
    case "add":
      writeInteger(writer, 1, command.size);
      break;
    case "remove":
      writeNull(writer, 2);
      break;
    case "old_add": {
      const outer = writer.open(context(3));
      const inner = writer.open(Tag.sequence);
      writer.integer(command.size);
      writer.boolean(command.compressed);
      if (command.data !== null) writer.octets(command.data);
      writer.close(inner);
      writer.close(outer);
      break;
    }
    case "old_set": {
      const outer = writer.open(context(4));
      const inner = writer.open(Tag.sequence);
      writer.boolean(command.compressed);
      writer.octets(command.data);
      writer.close(inner);
      writer.close(outer);
      break;
    }
    case "old_dump":
      writeInteger(writer, 5, command.compressionLevel);
      break;
    case "dump":
      writeInteger(writer, 6, command.compressionLevel);
      break;
    case "set": {
      const outer = writer.open(context(7));
      writer.boolean(command.compressed);
      writer.close(outer);
    }
  }
}

function readConsoleCommand(reader: DerReader, number: number): ConsoleCommand | null {
  switch (number) {
    case 0:
      return { class: "console", command: "add", maxUnikernels: reader.integer("max unikernels") };
    case 2: {
      if (reader.peek() === context(0)) {
        const outer = reader.enter(context(0), "since");
        const sinceMs = readTime(reader, "since");
        reader.leave(outer, "since");
        return { class: "console", command: "subscribe", sinceMs };
      }
      const outer = reader.enter(context(1), "count");
      const count = reader.integer("count");
      reader.leave(outer, "count");
      return { class: "console", command: "subscribe", count };
    }
    case 3:
      reader.null("list inactive");
      return { class: "console", command: "list_inactive" };
    default:
      return null;
  }
}

function writeConsoleCommand(writer: DerWriter, command: ConsoleCommand): void {
  switch (command.command) {
    case "add":
      writeInteger(writer, 0, command.maxUnikernels);
      break;
    case "subscribe": {
      const outer = writer.open(context(2));
      if ("count" in command) {
        writeInteger(writer, 1, command.count);
      } else {
        const since = writer.open(context(0));
        writeTime(writer, command.sinceMs);
        writer.close(since);
      }
      writer.close(outer);
      break;
    }
    case "list_inactive":
      writeNull(writer, 3);
      break;
  }
}

function writeNull(writer: DerWriter, number: number): void {
  const outer = writer.open(context(number));
  writer.null();
  writer.close(outer);
}

function writeInteger(writer: DerWriter, number: number, value: number | bigint): void {
  const outer = writer.open(context(number));
  writer.integer(value);
  writer.close(outer);
}
