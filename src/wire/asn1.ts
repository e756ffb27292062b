/**
 * The parts of a grammar. Each reads, writes and prints one kind of value, and the TypeScript types of the messages follow
 * from the parts that they are put together from: see `Value`.
 */
import { context, copyOf, DerReader, type DerWriter, type Int64, Tag } from "./der.ts";
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

/** What of an info reply is left out as it is decoded. */
export interface DecodeOptions {
  /** The arguments of unikernels are null: they hold secrets, and what was never made a string cannot leak. */
  readonly dropArguments?: boolean;
  /** Their block devices and bridges are stepped over: half of what a reply becomes in memory. */
  readonly dropDevices?: boolean;
}

/** Work that may be long, done a step per `next()`: whoever drives it decides what happens in between. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** The reader of one message, with what its parts have to know. */
export class MessageReader extends DerReader {
  readonly options: DecodeOptions;
  /** Long lists that are still to be filled, where the caller fills them in steps; null where each is read at once. */
  readonly unfilled: Steps<void>[] | null;

  constructor(bytes: Uint8Array, options: DecodeOptions = {}, unfilled: Steps<void>[] | null = null) {
    super(bytes);
    this.options = options;
    this.unfilled = unfilled;
  }
}

export interface Part<T> {
  /** The identifier byte that a value begins with, -1 where that depends on the value. */
  readonly tag: number;
  /** Reads a value; throws a WireError that calls it `what`. */
  read(reader: MessageReader, what: string): T;
  write(writer: DerWriter, value: T): void;
  /**
   * The value as `decode` prints it: 64-bit values as signed decimal strings, other integers as numbers up to 2^53 and
   * strings beyond, octets in hex, times in RFC 3339.
   */
  json(value: T): JsonValue;
}

/** A part whose value is an object, whose members can become those of a larger one. */
export interface Members<T> extends Part<T> {
  json(value: T): JsonObject;
}

/** The type of what a part reads. */
export type Value<P> = P extends Part<infer T> ? T : never;

type Flat<T> = { readonly [K in keyof T]: T[K] };
type Shape = Readonly<Record<string, Part<unknown>>>;
type Values<S> = { readonly [K in keyof S]: Value<S[K]> };
type Merged<P> = P extends readonly [infer First, ...infer Rest] ? Value<First> & Merged<Rest> : unknown;

/** Far more than any host has of anything: 64 MiB of empty entries would become gigabytes of objects. */
const MAX_ELEMENTS = 262_144;
/** Elements of some twenty fields each that make one step: half a millisecond. */
const ELEMENTS_PER_STEP = 64;
const MAC_BYTES = 6;
/** Each byte as two digits. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
/** One for all: most unikernels have no block devices, and there are many of them. */
const NONE: readonly never[] = [];

/** A signed 64-bit integer in an OCTET STRING of eight bytes. */
export const int64: Part<Int64> = {
  tag: Tag.octetString,
  read: (reader, what) => reader.int64(what),
  write: (writer, value) => writer.int64(value),
  json: String,
};

/** An INTEGER of up to 63 bits. */
export const integer: Part<Int64> = {
  tag: Tag.integer,
  read: (reader, what) => reader.integer(what),
  write: (writer, value) => writer.integer(value),
  json: (value) => (typeof value === "number" ? value : String(value)),
};

/** A C int: Albatross' own codec keeps the low 32 bits, signed. */
export const int32: Part<Int64> = {
  ...integer,
  read(reader, what) {
    const value = reader.integer(what);
    return typeof value === "bigint" ? Number(BigInt.asIntN(32, value)) : value | 0;
  },
};

export const boolean: Part<boolean> = {
  tag: Tag.boolean,
  read: (reader, what) => reader.boolean(what),
  write: (writer, value) => writer.boolean(value),
  json: (value) => value,
};

export const utf8: Part<string> = {
  tag: Tag.utf8String,
  read: (reader, what) => reader.utf8(what),
  write: (writer, value) => writer.utf8(value),
  json: (value) => value,
};

