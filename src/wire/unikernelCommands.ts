import { context, copyOf, type DerReader, type DerWriter } from "./der.ts";
import type { UnikernelCommand } from "./messages.ts";
import { writeTaggedInteger, writeTaggedNull } from "./tagged.ts";
import { readUnikernelConfig, writeUnikernelConfig } from "./unikernelConfig.ts";

/** Reads the unikernel command with this tag number; null when there is none. */
export function readUnikernelCommand(reader: DerReader, number: number): UnikernelCommand | null {
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
  const { pos: end } = reader;
  reader.leave(outer, "restart arguments");
  return copyOf(reader.bytes.subarray(start, end));
}

export function writeUnikernelCommand(writer: DerWriter, command: UnikernelCommand): void {
  switch (command.command) {
    case "destroy":
      writeTaggedNull(writer, 3);
      break;
    case "get":
      writeTaggedInteger(writer, 11, command.compressionLevel);
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
      writeTaggedNull(writer, 15);
      break;
    case "old_info5":
      writeTaggedNull(writer, 18);
      break;
    case "info":
      writeTaggedNull(writer, 19);
      break;
    case "create":
    case "force_create": {
      const outer = writer.open(context(command.command === "create" ? 20 : 21));
      writeUnikernelConfig(writer, command.config);
      writer.close(outer);
    }
  }
}
