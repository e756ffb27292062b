import { describe, expect, test } from "vitest";
import { InternTable } from "../../src/wire/intern.ts";

/** A table of texts that counts how often it had to make one. */
function countingTable(places: number, maxKeyBytes: number) {
  const made: string[] = [];
  const table = new InternTable<{ text: string }>(places, maxKeyBytes, (text) => {
    made.push(text);
    return text === "" ? null : { text };
  });
  const get = (text: string) => {
    const bytes = Buffer.from(`..${text}..`);
    return table.get(new DataView(bytes.buffer), bytes.byteOffset + 2, bytes.byteOffset + bytes.length - 2);
  };
  return { made, get };
}

describe("an intern table", () => {
  test("gives the same value for the same bytes", () => {
    const { get, made } = countingTable(16, 32);
    const first = get("user:web");
    expect(first).toEqual({ text: "user:web" });
    expect(get("user:web")).toBe(first);
    expect(made).toEqual(["user:web"]);
  });

  test("tells apart what differs in one byte or in length", () => {
    const { get } = countingTable(2, 32);
    for (const text of ["abcd", "abce", "abc", "abcde", "abcdefgh", "abcdefgx", "a", "b", "bbcd"]) {
      expect(get(text)).toEqual({ text });
    }
  });

  test("gives right values when thousands share few places", () => {
    const { get, made } = countingTable(4, 32);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 1000; i++) expect(get(`name-${i}`)).toEqual({ text: `name-${i}` });
    }
    expect(made.length).toBeGreaterThan(1900);
  });

  test("keeps most of 10,000 names of unikernels in a table of 32,768 places", () => {
    const { get, made } = countingTable(32_768, 128);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 10_000; i++) get(`user-${i % 40}:web-clone-${i}`);
    }
    expect(made.length).toBeLessThan(10_000 * 1.15);
  });

  test("makes long values and those that are null anew each time", () => {
    const { get, made } = countingTable(16, 3);
    expect([get("four"), get("four"), get(""), get("")]).toEqual([
      { text: "four" },
      { text: "four" },
      null,
      null,
    ]);
    expect(made).toEqual(["four", "four", "", ""]);
  });
});
