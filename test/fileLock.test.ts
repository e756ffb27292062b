import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { lockFile } from "../src/fileLock.ts";

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "lock-"));
  file = join(dir, "trace.ndjson");
});
afterEach(() => rmSync(dir, { recursive: true }));

/** What a process that was killed leaves behind: a socket that nobody listens to. */
async function leaveStale(address: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(address, resolve));
  renameSync(address, `${address}-kept`);
  await new Promise((resolve) => server.close(resolve));
  renameSync(`${address}-kept`, address);
}

test("one at a time has the lock, and it leaves nothing behind", async () => {
  const unlock = await lockFile(file);
  expect(unlock).not.toBeNull();
  expect(await lockFile(file)).toBeNull();
  await unlock?.();
  expect(existsSync(`${file}.lock`)).toBe(false);
  const again = await lockFile(file);
  expect(again).not.toBeNull();
  await again?.();
});

test("a file is the same under another name, and another is another", async () => {
  writeFileSync(file, "");
  symlinkSync(file, join(dir, "link"));
  const unlock = await lockFile(join(dir, "link"));
  expect(await lockFile(file)).toBeNull();
  const other = await lockFile(join(dir, "other"));
  expect(other).not.toBeNull();
  await Promise.all([unlock?.(), other?.()]);
});

test("what a killed process left behind holds nobody up, and only one of many that come at once gets it", async () => {
  for (let round = 0; round < 20; round++) {
    await leaveStale(`${file}.lock`);
    const locks = await Promise.all(Array.from({ length: 6 }, () => lockFile(file)));
    const got = locks.filter((unlock) => unlock !== null);
    expect(got).toHaveLength(1);
    expect(await lockFile(file)).toBeNull();
    await got[0]?.();
  }
});

test("a path longer than an address of a socket may be is locked all the same", async () => {
  const long = join(dir, "a".repeat(120), "b".repeat(120));
  mkdirSync(long, { recursive: true });
  const unlock = await lockFile(join(long, "trace"));
  expect(unlock).not.toBeNull();
  expect(await lockFile(join(long, "trace"))).toBeNull();
  await unlock?.();
});

test.each([
  { bytes: 100, got: true },
  { bytes: 101, got: false },
])("refused rather than elsewhere beyond 100 bytes: $bytes", async ({ bytes, got }) => {
  const there = join(dir, "s".repeat(bytes - join(dir, "//x.lock").length - 1), "x");
  mkdirSync(join(there, ".."));
  const unlock = await lockFile(there, "refuse").catch((error) => error.message);
  if (typeof unlock === "function") await unlock();
  expect(typeof unlock === "function").toBe(got);
  if (!got) expect(unlock).toBe(`the path of the lock ${there}.lock has 101 bytes; allowed: at most 100`);
});

test("who finds another's socket in place of its own a little later has lost, and takes nothing away", async () => {
  const unlocking = lockFile(file);
  await vi.waitUntil(() => existsSync(`${file}.lock`), { interval: 1 });
  rmSync(`${file}.lock`);
  const winner = createServer();
  await new Promise<void>((resolve) => winner.listen(`${file}.lock`, resolve));
  expect(await unlocking).toBeNull();
  expect(existsSync(`${file}.lock`)).toBe(true);
  winner.close();
});

test("a file that is no lock is left where it is", async () => {
  writeFileSync(`${file}.lock`, "mine");
  await expect(lockFile(file)).rejects.toThrow(`${file}.lock is in the way: it is no lock`);
  expect(readFileSync(`${file}.lock`, "utf8")).toBe("mine");
});

test("in no folder there is no lock", async () => {
  await expect(lockFile(join(dir, "none", "trace"))).rejects.toThrow("ENOENT");
});
