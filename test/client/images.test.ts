import { randomFillSync } from "node:crypto";
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Image, Outcome } from "../../src/client/acting.ts";
import { parseName } from "../../src/wire/names.ts";
import { eventually, settle } from "../support/eventually.ts";
import { exchangeBytes } from "../wire/support/vectors.ts";
import { CREATED, FakeAlbatrossd, imageOf, kindOf, PLAIN, replyOf, type Visit } from "./support/acting.ts";

const MIB = 1024 * 1024;
const BLOCK_BYTES = 64 * 1024;
const WEB = parseName(":web");

let host: FakeAlbatrossd;

beforeEach(async () => {
  host = new FakeAlbatrossd();
  await host.start();
  await host.known();
});

afterEach(() => host.stop());

function create(file: Pick<FileHandle, "read">, image: Image): Promise<Outcome<string>> {
  return host.client.create(WEB, PLAIN, file, image, { beforeFirstByte: async () => undefined });
}

async function visit(): Promise<Visit> {
  await eventually("a visit", () => host.visits.length > 0);
  const found = host.visits[0];
  if (found === undefined) throw new Error("unreachable: it was just there");
  return found;
}

function imageReply(image: Uint8Array, compressed = false): Buffer {
  return replyOf({ type: "success", result: "unikernel_image", compressed, image });
}

