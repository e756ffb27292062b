import { describe, expect, test } from "vitest";
import { WireError } from "../../src/wire/errors.ts";
import {
  decodeCertificateCommand,
  decodeMessage,
  encodeCertificateCommand,
  encodeMessage,
  type Message,
  messageToJson,
} from "../../src/wire/messages.ts";
import { ROOT } from "../../src/wire/names.ts";
import { certificateExtensions, malformedVectors, vectors } from "./support/vectors.ts";

describe("messages that Albatross wrote", () => {
  test.each(vectors)("$name decodes to what Albatross meant", ({ hex, decoded }) => {
    expect(messageToJson(decodeMessage(Buffer.from(hex, "hex")))).toEqual(decoded);
  });

  test.each(vectors)("$name encodes back to the same bytes", ({ hex }) => {
    expect(encodeMessage(decodeMessage(Buffer.from(hex, "hex"))).toString("hex")).toBe(hex);
  });
});

describe("certificates' extensions that Albatross wrote", () => {
  test.each(certificateExtensions)(
    "$name is read as Albatross meant it, and written so",
    ({ hex, decoded }) => {
      const command = decodeCertificateCommand(Buffer.from(hex, "hex"));
      const header = { version: 5, sequence: 0, name: ROOT } as const;
      const { payload } = messageToJson({ header, payload: { type: "command", command } });
      expect({ version: 5, command: payload }).toMatchObject(decoded as object);
      expect(encodeCertificateCommand(command).toString("hex")).toBe(hex);
    },
  );

  test.each([
    ["version 6", "3009020106a104a2020500"],
    ["version 4", "3009020104a104a2020500"],
    ["an unknown unikernel command", "3009020105a304b6020500"],
    ["a byte too many", "3009020105a104a202050000"],
    ["nothing", ""],
  ])("%s is refused", (_, hex) => {
    expect(() => decodeCertificateCommand(Buffer.from(hex, "hex"))).toThrow(WireError);
  });
});

describe("messages that Albatross refuses or dies of", () => {
  const refused = malformedVectors.filter(({ result }) => result !== "accept");

  test.each(refused)("$name is refused", ({ hex }) => {
    expect(decode(hex)).toBeInstanceOf(WireError);
  });
});

test("every damaged message is refused for its reason and at its place", async () => {
  const lines = malformedVectors.map(({ name, hex }) => {
    const outcome = decode(hex);
    return `${name}: ${outcome instanceof WireError ? `${outcome.reason}: ${outcome.message}` : "accepted"}\n`;
  });
  await expect(lines.join("")).toMatchFileSnapshot("../fixtures/wire/refusals.txt");
});

describe("damaged messages that Albatross accepts", () => {
  const accepted = malformedVectors.filter(({ result }) => result === "accept");

  test.each(accepted)("$name is refused or read as Albatross reads it", ({ hex, decoded }) => {
    const outcome = decode(hex);
    if (!(outcome instanceof WireError)) expect(messageToJson(outcome)).toEqual(decoded);
  });
});

/** The message, or the WireError it is refused with; any other error is the test's failure. */
function decode(hex: string): Message | WireError {
  try {
    return decodeMessage(Buffer.from(hex, "hex"));
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
}
