import { createReadStream } from "node:fs";
import { Readable, Writable } from "node:stream";
import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { decodeStream, register } from "../../src/commands/decode.ts";
import { encodeFrame } from "../../src/wire/framing.ts";
import { captureBytes, vectorBytes, vectors, WIRE_FIXTURES } from "../wire/support/vectors.ts";

/** An output that keeps what it gets. */
class Kept extends Writable {
  text = "";

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += String(chunk);
    done();
  }
}

/** Runs `decode` over chunks (or a stream) and returns all that a user would see. */
async function decode(input: Readable | readonly Uint8Array[]) {
  const output = new Kept();
  const errors: string[] = [];
  const exitCode = await decodeStream(
    input instanceof Readable ? input : Readable.from(input),
    "stream.bin",
    output,
    (line) => errors.push(line),
  );
  const lines = output.text.split("\n");
  expect(lines.pop()).toBe("");
  return { exitCode, errors, messages: lines.map((line): unknown => JSON.parse(line)) };
}

const subscribe = encodeFrame(vectorBytes("stats-subscribe-root"));
const subscribed = encodeFrame(vectorBytes("reply-subscribed"));
const sample = encodeFrame(vectorBytes("stats-data-mem-1if"));
const decodedOf = (name: string) => vectors.find((vector) => vector.name === name)?.decoded;

describe("a whole stream", () => {
  test("prints every message in the shape of the vectors", async () => {
    const stream = vectors.map(({ hex }) => encodeFrame(Buffer.from(hex, "hex")));
    const { exitCode, errors, messages } = await decode(stream);
    expect(messages).toEqual(vectors.map(({ decoded }) => decoded));
    expect(errors).toEqual([]);
    expect(exitCode).toBe(0);
  });

  test.each([
    ["stats-root.bin", 17],
    ["stats-root-10s.bin", 17],
    ["stats-path-user.bin", 13],
    ["stats-nonexisting.bin", 1],
    ["vmmd-info-root.s2c.bin", 1],
    ["vmmd-policy-info.s2c.bin", 1],
  ])("%s, read from disk, prints %i messages", async (capture, count) => {
    const { exitCode, messages } = await decode(
      createReadStream(new URL(`captures/${capture}`, WIRE_FIXTURES)),
    );
    expect(messages).toHaveLength(count);
    expect(exitCode).toBe(0);
  });

  test("prints the same however it is cut", async () => {
    const stream = captureBytes("stats-path-user.bin");
    const whole = await decode([stream]);
    const bytes = Array.from(stream, (byte) => Uint8Array.of(byte));
    expect(await decode(bytes)).toEqual(whole);
  });

  test("prints policies by name and limit", async () => {
    const { messages } = await decode([captureBytes("vmmd-policy-info.s2c.bin")]);
    expect(messages).toMatchObject([
      {
        payload: {
          result: "policies",
          policies: [
            {
              name: ":",
              policy: {
                cpuids: [0, 1],
                unikernels: "4611686018427387903",
                memory: 24105,
                block: 258019,
                bridges: ["mgmt", "private", "service"],
              },
            },
          ],
        },
      },
    ]);
  });

  test("that is empty prints nothing", async () => {
    expect(await decode([])).toEqual({ exitCode: 0, errors: [], messages: [] });
  });

  test("names the tag of data that it does not know", async () => {
    const unknown = Buffer.from(sample);
    // The kind of data, [1], stands after the header (25 bytes and 2) and the payload's tag and length (4).
    unknown[4 + 4 + 27 + 4] = 0xa6;
    unknown[unknown.indexOf(Buffer.from("0408", "hex"), 60)] = 0x05;
    const { messages } = await decode([unknown]);
    expect(messages).toMatchObject([{ payload: { type: "data", data: "unknown", tag: 6 } }]);
  });
});

