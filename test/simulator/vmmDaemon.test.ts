import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { rootPolicy } from "../../src/simulator/model.ts";
import { type InfoCommand, type Message, NO_LIMIT } from "../../src/wire/messages.ts";
import { formatName, parseName } from "../../src/wire/names.ts";
import { eventually } from "../support/eventually.ts";
import { policyInfoCommand, question, unikernelInfoCommand } from "../support/simulated.ts";
import { Client, startHost, subscriber, vm } from "./support.ts";

const CAPTURES = "test/fixtures/wire/captures";

/** One command on a connection of its own: the reply, or null when it is closed without one. */
async function ask(path: string, message: Message): Promise<Message | null> {
  const client = new Client(path).send(message);
  await client.end();
  expect(client.messages.length).toBeLessThanOrEqual(1);
  return client.messages[0] ?? null;
}

async function namesOf(
  path: string,
  query: string,
  infoCommand: InfoCommand = "info",
): Promise<string[] | null> {
  const reply = await ask(path, unikernelInfoCommand(parseName(query), 5, infoCommand));
  if (reply === null) return null;
  expect(reply.header).toEqual({ version: 5, sequence: 5, name: parseName(query) });
  if (reply.payload.type !== "success" || !("unikernels" in reply.payload)) throw new Error("no info reply");
  return reply.payload.unikernels.map(({ name }) => formatName(name));
}

describe("unikernel info", () => {
  const vms = [vm("user:web"), vm("user:sub:router"), vm(":hello")];

  test.each([
    { query: ":", names: ["user:web", "user:sub:router", ":hello"] },
    { query: "user:", names: [":web", "sub:router"] },
    { query: "user:web", names: ["user:web"] },
    { query: ":hello", names: [":hello"] },
    { query: "nope:", names: [] },
    { query: ":nope", names: [] },
  ])("at $query lists $names", async ({ query, names }) => {
    const { vmmdPath } = await startHost({ vms });
    expect(await namesOf(vmmdPath, query)).toEqual(names);
  });

  test("of a path nobody has is byte for byte what the real daemon sent", async () => {
    const { vmmdPath } = await startHost({ vms });
    const client = new Client(vmmdPath).send(unikernelInfoCommand(parseName("nope:"), 4));
    await client.end();
    expect(client.bytes).toEqual(readFileSync(`${CAPTURES}/vmmd-info-missing.s2c.bin`));
  });

  test("tells what each VM was made of", async () => {
    const { vmmdPath, clock } = await startHost({
      vms: [
        vm("user:web", {
          cpus: 2,
          cpuids: [1, 3],
          memoryMb: 256,
          interfaces: ["service", "private"],
          arguments: ["--secret=1"],
          onCrash: "quit",
        }),
      ],
    });
    const reply = await ask(vmmdPath, unikernelInfoCommand(parseName(":")));
    expect(reply?.payload).toMatchObject({
      result: "unikernel_info",
      unikernels: [
        {
          info: {
            typ: "solo5",
            failBehaviour: { type: "quit" },
            cpuids: [1, 3],
            memory: 256,
            numcpus: 2,
            argv: ["--secret=1"],
            startedMs: clock.wallMs(),
            bridges: [
              { unikernelDevice: "service", mac: expect.stringMatching(/^00:80:41:/) },
              { unikernelDevice: "private", mac: expect.stringMatching(/^00:80:41:/) },
            ],
          },
        },
      ],
    });
  });

  test("shows another start time after a restart, and the primary's digest on its clones", async () => {
    const { vmmdPath, clock, host } = await startHost({ vms });
    const infoOf = async () => {
      const reply = await ask(vmmdPath, unikernelInfoCommand(parseName(":")));
      if (reply?.payload.type !== "success" || !("unikernels" in reply.payload))
        throw new Error("no info reply");
      return new Map(reply.payload.unikernels.map(({ name, info }) => [formatName(name), info]));
    };
    const before = await infoOf();
    clock.advance(4_500);
    host.restartVm("user:web");
    host.cloneVm("user:web");
    const after = await infoOf();
    expect(after.get("user:web")?.startedMs).toBe((before.get("user:web")?.startedMs ?? 0) + 4_500);
    expect(after.get(":hello")?.startedMs).toBe(before.get(":hello")?.startedMs);
    expect(after.get("user:web-clone-1")?.digest).toEqual(after.get("user:web")?.digest);
    expect(after.get(":hello")?.digest).not.toEqual(after.get("user:web")?.digest);
  });

  test.each([
    { infoVersion: 19, answered: ["info", "old_info5", "old_info4"] },
    { infoVersion: 18, answered: ["old_info5", "old_info4"] },
    { infoVersion: 15, answered: ["old_info4"] },
  ] as const)(
    "of version $infoVersion knows $answered and closes on the rest",
    async ({ infoVersion, answered }) => {
      const { vmmdPath } = await startHost({ vms, infoVersion });
      const commands: InfoCommand[] = ["info", "old_info5", "old_info4"];
      const known: InfoCommand[] = [];
      for (const one of commands) if ((await namesOf(vmmdPath, ":", one)) !== null) known.push(one);
      expect(known).toEqual(answered);
    },
  );

  test("asked for the old way kills a 2.7 that runs a VM with two cpuids: its VMs restart, it is back after 2 s", async () => {
    const { vmmdPath, statPath, host, clock } = await startHost({
      vms: [vm("user:smp", { cpus: 2, percent: 50 })],
    });
    const client = await subscriber(statPath, ":");
    expect(await namesOf(vmmdPath, ":", "old_info5")).toBeNull();
    expect(host.vmmdCrashes).toBe(1);
    await eventually("vmmd.sock to go", () => !existsSync(vmmdPath));
    clock.advance(2_000);
    await eventually("vmmd.sock to be back", () => existsSync(vmmdPath));
    expect(await namesOf(vmmdPath, ":")).toEqual(["user:smp"]);
    expect(client.messages).toHaveLength(1);
  });
});

