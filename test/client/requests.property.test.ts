import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as requests from "../../src/client/connection.ts";
import { LENGTH_PREFIX_BYTES } from "../../src/wire/framing.ts";
import { decodeMessage, type InfoCommand } from "../../src/wire/messages.ts";
import type { Name } from "../../src/wire/names.ts";

const SOURCES = fileURLToPath(new URL("../../src/client/", import.meta.url));

/** The commands that change nothing on a host, as `class command`: all that this program may ever send. */
const HARMLESS = new Set([
  "stats subscribe",
  "unikernel info",
  "unikernel old_info5",
  "unikernel old_info4",
  "policy info",
]);

const label = fc.stringMatching(/^[a-z0-9.][a-z0-9.-]{0,62}$/);
const name: fc.Arbitrary<Name> = fc.record({
  path: fc.array(label, { maxLength: 4 }),
  label: fc.option(label),
});
const infoCommand = fc.constantFrom<InfoCommand>("info", "old_info5", "old_info4");

/** Every request there is a function for. */
const request: fc.Arbitrary<{ readonly name: Name; readonly bytes: Uint8Array }> = fc.oneof(
  name.map((name) => ({ name, bytes: requests.subscribeRequest(name) })),
  name.map((name) => ({ name, bytes: requests.policyRequest(name) })),
  fc
    .tuple(name, infoCommand)
    .map(([name, command]) => ({ name, bytes: requests.infoRequest(name, command) })),
);

describe("who observes sends nothing but subscribe, info and policy info", () => {
  test("every request is one frame that holds one of these commands, and the name asked about", () => {
    const sent = new Set<string>();
    fc.assert(
      fc.property(request, ({ name, bytes }) => {
        const message = decodeMessage(bytes.subarray(LENGTH_PREFIX_BYTES));
        if (message.payload.type !== "command") throw new Error("a request is no command");
        const { command } = message.payload;
        sent.add(`${command.class} ${command.command}`);
        expect(message.header.name).toEqual(name);
      }),
      { numRuns: 500 },
    );
    expect(sent).toEqual(HARMLESS);
  });

  test("there are no other requests than these", () => {
    const makers = ["infoRequest", "policyRequest", "subscribeRequest"];
    expect(Object.keys(requests).sort()).toEqual(["Connection", ...makers]);
  });

  test("requests are written in one place, and only a request can be", () => {
    const writes: string[] = [];
    // what acts is let in by one room only, see the import rule
    for (const file of readdirSync(SOURCES).filter((name) => name !== "acting.ts")) {
      const lines = readFileSync(`${SOURCES}${file}`, "utf8").split("\n");
      writes.push(...lines.filter((line) => /socket\.(write|end)\(/.test(line)).map((line) => line.trim()));
    }
    expect(writes).toEqual(["socket.write(request);"]);
    expect(readFileSync(`${SOURCES}connection.ts`, "utf8")).toContain("request: Request;");
  });
});
