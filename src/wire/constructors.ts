/** The messages this project sends: a client's questions, and a simulated host's answers. */
import type {
  Header,
  InfoCommand,
  InfoResult,
  Int64,
  Message,
  NamedInfo,
  NamedPolicy,
  Stats,
} from "./messages.ts";
import type { Name } from "./names.ts";

export function makeHeader(name: Name, sequence: Int64 = 0): Header {
  return { version: 5, sequence, name };
}

/** Subscribes to the statistics of every unikernel at or below `name`. */
export function subscribeCommand(name: Name, sequence: Int64 = 0): Message {
  return {
    header: makeHeader(name, sequence),
    payload: { type: "command", command: { class: "stats", command: "subscribe" } },
  };
}

/** Asks for unikernel info; `old_info5` and `old_info4` are for daemons before 2.7. */
export function unikernelInfoCommand(
  name: Name,
  sequence: Int64 = 0,
  command: InfoCommand = "info",
): Message {
  return {
    header: makeHeader(name, sequence),
    payload: { type: "command", command: { class: "unikernel", command } },
  };
}

export function policyInfoCommand(name: Name, sequence: Int64 = 0): Message {
  return {
    header: makeHeader(name, sequence),
    payload: { type: "command", command: { class: "policy", command: "info" } },
  };
}

/** One sample, as albatross-stats pushes it: its sequence number is always 0. */
export function statsMessage(name: Name, stats: Stats): Message {
  return { header: makeHeader(name), payload: { type: "data", data: "stats", stats } };
}

/** A reply carries the header of the command it answers. */
export function successString(header: Header, text: string): Message {
  return { header, payload: { type: "success", result: "string", string: text } };
}

export function successEmpty(header: Header): Message {
  return { header, payload: { type: "success", result: "empty" } };
}

export function failureReply(header: Header, message: string): Message {
  return { header, payload: { type: "failure", message } };
}

const INFO_RESULTS: Record<InfoCommand, InfoResult> = {
  info: "unikernel_info",
  old_info5: "old_unikernel_info5",
  old_info4: "old_unikernel_info4",
};

/** Answers an info command of any age in that command's shape. */
export function unikernelInfoReply(
  header: Header,
  unikernels: readonly NamedInfo[],
  command: InfoCommand = "info",
): Message {
  return { header, payload: { type: "success", result: INFO_RESULTS[command], unikernels } };
}

export function policiesReply(header: Header, policies: readonly NamedPolicy[]): Message {
  return { header, payload: { type: "success", result: "policies", policies } };
}
