import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WireError } from "../../src/wire/errors.ts";
import {
  decodeAnyMessage,
  decodeMessage,
  encodeMessage,
  type Message,
  messageToJson,
  type Stats,
  statsMessage,
} from "../../src/wire/messages.ts";
import { ROOT } from "../../src/wire/names.ts";
import { decodeUsualStats } from "../../src/wire/stats.ts";
import { mutate, Random } from "./support/mutate.ts";
import { malformedVectors, vectorBytes, vectors } from "./support/vectors.ts";

const corpus = [...vectors, ...malformedVectors]
  .map(({ hex }) => Buffer.from(hex, "hex"))
  .filter((bytes) => bytes.length < 2000);
const statistics = vectors
  .filter(({ name }) => name.startsWith("stats-data"))
  .map(({ hex }) => Buffer.from(hex, "hex"));

type Outcome = Message | WireError;

/** What a decoder makes of `bytes`; anything thrown but a WireError goes on to the test. */
function outcome(decode: (bytes: Uint8Array) => Message, bytes: Uint8Array): Outcome {
  try {
    return decode(bytes);
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
}

/** An outcome as a value to compare: all of the message, or all that the error says. */
function told(result: Outcome): unknown {
  return result instanceof WireError ? [result.reason, result.offset, result.detail] : result;
}

describe("whatever arrives", () => {
  test("100,000 random and damaged messages are messages or WireErrors", () => {
    const random = new Random(20_260_714);
    let messages = 0;
    for (let i = 0; i < 100_000; i++) {
      const bytes =
        i % 10 === 0
          ? random.bytes(random.below(200))
          : mutate(random, random.pick(corpus), random.pick(corpus));
      const result = outcome(decodeMessage, bytes);
      if (result instanceof WireError) {
        if (result.offset < 0 || result.offset > bytes.length) {
          expect.fail(`${bytes.toString("hex")}: ${result.message}`);
        }
      } else {
        messages++;
        messageToJson(result);
      }
    }
    // Damage often leaves a message a message (a changed counter); the share shows that both sides are reached.
    expect(messages).toBeGreaterThan(5_000);
    expect(messages).toBeLessThan(80_000);
  });

  test("what a damaged message still says survives encoding and decoding", () => {
    const random = new Random(7);
    for (let i = 0; i < 20_000; i++) {
      const result = outcome(decodeMessage, mutate(random, random.pick(corpus), random.pick(corpus)));
      if (result instanceof WireError) continue;
      if (result.payload.type === "data" && result.payload.data === "unknown") continue;
      expect(messageToJson(decodeMessage(encodeMessage(result)))).toEqual(messageToJson(result));
    }
  });

  test.each([
    ["sequences in a row of 30s", Buffer.alloc(100_000, 0x30)],
    ["indefinite lengths inside each other", Buffer.alloc(100_000, Buffer.from([0x30, 0x80]))],
    ["context tags inside each other", nested(0xa3, 20_000)],
    ["sequences inside each other", nested(0x30, 20_000)],
  ])("%s cost no stack", (_, bytes) => {
    expect(outcome(decodeMessage, bytes)).toBeInstanceOf(WireError);
  });
});

describe("the short cut for statistics", () => {
  /** The same bytes at another place of a larger buffer, as frames lie in chunks. */
  function moved(bytes: Buffer): Buffer {
    return Buffer.concat([Buffer.alloc(5, 0x04), bytes, Buffer.alloc(40, 0x04)]).subarray(
      5,
      5 + bytes.length,
    );
  }

  test.each([...vectors, ...malformedVectors])("tells of $name what the general decoder tells", ({ hex }) => {
    const bytes = Buffer.from(hex, "hex");
    const expected = told(outcome(decodeAnyMessage, bytes));
    expect(told(outcome(decodeMessage, bytes))).toEqual(expected);
    expect(told(outcome(decodeMessage, moved(bytes)))).toEqual(expected);
  });

  test("tells of any statistics what the general decoder tells, and what was encoded", () => {
    const int64 = fc.oneof(
      fc.nat().map(BigInt),
      fc.constantFrom(2n ** 32n, 2n ** 48n, 2n ** 53n),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    );
    const integer = fc.oneof(
      fc.integer({ min: -129, max: 128 }).map(BigInt),
      fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n - 1n }),
    );
    const int32 = fc.integer().map(BigInt);
    const text = fc.string({ maxLength: 70, unit: "grapheme" });
    /** The members of `of`, each any int64 or what is `special` about it. */
    const numbers = (of: object, special: Record<string, fc.Arbitrary<unknown>> = {}) =>
      fc.record(Object.fromEntries(Object.keys(of).map((key) => [key, special[key] ?? int64])));
    const { rusage, kinfoMem, vmm, ifdata } = wholeStats();
    const times = { utimeUsec: integer, stimeUsec: integer };
    const int32s = { flags: int32, sendLength: int32, maxSendLength: int32, sendDrops: int32, mtu: int32 };
    const arbitrary = fc.record({
      rusage: numbers(rusage, times),
      kinfoMem: fc.option(numbers(kinfoMem ?? {}, { cow: integer, startUsec: integer })),
      vmm: fc.option(fc.array(numbers(vmm?.[0] ?? {}, { key: text }), { maxLength: 3 })),
      ifdata: fc.array(numbers(ifdata[0] ?? {}, { bridge: text, ...int32s }), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(arbitrary, (some) => {
        const bytes = encodeMessage(statsMessage(ROOT, some as unknown as Stats));
        const decoded = decodeMessage(bytes);
        expect(decoded).toEqual(decodeAnyMessage(bytes));
        expect(encodeMessage(decoded)).toEqual(bytes);
      }),
    );
  });

  test.each(["zero-no-mem-no-vmm-0if", "nomem-1if", "mem-1if", "vmm-mem-3if"])("takes %s", (name) => {
    expect(decodeUsualStats(vectorBytes(`stats-data-${name}`))).not.toBeNull();
  });

  test("tells of 30,000 damaged statistics what the general decoder tells", () => {
    const random = new Random(42);
    for (let i = 0; i < 30_000; i++) {
      const bytes = mutate(random, random.pick(statistics), random.pick(statistics));
      const expected = told(outcome(decodeAnyMessage, bytes));
      const actual = told(outcome(decodeMessage, bytes));
      if (JSON.stringify(actual, plain) !== JSON.stringify(expected, plain)) {
        expect(actual, bytes.toString("hex")).toEqual(expected);
      }
    }
  });
});

/** Statistics with every part that they may have. */
function wholeStats(): Stats {
  const message = decodeMessage(vectorBytes("stats-data-vmm-mem-3if"));
  if (message.payload.type !== "data" || message.payload.data !== "stats") throw new Error("no statistics");
  return message.payload.stats;
}

/** Bigints as text, told apart from numbers. */
function plain(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}n` : value;
}

/** `depth` elements of one tag inside each other, with right lengths. */
function nested(tag: number, depth: number): Buffer {
  const headers: Buffer[] = [];
  let length = 0;
  for (let i = 0; i < depth; i++) {
    const header =
      length < 0x80
        ? Buffer.from([tag, length])
        : Buffer.from([tag, 0x83, length >> 16, (length >> 8) & 0xff, length & 0xff]);
    const shortest = length < 0x80 || length > 0xffff ? header : Buffer.from([tag, ...lengthBytes(length)]);
    headers.push(shortest);
    length += shortest.length;
  }
  return Buffer.concat(headers.reverse());
}

function lengthBytes(length: number): number[] {
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
}