/** An OCTET STRING, as a view of the message. */
export const octets: Part<Uint8Array> = {
  tag: Tag.octetString,
  read: (reader, what) => reader.octets(what),
  write: (writer, value) => writer.octets(value),
  json: (value) => Buffer.from(value.buffer, value.byteOffset, value.length).toString("hex"),
};

/** An OCTET STRING that outlives the message. */
export const copiedOctets: Part<Uint8Array> = {
  ...octets,
  read: (reader, what) => copyOf(reader.octets(what)),
};

/** Any element, as the DER that it came in; copied. */
export const anything: Part<Uint8Array> = {
  ...octets,
  tag: -1,
  read(reader, what) {
    const start = reader.pos;
    reader.skip(what);
    return copyOf(reader.bytes.subarray(start, reader.pos));
  },
  write: (writer, value) => writer.raw(value),
};

/** A GeneralizedTime, as milliseconds since the epoch. The `Ms` of its member's name is not printed. */
export const time: Part<number> = {
  tag: Tag.generalizedTime,
  read: (reader, what) => reader.time(what),
  write: (writer, ms) => writer.time(ms),
  json: (ms) => new Date(ms).toISOString(),
};

/** The name of a path or a unikernel; a WireError "name" for an invalid one. */
export const name: Part<Name> = {
  tag: Tag.utf8String,
  read(reader, what) {
    const at = reader.pos;
    const known = reader.interned(Tag.utf8String, internedNames, what);
    if (known !== null) return known;
    reader.pos = at;
    return parseName(reader.utf8(what), at);
  },
  write: (writer, value) => writer.utf8(formatName(value)),
  json: formatName,
};

/** A MAC address, as six lower-case hex pairs joined by colons. */
export const mac: Part<string> = {
  tag: Tag.octetString,
  read(reader, what) {
    const at = reader.pos;
    const bytes = reader.octets(what);
    if (bytes.length !== MAC_BYTES) {
      throw new WireError("message", at, `${what}: expected ${MAC_BYTES} bytes, found ${bytes.length}`);
    }
    let text = "";
    for (const byte of bytes) text += `${text === "" ? "" : ":"}${HEX[byte]}`;
    return text;
  },
  write: (writer, value) => writer.octets(Buffer.from(value.replaceAll(":", ""), "hex")),
  json: (value) => value,
};

/** A NULL: nothing is to be said. Its object has no members. */
export const nothing: Members<unknown> = {
  tag: Tag.null,
  read: (reader, what) => reader.null(what),
  write: (writer) => writer.null(),
  json: () => ({}),
};

/** The same part, called `what` in errors instead of by its member's name. */
export function called<P extends Part<unknown>>(what: string, part: P): P {
  return { ...part, read: (reader: MessageReader) => part.read(reader, what) };
}

/** A part whose values are kept in another form: `decoded` as it is read, `encoded` for writing. */
export function mapped<T, K>(
  part: Part<T>,
  form: { decoded(value: T): K; encoded(value: K): T; json(value: K): JsonValue },
): Part<K> {
  return {
    tag: part.tag,
    read: (reader, what) => form.decoded(part.read(reader, what)),
    write: (writer, value) => part.write(writer, form.encoded(value)),
    json: form.json,
  };
}

/** What is not on the wire, yet is a member. */
export function fixed<T extends JsonValue>(value: T): Part<T> {
  return { tag: -1, read: () => value, write: () => undefined, json: () => value };
}

/**
 * The members of an object, one after the other without anything around them. They are called `prefix` and their printed
 * names in errors.
 */
export function fields<S extends Shape>(shape: S, prefix = ""): Members<Values<S>> {
  const rows = Object.entries(shape).map(([key, part]) => {
    const printed = printedName(key);
    return { key, part, printed, what: prefix + printed };
  });
  return {
    tag: -1,
    read(reader) {
      const value: Record<string, unknown> = {};
      for (const { key, part, what } of rows) value[key] = part.read(reader, what);
      return value as Values<S>;
    },
    write(writer, value) {
      for (const { key, part } of rows) part.write(writer, value[key]);
    },
    json: (value) =>
      Object.fromEntries(rows.map(({ key, part, printed }) => [printed, part.json(value[key])])),
  };
}

