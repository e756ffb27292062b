import type { Socket } from "node:net";
import { WireError } from "../wire/errors.ts";
import { encodeFrame, FrameReader } from "../wire/framing.ts";
import { decodeMessage, encodeMessage, type Message } from "../wire/messages.ts";

/** Longer than any command the simulator understands. An image of a unikernel to create is not among those. */
const MAX_COMMAND_BYTES = 1_048_576;

/** A message as it goes over a socket, length prefix included. */
export function frameOf(message: Message): Buffer {
  return encodeFrame(encodeMessage(message));
}

/** Calls back for every message a client sends. A client that sends what is no message is cut off, as by Albatross. */
export function onMessages(socket: Socket, callback: (message: Message) => void): void {
  const reader = new FrameReader(MAX_COMMAND_BYTES);
  socket.on("data", (chunk: Buffer) => {
    try {
      reader.push(chunk, (frame) => {
        if (!socket.destroyed) callback(decodeMessage(frame));
      });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      socket.destroy();
    }
  });
}
