import { describe, expect, test } from "vitest";
import { groupLine, groupsIn } from "../../src/demo/groupLine.ts";

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