/** `sendLength` as it is printed: `send_length`. */
function printedName(key: string): string {
  return key.replace(/Ms$/, "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The members of several, one after the other, as one object. */
export function members<P extends readonly Members<unknown>[]>(...parts: P): Members<Flat<Merged<P>>> {
  return {
    tag: -1,
    read: (reader, what) => Object.assign({}, ...parts.map((part) => part.read(reader, what))),
    write(writer, value) {
      for (const part of parts) part.write(writer, value);
    },
    json: (value) => Object.assign({}, ...parts.map((part) => part.json(value))),
  };
}

/** An object in a member of its own, which is printed as if its members were those of the object around it. */
export function inMember<K extends string, T>(key: K, part: Members<T>): Members<Readonly<Record<K, T>>> {
  return {
    tag: part.tag,
    read: (reader, what) => ({ [key]: part.read(reader, what) }) as Record<K, T>,
    write: (writer, value) => part.write(writer, value[key]),
    json: (value) => part.json(value[key]),
  };
}

/** The part inside a constructed element: for members, an element of their own, or an IMPLICIT tag. */
export function inside<P extends Part<unknown>>(tag: number, part: P): P {
  return {
    ...part,
    tag,
    read(reader: MessageReader, what: string) {
      const outer = reader.enter(tag, what);
      const value = part.read(reader, what);
      reader.leave(outer, what);
      return value;
    },
    write(writer: DerWriter, value: unknown) {
      const outer = writer.open(tag);
      part.write(writer, value);
      writer.close(outer);
    },
  };
}

export function sequence<S extends Shape>(shape: S, prefix = ""): Members<Values<S>> {
  return inside(Tag.sequence, fields(shape, prefix));
}

export function explicit<P extends Part<unknown>>(number: number, part: P): P {
  return inside(context(number), part);
}

/** A part that may be missing: null then. */
export function optional<T>(part: Part<T>): Part<T | null> {
  return {
    tag: part.tag,
    read: (reader, what) => (reader.peek() === part.tag ? part.read(reader, what) : null),
    write(writer, value) {
      if (value !== null) part.write(writer, value);
    },
    json: (value) => (value === null ? null : part.json(value)),
  };
}

/** A part that older daemons leave out, which means `meant`; always written. */
export function withDefault<T>(part: Part<T>, meant: T): Part<T> {
  return {
    ...part,
    read: (reader, what) => (reader.peek() === part.tag ? part.read(reader, what) : meant),
  };
}

/** A list that is left out when it is empty. */
export function orNone<T>(part: Part<readonly T[]>): Part<readonly T[]> {
  return {
    ...withDefault(part, NONE),
    write(writer, value) {
      if (value.length > 0) part.write(writer, value);
    },
  };
}

/** A part that may be missing, and is stepped over for a caller that drops it: `dropped` then. */
export function droppable<T>(option: keyof DecodeOptions, part: Part<T>, dropped: T): Part<T> {
  return {
    ...part,
    read(reader, what) {
      if (reader.options[option] !== true || reader.peek() !== part.tag) return part.read(reader, what);
      reader.skip(what);
      return dropped;
    },
  };
}

/** A part or, under the context tag `number`, a NULL that stands for null. */
export function orNull<T>(part: Part<T>, number: number, nullWhat: string): Part<T | null> {
  const none = explicit(number, nothing);
  return {
    tag: -1,
    read(reader, what) {
      if (reader.peek() !== none.tag) return part.read(reader, what);
      none.read(reader, nullWhat);
      return null;
    },
    write(writer, value) {
      if (value === null) none.write(writer, {});
      else part.write(writer, value);
    },
    json: (value) => (value === null ? null : part.json(value)),
  };
}

/** A SEQUENCE OF or SET OF, in the order given as Albatross does; a WireError "message" for more than 262,144. */
export function list<T>(element: Part<T>, tag: number = Tag.sequence): Part<readonly T[]> {
  return inside<Part<readonly T[]>>(tag, {
    tag,
    read(reader, what) {
      const elements: T[] = [];
      while (reader.more()) readElement(reader, what, element, elements);
      return elements;
    },
    write(writer, elements) {
      for (const one of elements) element.write(writer, one);
    },
    json: (elements) => elements.map((one) => element.json(one)),
  });
}

/** A SEQUENCE OF that may be long: a reader with `unfilled` returns it empty, to be filled in steps. */
export function longList<T>(element: Part<T>): Part<readonly T[]> {
  const whole = list(element);
  return {
    ...whole,
    read(reader, what) {
      if (reader.unfilled === null) return whole.read(reader, what);
      const outer = reader.enter(whole.tag, what);
      const elements: T[] = [];
      reader.unfilled.push(fillInSteps(reader, reader.pos, reader.end, what, element, elements));
      reader.pos = reader.end;
      reader.leave(outer, what);
      return elements;
    },
  };
}

function* fillInSteps<T>(
  reader: MessageReader,
  start: number,
  end: number,
  what: string,
  element: Part<T>,
  elements: T[],
): Steps<void> {
  reader.pos = start;
  reader.end = end;
  while (reader.more()) {
    readElement(reader, what, element, elements);
    if (elements.length % ELEMENTS_PER_STEP === 0) yield;
  }
}

function readElement<T>(reader: MessageReader, what: string, element: Part<T>, elements: T[]): void {
  if (elements.length === MAX_ELEMENTS) {
    throw new WireError("message", reader.pos, `${what}: expected at most ${MAX_ELEMENTS}, found more`);
  }
  elements.push(element.read(reader, what));
}

/** A SEQUENCE OF or SET OF INTEGER, read as the set that it is: ascending, each once. */
export function integers(tag: number): Part<readonly Int64[]> {
  const part = list(integer, tag);
  return {
    ...part,
    read(reader, what) {
      const read = part.read(reader, what);
      // nearly always: Albatross writes its sets in order
      if (read.every((value, i) => i === 0 || (read[i - 1] ?? 0) < value)) return read;
      return [...new Set(read)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    },
  };
}

/** The cases of a choice: each label with its tag number and what comes under it. */
type Cases = Readonly<Record<string, readonly [number: number, part: Members<unknown>]>>;
type Chosen<By extends string, C extends Cases> = {
  [Label in keyof C]: Flat<Readonly<Record<By, Label>> & Value<C[Label][1]>>;
}[keyof C];

/**
 * One of several cases, each under its EXPLICIT context tag: an object whose member `by` tells which. A tag of no case is
 * refused, or read by `other`.
 */
export function choice<By extends string, C extends Cases>(
  by: By,
  what: string,
  cases: C,
  other: (reader: MessageReader, number: number, at: number) => Chosen<By, C> = (_, number, at) => {
    throw new WireError("message", at, `${what}: there is no ${what} [${number}]`);
  },
): Members<Chosen<By, C>> {
  const all = Object.entries(cases).map(([label, [number, part]]) => {
    // one value for all: most unikernels have the same fail behaviour
    return { label, number, part, bare: { [by]: label } };
  });
  const byNumber = new Map(all.map((one) => [one.number, one]));
  const byLabel = new Map(all.map((one) => [one.label, one]));
  const caseOf = (value: Chosen<By, C>) => {
    const label = (value as Readonly<Record<By, string>>)[by];
    const found = byLabel.get(label);
    if (found === undefined) throw new TypeError(`${what}: there is no ${what} ${label}`);
    return found;
  };
  return {
    tag: -1,
    read(reader) {
      const at = reader.pos;
      const { number, outer } = reader.enterContext(what);
      const found = byNumber.get(number);
      let value: object;
      if (found === undefined) {
        value = other(reader, number, at) as object;
      } else {
        const read = found.part.read(reader, found.label);
        value = found.part === nothing ? found.bare : { ...found.bare, ...(read as object) };
      }
      reader.leave(outer, what);
      return value as Chosen<By, C>;
    },
    write(writer, value) {
      const { number, part } = caseOf(value);
      const outer = writer.open(context(number));
      part.write(writer, value);
      writer.close(outer);
    },
    json(value) {
      const { bare, part } = caseOf(value);
      return { ...bare, ...part.json(value) };
    },
  };
}
