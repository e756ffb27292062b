import { expect, test } from "vitest";
import { createLogger, createLogging, toLogfmt } from "../src/log.ts";

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
