import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { constants, gunzipSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openTraceFile, RecordError } from "../../src/trace/file.ts";
import { recordTrace } from "../../src/trace/record.ts";
import { eventually } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";

const line = (second: number) =>
  `{"time":"2026-01-01T00:00:0${second}.000Z","host":"local","header":{"name":"user:wéb"}}\n`;
const FIRST = [0, 1, 2, 3].map(line).join("");
const SECOND = line(8);

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "trace-file-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Appends a recording; what was said, and the exit code. */
async function append(file: string, ...lines: string[]) {
  const said: string[] = [];
  const clock = new FakeClock();
  const report = (text: string) => said.push(text);
  const output = await openTraceFile(file, { clock, report });
  async function* from() {
    for (const one of lines) {
      yield one;
      clock.advance(60_000);
    }
  }
  const exitCode = await recordTrace({ lines: from(), output, clock, durationMs: 1, progress: null, report });
  await output.close();
  return { exitCode, said };
}

const wholeLinesOf = (text: string) => text.slice(0, text.lastIndexOf("\n") + 1);

describe("a recording that was cut off is cut back before the next is appended", () => {
  /** Locks are looked at again after a while: many files at once take no longer than one. */
  const atEveryLength = (bytes: Buffer, check: (length: number, name: string) => Promise<void>) =>
    Promise.all(Array.from({ length: bytes.length + 1 }, (_, length) => check(length, `${length}.ndjson`)));

  test("at whatever byte", async () => {
    const bytes = Buffer.from(FIRST);
    await atEveryLength(bytes, async (length, name) => {
      const file = join(dir, name);
      writeFileSync(file, bytes.subarray(0, length));
      const whole = wholeLinesOf(bytes.toString("utf8", 0, length));
      const { exitCode, said } = await append(file, SECOND);
      expect(readFileSync(file, "utf8"), `cut at ${length}`).toBe(whole + SECOND);
      const torn = length - Buffer.byteLength(whole);
      const cut = `cut back ${file}, which ended in the middle of a line, by ${torn} bytes`;
      expect(said.slice(0, -1)).toEqual(torn === 0 ? [] : [cut]);
      expect(exitCode).toBe(0);
    });
  });

  test("packed, at whatever byte, with all of its whole lines that can be unpacked", async () => {
    const original = join(dir, "trace.ndjson.gz");
    await append(original, line(0), line(1));
    await append(original, line(2), line(3));
    const bytes = readFileSync(original);
    const kept: number[] = [];
    await atEveryLength(bytes, async (length, name) => {
      const file = join(dir, `${name}.gz`);
      writeFileSync(file, bytes.subarray(0, length));
      const { exitCode, said } = await append(file, SECOND);
      const text = gunzipSync(readFileSync(file)).toString();
      const lines = text.slice(0, -SECOND.length);
      expect(text.endsWith(SECOND), `cut at ${length}`).toBe(true);
      expect(FIRST.startsWith(lines) && lines === wholeLinesOf(lines), `cut at ${length}`).toBe(true);
      kept[length] = lines.length;
      if (said.length > 1) {
        expect(said[0]).toBe(`packed ${file} anew up to its last whole line: its end was missing`);
      }
      expect(exitCode).toBe(0);
    });
    expect(kept).toEqual(kept.toSorted((a, b) => a - b));
    expect(kept.at(-1)).toBe(FIRST.length);
    expect(readdirSync(dir).filter((name) => !/^(\d+|trace)\.ndjson\.gz$/.test(name))).toEqual([]);
  });

  test("with the zeros that a host without power leaves", async () => {
    const file = join(dir, "trace.ndjson");
    writeFileSync(file, Buffer.concat([Buffer.from(FIRST), Buffer.alloc(100_000)]));
    await append(file, SECOND);
    expect(readFileSync(file, "utf8")).toBe(FIRST + SECOND);
  });

  test("packed whole, though what was packed ends in the middle of a line", async () => {
    const file = join(dir, "trace.ndjson.gz");
    writeFileSync(file, gzipSync(FIRST.slice(0, -3)));
    await append(file, SECOND);
    expect(gunzipSync(readFileSync(file)).toString()).toBe([0, 1, 2, 8].map(line).join(""));
  });
});

test("what is recorded is compressed into the file while it goes on, not only at its end", async () => {
  const file = join(dir, "trace.gz");
  const clock = new FakeClock();
  const output = await openTraceFile(file, { clock, report: () => {} });
  const unpacked = () => {
    const bytes = readFileSync(file);
    return bytes.length === 0 ? "" : gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }).toString();
  };
  async function* lines() {
    for (let second = 0; second < 4; second++) {
      yield line(second);
      clock.advance(10_000);
    }
    await eventually("all of it in the file", () => unpacked() === FIRST);
  }
  await output.write(lines());
  await output.close();
});

describe("a file that cannot be appended to is left as it is", () => {
  const packed = gzipSync(FIRST.repeat(50));
  test.each<[string, string, string | Buffer, string]>([
    ["some text", "notes", "todo: record", "does not end in a line of a trace: record to another file"],
    ["a packed trace", "trace", packed, "does not end in a line of a trace: record to another file"],
    ["a trace", "trace.gz", FIRST, "is damaged, or not packed by gzip: record to another file"],
    [
      "a damaged one",
      "trace.gz",
      Buffer.concat([packed.subarray(0, 60), packed]),
      "is damaged, or not packed by gzip: record to another file",
    ],
  ])("%s called %s", async (_, name, content, why) => {
    const file = join(dir, name);
    writeFileSync(file, content);
    await expect(append(file, SECOND)).rejects.toThrow(new RecordError(`${file} ${why}`));
    expect(readFileSync(file)).toEqual(Buffer.from(content));
    expect(readdirSync(dir)).toEqual([name]);
  });

  test.each(["trace.ndjson", "trace.ndjson.gz"])("lines of a later time, in %s", async (name) => {
    const file = join(dir, name);
    await append(file, SECOND);
    const before = readFileSync(file);
    const { exitCode, said } = await append(file, line(1));
    expect(said[0]).toBe(
      "albatross-exporter: ended early, after 0s: it is 2026-01-01T00:00:01.000Z and the file has lines up to 2026-01-01T00:00:08.000Z: record to another file",
    );
    expect(exitCode).toBe(1);
    expect(readFileSync(file).subarray(0, before.length)).toEqual(before);
  });
});

test("a second recorder is refused, and the first one goes on", async () => {
  const file = join(dir, "trace.ndjson");
  const first = await openTraceFile(file, { clock: new FakeClock(), report: () => {} });
  await expect(append(file, SECOND)).rejects.toThrow(new RecordError(`another recorder writes to ${file}`));
  await first.write(
    (async function* () {
      yield line(0);
    })(),
  );
  await first.close();
  await append(file, SECOND);
  expect(readFileSync(file, "utf8")).toBe(line(0) + SECOND);
});

test("a disk that is full is told once", async () => {
  const { exitCode, said } = await append("/dev/full", SECOND, SECOND);
  expect(said).toEqual([
    "albatross-exporter: ended early, after 2m: cannot write /dev/full: no space left",
    "recorded up to 2 samples (0.0 MB) in 2m to /dev/full",
  ]);
  expect(exitCode).toBe(1);
});
