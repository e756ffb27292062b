import { expect, test } from "vitest";
import { Recent } from "../../src/scaler/report/log.ts";

function named(text: string): { host: string; path: string; group: string; text: string } {
  const [host = "", name = ""] = text.split("/");
  const at = name.lastIndexOf(":");
  return { host, path: name.slice(0, at), group: name.slice(at + 1), text };
}

function recentOf(texts: readonly string[], capacity?: number) {
  const recent = new Recent<ReturnType<typeof named>>(capacity);
  for (const text of texts) recent.add(named(text));
  return (query: { limit?: number; group?: string; host?: string }) =>
    recent.list({ limit: 100, ...query }).map(({ text }) => text);
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