describe("policy info", () => {
  const policies = [
    rootPolicy(),
    {
      name: parseName("user:"),
      policy: { cpuids: [0, 1], unikernels: 8, memory: 1024, block: null, bridges: ["service"] },
    },
    {
      name: parseName("user:sub:"),
      policy: { cpuids: [1], unikernels: 2, memory: 64, block: 10, bridges: [] },
    },
  ];

  test.each([
    { query: ":", names: [":", "user:", "user:sub:"] },
    { query: "user:", names: [":", "sub:"] },
    { query: "nope:", names: [] },
    { query: "user:web", names: [] },
  ])("at $query lists $names", async ({ query, names }) => {
    const { vmmdPath } = await startHost({ policies });
    const reply = await ask(vmmdPath, policyInfoCommand(parseName(query)));
    if (reply?.payload.type !== "success" || !("policies" in reply.payload)) throw new Error("no policies");
    expect(reply.payload.policies.map(({ name }) => formatName(name))).toEqual(names);
  });

  test("carries limits, and the root's lack of one as 2^62-1", async () => {
    const { vmmdPath } = await startHost({ policies });
    const reply = await ask(vmmdPath, policyInfoCommand(parseName(":")));
    if (reply?.payload.type !== "success" || !("policies" in reply.payload)) throw new Error("no policies");
    expect(
      reply.payload.policies.map(({ policy }) => [policy.unikernels, policy.memory, policy.block]),
    ).toEqual([
      [NO_LIMIT, 65_536, 262_144],
      [8, 1024, null],
      [2, 64, 10],
    ]);
  });
});

describe("vmmd.sock", () => {
  test.each([
    ["destroy", "vmmd-destroy-missing.s2c.bin", 9, { command: "destroy" } as const],
    ["get", "vmmd-get-missing.s2c.bin", 6, { command: "get", compressionLevel: 0 } as const],
  ])("answers %s of an unknown name with the real daemon's bytes", async (_, file, sequence, command) => {
    const { vmmdPath } = await startHost();
    const client = new Client(vmmdPath).send({
      header: { version: 5, sequence, name: parseName(":nope") },
      payload: { type: "command", command: { class: "unikernel", ...command } },
    });
    await client.end();
    expect(client.bytes).toEqual(readFileSync(`${CAPTURES}/${file}`));
  });

  test.each([
    { class: "policy", command: "remove" },
    { class: "block", command: "remove" },
  ] as const)("says of $class $command that it is not simulated", async (command) => {
    const { vmmdPath } = await startHost();
    const reply = await ask(vmmdPath, question(parseName("user:"), 0, command));
    expect(reply?.payload).toEqual({
      type: "failure",
      message: "this is a simulated host: it does not take this command",
    });
  });

  test("answers one command per connection", async () => {
    const { vmmdPath } = await startHost();
    const client = new Client(vmmdPath);
    client.send(policyInfoCommand(parseName(":"), 1)).send(policyInfoCommand(parseName(":"), 2));
    await client.end();
    expect(client.messages.map(({ header }) => header.sequence)).toEqual([1]);
  });

  test("does not move the VMs' figures by being asked", async () => {
    const { vmmdPath, statPath, clock } = await startHost({ vms: [vm("user:web", { percent: 33.333 })] });
    const control = await startHost({ vms: [vm("user:web", { percent: 33.333 })] });
    const [asked, left] = await Promise.all([subscriber(statPath, ":"), subscriber(control.statPath, ":")]);
    for (let part = 0; part < 7; part++) {
      clock.advance(143);
      await ask(vmmdPath, unikernelInfoCommand(parseName(":")));
    }
    control.clock.advance(1_001);
    await Promise.all([asked.count(2), left.count(2)]);
    expect(asked.bytes).toEqual(left.bytes);
  });
});