describe("damage", () => {
  const good = Buffer.concat([subscribe, subscribed]);
  const goodMessages = [decodedOf("stats-subscribe-root"), decodedOf("reply-subscribed")];
  const prefix = (hex: string) => Buffer.from(hex, "hex");

  test.each<[string, Buffer, string]>([
    ["a zero length", prefix("00000000"), "frame length: expected 1 to 67108864, found 0"],
    ["a negative length", prefix("ffffffff"), "frame length: expected 1 to 67108864, found -1"],
    ["a length of 2 GB", prefix("7fffffff"), "frame length: expected 1 to 67108864, found 2147483647"],
    [
      "an end inside a frame",
      sample.subarray(0, 100),
      "the stream ends inside a frame: expected 459 bytes with the length prefix, found 100",
    ],
    [
      "an end inside a length prefix",
      sample.subarray(0, 3),
      "the stream ends inside a frame: expected a length prefix of 4 bytes, found 3",
    ],
    [
      "a message that is none",
      encodeFrame(Buffer.from("garbage")),
      "message: expected SEQUENCE, found tag 0x67 (byte 0 of the message)",
    ],
    [
      "another version",
      encodeFrame(prefix("30233019020106040800000000000000000c0a757365723a68656c6c6fa006a104a2020500")),
      "version: expected 5, found 6 (byte 4 of the message)",
    ],
  ])("%s: the messages before it, one line, exit 1", async (_, damage, what) => {
    const expected = {
      exitCode: 1,
      errors: [`frame 3 at byte ${good.length}: ${what}`],
      messages: goodMessages,
    };
    expect(await decode([Buffer.concat([good, damage])])).toEqual(expected);
    expect(await decode([good, damage])).toEqual(expected);
  });

  test("in the first frame is at byte 0", async () => {
    expect((await decode([prefix("00000000")])).errors).toEqual([
      "frame 1 at byte 0: frame length: expected 1 to 67108864, found 0",
    ]);
  });

  test("ends it: nothing after it is printed or read", async () => {
    const input = Readable.from([good, encodeFrame(Buffer.from("x")), subscribe, subscribe]);
    expect((await decode(input)).messages).toEqual(goodMessages);
    expect(input.destroyed).toBe(true);
  });
});

describe("input that cannot be read", () => {
  test.each([
    ["a missing file", "captures/none.bin", "no such file or directory"],
    ["a directory", "captures", "it is a directory"],
  ])("%s is one clear line and exit 1", async (_, path, why) => {
    expect(await decode(createReadStream(new URL(path, WIRE_FIXTURES)))).toEqual({
      exitCode: 1,
      errors: [`albatross-exporter: cannot read stream.bin: ${why}`],
      messages: [],
    });
  });
});

describe("output", () => {
  /** An output whose writes fail with `code` after the first. */
  function failing(code: string): Writable {
    let writes = 0;
    return new Writable({
      write: (_chunk, _encoding, done) => {
        done(++writes === 1 ? null : Object.assign(new Error("write failed"), { code }));
      },
    });
  }

  async function decodeInto(output: Writable, input: Readable) {
    const errors: string[] = [];
    const exitCode = await decodeStream(input, "x", output, (line) => errors.push(line));
    return { exitCode, errors };
  }

  test("that nobody reads any more ends it without a word", async () => {
    const endless = Readable.from(endlessSamples());
    expect(await decodeInto(failing("EPIPE"), endless)).toEqual({ exitCode: 0, errors: [] });
    expect(endless.destroyed).toBe(true);
  });

  test("that fails is one clear line and exit 1", async () => {
    expect(await decodeInto(failing("ENOSPC"), Readable.from(endlessSamples()))).toEqual({
      exitCode: 1,
      errors: ["albatross-exporter: cannot write the messages: no space left"],
    });
  });

  test("that is slow holds the input back", async () => {
    const taken = { chunks: 0 };
    let release: () => void = () => {};
    const output = new Writable({
      highWaterMark: 1,
      write: (_chunk, _encoding, done) => {
        release = done;
      },
    });
    const input = Readable.from(endlessSamples(taken), { highWaterMark: 1 });
    const done = decodeInto(output, input);
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(taken.chunks).toBeLessThan(5);
    const before = taken.chunks;
    release();
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(taken.chunks).toBe(before + 1);
    output.destroy(Object.assign(new Error("closed"), { code: "EPIPE" }));
    expect(await done).toEqual({ exitCode: 0, errors: [] });
  });

  function* endlessSamples(taken = { chunks: 0 }): Generator<Buffer> {
    for (;;) {
      taken.chunks++;
      yield sample;
    }
  }
});

test("--help says what it takes, what it prints and how it ends", () => {
  const program = new Command("albatross-exporter").exitOverride();
  let help = "";
  register(program);
  const command = program.commands[0];
  command?.configureOutput({ writeOut: (text) => (help += text) }).exitOverride();
  expect(() => program.parse(["node", "main", "decode", "--help"])).toThrow();
  for (const word of ["decode [options] [file]", "stdin", "JSON", "stderr", "exit code is 1", "secrets"]) {
    expect(help).toContain(word);
  }
});
