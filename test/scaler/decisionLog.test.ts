import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createLogger } from "../../src/log.ts";
import { DecisionLog } from "../../src/scaler/report/log.ts";

async function opened({ maxBytes = 1_000, files = 3 } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "decisions-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "decisions.ndjson");
  const said: Record<string, unknown>[] = [];
  const log = new DecisionLog({
    path,
    maxBytes,
    files,
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
  return { folder, path, log, said, write, read };
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

test("half a line of a process that was killed is ended", async () => {
  const { path, write, read } = await opened();
  writeFileSync(path, '{"time":');
  await write("after");
  expect(read()).toBe('{"time":\nafter\n');
});

test("nothing is written in the turn of whoever tells of it", async () => {
  const { folder, log } = await opened();
  log.append(["a"]);
  expect(readdirSync(folder)).toEqual([]);
  await log.flush();
});

test("the folder is made", async () => {
  const { folder } = await opened();
  const path = join(folder, "a", "b.ndjson");
  const silent = createLogger({ level: "error", format: "json" });
  const log = new DecisionLog({ path, maxBytes: 1_000, files: 2, log: silent });
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
  const { folder, log, write } = await opened({ maxBytes: 100, files: 5 });
  for (let i = 1; i <= 5; i++) await write(line(`${i}`));
  expect(readdirSync(folder)).toHaveLength(5);
  log.setLimits({ maxBytes: 100, files: 2 });
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
