import { WireError } from "./errors.ts";
import type { InternTable } from "./intern.ts";

/** Signed: a number where it is a safe integer, a bigint beyond 2^53. */
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
  return CONTEXT_CONSTRUCTED | number;
}

export const CONTEXT_CONSTRUCTED = 0xa0;
export const CLASS_AND_FORM = 0xe0;
const HIGH_TAG = 0x1f;

const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(?:\.(\d{1,9}))?Z$/;
/** OCaml's max_int. */
export const MAX_INTEGER = 2n ** 62n - 1n;
const MIN_INTEGER = -(2n ** 62n);

/** Strict DER; `end` is that of the innermost element, `what` a field's name for errors. Methods throw WireError. */
export class DerReader {
  /** only a Buffer makes text of a part without a view of that part */
  readonly bytes: Buffer;
  /** of all the memory that the bytes lie in */
  private view: DataView | null = null;
  pos: number;
  end: number;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.pos = 0;
    this.end = bytes.length;
  }

  more(): boolean {
    return this.pos < this.end;
  }

  /** The next identifier byte, or -1 at the end of the innermost element. */
  peek(): number {
    return this.pos < this.end ? (this.bytes[this.pos] ?? -1) : -1;
  }

  /** Steps into a constructed element; the result belongs into `leave`. */
  enter(tag: number, what: string): number {
    const outer = this.end;
    this.end = this.header(tag, what) + this.pos;
    return outer;
  }

  /** Steps out of the innermost element, which must be used up. */
  leave(outer: number, what: string): void {
    if (this.pos !== this.end) throw this.unexpected(what, "its end");
    this.end = outer;
  }

  /** Reads an identifier that must be `tag`, and the length; the content starts at `pos` then. */
  header(tag: number, what: string): number {
    if (this.peek() !== tag) throw this.unexpected(what, tagName(tag));
    this.pos++;
    return this.length(what);
  }

  /** Steps into a constructed context element of any number; `outer` belongs into `leave`. */
  enterContext(what: string): { number: number; outer: number } {
    const tag = this.peek();
    if (tag < 0 || (tag & CLASS_AND_FORM) !== CONTEXT_CONSTRUCTED) {
      throw this.unexpected(what, "a constructed context tag");
    }
    this.pos++;
    const low = tag & HIGH_TAG;
    const number = low === HIGH_TAG ? this.highTag(what) : low;
    const outer = this.end;
    this.end = this.length(what) + this.pos;
    return { number, outer };
  }

  private highTag(what: string): number {
    const at = this.pos - 1;
    let number = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.byte(what);
      number = (number << 7) | (byte & 0x7f);
      if (byte < 0x80 && number >= HIGH_TAG) return number;
      if (byte < 0x80 || number === 0) break;
    }
    throw damage(at, `${what}: tag number not in its shortest form, or above 28 bits`);
  }

  /** Definite, in its shortest form, not beyond the innermost element. */
  length(what: string): number {
    const at = this.pos;
    const first = this.byte(what);
    let length = first;
    if (first >= 0x80) {
      const count = first & 0x7f;
      if (count === 0) throw damage(at, `${what}: expected a definite length, found the indefinite form`);
      if (count > 6) throw damage(at, `${what}: a length of ${count} bytes`);
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + this.byte(what);
      if (length < 0x80 || length < 256 ** (count - 1)) {
        throw damage(at, `${what}: length ${length} is not in its shortest form`);
      }
    }
    if (length > this.end - this.pos) {
      throw damage(at, `${what}: expected ${length} bytes, found ${this.end - this.pos}`);
    }
    return length;
  }

  null(what: string): null {
    const length = this.header(Tag.null, what);
    if (length !== 0) throw damage(this.pos, `${what}: expected an empty NULL, found ${length} bytes`);
    return null;
  }

  boolean(what: string): boolean {
    const length = this.header(Tag.boolean, what);
    const byte = this.bytes[this.pos];
    if (length !== 1 || (byte !== 0 && byte !== 0xff)) {
      throw damage(this.pos, `${what}: expected a BOOLEAN of one byte, 00 or ff`);
    }
    this.pos++;
    return byte === 0xff;
  }

  /** An INTEGER of up to 63 bits in its shortest form. */
  integer(what: string): Int64 {
    const length = this.header(Tag.integer, what);
    const at = this.pos;
    if (length === 0 || length > 8) {
      throw damage(at, `${what}: expected an INTEGER of 1 to 8 bytes, found ${length}`);
    }
    const first = this.bytes[at] ?? 0;
    const second = this.bytes[at + 1] ?? 0;
    if (length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
      throw damage(at, `${what}: INTEGER not in its shortest form`);
    }
    this.pos = at + length;
    if (length <= 6) return this.bytes.readIntBE(at, length);
    const high = BigInt(this.bytes.readIntBE(at, length - 6));
    const big = (high << 48n) | BigInt(this.bytes.readUIntBE(at + length - 6, 6));
    if (big > MAX_INTEGER || big < MIN_INTEGER) {
      throw damage(at, `${what}: INTEGER ${big} has more than 63 bits`);
    }
    const number = Number(big);
    return Number.isSafeInteger(number) ? number : big;
  }

  /** A big-endian 64-bit integer in an OCTET STRING of exactly 8 bytes. */
  int64(what: string): Int64 {
    const length = this.header(Tag.octetString, what);
    if (length !== 8) throw damage(this.pos, `${what}: expected 8 bytes, found ${length}`);
    const at = this.pos;
    this.pos += 8;
    const high = this.bytes.readInt32BE(at);
    const low = this.bytes.readUInt32BE(at + 4);
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
    return this.bytes.toString("utf8", this.pos - length, this.pos);
  }

  /** What `table` has for a string; null where that makes nothing. */
  interned<T>(tag: number, table: InternTable<T>, what: string): T | null {
    const length = this.header(tag, what);
    const start = this.bytes.byteOffset + this.pos;
    this.pos += length;
    this.view ??= new DataView(this.bytes.buffer);
    return table.get(this.view, start, start + length);
  }

  /** A GeneralizedTime in milliseconds since the epoch; finer digits are cut. */
  time(what: string): number {
    const at = this.pos;
    const length = this.header(Tag.generalizedTime, what);
    this.pos += length;
    const text = this.bytes.toString("latin1", this.pos - length, this.pos);
    const parts = GENERALIZED_TIME.exec(text);
    if (parts === null) {
      const found = JSON.stringify(text.slice(0, 40));
      throw damage(at, `${what}: expected YYYYMMDDHHMMSS[.fff]Z, found ${found}`);
    }
    const [, year, month, day, hour, minute, second, fraction = ""] = parts;
    const digits = fraction.slice(0, 3).padEnd(3, "0");
    const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}.${digits}Z`;
    const ms = Date.parse(iso);
    // A Date rolls 31 June over into July.
    if (Number.isNaN(ms) || new Date(ms).toISOString() !== iso) {
      throw damage(at, `${what}: ${text} is no time`);
    }
    return ms;
  }

  /** Steps over one element of any kind and returns its identifier byte. */
  skip(what: string): number {
    const tag = this.peek();
    if (tag < 0) throw new WireError("message", this.pos, `${what}: expected an element, found the end`);
    if ((tag & HIGH_TAG) === HIGH_TAG) throw damage(this.pos, `${what}: found a tag number above 30`);
    this.pos++;
    this.pos = this.length(what) + this.pos;
    return tag;
  }

  private unexpected(what: string, expected: string): WireError {
    const tag = this.peek();
    const found = tag < 0 ? "the end" : tagName(tag);
    return new WireError("message", this.pos, `${what}: expected ${expected}, found ${found}`);
  }

  private byte(what: string): number {
    if (this.pos >= this.end) throw damage(this.pos, `${what}: the message ends inside it`);
    return this.bytes[this.pos++] ?? 0;
  }
}

function damage(at: number, detail: string): WireError {
  return new WireError("der", at, detail);
}

/** In memory of its own: a Buffer's `slice` is a view, and its pool would keep more alive. */
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
  if ((tag & CLASS_AND_FORM) === CONTEXT_CONSTRUCTED && tag !== 0xbf) return `[${tag & HIGH_TAG}]`;
  return `tag 0x${tag.toString(16).padStart(2, "0")}`;
}

export function element(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const content of contents) length += content.length;
  return Buffer.concat([elementHead(tag, length), ...contents]);
}

/** What stands before a content of `length` bytes. */
export function elementHead(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.of(tag, length);
  let lengthBytes = 1;
  while (length >= 256 ** lengthBytes) lengthBytes++;
  const head = Buffer.allocUnsafe(2 + lengthBytes);
  head[0] = tag;
  head[1] = 0x80 | lengthBytes;
  head.writeUIntBE(length, 2, lengthBytes);
  return head;
}
