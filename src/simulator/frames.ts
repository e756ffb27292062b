import type { Socket } from "node:net";
import { WireError } from "../wire/errors.ts";
import { encodeFrame, FrameReader } from "../wire/framing.ts";
import { decodeMessage, encodeMessage, type Message } from "../wire/messages.ts";

/** More than the images have that anybody tries here. */
export const MAX_COMMAND_BYTES = 256 * 1_048_576;

/** A message as it goes over a socket, length prefix included. */
export function frameOf(message: Message): Buffer {
  return encodeFrame(encodeMessage(message));
}

/**
 * Calls back for every message a client sends, which is a view of what came and good until the callback returns. A
 * client that sends what is no message is cut off, as by Albatross, and `onDamage` called.
 */
export function onMessages(
  socket: Socket,
  callback: (message: Message) => void,
  onDamage: (error: WireError) => void = () => undefined,
): void {
  const reader = new FrameReader(MAX_COMMAND_BYTES);
  socket.on("data", (chunk: Buffer) => {
    try {
      reader.push(chunk, (frame) => {
        if (!socket.destroyed) callback(decodeMessage(frame));
      });
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      socket.destroy();
      onDamage(error);
    }
  });
}
