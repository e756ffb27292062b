import { WireError } from "./errors.ts";
import type { InternTable } from "./intern.ts";

/** A signed 64-bit integer: a number where it is a safe integer, a bigint beyond 2^53. No bit is ever lost. */
export type Int64 = number | bigint;

export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  octetString: 0x04,
  null: 0x05,
  utf8String: 0x0c,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The identifier byte of an EXPLICIT or constructed IMPLICIT context tag below 31. */
export function context(number: number): number {
  return 0xa0 | number;
}

export const CONTEXT_CONSTRUCTED = 0xa0;
/** The low five bits of a first identifier byte that announces more of them: tag numbers from 31 on. */
export const HIGH_TAG = 0x1f;

const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(?:\.(\d{1,9}))?Z$/;
const MAX_INTEGER = 2n ** 62n - 1n;
const MIN_INTEGER = -(2n ** 62n);

/** A bigint as the Int64 it is: a number where that loses nothing. */
export function toInt64(value: bigint): Int64 {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/**
 * Reads strict DER front to back. `pos` is the next byte, `end` the end of the innermost element entered; a field's
 * name (`what`) goes into the error when it is not there. All reading methods throw WireError.
 */
export class DerReader {
  readonly bytes: Uint8Array;
  /** the same bytes: only a Buffer makes text of a part without a view of that part */
  private readonly buffer: Buffer;
  /** of all the memory that the bytes lie in */
  private view: DataView | null = null;
  pos: number;
  end: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.pos = 0;
    this.end = bytes.length;
  }

  /** Whether the innermost element holds more. */
  more(): boolean {
    return this.pos < this.end;
  }

  /** The next identifier byte, or -1 at the end of the innermost element. */
  peek(): number {
    return this.pos < this.end ? (this.bytes[this.pos] ?? -1) : -1;
  }

  /** Steps into a constructed element; the result belongs into `leave`. */
  enter(tag: number, what: string): number {
    const length = this.header(tag, what);
    const outer = this.end;
    this.end = this.pos + length;
    return outer;
  }

  /** Steps out of the innermost element, which must be used up. */
  leave(outer: number, what: string): void {
    if (this.pos !== this.end) {
      throw new WireError("message", this.pos, `${what}: expected its end, found ${this.describeNext()}`);
    }
    this.end = outer;
  }

  /** Reads an identifier that must be `tag`, and the length. The content starts at `pos` then. */
  header(tag: number, what: string): number {
    if (this.peek() !== tag) {
      throw new WireError(
        "message",
        this.pos,
        `${what}: expected ${tagName(tag)}, found ${this.describeNext()}`,
      );
    }
    this.pos++;
    return this.length(what);
  }

  /** Steps into a constructed element of class context, whatever its number; `outer` belongs into `leave`. */
  enterContext(what: string): { number: number; outer: number } {
    const number = this.contextTag(what);
    const length = this.length(what);
    const outer = this.end;
    this.end = this.pos + length;
    return { number, outer };
  }

  /** Reads a tag number of class context, constructed, in either form. */
  private contextTag(what: string): number {
    const first = this.peek();
    if ((first & 0xe0) !== CONTEXT_CONSTRUCTED || first < 0) {
      throw new WireError(
        "message",
        this.pos,
        `${what}: expected a constructed context tag, found ${this.describeNext()}`,
      );
    }
    const at = this.pos++;
    if ((first & HIGH_TAG) !== HIGH_TAG) return first & HIGH_TAG;
    let number = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.byte(what);
      number = (number << 7) | (byte & 0x7f);
      if (number === 0) break;
      if (byte < 0x80) {
        if (number < HIGH_TAG) break;
        return number;
      }
    }
    throw new WireError("der", at, `${what}: tag number not in its shortest form, or above 28 bits`);
  }

  /** Reads a length: definite, in its shortest form, not beyond the innermost element. */
  length(what: string): number {
    const at = this.pos;
    const first = this.byte(what);
    let length = first;
    if (first >= 0x80) {
      const count = first & 0x7f;
      if (count === 0)
        throw new WireError("der", at, `${what}: expected a definite length, found the indefinite form`);
      if (count > 6) throw new WireError("der", at, `${what}: a length of ${count} bytes`);
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + this.byte(what);
      if (length < 0x80 || length < 256 ** (count - 1)) {
        throw new WireError("der", at, `${what}: length ${length} is not in its shortest form`);
      }
    }
    if (length > this.end - this.pos) {
      throw new WireError("der", at, `${what}: expected ${length} bytes, found ${this.end - this.pos}`);
    }
    return length;
  }

  null(what: string): void {
    const length = this.header(Tag.null, what);
    if (length !== 0)
      throw new WireError("der", this.pos, `${what}: expected an empty NULL, found ${length} bytes`);
  }

  boolean(what: string): boolean {
    const length = this.header(Tag.boolean, what);
    const byte = this.bytes[this.pos];
    if (length !== 1 || (byte !== 0 && byte !== 0xff)) {
      throw new WireError("der", this.pos, `${what}: expected a BOOLEAN of one byte, 00 or ff`);
    }
    this.pos++;
    return byte === 0xff;
  }

  /** An INTEGER of up to 63 bits in its shortest form. */
  integer(what: string): Int64 {
    const length = this.header(Tag.integer, what);
    const at = this.pos;
    if (length === 0 || length > 8) {
      throw new WireError("der", at, `${what}: expected an INTEGER of 1 to 8 bytes, found ${length}`);
    }
    const first = this.bytes[at] ?? 0;
    const second = this.bytes[at + 1] ?? 0;
    if (length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
      throw new WireError("der", at, `${what}: INTEGER not in its shortest form`);
    }
    this.pos = at + length;
    let number = first >= 0x80 ? first - 256 : first;
    if (length <= 6) {
      for (let i = at + 1; i < this.pos; i++) number = number * 256 + (this.bytes[i] ?? 0);
      return number;
    }
    let big = BigInt(number);
    for (let i = at + 1; i < this.pos; i++) big = (big << 8n) | BigInt(this.bytes[i] ?? 0);
    if (big > MAX_INTEGER || big < MIN_INTEGER) {
      throw new WireError("der", at, `${what}: INTEGER ${big} has more than 63 bits`);
    }
    return toInt64(big);
  }

  /** A big-endian 64-bit integer in an OCTET STRING of exactly 8 bytes. */
  int64(what: string): Int64 {
    const length = this.header(Tag.octetString, what);
    if (length !== 8) {
      throw new WireError("der", this.pos, `${what}: expected 8 bytes, found ${length}`);
    }
    const at = this.pos;
    this.pos += 8;
    const high = this.word(at);
    const low = this.word(at + 4) >>> 0;
    // high * 2^32 + low is exact while high has at most 21 bits and a sign.
    const number = high * 4294967296 + low;
    return Number.isSafeInteger(number) ? number : (BigInt(high) << 32n) | BigInt(low);
  }

  /** The bytes of an OCTET STRING, as a view of the message. */
  octets(what: string): Uint8Array {
    const length = this.header(Tag.octetString, what);
    this.pos += length;
    return this.bytes.subarray(this.pos - length, this.pos);
  }

  /** A UTF8String; bytes that are no UTF-8 become U+FFFD. */
  utf8(what: string): string {
    const length = this.header(Tag.utf8String, what);
    this.pos += length;
    return this.buffer.toString("utf8", this.pos - length, this.pos);
  }

  /** What `table` has for the bytes of a string; null where they make nothing. */
  interned<T>(tag: number, table: InternTable<T>, what: string): T | null {
    const length = this.header(tag, what);
    const start = this.bytes.byteOffset + this.pos;
    this.pos += length;
    this.view ??= new DataView(this.bytes.buffer);
    return table.get(this.view, start, start + length);
  }

  /**
   * A GeneralizedTime, in UTC with seconds as DER has it, as milliseconds since the epoch (finer digits are cut).
   */
  time(what: string): number {
    const at = this.pos;
    const length = this.header(Tag.generalizedTime, what);
    this.pos += length;
    const text = this.buffer.toString("latin1", this.pos - length, this.pos);
    const parts = GENERALIZED_TIME.exec(text);
    if (parts === null) {
      const found = JSON.stringify(text.slice(0, 40));
      throw new WireError("der", at, `${what}: expected YYYYMMDDHHMMSS[.fff]Z, found ${found}`);
    }
    const [, year, month, day, hour, minute, second, fraction = ""] = parts;
    const digits = fraction.slice(0, 3).padEnd(3, "0");
    const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.${digits}Z`;
    const ms = Date.parse(iso);
    // A Date rolls 31 June over into July; a time that comes back different never was one.
    if (Number.isNaN(ms) || new Date(ms).toISOString() !== iso) {
      throw new WireError("der", at, `${what}: ${text} is no time`);
    }
    return ms;
  }

  /** Steps over one element of any kind and returns its identifier byte. */
  skip(what: string): number {
    const tag = this.peek();
    if (tag < 0) throw new WireError("message", this.pos, `${what}: expected an element, found the end`);
    if ((tag & HIGH_TAG) === HIGH_TAG) {
      throw new WireError("der", this.pos, `${what}: found a tag number above 30`);
    }
    this.pos++;
    const length = this.length(what);
    this.pos += length;
    return tag;
  }

  /** What comes next, for an error. */
  describeNext(): string {
    const tag = this.peek();
    return tag < 0 ? "the end" : tagName(tag);
  }

  private byte(what: string): number {
    if (this.pos >= this.end) throw new WireError("der", this.pos, `${what}: the message ends inside it`);
    return this.bytes[this.pos++] ?? 0;
  }

  private word(at: number): number {
    const { bytes } = this;
    return (
      ((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)
    );
  }
}

/** A copy in memory of its own. (A Buffer's `slice` is a view, and its pool would keep more alive.) */
export function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

const TAG_NAMES: Record<number, string> = {
  [Tag.boolean]: "BOOLEAN",
  [Tag.integer]: "INTEGER",
  [Tag.octetString]: "OCTET STRING",
  [Tag.null]: "NULL",
  [Tag.utf8String]: "UTF8String",
  [Tag.generalizedTime]: "GeneralizedTime",
  [Tag.sequence]: "SEQUENCE",
  [Tag.set]: "SET",
};

function tagName(tag: number): string {
  const name = TAG_NAMES[tag];
  if (name !== undefined) return name;
  if ((tag & 0xe0) === CONTEXT_CONSTRUCTED && tag !== 0xbf) return `[${tag & HIGH_TAG}]`;
  return `tag 0x${tag.toString(16).padStart(2, "0")}`;
}

/** Of the buffer that a writer begins with. */
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

  /** Milliseconds since the epoch as GeneralizedTime, with three digits of fraction unless they are zero, as Albatross does. */
  time(ms: number): void {
    const digits = new Date(ms).toISOString().replace(/[-:TZ]/g, "");
    this.text(Tag.generalizedTime, `${digits.replace(/\.000$/, "")}Z`);
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
