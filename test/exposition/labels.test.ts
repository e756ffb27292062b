import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { escapeHelp, escapeLabelValue, labelPairs } from "../../src/exposition/family.ts";

describe("a label value", () => {
  test.each([
    { title: "plain text stays as it is", value: "web-clone-1", escaped: "web-clone-1" },
    { title: "the empty string stays empty", value: "", escaped: "" },
    { title: "a quote gets a backslash", value: 'a"b', escaped: 'a\\"b' },
    { title: "a backslash is doubled", value: "a\\b", escaped: "a\\\\b" },
    { title: "a newline becomes \\n", value: "a\nb", escaped: "a\\nb" },
    { title: "a backslash before an n stays apart from a newline", value: "\\n\n", escaped: "\\\\n\\n" },
    { title: "letters beyond ASCII stay", value: "größe-🦅", escaped: "größe-🦅" },
    { title: "a lone high surrogate becomes U+FFFD", value: "a\ud83e!", escaped: "a\ufffd!" },
    { title: "a lone low surrogate becomes U+FFFD", value: "\udd85a", escaped: "\ufffda" },
    { title: "other control characters stay", value: "a\r\t\0\u0001", escaped: "a\r\t\0\u0001" },
  ])("$title", ({ value, escaped }) => {
    expect(escapeLabelValue(value)).toBe(escaped);
  });

  test("never holds what would end it early or is no UTF-8", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        const escaped = escapeLabelValue(value);
        expect(escaped).toMatch(/^(?:[^"\\\n]|\\["\\n])*$/u);
        expect(Buffer.from(escaped).toString()).toBe(escaped);
      }),
    );
  });
});

describe("label pairs", () => {
  test("keep the order of the keys and empty values", () => {
    expect(labelPairs({ vm: "web", path: "", cpu: 2 })).toBe('vm="web",path="",cpu="2"');
  });

  test("are empty without labels", () => {
    expect(labelPairs({})).toBe("");
  });
});

describe("HELP", () => {
  test("escapes quotes in OpenMetrics only", () => {
    const help = 'a "field"\\\n\ud83e';
    expect(escapeHelp(help, "text")).toBe('a "field"\\\\\\n\ufffd');
    expect(escapeHelp(help, "openmetrics")).toBe('a \\"field\\"\\\\\\n\ufffd');
  });
});
