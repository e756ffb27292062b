import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { type FileHandle, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { createLogger } from "../../src/log.ts";
import { DecisionLog } from "../../src/scaler/report/log.ts";

interface Fault {
  /** bytes that the disk still has */
  room: number | null;
  /** which files cannot be renamed */
  rename: ((from: string) => boolean) | null;
}
const fault = vi.hoisted((): Fault => ({ room: null, rename: null }));

afterEach(() => {
  fault.room = null;
  fault.rename = null;
});

vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  const open = async (path: string, flags: string | number): Promise<FileHandle> => {
    const file = await fs.open(path, flags);
    const append = file.appendFile.bind(file);
    file.appendFile = async (data) => {
      if (fault.room === null) return append(data);
      const text = String(data).slice(0, fault.room);
      fault.room -= text.length;
      await append(text);
      if (text.length < String(data).length) throw new Error("ENOSPC: no space left on device, write");
    };
    return file;
  };
  const rename = (from: string, to: string) =>
    fault.rename?.(from) ? Promise.reject(new Error("EBUSY: resource busy")) : fs.rename(from, to);
  return { ...fs, open, rename };
});

async function opened({ maxBytes = 1_000, files = 3 } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "decisions-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "decisions.ndjson");
  const said: Record<string, unknown>[] = [];
  let failed = 0;
  const limits = { decisionLogMaxBytes: maxBytes, decisionLogFiles: files };
  const log = new DecisionLog({
    onFailure: () => void failed++,
    path,
    config: () => limits,
    log: createLogger(
      { level: "info", format: "json" },
      { write: (line) => void said.push(JSON.parse(line)) },
    ),
  });
  const write = async (...lines: string[]) => {
    log.append(lines);
    await log.flush();
  };
  const read = (number = 0) => readFileSync(number === 0 ? path : `${path}.${number}`, "utf8");
  return { folder, path, limits, log, said, write, read, failures: () => failed };
}

/** A line of 100 bytes with its end. */
function line(text: string): string {
  return text.padEnd(99, ".");
}

test("lines are appended, in order", async () => {
  const { write, read, log } = await opened();
  log.append(["a", "b"]);
  log.append(["c"]);
  await write("d");
  expect(read()).toBe("a\nb\nc\nd\n");
});

test("lines of an earlier run stay", async () => {
  const { path, write, read } = await opened();
  writeFileSync(path, "before\n");
  await write("after");
  expect(read()).toBe("before\nafter\n");
});

test.each([
  ["half a line of a process that was killed is cut off", 'a\n{"time":"2026', "a\nafter\n"],
  ["the beginning of one as well", 'a\n{"t', "a\nafter\n"],
  ["half a line of something else is ended", "a\nsomething", "a\nsomething\nafter\n"],
  ["a file of half a line begins anew", '{"time":"2026-é', "after\n"],
])("%s", async (_, before, after) => {
  const { path, write, read } = await opened();
  writeFileSync(path, before);
  await write("after");
  expect(read()).toBe(after);
});

describe("a disk that is full in the middle of a line", () => {
  test.each([0, 1, 99, 100, 101, 199, 200, 250])(
    "leaves whole lines only: room for %i bytes",
    async (room) => {
      const { write, read, said, failures } = await opened({ maxBytes: 10_000 });
      await write(line("0"));
      fault.room = room;
      await write(line("1"), line("2"), line("3"));
      fault.room = null;
      const whole = Math.floor(room / 100);
      await write(line("4"));
      const kept = ["0", ...["1", "2", "3"].slice(0, whole), "4"];
      expect(read()).toBe(kept.map((text) => `${line(text)}\n`).join(""));
      expect(failures()).toBe(1);
      expect(said).toMatchObject([
        { level: "error", msg: "decision log cannot be written" },
        { level: "warn", lost: 3 - whole },
      ]);
    },
  );
});

describe("a file that cannot be rotated", () => {
  test("grows, loses nothing, and says so once until it can", async () => {
    const { folder, write, read, said, failures } = await opened({ maxBytes: 100, files: 4 });
    for (const text of ["1", "2", "3"]) await write(line(text));
    fault.rename = (from) => from.endsWith("ndjson");
    for (const text of ["4", "5", "6"]) await write(line(text));
    expect(read()).toBe(["3", "4", "5", "6"].map((text) => `${line(text)}\n`).join(""));
    expect(failures()).toBe(3);
    expect(said).toMatchObject([{ level: "error", msg: "decision log cannot be rotated: it grows" }]);
    fault.rename = null;
    await write(line("7"));
    expect(readdirSync(folder)).toHaveLength(4);
    expect([read(), read(2), read(3)].map((text) => text[0])).toEqual(["7", "2", "1"]);
    expect(said).toHaveLength(1);
  });
});

test("a symbolic link stays one, and what it stands for is rotated", async () => {
  const { path, folder, write } = await opened({ maxBytes: 100 });
  const target = join(folder, "elsewhere.ndjson");
  symlinkSync(target, path);
  for (const text of ["1", "2"]) await write(line(text));
  expect(readlinkSync(path)).toBe(target);
  expect([target, `${target}.1`].map((file) => readFileSync(file, "utf8")[0])).toEqual(["2", "1"]);
});

