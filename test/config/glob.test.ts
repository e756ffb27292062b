import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileGlobs, GlobError, globCovers, matchesGlob, parseGlob } from "../../src/config/glob.ts";

describe("a glob is matched with the whole name", () => {
  test.each([
    ["user:web", "user:web", true],
    ["user:web", "user:web2", false],
    ["user:web", "a:user:web", false],
    ["USER:Web", "user:web", true],
    ["*", ":hello", true],
    ["user:*", "user:web", true],
    ["user:*", "user:sub:web", true],
    ["user:*", "user:", true],
    ["user:*", "users:web", false],
    [":*", ":hello", true],
    [":*", "user:hello", false],
    ["*:web", "user:sub:web", true],
    ["*:web", "user:web:x", false],
    ["web-?", "web-1", true],
    ["web-?", "web-", false],
    ["web-?", "web-12", false],
    ["user:[abc]", "user:b", true],
    ["user:[abc]", "user:d", false],
    ["user:web-[0-9]", "user:web-7", true],
    ["user:[a-]", "user:-", true],
    ["*a*b", "xaxxbxb", true],
    ["*a*b", "xaxxbxc", false],
    ["user.web", "userxweb", false],
    ["a**b", "ab", true],
  ])("%s with %s: %s", (pattern, name, expected) => {
    expect(matchesGlob(parseGlob(pattern), name)).toBe(expected);
  });

  test("any of several globs will do, and none matches nothing", () => {
    expect(compileGlobs(["user:*", ":hello"])(":hello")).toBe(true);
    expect(compileGlobs(["user:*", ":hello"])(":bye")).toBe(false);
    expect(compileGlobs([])(":hello")).toBe(false);
  });

  test.each(["", "a[", "a[]", "[z-a]", "[!a]", "[^a]", "a b", "ü", "a_b", "{a,b}", "a".repeat(513)])(
    "%j is refused",
    (text) => {
      expect(() => parseGlob(text)).toThrow(GlobError);
    },
  );

  test("agrees with the regular expression that says the same", () => {
    fc.assert(
      fc.property(patterns, names, (pattern, name) => {
        const source = pattern.replaceAll(".", "\\.").replaceAll("*", ".*").replaceAll("?", ".");
        expect(matchesGlob(parseGlob(pattern), name)).toBe(new RegExp(`^${source}$`).test(name));
      }),
      { numRuns: 2000 },
    );
  });

  test("a pattern made to backtrack ends after pattern x name steps", () => {
    const glob = parseGlob(`${"*a".repeat(200)}b`);
    const started = performance.now();
    expect(matchesGlob(glob, "a".repeat(4000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe("one glob covers another", () => {
  test.each([
    ["*", "user:web", true],
    ["user:*", "user:web-?", true],
    ["user:*", "*", false],
    ["user:web", "user:web", true],
    ["?ser:web", "[a-z]ser:web", true],
    ["[a-z]ser:web", "?ser:web", false],
    ["*a*", "*ba*", true],
    ["*ba*", "*a*", false],
    ["*:*", "*", false],
    ["a?*", "a*?", true],
    ["*-clone-*", "web-clone-[0-9]", true],
  ])("%s over %s: %s", (wide, narrow, expected) => {
    expect(globCovers(parseGlob(wide), parseGlob(narrow))).toBe(expected);
  });

  test("then it matches every name that the other matches", () => {
    fc.assert(
      fc.property(patterns, patterns, (first, second) => {
        const [wide, narrow] = [parseGlob(first), parseGlob(second)];
        fc.pre(globCovers(wide, narrow));
        expect(
          shortNames.find((name) => matchesGlob(narrow, name) && !matchesGlob(wide, name)),
        ).toBeUndefined();
      }),
      { numRuns: 100 },
    );
  });

  test("it covers what comes of narrowing it anywhere", () => {
    fc.assert(
      fc.property(fc.array(narrowing, { minLength: 1, maxLength: 8 }), (parts) => {
        const wide = parseGlob(parts.map(([pattern]) => pattern).join(""));
        const narrow = parseGlob(parts.map(([, narrower]) => narrower).join("") || ":");
        expect(globCovers(wide, narrow) || narrow.pattern === ":").toBe(true);
      }),
    );
  });

  test("patterns that would take for ever to compare count as not covered", () => {
    const started = performance.now();
    expect(globCovers(parseGlob(`*a${"?".repeat(200)}`), parseGlob(`*a${"?".repeat(200)}*`))).toBe(false);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

// Few characters, so that patterns and names meet often.
const patterns = fc
  .array(fc.constantFrom("a", "b", ":", ".", "*", "?", "[ab]"), { minLength: 1, maxLength: 8 })
  .map((parts) => parts.join(""));
const names = fc.array(fc.constantFrom("a", "b", ":", "."), { maxLength: 10 }).map((parts) => parts.join(""));
/** Every name of up to five of these characters. */
const shortNames = [0, 1, 2, 3, 4].reduce<string[]>(
  (all) => [...new Set([...all, ...all.flatMap((name) => ["a", "b", ":", "."].map((char) => name + char))])],
  [""],
);
/** A piece of a pattern and one that matches no more than it. */
const narrowing = fc.oneof(
  fc.tuple(fc.constant("*"), fc.constantFrom("*", "", "a", "?", "a*", "[ab]?")),
  fc.tuple(fc.constant("?"), fc.constantFrom("?", "a", ":", "[ab]")),
  fc.tuple(fc.constant("[ab]"), fc.constantFrom("[ab]", "a", "b")),
  fc.tuple(fc.constant("a"), fc.constant("a")),
);
