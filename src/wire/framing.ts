import { WireError } from "./errors.ts";

export const LENGTH_PREFIX_BYTES = 4;
/** Two chunks of a socket. A buffer of up to this size is kept for the next cut frame. */
const KEPT_BUFFER_BYTES = 128 * 1024;
const EMPTY = Buffer.alloc(0);

export function encodeFrame(der: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(LENGTH_PREFIX_BYTES + der.length);
  frame.writeInt32BE(der.length, 0);
  frame.set(der, LENGTH_PREFIX_BYTES);
  return frame;
}

/**
 * Cuts a stream of chunks into frames. One that lies whole in a chunk is handed on as a slice of it; one that is cut is put
 * together in a buffer that grows to at most twice what has arrived. So a frame is good only until the callback returns.
 */
export class FrameReader {
  readonly #maxFrameBytes: number;
  /** the start of a cut frame, length prefix included, in its first `#held` bytes */
  #buffer = EMPTY;
  #held = 0;
  #frameOffset = 0;
  #damage: WireError | null = null;

  /** `maxFrameBytes`: the longest message taken, without its length prefix. */
  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** bytes of an unfinished frame that are kept until the rest arrives */
  get pendingBytes(): number {
    return this.#held;
  }

  /** Where the length prefix of the next frame (in a callback: of this one) lies in the stream. */
  get frameOffset(): number {
    return this.#frameOffset;
  }

  /**
   * Calls `onFrame` with each message that `chunk` completes. Throws a WireError "frame_length" or "frame_too_long" for a
   * length prefix out of range, after the frames before it, and from then on. What a callback throws ends the stream, too.
   */
  push(chunk: Uint8Array, onFrame: (frame: Buffer) => void): void {
    if (this.#damage !== null) throw this.#damage;
    const bytes = this.#joined(chunk);
    let at = 0;
    while (bytes.length - at >= LENGTH_PREFIX_BYTES) {
      const next = at + LENGTH_PREFIX_BYTES + this.#checkedLength(bytes.readInt32BE(at));
      if (next > bytes.length) break;
      onFrame(bytes.subarray(at + LENGTH_PREFIX_BYTES, next));
      this.#frameOffset += next - at;
      at = next;
    }
    this.#hold(bytes.subarray(at));
  }

  /** Throws a WireError "truncated" when the stream ended inside a frame. */
  end(): void {
    if (this.#held === 0) return;
    const expected =
      this.#held < LENGTH_PREFIX_BYTES
        ? "a length prefix of 4 bytes"
        : `${LENGTH_PREFIX_BYTES + this.#buffer.readInt32BE(0)} bytes with the length prefix`;
    throw new WireError(
      "truncated",
      this.#frameOffset,
      `the stream ends inside a frame: expected ${expected}, found ${this.#held}`,
    );
  }

  /** The held bytes, which are none then, and the chunk. */
  #joined(chunk: Uint8Array): Buffer {
    const held = this.#held;
    this.#held = 0;
    if (held === 0) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const needed = held + chunk.length;
    if (needed > this.#buffer.length) {
      const isKnown = held >= LENGTH_PREFIX_BYTES;
      const frame = isKnown ? LENGTH_PREFIX_BYTES + this.#buffer.readInt32BE(0) : 0;
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(needed * 2, frame)));
      this.#buffer.copy(grown, 0, 0, held);
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, held);
    return this.#buffer.subarray(0, needed);
  }

  #hold(rest: Buffer): void {
    this.#held = rest.length;
    const { buffer, byteOffset, length } = this.#buffer;
    if (rest.buffer === buffer && rest.byteOffset === byteOffset) return;
    if (rest.length > length || length > KEPT_BUFFER_BYTES)
      this.#buffer = Buffer.allocUnsafeSlow(rest.length);
    rest.copy(this.#buffer);
  }

  #checkedLength(length: number): number {
    if (length > 0 && length <= this.#maxFrameBytes) return length;
    this.#damage = new WireError(
      length > 0 ? "frame_too_long" : "frame_length",
      this.#frameOffset,
      `frame length: expected 1 to ${this.#maxFrameBytes}, found ${length}`,
    );
    this.#buffer = EMPTY;
    throw this.#damage;
  }
}
