import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WireError } from "../../src/wire/errors.ts";
import {
  formatName,
  isValidLabel,
  type Name,
  parseName,
  pathText,
  resolveName,
  subscriptionCovers,
  subscriptionPlace,
} from "../../src/wire/names.ts";

const LONGEST = "a".repeat(63);

describe("parsing", () => {
  test.each<[string, readonly string[], string | null]>([
    [":", [], null],
    ["user:", ["user"], null],
    [":user:", ["user"], null],
    ["user:sub:", ["user", "sub"], null],
    ["user:web", ["user"], "web"],
    [":user:web", ["user"], "web"],
    ["user:sub:router", ["user", "sub"], "router"],
    [":web", [], "web"],
    ["web", [], "web"],
    ["USER:Web", ["user"], "web"],
    [".", [], "."],
    ["a-.b", [], "a-.b"],
    [LONGEST, [], LONGEST],
  ])("%j is path %j and label %j", (text, path, label) => {
    expect(parseName(text)).toEqual({ path, label });
  });

  test.each([
    "",
    "::",
    ":::",
    "a::",
    "a::b",
    "::a",
    "a:b::",
    "-a",
    "user:-a",
    "-user:a",
    "a_b",
    "a b",
    "a/b",
    "ä",
    "a\n",
    "\ufffd",
    `${LONGEST}a`,
    `${LONGEST}a:b`,
    `${"a:".repeat(512)}b`,
  ])("%j is refused", (text) => {
    expect(() => parseName(text, 17)).toThrow(expect.objectContaining({ reason: "name", offset: 17 }));
    expect(() => parseName(text)).toThrow(WireError);
  });

  test("an error quotes no more than the start of a long name", () => {
    expect(() => parseName("_".repeat(100_000))).toThrow(/^.{1,300}$/);
  });
});

describe("formatting", () => {
  test.each<[Name, string, string]>([
    [{ path: [], label: null }, ":", ""],
    [{ path: ["user"], label: null }, "user:", "user"],
    [{ path: ["user", "sub"], label: "web" }, "user:sub:web", "user:sub"],
    [{ path: [], label: "web" }, ":web", ""],
  ])("%j is %j, its path %j", (name, text, path) => {
    expect(formatName(name)).toBe(text);
    expect(pathText(name.path)).toBe(path);
  });

  const label = fc.stringMatching(/^[a-z0-9.][a-z0-9.-]{0,62}$/);
  const anyName = fc.record({ path: fc.array(label, { maxLength: 4 }), label: fc.option(label) });

  test("a formatted name parses to itself", () => {
    fc.assert(
      fc.property(anyName, (name) => {
        expect(parseName(formatName(name))).toEqual(name);
      }),
    );
  });

  test("a name that albatross-stats cut for a path subscription is resolved to what it was", () => {
    fc.assert(
      fc.property(anyName, fc.nat(4), (name, cut) => {
        const subscribed = { path: name.path.slice(0, cut), label: null };
        const relative = { path: name.path.slice(cut), label: name.label };
        expect(resolveName(subscribed, relative)).toEqual(name);
      }),
    );
  });
});

describe("labels", () => {
  test.each(["a", "0", ".", "a-", "A.b-C", LONGEST])("%j is one", (label) => {
    expect(isValidLabel(label)).toBe(true);
  });

  test.each(["", "-", "-a", "a:b", "a_", "a ", "a\n", "é", `${LONGEST}a`])("%j is none", (label) => {
    expect(isValidLabel(label)).toBe(false);
  });
});

describe("what a subscription covers", () => {
  test.each([
    [":", "web", true],
    [":", "user:sub:web", true],
    ["user:", "user:web", true],
    ["user:", "user:sub:web", true],
    ["user:", "user2:web", false],
    ["user:", ":user", false],
    ["user:", ":web", false],
    ["user:sub:", "user:web", false],
    ["user:web", "user:web", true],
    ["user:web", "user:web2", false],
    ["user:web", "user:web:web", false],
    [":web", "user:web", false],
  ])("subscription %j and unikernel %j: %j", (subscribed, name, covered) => {
    expect(subscriptionCovers(parseName(subscribed), parseName(name))).toBe(covered);
  });

  test.each([
    [":", ""],
    ["user:", "user"],
    [":user", "user"],
    ["user:web", "user:web"],
    ["user:web:", "user:web"],
  ])("subscription %j is kept at %j", (subscribed, place) => {
    expect(subscriptionPlace(parseName(subscribed))).toBe(place);
  });

  test("a name that came for a subscription by name is relative to its path", () => {
    expect(formatName(resolveName(parseName("user:web"), parseName(":web")))).toBe("user:web");
  });
});
