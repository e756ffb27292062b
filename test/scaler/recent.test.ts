import { describe, expect, test } from "vitest";
import { Recent, type RecentQuery } from "../../src/scaler/report/log.ts";

/** `a/user:web` is a change of hold, `a/user:web overloaded` a scale decision. */
function named(text: string) {
  const [, host = "", path = "", group = "", reason = ""] = /^(.*)\/(.*):(\S*) ?(.*)$/.exec(text) ?? [];
  const decision =
    reason === "overloaded"
      ? ({ decision: "scale_up", reason } as const)
      : ({ decision: "hold", reason: reason === "at_max" ? reason : "normal" } as const);
  return { host, path, group, text, ...decision };
}

function recentOf(texts: readonly string[], capacity?: number) {
  const recent = new Recent<ReturnType<typeof named>>(capacity);
  for (const text of texts) recent.add(named(text));
  return (query: Partial<RecentQuery>) => recent.list({ limit: 100, ...query }).map(({ text }) => text);
}

const list = recentOf(["a/user:web", "b/user:web", "a/:web", "a/user:db", "a/user:sub:web"]);

test.each([
  ["all, the newest first", {}, ["a/user:sub:web", "a/user:db", "a/:web", "b/user:web", "a/user:web"]],
  ["no more than wanted", { limit: 2 }, ["a/user:sub:web", "a/user:db"]],
  ["of a group by its label", { group: "web" }, ["a/user:sub:web", "a/:web", "b/user:web", "a/user:web"]],
  ["of a group by its full name", { group: "user:web" }, ["b/user:web", "a/user:web"]],
  ["of a group at the root", { group: ":web" }, ["a/:web"]],
  ["of a host", { host: "b" }, ["b/user:web"]],
  ["of a group on a host", { host: "a", group: "user:web", limit: 1 }, ["a/user:web"]],
  ["of a group that there is not", { group: "we" }, []],
])("%s", (_, query, expected) => {
  expect(list(query)).toEqual(expected);
});

test.each([0, 1, 4, 5, 6, 11, 12])("the last five of %i are kept", (count) => {
  const texts = Array.from({ length: count }, (_, i) => `h/:${i}`);
  expect(recentOf(texts, 5)({})).toEqual(texts.slice(-5).reverse());
});

describe("scale decisions among holds", () => {
  const told = ["h/:a overloaded", "h/:a", "h/:b overloaded", "h/:a at_max", "h/:b"];

  test.each<[string, Partial<RecentQuery>, string[]]>([
    ["all are in the order in which they were taken", {}, [...told].reverse()],
    ["by decision", { decision: "scale_up" }, ["h/:b overloaded", "h/:a overloaded"]],
    ["holds only", { decision: "hold", limit: 2 }, ["h/:b", "h/:a at_max"]],
    ["by reason", { reason: "at_max" }, ["h/:a at_max"]],
    ["by reason and group", { reason: "normal", group: "b" }, ["h/:b"]],
    ["by what contradicts", { decision: "scale_up", reason: "at_max" }, []],
  ])("%s", (_, query, expected) => {
    expect(recentOf(told)(query)).toEqual(expected);
  });

  test("are not pushed out by them, nor they by scale decisions", () => {
    const noise = Array.from({ length: 50 }, (_, i) => `h/:${i}`);
    const list = recentOf(["h/:a overloaded", ...noise], 5);
    expect(list({ decision: "scale_up" })).toEqual(["h/:a overloaded"]);
    expect(list({})).toEqual([...noise.slice(-5).reverse(), "h/:a overloaded"]);
    const actions = Array.from({ length: 9 }, (_, i) => `h/:${i} overloaded`);
    expect(recentOf(["h/:a", ...actions], 5)({ decision: "hold" })).toEqual(["h/:a"]);
  });
});
