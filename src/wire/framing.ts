import { WireError } from "./errors.ts";

export const LENGTH_PREFIX_BYTES = 4;
/** A buffer for cut frames up to this size is kept for the next one; a larger one is given back. */
const KEPT_BUFFER_BYTES = 64 * 1024;
const EMPTY = Buffer.alloc(0);

/** Puts the length prefix before a message. */
export function encodeFrame(der: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(LENGTH_PREFIX_BYTES + der.length);
  frame.writeInt32BE(der.length, 0);
  frame.set(der, LENGTH_PREFIX_BYTES);
  return frame;
}

/**
 * Cuts a stream of chunks into frames. A frame that lies whole in a chunk is handed on as a slice of it; one that is
 * cut is put together in a buffer that grows as bytes arrive, at most to twice what has arrived. So a frame is good
 * only until the callback returns: copy what must live longer.
 */
export class FrameReader {
  readonly #maxFrameBytes: number;
  /** holds the start of a cut frame, length prefix included, in its first `#held` bytes */
  #buffer = EMPTY;
  #held = 0;
  #frameOffset = 0;
  #generation = 0;
  #damage: WireError | null = null;

  /** `maxFrameBytes`: the longest message taken, without its length prefix. */
  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  /** Bytes of an unfinished frame that are kept until the rest arrives. */
  get pendingBytes(): number {
    return this.#held;
  }

  /**
   * Where the next frame's length prefix lies in the stream since the start or the last `reset`; during a callback,
   * where that frame's own does.
   */
  get frameOffset(): number {
    return this.#frameOffset;
  }

  /**
   * Calls `onFrame` with each message that `chunk` completes, in order. Throws a WireError "frame_length" or
   * "frame_too_long" when a length prefix is out of range, after the frames before it were handed on and before
   * anything is allocated; from then on every push throws the same error until `reset`. A callback may call `reset`:
   * the rest of the chunk is dropped. What a callback throws comes out of push; the rest of the chunk is dropped and the
   * reader reset then too.
   */
  push(chunk: Uint8Array, onFrame: (frame: Buffer) => void): void {
    if (this.#damage !== null) throw this.#damage;
    const generation = this.#generation;
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = this.#held > 0 ? this.#completeHeld(bytes, onFrame) : 0;
    while (this.#generation === generation && bytes.length - at >= LENGTH_PREFIX_BYTES) {
      const total = LENGTH_PREFIX_BYTES + this.#checkedLength(bytes.readInt32BE(at));
      if (bytes.length - at < total) break;
      this.#handOn(bytes.subarray(at + LENGTH_PREFIX_BYTES, at + total), onFrame);
      at += total;
    }
    if (this.#generation === generation && at < bytes.length) {
      this.#hold(bytes, at, bytes.length, bytes.length - at);
    }
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

  /** Forgets everything: the next byte is the first of a stream. */
  reset(): void {
    this.#buffer = EMPTY;
    this.#held = 0;
    this.#frameOffset = 0;
    this.#damage = null;
    this.#generation++;
  }

  /** Adds to the cut frame what it lacks, hands it on when it is whole, and returns how many bytes of the chunk it took. */
  #completeHeld(bytes: Buffer, onFrame: (frame: Buffer) => void): number {
    let at = 0;
    if (this.#held < LENGTH_PREFIX_BYTES) {
      at = Math.min(LENGTH_PREFIX_BYTES - this.#held, bytes.length);
      this.#hold(bytes, 0, at, LENGTH_PREFIX_BYTES);
      if (this.#held < LENGTH_PREFIX_BYTES) return at;
    }
    const total = LENGTH_PREFIX_BYTES + this.#checkedLength(this.#buffer.readInt32BE(0));
    const until = Math.min(at + total - this.#held, bytes.length);
    this.#hold(bytes, at, until, total);
    if (this.#held === total) {
      const frame = this.#buffer.subarray(LENGTH_PREFIX_BYTES, total);
      this.#held = 0;
      if (this.#buffer.length > KEPT_BUFFER_BYTES) this.#buffer = EMPTY;
      this.#handOn(frame, onFrame);
    }
    return until;
  }

  #handOn(frame: Buffer, onFrame: (frame: Buffer) => void): void {
    const generation = this.#generation;
    try {
      onFrame(frame);
    } catch (error) {
      this.reset();
      throw error;
    }
    if (this.#generation === generation) this.#frameOffset += LENGTH_PREFIX_BYTES + frame.length;
  }

  /** Appends part of a chunk to the held bytes; `limit` is what the buffer will ever have to hold. */
  #hold(bytes: Buffer, from: number, until: number, limit: number): void {
    const needed = this.#held + until - from;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(needed * 2, limit)));
      this.#buffer.copy(grown, 0, 0, this.#held);
      this.#buffer = grown;
    }
    bytes.copy(this.#buffer, this.#held, from, until);
    this.#held = needed;
  }

  #checkedLength(length: number): number {
    if (length > 0 && length <= this.#maxFrameBytes) return length;
    this.#damage = new WireError(
      length > 0 ? "frame_too_long" : "frame_length",
      this.#frameOffset,
      `frame length: expected 1 to ${this.#maxFrameBytes}, found ${length}`,
    );
    this.#buffer = EMPTY;
    this.#held = 0;
    throw this.#damage;
  }
}
