import { context, type DerReader, type DerWriter, Tag } from "./der.ts";
import type { BlockCommand } from "./messages.ts";
import { writeTaggedInteger, writeTaggedNull } from "./tagged.ts";

/** Reads the block device command with this tag number; null when there is none. */
export function readBlockCommand(reader: DerReader, number: number): BlockCommand | null {
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

export function writeBlockCommand(writer: DerWriter, command: BlockCommand): void {
  switch (command.command) {
    case "info":
      writeTaggedNull(writer, 0);
      break;
    case "add":
      writeTaggedInteger(writer, 1, command.size);
      break;
    case "remove":
      writeTaggedNull(writer, 2);
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
      writeTaggedInteger(writer, 5, command.compressionLevel);
      break;
    case "dump":
      writeTaggedInteger(writer, 6, command.compressionLevel);
      break;
    case "set": {
      const outer = writer.open(context(7));
      writer.boolean(command.compressed);
      writer.close(outer);
    }
  }
}
