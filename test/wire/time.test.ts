import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { time } from "../../src/wire/asn1.ts";
import { DerReader, element, Tag } from "../../src/wire/der.ts";
import { WireError } from "../../src/wire/errors.ts";

function parsed(text: string): string {
  const bytes = element(Tag.generalizedTime, Buffer.from(text));
  return new Date(new DerReader(bytes).time("started")).toISOString();
}

describe("a GeneralizedTime", () => {
  it.each([
    ["20261122123456Z", "2026-11-22T12:34:56.000Z"],
    ["20261122123456.5Z", "2026-11-22T12:34:56.500Z"],
    ["20261122123456.123456789Z", "2026-11-22T12:34:56.123Z"],
    ["20240229000000Z", "2024-02-29T00:00:00.000Z"],
    ["19691231235959.999Z", "1969-12-31T23:59:59.999Z"],
    ["00010101000000Z", "0001-01-01T00:00:00.000Z"],
    ["99991231235959Z", "9999-12-31T23:59:59.000Z"],
  ])("%s is %s", (text, iso) => {
    expect(parsed(text)).toBe(iso);
  });

  it.each([
    "20260631000000Z",
    "20250229000000Z",
    "20260001000000Z",
    "20261301000000Z",
    "20261100000000Z",
    "20261122240000Z",
    "20261122126000Z",
    "20261122123460Z",
    "20261122123456",
    "20261122123456+0100",
    "202611221234Z",
    "20261122123456.Z",
    "",
  ])("%j is no time", (text) => {
    expect(() => parsed(text)).toThrow(WireError);
  });

  it("is read as it was written", () => {
    const bounds = { min: new Date("0000-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59.999Z") };
    fc.assert(
      fc.property(fc.date({ ...bounds, noInvalidDate: true }), (date) => {
        expect(new DerReader(time.write(date.getTime())).time("started")).toBe(date.getTime());
      }),
    );
  });
});
