import { randomFillSync } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ActingClient, Image, Outcome } from "../../src/client/acting.ts";
import { createLogger } from "../../src/log.ts";
import { ImageCache, type OpenImage } from "../../src/scaler/actions/images.ts";
import { parseName } from "../../src/wire/names.ts";
import { CREATED, FakeAlbatrossd, imageOf, kindOf, PLAIN, replyOf } from "../client/support/acting.ts";
import { eventually } from "../support/eventually.ts";

const FROM = parseName("user:web");
const CLONE = parseName("user:web-clone-1");
const MIB = 2 ** 20;
const content = randomFillSync(Buffer.alloc(MIB));
const other = randomFillSync(Buffer.alloc(MIB));
const { digest } = imageOf(content);
const silent = createLogger({ level: "error", format: "json" }, { write: () => undefined });
const sending = { beforeFirstByte: async () => undefined };

let host: FakeAlbatrossd;
let folder: string;
let cache: ImageCache;
let opened: OpenImage[];

beforeEach(async () => {
  host = new FakeAlbatrossd();
  await host.start();
  await host.known();
  folder = join(host.folder, "state", "images");
  cache = new ImageCache(folder, silent);
  opened = [];
  serves(content);
});

afterEach(async () => {
  for (const { file } of opened) await file.close();
  await host.stop();
});

/** albatrossd has a unikernel with this image. */
function serves(image: Uint8Array): void {
  host.answer(replyOf({ type: "success", result: "unikernel_image", compressed: false, image }, "user:web"));
}

async function open(wanted: { digest?: string; maxBytes?: number } = {}, client = host.client) {
  const outcome = await cache.open({ from: FROM, digest, maxBytes: 2 * MIB, ...wanted }, client);
  if (outcome.type === "success") opened.push(outcome.value);
  return outcome;
}

async function whole(outcome: Awaited<ReturnType<typeof open>>): Promise<Image> {
  if (outcome.type !== "success") expect.fail(outcome.text);
  const { file, image } = outcome.value;
  const bytes = Buffer.alloc(image.bytes + 1);
  const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
  expect(imageOf(bytes.subarray(0, bytesRead))).toEqual(image);
  return image;
}

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

/** As a failure's kind and words; fails when it is none. */
async function failureOf(outcome: Promise<Awaited<ReturnType<typeof open>>>): Promise<string> {
  const found = await outcome;
  if (found.type !== "failure") expect.fail(`it is a ${found.type}`);
  return `${found.reason}: ${found.text}`;
}

describe("an image", () => {
  test("is asked of albatrossd once, and kept for its owner alone", async () => {
    expect(await whole(await open())).toEqual(imageOf(content));
    expect(readdirSync(folder)).toEqual([digest]);
    expect(readFileSync(join(folder, digest)).equals(content)).toBe(true);
    expect([modeOf(folder), modeOf(join(folder, digest))]).toEqual(["700", "600"]);
    expect(await whole(await open())).toEqual(imageOf(content));
    cache = new ImageCache(folder, silent);
    expect(await whole(await open())).toEqual(imageOf(content));
    expect(host.visits).toHaveLength(1);
  });

  test("is kept in a folder that others could read before", async () => {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    await whole(await open());
    expect(modeOf(folder)).toBe("700");
  });

  test("is asked for by two at once, and right for both", async () => {
    const both = await Promise.all([open(), open()]);
    for (const outcome of both) expect(await whole(outcome)).toEqual(imageOf(content));
    expect(readdirSync(folder)).toEqual([digest]);
  });

  test("is sent as it was when it was opened, whatever takes its place", async () => {
    const outcome = await open();
    if (outcome.type !== "success") expect.fail(outcome.text);
    serves(other);
    await cache.keepOnly(new Set());
    expect(existsSync(join(folder, digest))).toBe(false);
    host.answer(CREATED);
    const { file, image } = outcome.value;
    expect(kindOf(await host.client.create(CLONE, PLAIN, file, image, sending))).toBe("success");
    expect(Buffer.concat(host.visits.at(-1)?.chunks ?? []).includes(content)).toBe(true);
  });

  test("that is cut after it was opened is not sent to its end", async () => {
    const outcome = await open();
    if (outcome.type !== "success") expect.fail(outcome.text);
    truncateSync(join(folder, digest), 40);
    host.answer(CREATED);
    const { file, image } = outcome.value;
    expect(kindOf(await host.client.create(CLONE, PLAIN, file, image, sending))).toBe("failure image");
  });

  test("of 64 MiB is looked at in bounded memory", async () => {
    const zeros = "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351";
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, zeros), "");
    truncateSync(join(folder, zeros), 64 * MIB);
    const before = process.memoryUsage();
    let most = 0;
    let looks = 0;
    const looking = setInterval(() => {
      looks += 1;
      const { heapUsed, external } = process.memoryUsage();
      most = Math.max(most, heapUsed + external - before.heapUsed - before.external);
    }, 1);
    const outcome = await open({ digest: zeros, maxBytes: 64 * MIB });
    clearInterval(looking);
    expect(outcome).toMatchObject({ type: "success", value: { image: { bytes: 64 * MIB } } });
    expect(looks).toBeGreaterThan(0);
    expect(most).toBeLessThan(32 * MIB);
  });
});

