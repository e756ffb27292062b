import { context, type DerReader, type DerWriter, Tag } from "./der.ts";
import { readEntries, writeEntries } from "./lists.ts";
import type { StatsCommand } from "./messages.ts";
import { writeTaggedNull } from "./tagged.ts";

/** Reads the statistics command with this tag number; null when there is none. */
export function readStatsCommand(reader: DerReader, number: number): StatsCommand | null {
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
  const taps = readEntries(reader, Tag.sequence, "taps", (r) => ({
    bridge: r.utf8("tap's bridge"),
    tap: r.utf8("tap"),
  }));
  reader.leave(outer, "stats add");
  return { class: "stats", command: "add", vmmdev, pid, taps };
}

export function writeStatsCommand(writer: DerWriter, command: StatsCommand): void {
  switch (command.command) {
    case "remove":
      writeTaggedNull(writer, 1);
      break;
    case "subscribe":
      writeTaggedNull(writer, 2);
      break;
    case "initial":
      writeTaggedNull(writer, 3);
      break;
    case "add": {
      const outer = writer.open(context(0));
      const add = writer.open(Tag.sequence);
      writer.utf8(command.vmmdev);
      writer.integer(command.pid);
      writeEntries(writer, Tag.sequence, command.taps, (w, { bridge, tap }) => {
        w.utf8(bridge);
        w.utf8(tap);
      });
      writer.close(add);
      writer.close(outer);
    }
  }
}
