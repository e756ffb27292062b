/** The parts of a grammar: each reads, writes and prints one kind of value. Types of messages follow from them: `Value`. */
import { context, copyOf, DerReader, element, type Int64, Tag } from "./der.ts";
import { WireError } from "./errors.ts";
import { formatName, internedNames, type Name, parseName } from "./names.ts";

export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/** What of unikernels is stepped over. */
export interface DecodeOptions {
  /** they hold secrets, and what was never made a string cannot leak */
  readonly dropArguments?: boolean;
  /** half of what a reply becomes in memory */
  readonly dropBridges?: boolean;
}

/** Work that may be long, an item per `next()`: whoever drives it decides what happens in between. */
export type Steps<T> = Generator<undefined, T, undefined>;

export class MessageReader extends DerReader {
  readonly options: DecodeOptions;
  /** these fill the long lists of what has been read */
  readonly unfilled: Steps<void>[] = [];

  constructor(bytes: Uint8Array, options: DecodeOptions = {}) {
    super(bytes);
    this.options = options;
  }
}

type Read<T> = (reader: MessageReader, what: string) => T;
// as methods, so that a part for a narrower type may stand for one of a wider type
type Write<T> = { write(value: T): Uint8Array }["write"];
type Json<T, J> = { json(value: T): J }["json"];

/** A part of the grammar, for values of type T that are printed as J. */
export class Part<T, J extends JsonValue = JsonValue> {
  readonly tag: number;
  /** Throws a WireError that calls the value `what`. */
  readonly read: Read<T>;
  readonly write: Write<T>;
  /** As `decode` prints it: 64-bit values as decimal strings, octets in hex, times in RFC 3339. */
  readonly json: Json<T, J>;

  constructor(tag: number, read: Read<T>, write: Write<T>, json: Json<T, J>) {
    this.tag = tag;
    this.read = read;
    this.write = write;
    this.json = json;
  }

  /** The same part, called `what` in errors. */
  called(what: string): Part<T, J> {
    return new Part(this.tag, (reader) => this.read(reader, what), this.write, this.json);
  }

  inside(tag: number): Part<T, J> {
    const read = (reader: MessageReader, what: string) => {
      const outer = reader.enter(tag, what);
      const value = this.read(reader, what);
      reader.leave(outer, what);
      return value;
    };
    return new Part(tag, read, (value) => element(tag, this.write(value)), this.json);
  }

  explicit(number: number): Part<T, J> {
    return this.inside(context(number));
  }

  /** Null where it is missing. */
  optional(): Part<T | null> {
    return this.orElse<null>(null, (value) => value === null);
  }

  /** `absent` where it is missing; written unless `isLeftOut`. */
  orElse<A = never>(absent: T | A, isLeftOut: (value: T | A) => boolean = () => false): Part<T | A> {
    return new Part<T | A>(
      this.tag,
      (reader, what) => (reader.peek() === this.tag ? this.read(reader, what) : absent),
      (value) => (isLeftOut(value) ? NOTHING : this.write(value as T)),
      (value) => (value === null ? null : this.json(value as T)),
    );
  }

  /** Stepped over for a caller that drops it: `dropped` then. */
  droppedBy(option: keyof DecodeOptions, dropped: T): Part<T, J> {
    const read = (reader: MessageReader, what: string) => {
      if (reader.options[option] !== true || reader.peek() !== this.tag) return this.read(reader, what);
      reader.skip(what);
      return dropped;
    };
    return new Part<T, J>(this.tag, read, this.write, this.json);
  }

  mapped<K>(decoded: (value: T) => K, encoded: (value: K) => T): Part<K, J> {
    return new Part<K, J>(
      this.tag,
      (reader, what) => decoded(this.read(reader, what)),
      (value) => this.write(encoded(value)),
      (value) => this.json(encoded(value)),
    );
  }

  printedAs<L extends JsonValue>(json: (value: T) => L): Part<T, L> {
    return new Part(this.tag, this.read, this.write, json);
  }
}

export type Members<T> = Part<T, JsonObject>;

export type Value<P> = P extends Part<infer T> ? T : never;

type Flat<T> = { readonly [K in keyof T]: T[K] };
type Shape = Readonly<Record<string, Part<unknown>>>;
type Values<S> = { readonly [K in keyof S]: Value<S[K]> };

/** Far more than any host has of anything: 64 MiB of empty entries would become gigabytes of objects. */
const MAX_ELEMENTS = 262_144;
const MAC_BYTES = 6;
const NOTHING = new Uint8Array(0);
const NO_MEMBERS = {};

const same = <T>(value: T): T => value;

/** A signed 64-bit integer in an OCTET STRING of eight bytes. */
export const int64 = new Part<Int64>(
  Tag.octetString,
  (reader, what) => reader.int64(what),
  (value) => element(Tag.octetString, bigEndian(BigInt.asIntN(64, BigInt(value)))),
  String,
);