describe("what is kept and not whole is fetched again:", () => {
  const path = () => join(folder, digest);

  test.each<[string, () => void]>([
    ["a file cut to 40 bytes", () => truncateSync(path(), 40)],
    ["an empty one", () => truncateSync(path())],
    ["one of a byte more", () => writeFileSync(path(), "x", { flag: "a" })],
    ["another image", () => writeFileSync(path(), other)],
    ["one beyond the limit", () => truncateSync(path(), 2 ** 40)],
    ["a link to itself", () => symlinked(path())],
    ["a link to the very image elsewhere", () => symlinked(path(), content)],
  ])("%s", async (_, change) => {
    await whole(await open());
    change();
    expect(await whole(await open())).toEqual(imageOf(content));
    expect(lstatSync(path()).isFile()).toBe(true);
    expect(readdirSync(folder)).toEqual([digest]);
    expect(host.visits).toHaveLength(2);
  });

  test.skipIf(process.getuid?.() === 0)("one that may not be read", async () => {
    await whole(await open());
    chmodSync(path(), 0);
    expect(await whole(await open())).toEqual(imageOf(content));
  });

  function symlinked(at: string, target?: Uint8Array): void {
    const elsewhere = join(host.folder, "elsewhere");
    if (target !== undefined) writeFileSync(elsewhere, target);
    rmSync(at);
    symlinkSync(target === undefined ? at : elsewhere, at);
  }
});

describe("no image is had, and nothing is left behind,", () => {
  const clientOf = (outcome: Outcome<Image>) => ({ get: async () => outcome }) as unknown as ActingClient;

  test("beyond the limit", async () => {
    expect(await failureOf(open({ maxBytes: MIB - 1 }))).toBe(
      "image: the image has 1048576 bytes, at most 1048575 are allowed",
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test("when the unikernel runs another by now", async () => {
    serves(other);
    expect(await failureOf(open())).toBe(
      `changed: expected the image ${digest}, found ${imageOf(other).digest}`,
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test("when albatrossd does not give it", async () => {
    host.answer(replyOf({ type: "failure", message: "get: no unikernel found" }));
    expect(await failureOf(open())).toBe("not_found: get: no unikernel found");
    const lost = { type: "unknown", why: "lost", text: "the connection broke" } as const;
    expect(await open({}, clientOf(lost))).toEqual(lost);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("when the disk is full", async () => {
    const full = {
      type: "failure",
      reason: "image",
      text: "the image cannot be stored: no space left",
    } as const;
    expect(await open({}, clientOf(full))).toEqual(full);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("when the folder cannot be made", async () => {
    writeFileSync(join(host.folder, "state"), "");
    expect(await failureOf(open())).toBe(
      `image: the image cannot be kept in ${folder}: a part of its path is no directory`,
    );
    expect(host.visits).toHaveLength(0);
  });

  test("where a folder is in its place", async () => {
    mkdirSync(join(folder, digest, "x"), { recursive: true });
    expect(await failureOf(open())).toMatch(/^image: the image cannot be kept in .*: it is a directory$/);
    expect(readdirSync(folder)).toEqual([digest]);
  });

  test.each(["", "../../etc/passwd", "AB".repeat(32), "ab".repeat(31), `${"ab".repeat(32)}\n`])(
    "by the digest %j",
    async (wrong) => {
      expect(await failureOf(open({ digest: wrong }))).toMatch(/^image: ".*" is no digest of an image$/);
      expect(existsSync(folder)).toBe(false);
    },
  );
});

describe("images that nothing needs", () => {
  const needed = "12".repeat(32);
  const left = `${digest}.1-0.part`;

  beforeEach(() => {
    mkdirSync(folder, { recursive: true });
    for (const name of [needed, digest, left, "notes.txt"]) writeFileSync(join(folder, name), "");
  });

  test("are deleted, and what a killed process has not finished; what is not ours is left", async () => {
    await cache.keepOnly(new Set([needed]));
    expect(readdirSync(folder).sort()).toEqual([needed, "notes.txt"]);
  });

  test("are deleted later, too", async () => {
    await cache.keepOnly(new Set([needed]));
    await whole(await open());
    await cache.keepOnly(new Set([needed, digest]));
    expect(existsSync(join(folder, digest))).toBe(true);
    await cache.keepOnly(new Set([needed]));
    expect(existsSync(join(folder, digest))).toBe(false);
  });

  test("are not those that are on their way", async () => {
    const stalled: (() => void)[] = [];
    const slow = {
      get: async (_: unknown, file: { writeFile(part: Buffer): Promise<void> }) => {
        await new Promise<void>((resolve) => stalled.push(resolve));
        await file.writeFile(content);
        return { type: "success", value: imageOf(content) };
      },
    } as unknown as ActingClient;
    const outcome = open({}, slow);
    await eventually("it is on its way", () => stalled.length === 1);
    await cache.keepOnly(new Set([digest]));
    for (const go of stalled) go();
    expect(await whole(await outcome)).toEqual(imageOf(content));
    expect(readdirSync(folder).sort()).toEqual([digest, "notes.txt"].sort());
  });

  test("are none where there is no folder", async () => {
    await new ImageCache(join(host.folder, "nowhere"), silent).keepOnly(new Set());
    expect(existsSync(join(host.folder, "nowhere"))).toBe(false);
  });
});
