import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { deflateSync, inflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { CommandFault, CommandFilter } from "../../src/simulator/faults.ts";
import type { Config } from "../../src/simulator/model.ts";
import { encodeFrame } from "../../src/wire/framing.ts";
import {
  type Command,
  encodeCreate,
  encodeMessage,
  type Message,
  type UnikernelInfo,
} from "../../src/wire/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { eventually, settle } from "../support/eventually.ts";
import { question, unikernelInfoCommand } from "../support/simulated.ts";
import { Client, config, cpuUs, type Running, samples, startHost, subscriber, vm } from "./support.ts";

const DESTROY = { class: "unikernel", command: "destroy" } as const;
const get = (compressionLevel: number) => ({ class: "unikernel", command: "get", compressionLevel }) as const;
const create = (given: Partial<Config> = {}) =>
  ({ class: "unikernel", command: "create", config: config(given) }) as const;

function send({ vmmdPath }: Running, name: string, command: Command): Client {
  return new Client(vmmdPath).send(question(parseName(name), 7, command));
}

/** The reply once the connection is closed; null where there was none. */
async function ask(running: Running, name: string, command: Command): Promise<Message | null> {
  const client = send(running, name, command);
  await client.end();
  expect(client.damage).toBeNull();
  return client.messages[0] ?? null;
}

/** albatrossd's words; null where it closed without any. */
async function textOf(running: Running, name: string, command: Command): Promise<string | null> {
  const payload = (await ask(running, name, command))?.payload;
  if (payload?.type === "failure") return payload.message;
  return payload?.type === "success" && payload.result === "string" ? payload.string : null;
}

async function infoOf({ vmmdPath }: Running, name: string): Promise<UnikernelInfo | null> {
  const client = new Client(vmmdPath).send(unikernelInfoCommand(parseName(name)));
  await client.end();
  const payload = client.messages[0]?.payload;
  if (payload?.type !== "success" || payload.result !== "unikernel_info") throw new Error("no info");
  return payload.unikernels[0]?.info ?? null;
}

async function imageOf(running: Running, name: string, level: number): Promise<Buffer> {
  const payload = (await ask(running, name, get(level)))?.payload;
  if (payload?.type !== "success" || payload.result !== "unikernel_image") throw new Error("no image");
  expect(payload.compressed).toBe(level > 0);
  return payload.compressed ? inflateSync(payload.image) : Buffer.from(payload.image);
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("hex");

describe("an image", () => {
  test.each([0, 1, 9])("got at level %d is what info has the digest of", async (level) => {
    const running = await startHost({
      vms: [vm("user:web", { imageBytes: 100_000 }), vm(":db", { blocks: ["data"] })],
    });
    for (const name of ["user:web", ":db"]) {
      const image = await imageOf(running, name, level);
      expect(sha256(image)).toBe(hex((await infoOf(running, name))?.digest));
    }
    expect(await imageOf(running, "user:web", level)).toHaveLength(100_000);
  });

  test("is one for a group, another for other groups, and another where the scenario says so", async () => {
    const running = await startHost({
      vms: [vm("user:web"), vm("user:web-clone-1"), vm("user:web-clone-2", { image: "v1" }), vm("user:db")],
    });
    const names = ["user:web", "user:web-clone-1", "user:web-clone-2", "user:db"];
    const digests = await Promise.all(names.map(async (name) => hex((await infoOf(running, name))?.digest)));
    expect(digests[1]).toBe(digests[0]);
    expect(new Set(digests).size).toBe(3);
  });

  test("that was given compressed is kept and hashed as it is uncompressed", async () => {
    const running = await startHost();
    const { image } = config();
    await ask(running, ":z", create({ compressed: true, image: deflateSync(image) }));
    expect(await imageOf(running, ":z", 0)).toEqual(image);
    expect(hex((await infoOf(running, ":z"))?.digest)).toBe(sha256(image));
  });

  test.each([
    { bytes: 14, words: "error during ELF parsing", deaths: 0 },
    { bytes: 15, words: null, deaths: 1 },
    { bytes: 63, words: null, deaths: 1 },
    { bytes: 64, words: "error during ELF parsing", deaths: 0 },
    { bytes: 99_999, words: "created unikernel", deaths: 0 },
  ])("cut to $bytes bytes: $words, $deaths deaths", async ({ bytes, words, deaths }) => {
    const running = await startHost({ vms: [vm(":web", { imageBytes: 100_000 })] });
    const image = (await imageOf(running, ":web", 0)).subarray(0, bytes);
    const service = { bridges: [{ name: "service", bridge: null, mac: null }] };
    expect(await textOf(running, ":web-clone-1", create({ image, ...service }))).toBe(words);
    expect(running.host.vmmdCrashes).toBe(deaths);
    expect(running.host.vmNames).toHaveLength(bytes === 99_999 ? 2 : 1);
  });

  test("of 64 MiB is got, and created again", async () => {
    const bytes = 64 * 2 ** 20;
    const running = await startHost({ vms: [vm(":big", { imageBytes: bytes, interfaces: [] })] });
    const socket = connect(running.vmmdPath);
    socket.write(encodeFrame(encodeMessage(question(parseName(":big"), 7, get(0)))));
    let heard = 0;
    for await (const chunk of socket) heard += (chunk as Buffer).length;
    expect(heard).toBeGreaterThan(bytes);
    const { image, ...unikernel } = config();
    const { header } = question(parseName(":big-clone-1"), 8, DESTROY);
    const { before, after } = encodeCreate(header, unikernel, bytes);
    const client = new Client(running.vmmdPath);
    client.socket.write(encodeFrame(Buffer.concat([before, Buffer.concat([image], bytes), after])));
    await client.end();
    expect(client.messages).toMatchObject([{ payload: { string: "created unikernel" } }]);
  });
});

describe("the round trip of info and get into create", () => {
  test("gives a clone that info describes as its primary, MAC, start and name apart", async () => {
    const running = await startHost({
      vms: [
        vm("user:web", {
          cpus: 2,
          cpuids: [1, 3],
          memoryMb: 48,
          interfaces: ["service"],
          arguments: ["--x=1"],
        }),
      ],
    });
    const before = await infoOf(running, "user:web");
    if (before === null) throw new Error("user:web is not listed");
    const { digest: _, startedMs: __, blockDevices: ___, bridges, ...kept } = before;
    running.clock.advance(1_500);
    const made = create({
      ...kept,
      image: await imageOf(running, "user:web", 0),
      bridges: bridges.map(({ unikernelDevice: name, hostDevice: bridge }) => ({ name, bridge, mac: null })),
    });
    expect(await textOf(running, "user:web-clone-1", made)).toBe("created unikernel");
    const after = await infoOf(running, "user:web-clone-1");
    expect(after).toEqual({
      ...before,
      startedMs: running.clock.wallMs(),
      bridges: [{ ...bridges[0], mac: expect.stringMatching(/^00:80:41:/) }],
    });
    expect(after?.bridges[0]?.mac).not.toBe(bridges[0]?.mac);
  });
});

describe("a group's load", () => {
  const shared = {
    vms: [vm("user:web", { percent: 150, shareLoadWithClones: true })],
    os: "freebsd",
  } as const;

  /** How busy each VM is over the next tick, in ms of CPU time. */
  async function busy(running: Running, client: Client): Promise<Record<string, number>> {
    const before = samples(client.messages);
    const count = client.messages.length + running.host.vmNames.length;
    running.clock.advance(1_000);
    await client.count(count);
    return Object.fromEntries(
      samples(client.messages)
        .slice(before.length)
        .map(({ name, stats }) => {
          const last = before.findLast((one) => one.name === name)?.stats;
          const used = cpuUs(stats) - (last === undefined ? 0 : cpuUs(last));
          return [name, Math.round(used / 1_000)];
        }),
    );
  }

  test("is shared with a created clone from the next tick on, and with a destroyed one no more", async () => {
    const running = await startHost(shared);
    const client = await subscriber(running.statPath, ":");
    expect(await busy(running, client)).toEqual({ "user:web": 1_000 });
    await ask(running, "user:web-clone-1", create());
    expect(await busy(running, client)).toEqual({ "user:web": 750, "user:web-clone-1": 750 });
    await ask(running, "user:web-clone-2", create());
    const third = { "user:web": 500, "user:web-clone-1": 500, "user:web-clone-2": 500 };
    expect(await busy(running, client)).toEqual(third);
    await ask(running, "user:web-clone-1", DESTROY);
    expect(await busy(running, client)).toEqual({ "user:web": 750, "user:web-clone-2": 750 });
  });

  test("is shared by CPUs: a member of two has no more of them to do, at half the percentage", async () => {
    const running = await startHost(shared);
    const client = await subscriber(running.statPath, ":");
    await ask(running, "user:web-clone-1", create({ numcpus: 2, cpuids: [0, 1] }));
    expect(await busy(running, client)).toEqual({ "user:web": 750, "user:web-clone-1": 750 });
  });

  test("comes back with a primary that somebody destroys and creates again", async () => {
    const running = await startHost(shared);
    const client = await subscriber(running.statPath, ":");
    await ask(running, "user:web", DESTROY);
    await ask(running, "user:web", create());
    expect(await busy(running, client)).toEqual({ "user:web": 1_000 });
  });

  test("is each member's own where it is not shared, and none for a new group", async () => {
    const running = await startHost({ vms: [vm("user:web", { percent: 30 })], os: "freebsd" });
    const client = await subscriber(running.statPath, ":");
    await ask(running, "user:web-clone-1", create());
    await ask(running, "user:db", create());
    expect(await busy(running, client)).toEqual({ "user:web": 300, "user:web-clone-1": 300, "user:db": 0 });
  });

  test("is still borne by what was created when the timeline starts again", async () => {
    const running = await startHost({ ...shared, repeatEveryMs: 3_000 });
    const client = await subscriber(running.statPath, ":");
    await ask(running, "user:web-clone-1", create());
    running.clock.advance(3_500);
    await client.count(7);
    expect(running.host.vmNames).toEqual(["user:web", "user:web-clone-1"]);
  });
});

describe("what is gone", () => {
  test("can be destroyed once more, then not", async () => {
    const running = await startHost({ vms: [vm(":web")] });
    const words = [];
    for (let time = 0; time < 3; time++) words.push(await textOf(running, ":web", DESTROY));
    expect(words).toEqual([
      "destroyed unikernel",
      "destroyed: removed from restarting",
      "destroy: not found",
    ]);
  });

  test("while it is down after a crash does not come back when it is destroyed", async () => {
    const running = await startHost({ vms: [vm(":web", { downForMs: 5_000 })] });
    running.host.crashVm(":web");
    expect(await textOf(running, ":web", DESTROY)).toBe("destroyed: removed from restarting");
    running.clock.advance(6_000);
    expect(running.host.vmNames).toEqual([]);
  });

  test("of a force-create with a bad image is what ran", async () => {
    const running = await startHost({ vms: [vm(":web")] });
    const made = config({ image: Buffer.from("no image") });
    const words = await textOf(running, ":web", {
      class: "unikernel",
      command: "force_create",
      config: made,
    });
    expect([words, running.host.vmNames]).toEqual(["error during ELF parsing", []]);
  });

  test("without a CPU was created all the same", async () => {
    const running = await startHost();
    expect(await textOf(running, ":web", create({ cpuids: [] }))).toBe("created unikernel");
    expect(await infoOf(running, ":web")).toBeNull();
  });
});

test("of six creates at once, with room for three, three succeed; of two of one name, one", async () => {
  const policy = { cpuids: [0], unikernels: 3, memory: 1_000, block: null, bridges: [] };
  const running = await startHost({ policies: [{ name: parseName("user:"), policy }] });
  const one = ["user:a", "user:a", "user:b", "user:c", "user:d", "user:e", "user:f"];
  const words = await Promise.all(one.map((name) => textOf(running, name, create())));
  const count = (text: string) => words.filter((one) => one === text).length;
  expect([
    count("created unikernel"),
    count("maximum amount of unikernels (3) reached"),
    count("Unikernel with same name is already running"),
  ]).toEqual([3, 3, 1]);
});

describe("a request", () => {
  test("sent whole is carried out though nobody reads the reply; half of it is nothing", async () => {
    const running = await startHost();
    const whole = send(running, ":whole", create());
    whole.socket.end();
    await eventually(":whole to run", () => running.host.vmNames.includes(":whole"));
    const half = new Client(running.vmmdPath);
    half.socket.write(Buffer.from("000000223020301502010504", "hex"));
    await settle();
    half.socket.destroy();
    await eventually("the connection to go", () => running.host.connectionCount === 0);
    expect(running.requests.map(({ name }) => name)).toEqual([":whole"]);
  });

  test("is on the list with what came of it, also what cannot be read", async () => {
    const running = await startHost({ vms: [vm(":web", { interfaces: [] })] });
    const time = new Date(running.clock.wallMs()).toISOString();
    const { image } = config();
    await ask(running, ":web-clone-1", create());
    await ask(running, ":web-clone-1", create());
    await ask(running, ":web-clone-1", DESTROY);
    await infoOf(running, ":");
    const bad = new Client(running.vmmdPath);
    bad.socket.write(Buffer.from("00000000", "hex"));
    await bad.end();
    const clone = { name: ":web-clone-1", digest: sha256(image), started: time };
    const nobody = { digest: null, started: null };
    const replied = { time, sequence: "7", answer: "reply" };
    const exists = "Unikernel with same name is already running";
    expect(running.requests).toEqual([
      { ...replied, ...clone, command: "create", outcome: "success", text: "created unikernel" },
      { ...replied, ...clone, command: "create", outcome: "failure", text: exists },
      { ...replied, ...clone, command: "destroy", outcome: "success", text: "destroyed unikernel" },
      {
        ...replied,
        ...nobody,
        name: ":",
        sequence: "0",
        command: "info",
        outcome: "success",
        text: "unikernel_info",
      },
      {
        ...{ time, ...nobody, name: "", sequence: "", command: "unreadable", outcome: "none" },
        text: expect.stringContaining("frame length"),
        answer: "close",
      },
    ]);
  });
});

describe("a command that meets", () => {
  const vms = [vm(":web", { interfaces: [] }), vm(":db", { interfaces: [] })];
  const CREATE = { outcome: "none", text: null, digest: null };
  const CREATED = { outcome: "success", text: "created unikernel", digest: expect.any(String) };

  test.each<{ fault: CommandFault; bytes: number; request: object; runs: boolean }>([
    { fault: { type: "vmmd_close" }, bytes: 0, request: { ...CREATE, answer: "close" }, runs: false },
    {
      fault: { type: "vmmd_close", carriedOut: true },
      bytes: 0,
      request: { ...CREATED, answer: "close" },
      runs: true,
    },
    { fault: { type: "vmmd_garbage" }, bytes: 64, request: { ...CREATE, answer: "garbage" }, runs: false },
    {
      fault: { type: "vmmd_garbage", carriedOut: true },
      bytes: 64,
      request: { ...CREATED, answer: "garbage" },
      runs: true,
    },
    {
      fault: { type: "vmmd_fail", text: "no such thing" },
      bytes: 45,
      request: { outcome: "failure", text: "no such thing", digest: null, answer: "reply" },
      runs: false,
    },
    {
      fault: { type: "vmmd_exit" },
      bytes: 51,
      request: { ...CREATED, digest: null, answer: "reply" },
      runs: false,
    },
    {
      fault: { type: "vmmd_die", when: "received" },
      bytes: 0,
      request: { ...CREATE, answer: "death" },
      runs: false,
    },
    {
      fault: { type: "vmmd_die", when: "carried_out" },
      bytes: 0,
      request: { ...CREATED, answer: "death" },
      runs: true,
    },
  ])(
    "$fault gets $bytes bytes and the close; carried out: $runs",
    async ({ fault, bytes, request, runs }) => {
      const running = await startHost({ vms });
      await running.host.misbehave(fault);
      const client = send(running, ":new1", create());
      await client.end();
      expect(client.bytes).toHaveLength(bytes);
      expect(running.requests).toMatchObject([{ command: "create", name: ":new1", ...request }]);
      expect(running.host.vmNames.includes(":new1")).toBe(runs);
    },
  );

  test.each([false, true])(
    "no reply (carried out: %s) waits until the fault has nothing to do with it",
    async (carriedOut) => {
      const running = await startHost({ vms });
      const end = await running.host.misbehave({ type: "vmmd_no_reply", carriedOut });
      const client = send(running, ":new1", create());
      await eventually("the request", () => running.requests.length === 1);
      await end();
      expect(await client.isQuiet()).toBe(true);
      expect([client.closed, running.host.vmNames.includes(":new1")]).toEqual([false, carriedOut]);
    },
  );

  test.each(["connected", "receiving"] as const)("a death when %s is not received", async (when) => {
    const running = await startHost({ vms });
    await running.host.misbehave({ type: "vmmd_die", when, times: 1 });
    expect(await ask(running, ":new1", create())).toBeNull();
    expect([running.requests, running.host.vmmdCrashes]).toEqual([[], 1]);
    await eventually("vmmd.sock to go", () => !existsSync(running.vmmdPath));
    running.clock.advance(2_000);
    await eventually("vmmd.sock to be back", () => existsSync(running.vmmdPath));
    expect(await textOf(running, ":new1", create())).toBe("created unikernel");
  });

  test("slowness gets the whole reply, in pieces that the clock lets through", async () => {
    const running = await startHost({ vms });
    await running.host.misbehave({ type: "vmmd_slow", everyMs: 1_000, bytes: 20, command: "create" });
    const client = send(running, ":new1", create());
    const heard: number[] = [];
    await eventually("the request", () => running.requests.length === 1);
    for (const bytes of [0, 20, 40, 51]) {
      await client.until("a piece", () => client.bytes.length >= bytes);
      expect(await client.isQuiet()).toBe(true);
      heard.push(client.bytes.length);
      running.clock.advance(1_000);
    }
    await client.end();
    expect(heard).toEqual([0, 20, 40, 51]);
    expect(client.messages).toMatchObject([{ payload: { string: "created unikernel" } }]);
    expect((await infoOf(running, ":new1"))?.memory).toBe(32);
  });

  test("a process that ignores SIGTERM is not answered, and other commands are", async () => {
    const running = await startHost({ vms });
    const end = await running.host.misbehave({ type: "vmmd_ignore_term", vm: ":web" });
    const first = send(running, ":web", DESTROY);
    await eventually("the first destroy", () => running.requests.length === 1);
    const second = send(running, ":web", DESTROY);
    await eventually("the second destroy", () => running.requests.length === 2);
    expect(await textOf(running, ":db", DESTROY)).toBe("destroyed unikernel");
    expect(await textOf(running, ":nope", DESTROY)).toBe("destroy: not found");
    expect(running.host.vmNames).toEqual([":web"]);
    await end();
    await second.end();
    expect(second.messages).toMatchObject([{ payload: { string: "destroyed unikernel" } }]);
    expect(await first.isQuiet()).toBe(true);
    expect([first.bytes.length, first.closed, running.host.vmNames]).toEqual([0, false, []]);
    expect(running.requests.map(({ name, answer }) => `${name} ${answer}`)).toEqual([
      ":web nothing",
      ":web nothing",
      ":db reply",
      ":nope reply",
    ]);
  });

  test("a lost console is not created, and what is restarted is lost", async () => {
    const running = await startHost({ vms });
    const end = await running.host.misbehave({ type: "console_gone" });
    const failed = "could not create unikernel: console failed";
    const restart = { class: "unikernel", command: "restart", arguments: null } as const;
    expect(await textOf(running, ":new1", create())).toBe(failed);
    expect(await textOf(running, ":web", restart)).toBe(failed);
    expect(running.host.vmNames).toEqual([":db"]);
    await end();
    expect(await textOf(running, ":new1", create())).toBe("created unikernel");
    expect(await textOf(running, ":db", restart)).toBe("created unikernel");
  });

  test.each<{ filter: CommandFilter; met: string[] }>([
    { filter: {}, met: ["info :web", "info :db", "destroy :web", "destroy :db"] },
    { filter: { command: "destroy" }, met: ["destroy :web", "destroy :db"] },
    { filter: { vm: ":db" }, met: ["info :db", "destroy :db"] },
    { filter: { times: 3 }, met: ["info :web", "info :db", "destroy :web"] },
    { filter: { command: "destroy", times: 1 }, met: ["destroy :web"] },
    { filter: { chance: 0 }, met: [] },
  ])("a fault for $filter is one of $met", async ({ filter, met }) => {
    const running = await startHost({ vms });
    await running.host.misbehave({ type: "vmmd_close", ...filter });
    for (const command of [{ class: "unikernel", command: "info" } as const, DESTROY])
      for (const name of [":web", ":db"]) await ask(running, name, command);
    const closed = running.requests.filter(({ answer }) => answer === "close");
    expect(closed.map(({ command, name }) => `${command} ${name}`)).toEqual(met);
  });

  test("a fault by chance meets the same ones for the same seed", async () => {
    const patterns = [];
    for (const seed of [7, 7, 8]) {
      const running = await startHost({ vms, seed });
      await running.host.misbehave({ type: "vmmd_close", chance: 50 });
      for (let time = 0; time < 30; time++) await ask(running, ":web", DESTROY);
      patterns.push(running.requests.map(({ answer }) => answer).join());
    }
    expect(patterns[1]).toBe(patterns[0]);
    expect(patterns[2]).not.toBe(patterns[0]);
    expect(new Set(patterns[0]?.split(","))).toEqual(new Set(["close", "reply"]));
  });
});