/** Collected first, so that only what is held counts. */
const heldBytes = (() => {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  return () => {
    collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
})();

describe("an image of 64 MiB", () => {
  const DIGEST_OF_ZEROS = "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351";
  /** Buffers are given back some time after they are collected: of a whole image there would be 64 MiB. */
  const BOUND_BYTES = 24 * MIB;

  test("is sent in bounded memory", async () => {
    const file = await host.file();
    await file.truncate(64 * MIB);
    host.answer(CREATED, { drops: true });
    const before = heldBytes();
    let most = 0;
    const reading: Pick<FileHandle, "read"> = {
      read: (block: Buffer, offset: number, length: number, position: number) => {
        if (position % (8 * MIB) === 0) most = Math.max(most, heldBytes() - before);
        return file.read(block, offset, length, position);
      },
    } as FileHandle;
    expect(kindOf(await create(reading, { bytes: 64 * MIB, digest: DIGEST_OF_ZEROS }))).toBe("success");
    expect(host.visits[0]?.received).toBeGreaterThan(64 * MIB);
    expect(most).toBeLessThan(BOUND_BYTES);
  });

  test("is fetched into one buffer, as fast as it is stored", async () => {
    const head = imageReply(Buffer.alloc(64 * MIB)).subarray(0, -64 * MIB);
    const block = Buffer.alloc(BLOCK_BYTES);
    let sent = 0;
    host.serve = ({ socket }) => {
      socket.resume();
      socket.write(head);
      const more = () => {
        while (sent < 64 * MIB) {
          sent += block.length;
          if (!socket.write(block)) {
            socket.once("drain", more);
            return;
          }
        }
        socket.end();
      };
      more();
    };
    let [stored, most, ahead] = [0, 0, 0];
    const buffers = new Set<ArrayBufferLike>();
    const before = heldBytes();
    const storing = {
      writeFile: async (part: Buffer) => {
        if (stored % (8 * MIB) < part.length) most = Math.max(most, heldBytes() - before);
        ahead = Math.max(ahead, sent - stored);
        buffers.add(part.buffer);
        stored += part.length;
        await settle(1);
      },
    } as FileHandle;
    const outcome = await host.client.get(WEB, storing, 64 * MIB);
    expect(outcome).toEqual({ type: "success", value: { bytes: 64 * MIB, digest: DIGEST_OF_ZEROS } });
    expect(stored).toBe(64 * MIB);
    expect(most).toBeLessThan(BOUND_BYTES);
    // and that of its head
    expect(buffers.size).toBe(2);
    expect(ahead).toBeLessThan(4 * MIB);
  });

  test("is read no faster than albatrossd takes it", async () => {
    host.serve = ({ socket }) => socket.pause();
    let read = 0;
    const zeros = {
      read: async (block: Buffer) => {
        read += block.length;
        return { bytesRead: block.length, buffer: block.fill(0) };
      },
    } as unknown as FileHandle;
    const outcome = create(zeros, { bytes: 64 * MIB, digest: "" });
    const { socket } = await visit();
    await settle(500);
    expect(read).toBeLessThan(4 * MIB);
    socket.destroy();
    expect(kindOf(await outcome)).toBe("failure unsent");
  });
});

describe("an image arrives whole", () => {
  const image = randomFillSync(Buffer.alloc(3 * MIB + 1));

  test("over a slow socket", async () => {
    const chunks: Buffer[] = [];
    host.serve = ({ socket }) => {
      const frameBytes = () => 4 + (chunks[0]?.readInt32BE(0) ?? 0);
      socket.on("data", async (chunk) => {
        chunks.push(chunk);
        socket.pause();
        await settle(3);
        socket.resume();
        if (Buffer.concat(chunks).length === frameBytes()) socket.end(CREATED);
      });
    };
    expect(kindOf(await create(await host.file(image), imageOf(image)))).toBe("success");
    expect(Buffer.concat(chunks).includes(image)).toBe(true);
  });

  test.each([1, 7, 48, 100, 5_000, BLOCK_BYTES])("in a file, from parts of %d bytes", async (bytes) => {
    const content = image.subarray(0, bytes * 40);
    const reply = imageReply(content);
    host.serve = async ({ socket }) => {
      socket.resume();
      for (let at = 0; at < reply.length; at += bytes) {
        socket.write(reply.subarray(at, at + bytes));
        await settle(1);
      }
    };
    const file = await host.file();
    const outcome = await host.client.get(WEB, file, MIB * 4);
    expect(outcome).toEqual({ type: "success", value: imageOf(content) });
    expect(readFileSync(join(host.folder, "image-0")).equals(content)).toBe(true);
  });

  test.each([0, 1])("in a file: one of %d bytes", async (bytes) => {
    host.answer(Buffer.concat([imageReply(image.subarray(0, bytes)), Buffer.alloc(9)]));
    const file = await host.file();
    const outcome = await host.client.get(WEB, file, MIB);
    expect(outcome).toEqual({ type: "success", value: imageOf(image.subarray(0, bytes)) });
    expect(readFileSync(join(host.folder, "image-0"))).toHaveLength(bytes);
  });
});

describe("a file that is not the image is not sent to its end:", () => {
  const image = randomFillSync(Buffer.alloc(2 * MIB));
  const expected = imageOf(image);
  const other = Buffer.from(image);
  other[MIB] = (other[MIB] ?? 0) ^ 1;

  /** Asserts that albatrossd got less than a request. */
  async function refused(file: Pick<FileHandle, "read">): Promise<string> {
    host.answer(CREATED);
    const outcome = await create(file, expected);
    await eventually("closed", () => host.visits[0]?.closed === true);
    expect(host.visits).toHaveLength(1);
    const sent = Buffer.concat(host.visits[0]?.chunks ?? []);
    expect(sent.length).toBeLessThan(4 + sent.readInt32BE(0));
    expect(kindOf(outcome)).toBe("failure image");
    return outcome.type === "failure" ? outcome.text : "";
  }

  test.each<[string, Uint8Array, RegExp]>([
    ["an empty one", Buffer.alloc(0), /expected 2097152 bytes, found 0$/],
    ["one cut to 40 bytes", image.subarray(0, 40), /expected 2097152 bytes, found 40$/],
    ["one short of a byte", image.subarray(1), /expected 2097152 bytes, found 2097151$/],
    ["one of a byte more", Buffer.concat([image, Buffer.of(0)]), /expected 2097152 bytes, found more$/],
    ["one of twice the length", Buffer.concat([image, image]), /found more$/],
    ["one with another bit", other, /expected [0-9a-f]{64}, found [0-9a-f]{64}$/],
  ])("%s", async (_, content, text) => {
    expect(await refused(await host.file(content))).toMatch(text);
  });

  test.each<[string, (path: string) => void]>([
    ["is cut", (path) => truncateSync(path, 40)],
    ["grows", (path) => writeFileSync(path, image, { flag: "a" })],
    ["is written over", (path) => writeFileSync(path, other, { flag: "r+" })],
  ])("one that %s while it is sent", async (_, change) => {
    const file = await host.file(image);
    let reads = 0;
    const changing = {
      read: (block: Buffer, offset: number, length: number, position: number) => {
        if (++reads === 10) change(join(host.folder, "image-0"));
        return file.read(block, offset, length, position);
      },
    } as FileHandle;
    expect(await refused(changing)).toMatch(/^the image has changed/);
  });

  test("one that cannot be read", async () => {
    const fault = Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" });
    const broken = { read: () => Promise.reject(fault) } as unknown as FileHandle;
    expect(await refused(broken)).toBe("the image cannot be read: the device reports an error");
  });
});

describe("no image is fetched", () => {
  const image = Buffer.alloc(MIB, 7);

  async function get(reply: Uint8Array, maxBytes = MIB): Promise<Outcome<Image>> {
    host.answer(reply);
    return host.client.get(WEB, await host.file(), maxBytes);
  }

  test("beyond the limit, of which nothing is stored", async () => {
    const outcome = await get(imageReply(image), MIB - 1);
    expect(outcome).toEqual({
      type: "failure",
      reason: "image",
      text: "the image has 1048576 bytes, at most 1048575 are allowed",
    });
    expect(readFileSync(join(host.folder, "image-0"))).toHaveLength(0);
    expect(kindOf(await get(imageReply(image)))).toBe("success");
  });

  test("that is announced with 2 GB", async () => {
    const head = imageReply(image).subarray(0, 2_100);
    head.writeInt32BE(0x7fffffff);
    expect(kindOf(await get(head))).toBe("unknown undecodable");
  });

  test("compressed, as it was not asked for", async () => {
    expect(kindOf(await get(imageReply(image, true)))).toBe("unknown undecodable");
    const recorded = Buffer.concat([exchangeBytes("get-9", "s2c"), Buffer.alloc(199_499)]);
    expect(kindOf(await get(recorded))).toBe("unknown undecodable");
  });

  test("by the name of nothing", async () => {
    const outcome = await get(exchangeBytes("get-missing", "s2c"));
    expect(outcome).toEqual({ type: "failure", reason: "not_found", text: "get: no unikernel found" });
  });

  test.each([0, 1, 4, 30, 2_000, 2_100, MIB])(
    "when albatrossd closes after %d bytes of it",
    async (bytes) => {
      const kind = bytes === 0 ? "unknown no_reply" : "unknown undecodable";
      expect(kindOf(await get(imageReply(image).subarray(0, bytes)))).toBe(kind);
    },
  );

  test("onto a full disk", async () => {
    host.answer(imageReply(image));
    const fault = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    const full = { writeFile: () => Promise.reject(fault) } as unknown as FileHandle;
    const text = "the image cannot be stored: no space left";
    expect(await host.client.get(WEB, full, MIB)).toEqual({ type: "failure", reason: "image", text });
  });

  test("when nothing has come for 30 s; what comes in time goes on", async () => {
    const reply = imageReply(image);
    host.serve = ({ socket }) => socket.resume();
    let stored = 0;
    const storing = {
      writeFile: async (part: Buffer) => {
        stored += part.length;
      },
    } as FileHandle;
    const outcome = host.client.get(WEB, storing, MIB);
    const { socket } = await visit();
    for (const upTo of [0.25, 0.5, 0.75]) {
      const from = (upTo - 0.25) * MIB;
      socket.write(reply.subarray(from, upTo * MIB));
      await eventually(`${upTo} of it`, () => stored > upTo * MIB - 100);
      host.clock.advance(29_999);
    }
    await settle();
    host.clock.advance(1);
    expect(kindOf(await outcome)).toBe("unknown timeout");
    expect(stored).toBeLessThan(MIB);
  });

  test("once it is stopped", async () => {
    const stopping = new AbortController();
    host.serve = ({ socket }) => socket.resume().write(imageReply(image).subarray(0, 5_000));
    const storing = { writeFile: async () => stopping.abort() } as unknown as FileHandle;
    expect(kindOf(await host.client.get(WEB, storing, MIB, stopping.signal))).toBe("unknown stopped");
  });
});