/** An INTEGER of up to 63 bits. */
export const integer = new Part<Int64>(
  Tag.integer,
  (reader, what) => reader.integer(what),
  (value) => {
    const big = BigInt(value);
    let count = 1;
    while (BigInt.asIntN(count * 8, big) !== big) count++;
    return element(Tag.integer, bigEndian(big).subarray(8 - count));
  },
  (value) => (typeof value === "number" ? value : String(value)),
);

function bigEndian(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

/** A C int: Albatross' own codec keeps the low 32 bits, signed. */
export const int32 = integer.mapped<Int64>(
  (value) => (typeof value === "bigint" ? Number(BigInt.asIntN(32, value)) : value | 0),
  same,
);

export const boolean = new Part<boolean>(
  Tag.boolean,
  (reader, what) => reader.boolean(what),
  (value) => element(Tag.boolean, Uint8Array.of(value ? 0xff : 0)),
  same,
);

export const utf8 = new Part<string>(
  Tag.utf8String,
  (reader, what) => reader.utf8(what),
  (value) => element(Tag.utf8String, Buffer.from(value)),
  same,
);

/** An OCTET STRING, as a view of the message. */
export const octets = new Part<Uint8Array>(
  Tag.octetString,
  (reader, what) => reader.octets(what),
  (value) => element(Tag.octetString, value),
  hex,
);

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** Any element, as the DER that it came in; copied. */
export const anything = new Part<Uint8Array>(
  -1,
  (reader, what) => {
    const start = reader.pos;
    reader.skip(what);
    return copyOf(reader.bytes.subarray(start, reader.pos));
  },
  same,
  hex,
);

/** Six lower-case hex pairs joined by colons. */
export const mac = new Part<string>(
  Tag.octetString,
  (reader, what) => {
    const at = reader.pos;
    const bytes = reader.octets(what);
    if (bytes.length === MAC_BYTES) return hex(bytes).replace(/..(?!$)/g, "$&:");
    throw new WireError("message", at, `${what}: expected ${MAC_BYTES} bytes, found ${bytes.length}`);
  },
  (value) => element(Tag.octetString, Buffer.from(value.replaceAll(":", ""), "hex")),
  same,
);

/** Milliseconds since the epoch; the fraction is left out when it is zero, as Albatross does. */
export const time = new Part<number>(
  Tag.generalizedTime,
  (reader, what) => reader.time(what),
  (ms) => {
    const digits = new Date(ms).toISOString().replace(/[-:TZ]/g, "");
    return element(Tag.generalizedTime, Buffer.from(`${digits.replace(/\.000$/, "")}Z`));
  },
  (ms) => new Date(ms).toISOString(),
);

/** A WireError "name" for an invalid one. */
export const name = new Part<Name>(
  Tag.utf8String,
  (reader, what) => {
    const at = reader.pos;
    const known = reader.interned(Tag.utf8String, internedNames, what);
    if (known !== null) return known;
    reader.pos = at;
    return parseName(reader.utf8(what), at);
  },
  (value) => utf8.write(formatName(value)),
  formatName,
);

export const none = new Part<null>(
  Tag.null,
  (reader, what) => reader.null(what),
  () => element(Tag.null),
  same,
);

/** A NULL: an object without members. */
export const nothing: Members<unknown> = none
  .mapped<unknown>(
    () => NO_MEMBERS,
    () => null,
  )
  .printedAs(() => NO_MEMBERS);

export function fixed<T extends JsonValue>(value: T): Part<T> {
  const itself = () => value;
  return new Part<T>(-1, itself, () => NOTHING, itself);
}

/** Members without anything around them, in errors called by `prefix` and their printed names, without the `Ms` of times. */
export function fields<S extends Shape>(shape: S, prefix = ""): Members<Values<S>> {
  const rows = Object.entries(shape).map(([key, part]) => {
    const printed = key.replace(/Ms$/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return { key, part, printed, what: prefix + printed };
  });
  const read = (reader: MessageReader) => {
    const value: Record<string, unknown> = {};
    for (const { key, part, what } of rows) value[key] = part.read(reader, what);
    return value as Values<S>;
  };
  return new Part(
    -1,
    read,
    (value) => Buffer.concat(rows.map(({ key, part }) => part.write(value[key]))),
    (value) => Object.fromEntries(rows.map(({ key, part, printed }) => [printed, part.json(value[key])])),
  );
}

export function sequence<S extends Shape>(shape: S, prefix = ""): Members<Values<S>> {
  return fields(shape, prefix).inside(Tag.sequence);
}

export function each<P, K extends string>(part: P, ...keys: readonly K[]): Readonly<Record<K, P>> {
  return Object.fromEntries(keys.map((key) => [key, part])) as Record<K, P>;
}

export function both<A, B>(first: Members<A>, second: Members<B>): Members<Flat<A & B>> {
  return new Part(
    -1,
    (reader, what) => ({ ...first.read(reader, what), ...second.read(reader, what) }),
    (value) => Buffer.concat([first.write(value), second.write(value)]),
    (value) => ({ ...first.json(value), ...second.json(value) }),
  );
}

/** An object in a member of its own, printed as if its members were those of the object around it. */
export function inMember<K extends string, T>(key: K, part: Members<T>): Members<Readonly<Record<K, T>>> {
  return new Part(
    part.tag,
    (reader, what) => ({ [key]: part.read(reader, what) }) as Record<K, T>,
    (value) => part.write(value[key]),
    (value) => part.json(value[key]),
  );
}

/** The first of two parts where the next tag is its own, and for values that are `isFirst`. */
export function either<A, B, J extends JsonValue>(
  first: Part<A, J>,
  second: Part<B, J>,
  isFirst: (value: A | B) => value is A,
): Part<A | B, J> {
  return new Part<A | B, J>(
    -1,
    (reader, what) => (reader.peek() === first.tag ? first : second).read(reader, what),
    (value) => (isFirst(value) ? first.write(value) : second.write(value as B)),
    (value) => (isFirst(value) ? first.json(value) : second.json(value as B)),
  );
}

/** A SEQUENCE OF or SET OF, in the order given; a WireError "message" for more than 262,144. */
export function list<T>(part: Part<T>, tag: number = Tag.sequence): Part<readonly T[]> {
  return new Part<readonly T[]>(
    -1,
    (reader, what) => {
      const elements: T[] = [];
      while (reader.more()) readElement(reader, what, part, elements);
      return elements;
    },
    (elements) => Buffer.concat(elements.map(part.write)),
    (elements) => elements.map(part.json),
  ).inside(tag);
}

function readElement<T>(reader: MessageReader, what: string, part: Part<T>, elements: T[]): void {
  if (elements.length === MAX_ELEMENTS) {
    throw new WireError("message", reader.pos, `${what}: expected at most ${MAX_ELEMENTS}, found more`);
  }
  elements.push(part.read(reader, what));
}

/** A SEQUENCE OF that is read empty: what fills it in steps goes to the reader's `unfilled`. */
export function longList<T>(part: Part<T>): Part<readonly T[]> {
  const { tag, write, json } = list(part);
  const read = (reader: MessageReader, what: string) => {
    const elements: T[] = [];
    const end = reader.header(tag, what) + reader.pos;
    const start = reader.pos;
    function* fill(): Steps<void> {
      reader.pos = start;
      reader.end = end;
      while (reader.more()) {
        readElement(reader, what, part, elements);
        yield;
      }
    }
    reader.unfilled.push(fill());
    reader.pos = end;
    return elements;
  };
  return new Part<readonly T[]>(tag, read, write, json);
}

/** A SEQUENCE OF or SET OF INTEGER: ascending, each once. */
export function integers(tag: number): Part<readonly Int64[]> {
  return list(integer, tag).mapped((read) => {
    if (read.every((value, i) => i === 0 || (read[i - 1] ?? 0) < value)) return read;
    return [...new Set(read)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }, same);
}

type Cases = Readonly<Record<string, Members<unknown>>>;
type Chosen<By extends string, C extends Cases> = {
  [Label in keyof C]: Flat<Readonly<Record<By, Label>> & Value<C[Label]>>;
}[keyof C];

/** One of several cases under context tags, told by the member `by`. A tag of no case is refused, or read by `other`. */
export function choice<By extends string, C extends Cases>(
  by: By,
  what: string,
  cases: C,
  other: (reader: MessageReader, number: number, at: number) => Chosen<By, C> = (_, number, at) => {
    throw new WireError("message", at, `${what}: there is no ${what} [${number}]`);
  },
): Members<Chosen<By, C>> {
  // `bare` is one for all: most unikernels have the same fail behaviour
  const all = Object.entries(cases).map(([label, part]) => ({ label, part, bare: { [by]: label } }));
  const byTag = new Map(all.map((one) => [one.part.tag, one]));
  const byLabel = new Map(all.map((one) => [one.label, one]));
  const caseOf = (value: Chosen<By, C>) => {
    const label = (value as Readonly<Record<By, string>>)[by];
    const found = byLabel.get(label);
    if (found === undefined) throw new TypeError(`${what}: there is no ${what} ${label}`);
    return found;
  };
  const read = (reader: MessageReader) => {
    const at = reader.pos;
    const found = byTag.get(reader.peek());
    if (found !== undefined) {
      const members = found.part.read(reader, what);
      const value: object = members === NO_MEMBERS ? found.bare : { ...found.bare, ...(members as object) };
      return value as Chosen<By, C>;
    }
    const { number, outer } = reader.enterContext(what);
    const value = other(reader, number, at);
    reader.leave(outer, what);
    return value;
  };
  return new Part(
    -1,
    read,
    (value) => caseOf(value).part.write(value),
    (value) => ({ ...caseOf(value).bare, ...caseOf(value).part.json(value) }),
  );
}
