/** Every byte that the clients send is made here: subscribe, unikernel info, policy info, and nothing else. */

import { encodeFrame } from "../wire/framing.ts";
import { type Command, encodeMessage, type InfoCommand } from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";

declare const request: unique symbol;
/** A framed request. Only this file makes them, and a connection sends nothing else. */
export type Request = Buffer & { readonly [request]: true };

/** There is one command per connection, so its number tells replies apart from nothing: any will do. */
const SEQUENCE = 1;

/** Asks albatross-stats for the statistics of what `subscription` covers. */
export function subscribeRequest(subscription: Name): Request {
  return asking(subscription, { class: "stats", command: "subscribe" });
}

/** Asks albatrossd about the unikernels under a path, or about one. */
export function infoRequest(name: Name, command: InfoCommand): Request {
  return asking(name, { class: "unikernel", command });
}

/** Asks albatrossd for the policies of a path and of those below it. */
export function policyRequest(path: Name): Request {
  return asking(path, { class: "policy", command: "info" });
}

function asking(name: Name, command: Command): Request {
  const header = { version: 5, sequence: SEQUENCE, name } as const;
  return encodeFrame(encodeMessage({ header, payload: { type: "command", command } })) as Request;
}
