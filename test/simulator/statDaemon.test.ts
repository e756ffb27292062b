import { existsSync, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { subscribeCommand } from "../../src/simulator/messages.ts";
import { FrameReader } from "../../src/wire/framing.ts";
import { decodeMessage, type Message, messageToJson } from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { eventually, settle } from "../support/eventually.ts";
import { policyInfoCommand, unikernelInfoCommand } from "../support/simulated.ts";
import { Client, samples, startHost, subscriber, vm } from "./support.ts";

const CAPTURES = "test/fixtures/wire/captures";

function capture(file: string): Message[] {
  const messages: Message[] = [];
  new FrameReader(1_048_576).push(readFileSync(`${CAPTURES}/${file}`), (frame) =>
    messages.push(decodeMessage(frame)),
  );
  return messages;
}

/** A message with every value replaced by its kind: what a decoder has to cope with. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return [...new Set(value.map((item) => JSON.stringify(shape(item))))];
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shape(inner)]));
}

describe("a subscriber", () => {
  test("hears `subscribed` in the request's own header, and no sample with it", async () => {
    const { statPath } = await startHost({ vms: [vm("user:web")] });
    const client = new Client(statPath).send(subscribeCommand(parseName("user:"), 77));
    await client.count(1);
    await settle();
    expect(client.messages.map(messageToJson)).toEqual([
      {
        header: { version: 5, sequence: "77", name: "user:", path: ["user"], label: null },
        payload: { type: "success", result: "string", string: "subscribed" },
      },
    ]);
  });

  test("gets the bytes that the real daemon sent for a name nobody has", async () => {
    const { statPath, clock } = await startHost({ vms: [vm("user:web")] });
    const client = new Client(statPath).send(subscribeCommand(parseName("nope:vm"), 7));
    await client.count(1);
    clock.advance(3_000);
    await settle();
    expect(client.bytes).toEqual(readFileSync(`${CAPTURES}/stats-nonexisting.bin`));
  });

  test("hears one message per VM at each tick of the one global timer, whenever it came", async () => {
    const { statPath, clock } = await startHost({ vms: [vm("user:web"), vm(":hello")] });
    clock.advance(600);
    const client = await subscriber(statPath, ":");
    clock.advance(399);
    expect(await client.isQuiet()).toBe(true);
    clock.advance(1);
    await client.count(3);
    clock.advance(1_000);
    await client.count(5);
    expect(samples(client.messages).map(({ name }) => name)).toEqual([
      "user:web",
      ":hello",
      "user:web",
      ":hello",
    ]);
    expect(client.messages.slice(1).every(({ header }) => header.sequence === 0)).toBe(true);
  });

  test.each([
    { slot: ":", names: ["user:web", "user:sub:router", ":hello"] },
    { slot: "user:", names: [":web", "sub:router"] },
    { slot: "user:sub:", names: [":router"] },
    { slot: "user:web", names: [":web"] },
    { slot: ":hello", names: [":hello"] },
    { slot: "web", names: [] },
    { slot: "use:", names: [] },
  ])("of $slot gets names relative to its path: $names", async ({ slot, names }) => {
    const { statPath, clock } = await startHost({
      vms: [vm("user:web"), vm("user:sub:router"), vm(":hello")],
    });
    const client = await subscriber(statPath, slot);
    clock.advance(1_000);
    await client.count(1 + names.length);
    await settle();
    expect(samples(client.messages).map(({ name }) => name)).toEqual(names);
  });

  test.each(["stats-root.bin", "stats-path-user.bin", "stats-root-10s.bin"])(
    "gets messages of the shape that the real daemon sent in %s",
    async (file) => {
      const real = capture(file);
      const { statPath, clock } = await startHost({
        vms: [
          vm("user:web"),
          vm("user:sub:router", { interfaces: ["mgmt", "private", "service"] }),
          vm("user:idle", { interfaces: [] }),
        ],
      });
      const client = await subscriber(statPath, real[0]?.header.name.label === null ? slotOf(real) : ":");
      clock.advance(1_000);
      await client.count(4);
      const shapes = new Set(real.map((message) => JSON.stringify(shape(messageToJson(message)))));
      expect(shapes).toContain(JSON.stringify(shape(messageToJson(client.messages[0] as Message))));
      expect(shapes).toContain(JSON.stringify(shape(messageToJson(client.messages[1] as Message))));
    },
  );

  test("closes the one before it on the same slot at once, and leaves other slots alone", async () => {
    const { statPath, clock, host } = await startHost({ vms: [vm("user:web")] });
    const first = await subscriber(statPath, ":");
    const elsewhere = await subscriber(statPath, "user:");
    const second = await subscriber(statPath, ":");
    await first.end();
    clock.advance(1_000);
    await Promise.all([second.count(2), elsewhere.count(2)]);
    expect(samples(first.messages)).toEqual([]);
    expect(host.slots.toSorted()).toEqual([":", "user:"]);
  });

  test.each([
    ["user:web", "user:web:"],
    ["user:web:", "user:web"],
    [":hello", "hello:"],
  ])("at %s shares its place with %s, as in the real daemon's trie", async (slot, other) => {
    const { statPath, host } = await startHost({ vms: [vm("user:db")] });
    const first = await subscriber(statPath, slot);
    await subscriber(statPath, other);
    await first.end();
    expect(host.slots).toEqual([other]);
  });

  test("is forgotten when it goes", async () => {
    const { statPath, host } = await startHost({ vms: [vm("user:web")] });
    const client = await subscriber(statPath, ":");
    client.socket.destroy();
    await eventually("the host to notice", () => host.connectionCount === 0);
    expect(host.slots).toEqual([]);
  });

  test("may hold several slots on one connection", async () => {
    const { statPath, clock } = await startHost({ vms: [vm("user:web")] });
    const client = await subscriber(statPath, ":");
    client.send(subscribeCommand(parseName("user:")));
    await client.count(2);
    clock.advance(1_000);
    await client.count(4);
    expect(samples(client.messages).map(({ name }) => name)).toEqual(["user:web", ":web"]);
  });
});

describe("stat.sock", () => {
  test.each([
    ["unikernel info", unikernelInfoCommand(parseName(":"), 3)],
    ["policy info", policyInfoCommand(parseName(":"), 3)],
    ["stats initial", command({ class: "stats", command: "initial" })],
    ["stats remove", command({ class: "stats", command: "remove" })],
  ])("answers %s with a failure and closes", async (_, message) => {
    const { statPath } = await startHost();
    const client = new Client(statPath).send(message);
    await client.end();
    expect(client.messages.map(({ header, payload }) => ({ sequence: header.sequence, payload }))).toEqual([
      { sequence: 3, payload: { type: "failure", message: "unexpected command" } },
    ]);
  });

  test("closes without a word when it cannot decode what it gets", async () => {
    const { statPath } = await startHost();
    const client = new Client(statPath);
    client.socket.write(Buffer.from([0, 0, 0, 2, 0x30, 0x05]));
    await client.end();
    expect(client.bytes).toHaveLength(0);
  });

  test("may be used by its owner and the group, by nobody else", async () => {
    const { statPath, vmmdPath } = await startHost();
    const modes = await Promise.all(
      [statPath, vmmdPath].map(async (path) => (await stat(path)).mode & 0o777),
    );
    expect(modes).toEqual([0o660, 0o660]);
  });

  test("dies of a path slot when a unikernel of the same name runs at the root, and is back after 2 s", async () => {
    const { statPath, clock, host } = await startHost({ vms: [vm("user:web")] });
    const path = await subscriber(statPath, "user:");
    const root = await subscriber(statPath, ":");
    host.addVm({ name: "user" });
    clock.advance(1_000);
    await Promise.all([path.end(), root.end()]);
    expect(host.statCrashes).toBe(1);
    await eventually("stat.sock to go", () => !existsSync(statPath));
    host.removeVm("user");
    clock.advance(2_000);
    await eventually("stat.sock to be back", () => existsSync(statPath));
    const again = await subscriber(statPath, "user:");
    clock.advance(1_000);
    await again.count(2);
    expect(host.statCrashes).toBe(1);
  });
});

function slotOf(messages: readonly Message[]): string {
  return (messages[0]?.header.name.path ?? []).map((label) => `${label}:`).join("") || ":";
}

function command(stats: { readonly class: "stats"; readonly command: "initial" | "remove" }): Message {
  return {
    header: { version: 5, sequence: 3, name: parseName(":") },
    payload: { type: "command", command: stats },
  };
}
