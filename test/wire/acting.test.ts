import { describe, expect, test } from "vitest";
import { WireError } from "../../src/wire/errors.ts";
import { encodeFrame, FrameReader } from "../../src/wire/framing.ts";
import {
  decodeMessage,
  encodeCreate,
  encodeMessage,
  IMAGE_HEAD_BYTES,
  type Message,
  readImageHead,
} from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { exchangeBytes, exchanges } from "./support/vectors.ts";

function messagesOf(bytes: Uint8Array): Message[] {
  const messages: Message[] = [];
  const reader = new FrameReader(1 << 20);
  reader.push(bytes, (frame) => messages.push(decodeMessage(frame)));
  reader.end();
  return messages;
}

const headerOf = (name: string) => ({ version: 5, sequence: 1, name: parseName(name) }) as const;

function imageReply(image: Uint8Array, name = ":web", compressed = false): Buffer {
  const payload = { type: "success", result: "unikernel_image", compressed, image } as const;
  return encodeMessage({ header: headerOf(name), payload });
}

describe("what albatrossd replied to", () => {
  const kept = exchanges.filter(({ s2c, s2c_image_bytes }) => s2c && s2c_image_bytes === undefined);

  test.each(kept)("$name ($what) is read, and written again to the same bytes", ({ name }) => {
    const bytes = exchangeBytes(name, "s2c");
    const frames = messagesOf(bytes).map((message) => encodeFrame(encodeMessage(message)));
    expect(Buffer.concat(frames)).toEqual(bytes);
  });
});

describe("what albatrossd was asked in", () => {
  /** These are damaged on purpose. */
  const damaged = new Set(["unknown-cmd", "version6", "version4", "badname", "trailing", "name-64"]);
  const asked = exchanges.filter(({ c2s, c2s_after }) => c2s && c2s_after === undefined);

  test.each(asked)("$name ($what) is read, or refused as albatrossd refuses it", ({ name, s2c }) => {
    const bytes = exchangeBytes(name, "c2s");
    if (damaged.has(name)) {
      expect(s2c).toBe("");
      expect(() => messagesOf(bytes)).toThrow(WireError);
    } else {
      for (const { payload } of messagesOf(bytes)) expect(payload.type).toBe("command");
    }
  });
});

describe("a create command around an image", () => {
  const unikernel = {
    typ: "solo5",
    compressed: false,
    startup: 7,
    addName: true,
    failBehaviour: { type: "restart", exitCodes: [3, 4] },
    cpuids: [0, 1],
    memory: 48,
    blockDevices: [],
    bridges: [{ name: "service", bridge: "back", mac: null }],
    argv: ["--burn=1", "--x=ü"],
    numcpus: 2,
    linuxBootPartition: null,
  } as const;

  test.each([0, 1, 127, 128, 65_535, 65_536, 200_000])(
    "of %d bytes is the command with the image",
    (bytes) => {
      const header = headerOf("user:web-clone-1");
      const image = Buffer.alloc(bytes, 0x5a);
      const config = { ...unikernel, image };
      const command = { class: "unikernel", command: "create", config } as const;
      const { before, after } = encodeCreate(header, unikernel, bytes);
      const whole = encodeMessage({ header, payload: { type: "command", command } });
      expect(Buffer.concat([before, image, after]).equals(whole)).toBe(true);
    },
  );
});

describe("a reply with an image", () => {
  test("begins as the recorded one, which was compressed", () => {
    const bytes = exchangeBytes("get-9", "s2c");
    const frameBytes = bytes.readInt32BE(0);
    // the image alone was cut out
    const head = Buffer.concat([bytes.subarray(4), Buffer.alloc(IMAGE_HEAD_BYTES)]);
    const imageBytes = exchanges.find(({ name }) => name === "get-9")?.s2c_image_bytes;
    expect(readImageHead(head, frameBytes)).toEqual({
      compressed: true,
      imageAt: bytes.length - 4,
      imageBytes,
    });
  });

  test.each([0, 1, 100, 5_000])("of %d bytes is found by its start", (bytes) => {
    const image = Buffer.from(Array.from({ length: bytes }, (_, i) => i));
    for (const name of [":web", Array(16).fill("x".repeat(63)).join(":")]) {
      const frame = imageReply(image, name);
      const head = readImageHead(frame.subarray(0, IMAGE_HEAD_BYTES), frame.length);
      expect(head).toMatchObject({ compressed: false, imageBytes: bytes });
      expect(frame.subarray(head?.imageAt)).toEqual(image);
    }
  });

  test("is told from other replies", () => {
    for (const name of ["get-missing", "create-minimal", "info-args", "policy-info-root"]) {
      const frame = exchangeBytes(name, "s2c").subarray(4);
      expect(readImageHead(frame, frame.length)).toBeNull();
    }
  });

  test("is refused where its image does not reach up to the end", () => {
    const frame = imageReply(Buffer.alloc(100));
    for (const { at, add } of [
      { at: 1, add: -1 },
      { at: 1, add: 1 },
      { at: frame.length - 101, add: -1 },
      { at: frame.length - 101, add: 1 },
    ]) {
      const damaged = Buffer.from(frame);
      damaged[at] = (damaged[at] ?? 0) + add;
      expect(() => readImageHead(damaged, damaged.length)).toThrow(WireError);
    }
    expect(() => readImageHead(frame, frame.length + 1)).toThrow(WireError);
  });

  test("is refused, not read beyond its start, with any name or length in it", () => {
    const frame = imageReply(Buffer.alloc(5_000));
    const start = frame.subarray(0, IMAGE_HEAD_BYTES);
    for (let at = 0; at < 60; at++) {
      for (const byte of [0x00, 0x7f, 0x81, 0x82, 0x83, 0xff]) {
        const damaged = Buffer.from(start);
        damaged[at] = byte;
        try {
          const head = readImageHead(damaged, frame.length);
          if (head !== null) expect(head.imageAt + head.imageBytes).toBe(frame.length);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }
    }
  });
});
