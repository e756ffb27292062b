import { commandToJson } from "./commandsJson.ts";
import { hexToJson, type JsonObject, timeToJson } from "./jsonValues.ts";
import { type Data, type Message, type Payload, statsToJson } from "./messages.ts";
import { formatName, type Name } from "./names.ts";
import { successToJson } from "./repliesJson.ts";

export type { JsonObject, JsonValue } from "./jsonValues.ts";

/**
 * A message in the shape that `decode` prints: field names as in the protocol, 64-bit values as signed decimal strings,
 * other integers as numbers up to 2^53 and strings beyond, octets in hex, times in RFC 3339.
 */
export function messageToJson(message: Message): JsonObject {
  const { version, sequence, name } = message.header;
  return {
    header: { version, sequence: String(sequence), ...nameToJson(name) },
    payload: payloadToJson(message.payload),
  };
}

/** A name as text and in its parts. */
export function nameToJson(name: Name): { name: string; path: readonly string[]; label: string | null } {
  return { name: formatName(name), path: name.path, label: name.label };
}

function payloadToJson(payload: Payload): JsonObject {
  switch (payload.type) {
    case "command":
      return { type: "command", ...commandToJson(payload.command) };
    case "success":
      return successToJson(payload);
    case "failure":
      return { type: "failure", message: payload.message };
    case "data":
      return dataToJson(payload);
  }
}

function dataToJson(data: Data): JsonObject {
  switch (data.data) {
    case "stats":
      return { type: "data", data: "stats", ...statsToJson(data.stats) };
    case "console":
      return { type: "data", data: "console", timestamp: timeToJson(data.timestampMs), line: data.line };
    case "block":
      return { type: "data", data: "block", block: data.block === null ? null : hexToJson(data.block) };
    case "unknown":
      return { type: "data", data: "unknown", tag: data.tag };
  }
}
