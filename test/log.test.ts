import { describe, expect, test } from "vitest";
import { createLogger, createLogging, LineOutput, toLogfmt } from "../src/log.ts";
import { FakeClock } from "./support/fakeClock.ts";

function capture(format: "logfmt" | "json", level: "debug" | "info" = "info") {
  const lines: string[] = [];
  return { log: createLogger({ level, format }, { write: (line) => lines.push(line) }), lines };
}

test.each([
  [{ host: "local" }, "host=local"],
  [{ text: "two words" }, 'text="two words"'],
  [{ text: "" }, 'text=""'],
  [{ text: 'say "hi"' }, 'text="say \\"hi\\""'],
  [{ text: "a=b" }, 'text="a=b"'],
  [{ text: "one\ntwo\u2028three\u009b31m" }, 'text="one\\ntwo\\u2028three\\u009b31m"'],
  [{ text: "grün" }, 'text="grün"'],
  [{ "a key": 1 }, "a_key=1"],
  [{ count: 3, ok: true, none: null, gone: undefined }, "count=3 ok=true none=null"],
  [{ slots: [":", "user:"] }, 'slots="[\\":\\",\\"user:\\"]"'],
  [
    { err: { type: "Error", message: "no such file", stack: "Error: no such file\n at x" } },
    'err="no such file"',
  ],
])("%j as logfmt is %s", (fields, expected) => {
  const line = toLogfmt({ level: "info", time: "2026-01-01T00:00:00.000Z", msg: "hello", ...fields });
  expect(line).toBe(`time=2026-01-01T00:00:00.000Z level=info msg=hello ${expected}`);
});

test("an event is one line with time, level and message first, whatever its fields hold", () => {
  const { log, lines } = capture("logfmt");
  log.warn({ host: "a\nb", err: new Error("lost\nit") }, "cannot read");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(
    /^time=\d{4}-\d\d-\d\dT[\d:.]+Z level=warn msg="cannot read" host="a\\nb" err="lost\\nit"\n$/,
  );
});

test("as JSON the level is a word and the time can be read", () => {
  const { log, lines } = capture("json");
  log.info({ host: "a" }, "hello");
  const event = JSON.parse(lines[0] ?? "");
  expect(event).toEqual({ level: "info", time: expect.any(String), msg: "hello", host: "a" });
  expect(Date.parse(event.time)).not.toBeNaN();
});

test("what is below the level is not written", () => {
  const quiet = capture("logfmt");
  quiet.log.debug("hidden");
  const loud = capture("logfmt", "debug");
  loud.log.debug("shown");
  expect([quiet.lines.length, loud.lines.length]).toEqual([0, 1]);
});

test("level and format change while it is in use", () => {
  const lines: string[] = [];
  const { log, change } = createLogging(
    { level: "info", format: "logfmt" },
    { write: (line) => lines.push(line) },
  );
  change({ level: "debug", format: "json" });
  log.debug("now");
  change({ level: "warn", format: "json" });
  log.info("hidden");
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(["now"]);
});

describe("the output of the log", () => {
  /** A reader that takes `room` bytes, and then throws what the system says. */
  function reader(code = "EAGAIN") {
    const clock = new FakeClock();
    const taken: string[] = [];
    let room = Number.POSITIVE_INFINITY;
    const write = (bytes: Uint8Array) => {
      const part = bytes.subarray(0, room);
      if (part.length === 0) throw Object.assign(new Error(code), { code });
      room -= part.length;
      taken.push(Buffer.from(part).toString());
      return part.length;
    };
    const output = new LineOutput(write, clock);
    const setRoom = (bytes: number) => {
      room = bytes;
      clock.advance(1000);
    };
    return { output, clock, setRoom, text: () => taken.join("") };
  }

  test("is written to at once", () => {
    const { output, text, clock } = reader();
    output.write("one\n");
    expect(text()).toBe("one\n");
    expect(clock.pendingTimers).toBe(0);
  });

  test.each(["EAGAIN", "ENOSPC", "EPIPE", "EIO", "EBADF"])(
    "keeps lines while there is %s, and gives all of them in order and whole afterwards",
    (code) => {
      const { output, setRoom, text, clock } = reader(code);
      const lines = Array.from({ length: 50 }, (_, index) => `line ${index} grün\n`);
      setRoom(7);
      for (const line of lines) output.write(line);
      expect(text()).toBe("line 0 ");
      setRoom(20);
      setRoom(Number.POSITIVE_INFINITY);
      expect(text()).toBe(lines.join(""));
      expect([output.lost, clock.pendingTimers]).toEqual([0, 0]);
    },
  );

  test("keeps no more than 1 MiB, and what is lost is counted, and told once there is room again", () => {
    const { output, setRoom, text } = reader();
    const logging = createLogging({ level: "error", format: "json" }, output);
    setRoom(0);
    const line = `${"x".repeat(1023)}\n`;
    for (let i = 0; i < 3000; i++) output.write(line);
    expect(logging.lostLines).toBe(3000 - 1024);
    setRoom(Number.POSITIVE_INFINITY);
    output.write("after\n");
    const [told, after] = text()
      .slice(1024 * 1024)
      .trimEnd()
      .split("\n");
    expect(JSON.parse(told ?? "")).toMatchObject({ level: "error", lines: 3000 - 1024 });
    expect(after).toBe("after");
    setRoom(0);
    setRoom(Number.POSITIVE_INFINITY);
    expect(text().match(/were lost/g)).toHaveLength(1);
    expect(logging.lostLines).toBe(3000 - 1024);
  });
});
