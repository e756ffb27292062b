/** Every byte that the clients send is made here: subscribe, unikernel info, policy info, and nothing else. */

import { encodeFrame } from "../wire/framing.ts";
import {
  encodeMessage,
  type InfoCommand,
  type Message,
  policyInfoCommand,
  subscribeCommand,
  unikernelInfoCommand,
} from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";

declare const request: unique symbol;
/** A framed request. Only this file makes them, and a connection sends nothing else. */
export type Request = Buffer & { readonly [request]: true };

/** There is one command per connection, so its number tells replies apart from nothing: any will do. */
const SEQUENCE = 1;

/** Asks albatross-stats for the statistics of what `slot` covers. */
export function subscribeRequest(slot: Name): Request {
  return frame(subscribeCommand(slot, SEQUENCE));
}

/** Asks albatrossd about the unikernels under a path, or about one. */
export function infoRequest(name: Name, command: InfoCommand): Request {
  return frame(unikernelInfoCommand(name, SEQUENCE, command));
}

/** Asks albatrossd for the policies of a path and of those below it. */
export function policyRequest(path: Name): Request {
  return frame(policyInfoCommand(path, SEQUENCE));
}

function frame(message: Message): Request {
  return encodeFrame(encodeMessage(message)) as Request;
}
