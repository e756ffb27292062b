import { readFileSync } from "node:fs";
import type { JsonValue } from "../../../src/wire/messages.ts";

/** A message that Albatross' own codec wrote. */
export interface Vector {
  readonly name: string;
  readonly hex: string;
  readonly decoded: JsonValue;
}

/** What Albatross' own decoder did with damaged input. */
export interface MalformedVector {
  readonly name: string;
  readonly hex: string;
  readonly result: "accept" | "reject" | "exception";
  readonly decoded?: JsonValue;
}

export const WIRE_FIXTURES = new URL("../../fixtures/wire/", import.meta.url);

export const vectors = readFixture<Vector[]>("vectors.json");
export const malformedVectors = readFixture<MalformedVector[]>("malformed.json");

/** Statistics as a newer Albatross may write them, and what has to come out. */
export const newerShapes =
  readFixture<
    readonly {
      readonly name: string;
      readonly hex: string;
      readonly want: { readonly name: string } & Record<string, JsonValue>;
    }[]
  >("newer-shapes.json");

/** What certificates carry for Albatross' TLS endpoint. */
export const certificateExtensions = readFixture<{ readonly extensions: readonly Vector[] }>(
  "cert-extensions.json",
).extensions;

/** The bytes of one vector; throws when there is none of that name. */
export function vectorBytes(name: string): Buffer {
  const vector = vectors.find((one) => one.name === name);
  if (vector === undefined) throw new Error(`no vector is called ${name}`);
  return Buffer.from(vector.hex, "hex");
}

/** One command and its reply, as recorded from albatrossd 2.7.2, with length prefixes. */
export interface Exchange {
  readonly name: string;
  readonly what: string;
  /** hex; null where it was not kept */
  readonly c2s: string | null;
  /** hex; empty where it closed without a byte, null where the reply was not kept */
  readonly s2c: string | null;
  /** the image was cut out: so many bytes at the end of `c2s` (of `s2c`), and what came after them */
  readonly c2s_image_bytes?: number;
  readonly c2s_after?: string;
  readonly s2c_image_bytes?: number;
}

export const exchanges = readFixture<readonly Exchange[]>("acting/exchanges.json");

/** Throws when there is none of that name, or it was not kept. */
export function exchangeBytes(name: string, direction: "c2s" | "s2c"): Buffer {
  const hex = exchanges.find((one) => one.name === name)?.[direction] ?? null;
  if (hex === null) throw new Error(`no ${direction} of an exchange ${name} was kept`);
  return Buffer.from(hex, "hex");
}

export function captureBytes(name: string): Buffer {
  return readFileSync(new URL(`captures/${name}`, WIRE_FIXTURES));
}

function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, WIRE_FIXTURES), "utf8")) as T;
}
