import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WireError } from "../../src/wire/errors.ts";
import { encodeFrame, FrameReader, LENGTH_PREFIX_BYTES } from "../../src/wire/framing.ts";
import { captureBytes } from "./support/vectors.ts";

const MAX = 1000;

/** The frames that come out of `reader` for these chunks, copied. */
function framesOf(reader: FrameReader, chunks: readonly Uint8Array[]): Buffer[] {
  const frames: Buffer[] = [];
  for (const chunk of chunks) reader.push(chunk, (frame) => frames.push(Buffer.from(frame)));
  return frames;
}

function prefix(length: number): Buffer {
  const bytes = Buffer.alloc(LENGTH_PREFIX_BYTES);
  bytes.writeInt32BE(length);
  return bytes;
}

const message = Buffer.from("a message of the wire");
const frame = encodeFrame(message);

describe("whole frames", () => {
  test("one in one chunk is a slice of it, without a copy", () => {
    const seen: Buffer[] = [];
    new FrameReader(MAX).push(frame, (one) => seen.push(one));
    expect(seen).toEqual([message]);
    expect(seen[0]?.buffer).toBe(frame.buffer);
  });

  test("several in one chunk come in order", () => {
    const chunk = Buffer.concat([encodeFrame(Buffer.from("one")), encodeFrame(Buffer.from("two")), frame]);
    expect(framesOf(new FrameReader(MAX), [chunk]).map(String)).toEqual(["one", "two", String(message)]);
  });

  test("an empty chunk is none", () => {
    expect(framesOf(new FrameReader(MAX), [Buffer.alloc(0)])).toEqual([]);
  });

  test("a plain Uint8Array is taken too", () => {
    expect(framesOf(new FrameReader(MAX), [Uint8Array.from(frame)])).toEqual([message]);
  });
});

describe("cut frames", () => {
  test("a frame cut at any byte comes out whole", () => {
    for (let cut = 1; cut < frame.length; cut++) {
      const reader = new FrameReader(MAX);
      expect(framesOf(reader, [frame.subarray(0, cut)]), `cut at ${cut}`).toEqual([]);
      expect(reader.pendingBytes).toBe(cut);
      expect(framesOf(reader, [frame.subarray(cut)]), `cut at ${cut}`).toEqual([message]);
      expect(reader.pendingBytes).toBe(0);
    }
  });

  test("of two messages cut anywhere both come out, and what follows them", () => {
    const stream = Buffer.concat([
      frame,
      encodeFrame(Buffer.from("second")),
      encodeFrame(Buffer.from("third")),
    ]);
    for (let cut = 1; cut < stream.length; cut++) {
      const frames = framesOf(new FrameReader(MAX), [stream.subarray(0, cut), stream.subarray(cut)]);
      expect(frames.map(String), `cut at ${cut}`).toEqual([String(message), "second", "third"]);
    }
  });

  test("frames do not depend on how the stream is cut", () => {
    const messages = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 12 });
    const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(messages, sizes, (all, cuts) => {
        const stream = Buffer.concat(all.map((one) => encodeFrame(one)));
        const chunks: Buffer[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = cuts[i % cuts.length] ?? 1;
          chunks.push(stream.subarray(at, at + size));
          at += size;
        }
        expect(framesOf(new FrameReader(300), chunks)).toEqual(all.map((one) => Buffer.from(one)));
      }),
    );
  });

  test("a recorded stream comes out the same byte by byte", () => {
    const stream = captureBytes("stats-root.bin");
    const whole = framesOf(new FrameReader(MAX), [stream]);
    expect(whole).toHaveLength(17);
    expect(
      framesOf(
        new FrameReader(MAX),
        Array.from(stream, (byte) => Uint8Array.of(byte)),
      ),
    ).toEqual(whole);
  });

  test("a megabyte in one-byte chunks costs linear time", () => {
    const stream = encodeFrame(Buffer.alloc(1 << 20, 7));
    const reader = new FrameReader(1 << 20);
    let frames = 0;
    for (let i = 0; i < stream.length; i++) reader.push(stream.subarray(i, i + 1), () => frames++);
    // Quadratic copying would be 2^39 bytes: minutes, far beyond the time limit of a test.
    expect(frames).toBe(1);
  });
});

