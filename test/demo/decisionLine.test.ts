import { describe, expect, test } from "vitest";
import { type Decision, decisionLine, decisionsAfter } from "../../src/demo/decisionLine.ts";

const SCALE_UP: Decision = {
  time: "2026-01-01T00:00:12.000Z",
  host: "demo",
  path: "user",
  group: "web",
  decision: "scale_up",
  reason: "overloaded",
  clone: "web-clone-1",
};
const NORMAL: Decision = {
  ...SCALE_UP,
  time: "2026-01-01T00:00:09.000Z",
  decision: "hold",
  reason: "normal",
  clone: null,
};

describe("the line about a decision", () => {
  const explained = {
    host: "demo",
    path: "user",
    group: "web",
    scaler: { time: SCALE_UP.time, text: "Busy." },
  };

  test("has the decision, the clone, the reason and the words of the evaluation that took it", () => {
    expect(decisionLine(SCALE_UP, [{ ...explained, group: "db" }, explained])).toBe(
      "user:web scale_up web-clone-1 (overloaded): Busy.",
    );
  });

  test.each([
    { what: "whose group has been evaluated again since", groups: [explained] },
    { what: "whose group is gone", groups: [] },
    { what: "whose group has not been evaluated", groups: [{ ...explained, scaler: null }] },
  ])("of a decision $what has no words", ({ groups }) => {
    expect(decisionLine(NORMAL, groups)).toBe("user:web hold (normal)");
  });

  test("of a group at the root begins with a colon", () => {
    expect(decisionLine({ ...NORMAL, path: "", group: "hello" }, [])).toBe(":hello hold (normal)");
  });
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
