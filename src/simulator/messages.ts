/** The messages of the other side: a simulated host's answers, and the questions of its rivals. */
import { deflateSync } from "node:zlib";
import type { Header, InfoCommand, Int64, Message, NamedInfo, NamedPolicy } from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";

const INFO_RESULTS = {
  info: "unikernel_info",
  old_info5: "old_unikernel_info5",
  old_info4: "old_unikernel_info4",
} as const satisfies Record<InfoCommand, string>;

export function makeHeader(to: Name, sequenceNumber: Int64 = 0): Header {
  return { version: 5, sequence: sequenceNumber, name: to };
}

/** Subscribes to the statistics of every unikernel at or below `to`. */
export function subscribeCommand(to: Name, sequenceNumber: Int64 = 0): Message {
  const command = { class: "stats", command: "subscribe" } as const;
  return { header: makeHeader(to, sequenceNumber), payload: { type: "command", command } };
}

/** A reply carries the header of the command it answers. */
export function successString(to: Header, string: string): Message {
  return { header: to, payload: { type: "success", result: "string", string } };
}

export function failureReply(to: Header, text: string): Message {
  return { header: to, payload: { type: "failure", message: text } };
}

/** Answers an info command of any age in that command's shape. */
export function unikernelInfoReply(
  to: Header,
  listed: readonly NamedInfo[],
  age: InfoCommand = "info",
): Message {
  return { header: to, payload: { type: "success", result: INFO_RESULTS[age], unikernels: listed } };
}

export function policiesReply(to: Header, policies: readonly NamedPolicy[]): Message {
  return { header: to, payload: { type: "success", result: "policies", policies } };
}

/** As albatrossd answers get: level 0 is the image itself, the others are zlib's. */
export function imageReply(to: Header, image: Uint8Array, level: Int64): Message {
  const compressed = Number(level) > 0;
  const bytes = compressed ? deflateSync(image, { level: Math.min(Number(level), 9) }) : image;
  return { header: to, payload: { type: "success", result: "unikernel_image", compressed, image: bytes } };
}
