import { context, type DerReader, type DerWriter, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import type { Data } from "./messages.ts";
import { readStats, readStatsByStructure, writeStats } from "./stats.ts";

const STATISTICS = 1;
const CONSOLE = 3;
const BLOCK = 4;

/**
 * Reads a data message. Tags other than 2.7's are read by structure, so that statistics of a newer Albatross are
 * understood and anything else becomes data "unknown"; only a bare NULL (the dropped log of older protocols) is refused.
 */
export function readData(reader: DerReader): Data {
  const at = reader.pos;
  const { number, outer } = reader.enterContext("data");
  let data: Data;
  switch (number) {
    case STATISTICS:
      data = { type: "data", data: "stats", stats: readStats(reader) };
      break;
    case CONSOLE:
      data = readConsoleData(reader);
      break;
    case BLOCK:
      data = readBlockData(reader);
      break;
    default:
      data = readOtherData(reader, number, at);
  }
  reader.leave(outer, "data");
  return data;
}

function readConsoleData(reader: DerReader): Data {
  const outer = reader.enter(Tag.sequence, "console data");
  const timestampMs = reader.time("console timestamp");
  const line = reader.utf8("console line");
  reader.leave(outer, "console data");
  return { type: "data", data: "console", timestampMs, line };
}

function readBlockData(reader: DerReader): Data {
  if (reader.peek() === context(1)) {
    const outer = reader.enter(context(1), "end of block data");
    reader.null("end of block data");
    reader.leave(outer, "end of block data");
    return { type: "data", data: "block", block: null };
  }
  const outer = reader.enter(context(0), "block data");
  const block = reader.octets("block data");
  reader.leave(outer, "block data");
  return { type: "data", data: "block", block };
}

function readOtherData(reader: DerReader, tag: number, at: number): Data {
  const first = reader.peek();
  if (first === -1 || (first === Tag.null && reader.end - reader.pos === 2)) {
    throw new WireError("message", at, `data: [${tag}] holds nothing`);
  }
  const stats = readStatsByStructure(reader);
  return stats === null ? { type: "data", data: "unknown", tag } : { type: "data", data: "stats", stats };
}

/** Writes a data message; throws a TypeError for data "unknown", of which only the tag is known. */
export function writeData(writer: DerWriter, data: Data): void {
  switch (data.data) {
    case "stats": {
      const outer = writer.open(context(STATISTICS));
      writeStats(writer, data.stats);
      writer.close(outer);
      break;
    }
    case "console": {
      const outer = writer.open(context(CONSOLE));
      const inner = writer.open(Tag.sequence);
      writer.time(data.timestampMs);
      writer.utf8(data.line);
      writer.close(inner);
      writer.close(outer);
      break;
    }
    case "block": {
      const outer = writer.open(context(BLOCK));
      const inner = writer.open(context(data.block === null ? 1 : 0));
      if (data.block === null) writer.null();
      else writer.octets(data.block);
      writer.close(inner);
      writer.close(outer);
      break;
    }
    case "unknown":
      throw new TypeError(`data of the unknown kind [${data.tag}] cannot be written`);
  }
}
