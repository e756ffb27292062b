import { context, type DerReader, type DerWriter } from "./der.ts";
import type { ConsoleCommand } from "./messages.ts";
import { writeTaggedInteger, writeTaggedNull } from "./tagged.ts";

/** Reads the console command with this tag number; null when there is none. */
export function readConsoleCommand(reader: DerReader, number: number): ConsoleCommand | null {
  switch (number) {
    case 0:
      return { class: "console", command: "add", maxUnikernels: reader.integer("max unikernels") };
    case 2: {
      if (reader.peek() === context(0)) {
        const outer = reader.enter(context(0), "since");
        const sinceMs = reader.time("since");
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

export function writeConsoleCommand(writer: DerWriter, command: ConsoleCommand): void {
  switch (command.command) {
    case "add":
      writeTaggedInteger(writer, 0, command.maxUnikernels);
      break;
    case "subscribe": {
      const outer = writer.open(context(2));
      if ("count" in command) {
        writeTaggedInteger(writer, 1, command.count);
      } else {
        const since = writer.open(context(0));
        writer.time(command.sinceMs);
        writer.close(since);
      }
      writer.close(outer);
      break;
    }
    case "list_inactive":
      writeTaggedNull(writer, 3);
      break;
  }
}
