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

/** The bytes of one vector; throws when there is none of that name. */
export function vectorBytes(name: string): Buffer {
  const vector = vectors.find((one) => one.name === name);
  if (vector === undefined) throw new Error(`no vector is called ${name}`);
  return Buffer.from(vector.hex, "hex");
}

export function captureBytes(name: string): Buffer {
  return readFileSync(new URL(`captures/${name}`, WIRE_FIXTURES));
}

function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, WIRE_FIXTURES), "utf8")) as T;
}
