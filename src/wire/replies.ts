import type { DecodeOptions } from "./decodeOptions.ts";
import { context, type DerReader, type DerWriter, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import { readInfo, writeInfo } from "./info.ts";
import { internedNames } from "./internedNames.ts";
import { readEntries, readEntriesInSteps, readList, writeEntries } from "./lists.ts";
import type { InfoResult, Int64, NamedPolicy, Success } from "./messages.ts";
import { formatName, type Name, parseName } from "./names.ts";
import { readPolicy, writePolicy } from "./policy.ts";
import type { Steps } from "./steps.ts";

const RESULT_TAGS: Record<Success["result"], number> = {
  empty: 0,
  string: 1,
  policies: 2,
  block_devices: 4,
  unikernel_image: 6,
  old_block_device_image: 7,
  old_unikernel_info4: 9,
  block_device_image: 10,
  old_unikernel_info5: 11,
  consoles: 12,
  unikernel_info: 13,
};

/** Reads a name; throws a WireError "name" for an invalid one. */
export function readName(reader: DerReader, what: string): Name {
  const at = reader.pos;
  const name = reader.interned(Tag.utf8String, internedNames, what);
  if (name !== null) return name;
  reader.pos = at;
  return parseName(reader.utf8(what), at);
}

/** Reads what a successful command returned; throws a WireError "message" for a result Albatross 2.7 does not know. */
export function* readSuccess(reader: DerReader, options: DecodeOptions): Steps<Success> {
  const at = reader.pos;
  const { number, outer } = reader.enterContext("result");
  const success = yield* readResult(reader, number, options);
  if (success === null) throw new WireError("message", at, `result: there is no result [${number}]`);
  reader.leave(outer, "result");
  return success;
}

function* readResult(reader: DerReader, number: number, options: DecodeOptions): Steps<Success | null> {
  switch (number) {
    case RESULT_TAGS.empty:
      reader.null("empty result");
      return { type: "success", result: "empty" };
    case RESULT_TAGS.string:
      return { type: "success", result: "string", string: reader.utf8("result string") };
    case RESULT_TAGS.policies:
      return {
        type: "success",
        result: "policies",
        policies: readEntries(reader, Tag.sequence, "policies", readNamedPolicy),
      };
    case RESULT_TAGS.block_devices:
      return {
        type: "success",
        result: "block_devices",
        blockDevices: readEntries(reader, Tag.sequence, "block devices", readBlockDevice),
      };
    case RESULT_TAGS.unikernel_image:
      return { type: "success", result: "unikernel_image", ...readImage(reader) };
    case RESULT_TAGS.old_block_device_image:
      return { type: "success", result: "old_block_device_image", ...readImage(reader) };
    case RESULT_TAGS.block_device_image:
      return { type: "success", result: "block_device_image", compressed: reader.boolean("compressed") };
    case RESULT_TAGS.old_unikernel_info4:
      return yield* readInfos(reader, "old_unikernel_info4", options);
    case RESULT_TAGS.old_unikernel_info5:
      return yield* readInfos(reader, "old_unikernel_info5", options);
    case RESULT_TAGS.unikernel_info:
      return yield* readInfos(reader, "unikernel_info", options);
    case RESULT_TAGS.consoles:
      return {
        type: "success",
        result: "consoles",
        names: readList(reader, Tag.sequence, "consoles", (r) => readName(r, "console name")),
      };
    default:
      return null;
  }
}

function* readInfos(reader: DerReader, result: InfoResult, options: DecodeOptions): Steps<Success> {
  const unikernels = yield* readEntriesInSteps(reader, Tag.sequence, "unikernels", (r) => ({
    name: readName(r, "unikernel name"),
    info: readInfo(r, result, options),
  }));
  return { type: "success", result, unikernels };
}

function readNamedPolicy(reader: DerReader): NamedPolicy {
  return { name: readName(reader, "policy name"), policy: readPolicy(reader) };
}

function readBlockDevice(reader: DerReader): { name: Name; size: Int64; active: boolean } {
  return {
    name: readName(reader, "block device name"),
    size: reader.integer("block device size"),
    active: reader.boolean("block device active"),
  };
}

function readImage(reader: DerReader): { compressed: boolean; image: Uint8Array } {
  const outer = reader.enter(Tag.sequence, "image");
  const image = { compressed: reader.boolean("compressed"), image: reader.octets("image") };
  reader.leave(outer, "image");
  return image;
}

export function writeSuccess(writer: DerWriter, success: Success): void {
  const outer = writer.open(context(RESULT_TAGS[success.result]));
  switch (success.result) {
    case "empty":
      writer.null();
      break;
    case "string":
      writer.utf8(success.string);
      break;
    case "policies":
      writeEntries(writer, Tag.sequence, success.policies, (w, { name, policy }) => {
        w.utf8(formatName(name));
        writePolicy(w, policy);
      });
      break;
    case "unikernel_info":
    case "old_unikernel_info4":
    case "old_unikernel_info5":
      writeEntries(writer, Tag.sequence, success.unikernels, (w, { name, info }) => {
        w.utf8(formatName(name));
        writeInfo(w, success.result, info);
      });
      break;
    case "unikernel_image":
    case "old_block_device_image": {
      const image = writer.open(Tag.sequence);
      writer.boolean(success.compressed);
      writer.octets(success.image);
      writer.close(image);
      break;
    }
    case "block_device_image":
      writer.boolean(success.compressed);
      break;
    case "block_devices":
      writeEntries(writer, Tag.sequence, success.blockDevices, (w, { name, size, active }) => {
        w.utf8(formatName(name));
        w.integer(size);
        w.boolean(active);
      });
      break;
    case "consoles": {
      const names = writer.open(Tag.sequence);
      for (const name of success.names) writer.utf8(formatName(name));
      writer.close(names);
      break;
    }
  }
  writer.close(outer);
}
