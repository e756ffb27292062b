import { describe, expect, test } from "vitest";
import { type Decision, decisionLine, decisionsAfter } from "../../src/demo/decisionLine.ts";

const SCALE_UP: Decision = {
  time: "2026-01-01T00:00:12.000Z",
  path: "user",
  group: "web",
  decision: "scale_up",
  reason: "overloaded",
  clone: "web-clone-1",
  text: "Create web-clone-1: busy.",
};
const NORMAL: Decision = {
  ...SCALE_UP,
  time: "2026-01-01T00:00:09.000Z",
  decision: "hold",
  reason: "normal",
  clone: null,
  text: "Not busy.",
};

test.each([
  [SCALE_UP, "user:web scale_up web-clone-1 (overloaded): Create web-clone-1: busy."],
  [NORMAL, "user:web hold (normal): Not busy."],
  [{ ...NORMAL, path: "", group: "hello" }, ":hello hold (normal): Not busy."],
])("a decision is one line: %#", (decision, line) => {
  expect(decisionLine(decision)).toBe(line);
});

describe("the decisions to tell next", () => {
  test("are those after the last one told, the oldest first", () => {
    expect(decisionsAfter("", [SCALE_UP, NORMAL])).toEqual([NORMAL, SCALE_UP]);
    expect(decisionsAfter(NORMAL.time, [SCALE_UP, NORMAL])).toEqual([SCALE_UP]);
    expect(decisionsAfter(SCALE_UP.time, [SCALE_UP, NORMAL])).toEqual([]);
  });

  test("leave out groups that no policy matches", () => {
    expect(decisionsAfter("", [{ ...NORMAL, reason: "no_policy" }])).toEqual([]);
  });
});
