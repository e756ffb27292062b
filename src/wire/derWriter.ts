import { Tag } from "./der.ts";
import type { Int64 } from "./messages.ts";

const INITIAL_BYTES = 512;

/** Writes DER front to back. What is opened must be closed, innermost first. */
export class DerWriter {
  #bytes = Buffer.allocUnsafe(INITIAL_BYTES);
  #length = 0;

  /** Starts a constructed element; the result belongs into `close`. */
  open(tag: number): number {
    this.#reserve(2);
    this.#bytes[this.#length++] = tag;
    this.#length++;
    return this.#length;
  }

  /** Ends a constructed element: fills its length in, moving the content up when that takes more than one byte. */
  close(start: number): void {
    const length = this.#length - start;
    if (length < 0x80) {
      this.#bytes[start - 1] = length;
      return;
    }
    const extra = byteCount(length);
    this.#reserve(extra);
    this.#bytes.copyWithin(start + extra, start, this.#length);
    this.#length += extra;
    this.#bytes[start - 1] = 0x80 | extra;
    this.#bytes.writeUIntBE(length, start, extra);
  }

  null(): void {
    this.#primitive(Tag.null, 0);
  }

  boolean(value: boolean): void {
    this.#primitive(Tag.boolean, 1);
    this.#bytes[this.#length++] = value ? 0xff : 0;
  }

  integer(value: Int64): void {
    const big = BigInt(value);
    let count = 1;
    while (BigInt.asIntN(count * 8, big) !== big) count++;
    this.#primitive(Tag.integer, count);
    for (let shift = (count - 1) * 8; shift >= 0; shift -= 8) {
      this.#bytes[this.#length++] = Number((big >> BigInt(shift)) & 0xffn);
    }
  }

  int64(value: Int64): void {
    this.#primitive(Tag.octetString, 8);
    this.#length = this.#bytes.writeBigInt64BE(BigInt.asIntN(64, BigInt(value)), this.#length);
  }

  octets(value: Uint8Array): void {
    this.#primitive(Tag.octetString, value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  utf8(value: string): void {
    this.text(Tag.utf8String, value);
  }

  /** A string type other than UTF8String: the same bytes under another tag. */
  text(tag: number, value: string): void {
    const length = Buffer.byteLength(value, "utf8");
    this.#primitive(tag, length);
    this.#length += this.#bytes.write(value, this.#length, length, "utf8");
  }

  /** An element that is DER already. */
  raw(der: Uint8Array): void {
    this.#reserve(der.length);
    this.#bytes.set(der, this.#length);
    this.#length += der.length;
  }

  /** All that was written. The writer must not be used any more. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #primitive(tag: number, length: number): void {
    this.#reserve(length + 8);
    this.#bytes[this.#length++] = tag;
    if (length < 0x80) {
      this.#bytes[this.#length++] = length;
      return;
    }
    const count = byteCount(length);
    this.#bytes[this.#length++] = 0x80 | count;
    this.#length = this.#bytes.writeUIntBE(length, this.#length, count);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + count));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

function byteCount(length: number): number {
  let count = 1;
  while (length >= 256 ** count) count++;
  return count;
}
