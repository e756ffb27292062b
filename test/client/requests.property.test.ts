import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as requests from "../../src/client/connection.ts";
import type { InfoCommand } from "../../src/wire/messages.ts";
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
const request = fc.oneof(
  name.map((name) => ({ name, request: requests.subscribeRequest(name) })),
  name.map((name) => ({ name, request: requests.policyRequest(name) })),
  fc
    .tuple(name, infoCommand)
    .map(([name, command]) => ({ name, request: requests.infoRequest(name, command) })),
);

const linesOf = (file: string) => readFileSync(`${SOURCES}${file}`, "utf8").split("\n");

describe("who observes sends nothing but subscribe, info and policy info", () => {
  test("every request holds one of these commands, and the name asked about", () => {
    const sent = new Set<string>();
    fc.assert(
      fc.property(request, ({ name, request }) => {
        sent.add(`${request.command.class} ${request.command.command}`);
        expect(request).toEqual({ name, command: request.command });
      }),
      { numRuns: 500 },
    );
    expect(sent).toEqual(HARMLESS);
  });

  test("there are no other requests than these", () => {
    const makers = ["infoRequest", "policyRequest", "subscribeRequest"];
    expect(Object.keys(requests).sort()).toEqual(["Connection", "codeOf", ...makers]);
  });

  test("requests are put in one place, and only a request can be", () => {
    // what acts is let in by one room only, see the import rule
    const files = readdirSync(SOURCES).filter((name) => name !== "acting.ts");
    const found = (pattern: RegExp) =>
      files.flatMap((file) =>
        linesOf(file)
          .filter((line) => pattern.test(line))
          .map((line) => `${file}: ${line.trim()}`),
      );
    expect(found(/\.dial\(/)).toEqual([
      "connection.ts: line = await endpoint.dial(daemon, request, signal);",
    ]);
    expect(linesOf("connection.ts")).toContain("  readonly request: Request;");
    expect(found(/socket\.(write|end)\(/)).toEqual([
      "endpoint.ts: socket.write(bytes, (error) => (error ? reject(error) : resolve()));",
    ]);
  });
});