describe("lengths out of range", () => {
  test.each([
    ["zero", 0, "frame_length"],
    ["minus one", -1, "frame_length"],
    ["the least there is", -(2 ** 31), "frame_length"],
    ["one more than the maximum", MAX + 1, "frame_too_long"],
    ["two gigabytes", 2 ** 31 - 1, "frame_too_long"],
  ] as const)("%s is refused", (_, length, reason) => {
    const reader = new FrameReader(MAX);
    expect(() => reader.push(prefix(length), () => {})).toThrow(
      expect.objectContaining({
        reason,
        offset: 0,
        detail: `frame length: expected 1 to ${MAX}, found ${length}`,
      }),
    );
    expect(reader.pendingBytes).toBe(0);
  });

  test("the maximum itself is taken", () => {
    const longest = Buffer.alloc(MAX, 1);
    expect(framesOf(new FrameReader(MAX), [encodeFrame(longest)])).toEqual([longest]);
  });

  test("the frames before the damage are handed on, and the error says where it is", () => {
    const chunk = Buffer.concat([frame, frame, prefix(-5)]);
    const frames: string[] = [];
    const reader = new FrameReader(MAX);
    expect(() => reader.push(chunk, (one) => frames.push(String(one)))).toThrow(
      expect.objectContaining({ reason: "frame_length", offset: 2 * frame.length }),
    );
    expect(frames).toHaveLength(2);
  });

  test("a prefix that comes byte by byte is refused with its last byte", () => {
    const reader = new FrameReader(MAX);
    const bytes = prefix(2 ** 31 - 1);
    for (const byte of bytes.subarray(0, 3)) reader.push(Uint8Array.of(byte), () => {});
    expect(() => reader.push(bytes.subarray(3), () => {})).toThrow(WireError);
  });

  test("after damage every push throws it again", () => {
    const reader = new FrameReader(MAX);
    expect(() => reader.push(prefix(0), () => {})).toThrow(WireError);
    expect(() => reader.push(frame, () => {})).toThrow(expect.objectContaining({ reason: "frame_length" }));
  });

  test("announcing much costs no memory until it arrives", () => {
    const limit = 64 << 20;
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 100 }, () => new FrameReader(limit));
    for (const reader of readers) reader.push(Buffer.concat([prefix(limit), Buffer.alloc(1000)]), () => {});
    expect(readers.map((reader) => reader.pendingBytes)).toEqual(Array(100).fill(1004));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20);
  });
});

describe("the end of the stream", () => {
  test("between two frames it is fine", () => {
    const reader = new FrameReader(MAX);
    framesOf(reader, [frame]);
    expect(() => reader.end()).not.toThrow();
  });

  test.each([
    [2, "expected a length prefix of 4 bytes, found 2"],
    [4, `expected ${frame.length} bytes with the length prefix, found 4`],
    [frame.length - 1, `expected ${frame.length} bytes with the length prefix, found ${frame.length - 1}`],
  ])("inside a frame, after %i bytes, it is an error", (length, detail) => {
    const reader = new FrameReader(MAX);
    framesOf(reader, [frame, frame.subarray(0, length)]);
    expect(() => reader.end()).toThrow(
      expect.objectContaining({
        reason: "truncated",
        offset: frame.length,
        detail: expect.stringContaining(detail),
      }),
    );
  });
});

describe("a callback", () => {
  test("knows where its frame began", () => {
    const reader = new FrameReader(MAX);
    const offsets: number[] = [];
    const stream = Buffer.concat([frame, frame, frame]);
    for (const chunk of [stream.subarray(0, 30), stream.subarray(30)]) {
      reader.push(chunk, () => offsets.push(reader.frameOffset));
    }
    expect(offsets).toEqual([0, frame.length, 2 * frame.length]);
  });

  test("that throws on a frame gets nothing more of the chunk, and it is known where that frame began", () => {
    const reader = new FrameReader(MAX);
    let calls = 0;
    const push = (bytes: Buffer) =>
      reader.push(bytes, () => {
        calls++;
        if (calls === 2) throw new RangeError("enough");
      });
    const stream = Buffer.concat([frame, frame, frame]);
    push(stream.subarray(0, 9));
    expect(() => push(stream.subarray(9))).toThrow(RangeError);
    expect(calls).toBe(2);
    expect(reader.frameOffset).toBe(frame.length);
  });
});
