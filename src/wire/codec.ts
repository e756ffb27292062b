import { readCommand, writeCommand } from "./commands.ts";
import { readData, writeData } from "./data.ts";
import type { DecodeOptions } from "./decodeOptions.ts";
import { context, DerReader, DerWriter, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import type { Header, Message, Payload } from "./messages.ts";
import { formatName } from "./names.ts";
import { readName, readSuccess, writeSuccess } from "./replies.ts";
import { decodeUsualStats } from "./statsFast.ts";
import { atOnce, type Steps } from "./steps.ts";

export * from "./constructors.ts";
export type { DecodeOptions } from "./decodeOptions.ts";

const WIRE_VERSION = 5;
const COMMAND = context(0);
const SUCCESS = context(1);
const FAILURE = context(2);
const DATA = context(3);

/**
 * Decodes one message: the content of a frame. Images and block data are views of `frame`, everything else is copied.
 * Throws a WireError "der", "version", "name" or "message", never anything else.
 */
export function decodeMessage(frame: Uint8Array, options: DecodeOptions = {}): Message {
  return decodeUsualStats(frame) ?? decodeAnyMessage(frame, options);
}

/** As `decodeMessage`, without the short cut for statistics: the rule that the short cut is tested against. */
export function decodeAnyMessage(frame: Uint8Array, options: DecodeOptions = {}): Message {
  return atOnce(decodeInSteps(frame, options));
}

/**
 * As `decodeMessage`, in steps: info about 10,000 unikernels takes 50 ms to decode, and whoever has other work pauses
 * between two of them. `frame` must stay as it is until the last.
 */
export function* decodeInSteps(frame: Uint8Array, options: DecodeOptions = {}): Steps<Message> {
  const reader = new DerReader(frame);
  const outer = reader.enter(Tag.sequence, "message");
  if (reader.end !== outer) {
    throw new WireError(
      "der",
      reader.end,
      `message: expected its end, found ${outer - reader.end} more bytes`,
    );
  }
  const header = readHeader(reader);
  const payload = yield* readPayload(reader, options);
  reader.leave(outer, "message");
  return { header, payload };
}

function readHeader(reader: DerReader): Header {
  const outer = reader.enter(Tag.sequence, "header");
  const at = reader.pos;
  const version = reader.integer("version");
  if (version !== WIRE_VERSION) {
    throw new WireError("version", at, `version: expected ${WIRE_VERSION}, found ${version}`);
  }
  const sequence = reader.int64("sequence");
  const name = readName(reader, "name");
  reader.leave(outer, "header");
  return { version, sequence, name };
}

function* readPayload(reader: DerReader, options: DecodeOptions): Steps<Payload> {
  const tag = reader.peek();
  const at = reader.pos;
  const outer = reader.enter(tag, "payload");
  let payload: Payload;
  switch (tag) {
    case COMMAND:
      payload = { type: "command", command: readCommand(reader) };
      break;
    case SUCCESS:
      payload = yield* readSuccess(reader, options);
      break;
    case FAILURE:
      payload = { type: "failure", message: reader.utf8("failure") };
      break;
    case DATA:
      payload = readData(reader);
      break;
    default:
      throw new WireError("message", at, `payload: expected [0] to [3], found tag 0x${tag.toString(16)}`);
  }
  reader.leave(outer, "payload");
  return payload;
}

/** Encodes one message, without its length prefix. Throws a TypeError for data "unknown". */
export function encodeMessage(message: Message): Buffer {
  const writer = new DerWriter();
  const outer = writer.open(Tag.sequence);
  const header = writer.open(Tag.sequence);
  writer.integer(message.header.version);
  writer.int64(message.header.sequence);
  writer.utf8(formatName(message.header.name));
  writer.close(header);
  writePayload(writer, message.payload);
  writer.close(outer);
  return writer.finish();
}

function writePayload(writer: DerWriter, payload: Payload): void {
  switch (payload.type) {
    case "command": {
      const outer = writer.open(COMMAND);
      writeCommand(writer, payload.command);
      writer.close(outer);
      break;
    }
    case "success": {
      const outer = writer.open(SUCCESS);
      writeSuccess(writer, payload);
      writer.close(outer);
      break;
    }
    case "failure": {
      const outer = writer.open(FAILURE);
      writer.utf8(payload.message);
      writer.close(outer);
      break;
    }
    case "data": {
      const outer = writer.open(DATA);
      writeData(writer, payload);
      writer.close(outer);
    }
  }
}