describe("a pipe in place of the file", { tags: ["process"] }, () => {
  async function piped() {
    const { folder, path, ...rest } = await opened();
    execFileSync("mkfifo", [path]);
    const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    onTestFinished(() => closeSync(pipe));
    return { folder, path, pipe, ...rest };
  }

  test("gets the lines", async () => {
    const { pipe, write } = await piped();
    await write("one", "two");
    const bytes = Buffer.alloc(100);
    expect(bytes.toString("utf8", 0, readSync(pipe, bytes))).toBe("one\ntwo\n");
  });

  test("is not waited for while nobody reads it", async () => {
    const { pipe, write, said, failures } = await piped();
    expect(() => {
      for (;;) writeSync(pipe, Buffer.alloc(4_096));
    }).toThrow("EAGAIN");
    await write("one");
    expect(failures()).toBe(1);
    expect(said).toMatchObject([{ msg: "decision log cannot be written" }]);
    expect(JSON.stringify(said)).toContain("EAGAIN");
  });

  test("may be one without a name, as behind /dev/stdout", async () => {
    const { folder, pipe, write, path, failures } = await piped();
    const bytes = Buffer.alloc(100);
    const link = join(folder, "stdout");
    symlinkSync(`/proc/self/fd/${pipe}`, link);
    unlinkSync(path);
    symlinkSync(link, path);
    await write("one");
    expect(failures()).toBe(0);
    expect(bytes.toString("utf8", 0, readSync(pipe, bytes))).toBe("one\n");
  });
});

test("nothing is written in the turn of whoever tells of it", async () => {
  const { folder, log } = await opened();
  log.append(["a"]);
  expect(readdirSync(folder)).toEqual([]);
  await log.flush();
});

test("the folder is made", async () => {
  const { folder, limits } = await opened();
  const path = join(folder, "a", "b.ndjson");
  const silent = createLogger({ level: "error", format: "json" });
  const log = new DecisionLog({ path, config: () => limits, log: silent, onFailure: () => undefined });
  log.append(["a"]);
  await log.flush();
  expect(readFileSync(path, "utf8")).toBe("a\n");
});

test("a file is set aside before a line would make it too large", async () => {
  const { folder, write, read } = await opened({ maxBytes: 300 });
  await write(line("1"), line("2"), line("3"));
  expect(readdirSync(folder)).toEqual(["decisions.ndjson"]);
  await write(line("4"));
  expect([read(), read(1)]).toEqual([`${line("4")}\n`, `${line("1")}\n${line("2")}\n${line("3")}\n`]);
});

test("as many files are kept as are wanted, the oldest go", async () => {
  const { folder, write, read } = await opened({ maxBytes: 100, files: 3 });
  for (let i = 1; i <= 6; i++) await write(line(`${i}`));
  expect(readdirSync(folder).sort()).toEqual([
    "decisions.ndjson",
    "decisions.ndjson.1",
    "decisions.ndjson.2",
  ]);
  expect([read(), read(1), read(2)].map((text) => text[0])).toEqual(["6", "5", "4"]);
});

test("one file alone begins anew when it is full", async () => {
  const { folder, write, read } = await opened({ maxBytes: 200, files: 1 });
  for (let i = 1; i <= 5; i++) await write(line(`${i}`));
  expect(readdirSync(folder)).toEqual(["decisions.ndjson"]);
  expect(read()).toBe(`${line("5")}\n`);
});

test("many lines at once fill as many files as they need, none above its size", async () => {
  const { folder, path, write } = await opened({ maxBytes: 1_000, files: 4 });
  await write(...Array.from({ length: 95 }, (_, i) => line(`${i}`)));
  const sizes = readdirSync(folder).map((name) => statSync(join(path, "..", name)).size);
  expect(sizes.sort()).toEqual([1_000, 1_000, 1_000, 500]);
});

test("a line longer than a file may be has one of its own", async () => {
  const { write, read } = await opened({ maxBytes: 50 });
  await write("short", line("long"), "short again");
  expect([read(2), read(1), read()]).toEqual(["short\n", `${line("long")}\n`, "short again\n"]);
});

test("sizes are bytes, not characters", async () => {
  const { write, read } = await opened({ maxBytes: 20 });
  await write("ééééé", "ééééé");
  expect([read(1), read()]).toEqual(["ééééé\n", "ééééé\n"]);
});

test("other limits hold from the next line on, and files that are too many then go", async () => {
  const { folder, limits, write } = await opened({ maxBytes: 100, files: 5 });
  for (let i = 1; i <= 5; i++) await write(line(`${i}`));
  expect(readdirSync(folder)).toHaveLength(5);
  limits.decisionLogFiles = 2;
  await write(line("6"));
  expect(readdirSync(folder).sort()).toEqual(["decisions.ndjson", "decisions.ndjson.1"]);
});

test("a log that cannot be written says so once, and once how many lines were lost when it can again", async () => {
  const { path, said, write, read } = await opened();
  mkdirSync(path);
  await write("1", "2");
  await write("3");
  expect(said).toMatchObject([{ level: "error", msg: "decision log cannot be written", file: path }]);
  await rm(path, { recursive: true });
  await write("4");
  await write("5");
  expect(read()).toBe("4\n5\n");
  expect(said.slice(1)).toMatchObject([{ level: "warn", lost: 3 }]);
});

test("a disk that does not keep up costs no memory without end", async () => {
  const { log, said } = await opened({ maxBytes: 1e9 });
  const long = "x".repeat(1_000_000);
  log.append(Array.from({ length: 40 }, () => long));
  await log.flush();
  expect(said).toMatchObject([{ level: "warn", lost: 24 }]);
});
