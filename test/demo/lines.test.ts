import { describe, expect, test } from "vitest";
import { type Decision, decisionLine, decisionsAfter, groupLine, groupsIn } from "../../src/demo/lines.ts";

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

const EXPOSITION = `# HELP albatross_group_clones Live clones of the group's primary, which is not counted itself.
# TYPE albatross_group_clones gauge
albatross_group_clones{host="demo",path="user",group="web"} 2
albatross_group_clones{host="demo",path="",group="hello"} 0
albatross_group_clones{host="demo",path="user:sub",group="router"} 1
# TYPE albatross_group_cpu_usage_percent gauge
albatross_group_cpu_usage_percent{host="demo",path="user",group="web"} 97.6
albatross_group_cpu_usage_percent{host="demo",path="",group="hello"} 3.2
albatross_vm_cpu_usage_percent{host="demo",path="user",vm="web"} 99
`;

describe("the line about the groups", () => {
  test("has every group of the exposition, a group without a usage too", () => {
    expect(groupLine(groupsIn(EXPOSITION))).toBe(
      ":hello   3 % | user:sub:router   - % and 1 clone | user:web  98 % and 2 clones",
    );
  });

  test("is empty before there is any", () => {
    expect(groupLine(groupsIn('albatross_up{host="demo"} 0\n'))).toBe("");
  });
});
