import { existsSync, statSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Fault } from "../../src/simulator/faults.ts";
import { subscribeCommand } from "../../src/simulator/messages.ts";
import { parseName } from "../../src/wire/names.ts";
import { eventually, settle } from "../support/eventually.ts";
import { unikernelInfoCommand } from "../support/simulated.ts";
import { Client, cpuUs, type Running, samples, startHost, subscriber, vm } from "./support.ts";

const vms = [
  vm("user:web", { percent: 50, interfaces: ["service", "private"] }),
  vm(":hello", { percent: 5 }),
];

function info(path: string): Client {
  return new Client(path).send(unikernelInfoCommand(parseName(":")));
}

/** The world is right again when a new subscriber hears every VM at the next tick and info is answered. */
async function expectRecovered({ statPath, vmmdPath, clock }: Running): Promise<void> {
  const again = await subscriber(statPath, ":");
  clock.advance(1_000);
  await again.count(3);
  expect(samples(again.messages).map(({ name }) => name)).toEqual(["user:web", ":hello"]);
  const asked = info(vmmdPath);
  await asked.end();
  expect(asked.messages).toHaveLength(1);
}

describe("a stream", () => {
  test.each<{ fault: Fault; reason: string }>([
    { fault: { type: "frame_length", slot: null, announced: 2_147_483_647 }, reason: "frame_too_long" },
    { fault: { type: "frame_length", slot: ":", announced: 0 }, reason: "frame_length" },
    { fault: { type: "frame_length", slot: ":", announced: -1 }, reason: "frame_length" },
    { fault: { type: "undecodable", slot: ":" }, reason: "message" },
  ])("with $fault.type $fault.announced cannot be read on: $reason", async ({ fault, reason }) => {
    const running = await startHost({ vms });
    const client = await subscriber(running.statPath, ":");
    await running.host.misbehave(fault);
    await client.until("damage", () => client.damage !== null);
    expect(client.damage).toMatchObject({ reason });
    await expectRecovered(running);
  });

  test("with garbage in it carries just so many bytes, other ones each time", async () => {
    const running = await startHost({ vms });
    const client = await subscriber(running.statPath, ":");
    const replyBytes = client.bytes.length;
    for (let time = 1; time <= 2; time++) {
      await running.host.misbehave({ type: "garbage", slot: null, bytes: 100 });
      await client.until("garbage", () => client.bytes.length === replyBytes + 100 * time);
    }
    const garbage = client.bytes.subarray(replyBytes);
    expect(garbage.subarray(0, 100).equals(garbage.subarray(100))).toBe(false);
    await expectRecovered(running);
  });

  test("cut in a frame ends there, on an open connection", async () => {
    const running = await startHost({ vms });
    const client = await subscriber(running.statPath, ":");
    const replyBytes = client.bytes.length;
    await running.host.misbehave({ type: "half_frame", slot: null });
    running.clock.advance(1_000);
    await client.until("half a frame", () => client.bytes.length > replyBytes);
    running.clock.advance(3_000);
    await settle();
    expect(client.bytes.readInt32BE(replyBytes)).toBeGreaterThan(client.bytes.length - replyBytes);
    expect([client.messages.length, client.closed]).toEqual([1, false]);
    await expectRecovered(running);
  });

  test("with an unknown kind of data goes on after it", async () => {
    const running = await startHost({ vms });
    const client = await subscriber(running.statPath, ":");
    await running.host.misbehave({ type: "unknown_data", slot: null });
    running.clock.advance(1_000);
    await client.count(4);
    expect(
      client.messages.map(({ payload }) => (payload.type === "data" ? payload.data : payload.type)),
    ).toEqual(["success", "unknown", "stats", "stats"]);
  });

  test("that stalls loses nothing: all ticks come at once when it resumes", async () => {
    const { host, statPath, clock } = await startHost({ vms, os: "freebsd" });
    const [stalled, flowing] = await Promise.all([subscriber(statPath, ":"), subscriber(statPath, "user:")]);
    const end = await host.misbehave({ type: "stall", slot: ":" });
    clock.advance(3_000);
    await flowing.count(4);
    expect(stalled.messages).toHaveLength(1);
    await end();
    await stalled.count(7);
    const web = samples(stalled.messages).filter(({ name }) => name === "user:web");
    expect(web.map(({ stats }) => cpuUs(stats) / 1000)).toEqual([500, 1_000, 1_500]);
    clock.advance(1_000);
    await stalled.count(9);
  });

  test("whose subscription was forgotten stays open and silent", async () => {
    const running = await startHost({ vms });
    const client = await subscriber(running.statPath, ":");
    await running.host.misbehave({ type: "forget" });
    running.clock.advance(5_000);
    await settle();
    expect([client.messages.length, client.closed]).toEqual([1, false]);
    await expectRecovered(running);
    expect(client.closed).toBe(false);
  });

  test("is silent after a restart of albatrossd, and its VMs start at zero", async () => {
    const { host, statPath, clock } = await startHost({ vms, os: "freebsd" });
    const client = await subscriber(statPath, ":");
    clock.advance(4_000);
    await client.count(9);
    host.restartAlbatrossd();
    clock.advance(2_000);
    expect(await client.isQuiet()).toBe(true);
    const again = await subscriber(statPath, ":");
    clock.advance(1_000);
    await again.count(3);
    expect(samples(again.messages).map(({ stats }) => cpuUs(stats) / 1000)).toEqual([1_500, 150]);
  });

  test("carries a device name that is not UTF-8 as long as it lasts, in frames that decode", async () => {
    const { host, statPath, clock } = await startHost({ vms });
    const client = await subscriber(statPath, ":");
    const end = await host.misbehave({ type: "device_name", vm: "user:web" });
    clock.advance(1_000);
    await client.count(3);
    await end();
    clock.advance(1_000);
    await client.count(5);
    expect(samples(client.messages).map(({ stats }) => stats.ifdata.map(({ bridge }) => bridge))).toEqual([
      ["\u{fffd}ervice", "\u{fffd}rivate"],
      ["service"],
      ["service", "private"],
      ["service"],
    ]);
  });

  test("that the daemon closes is closed, for the slot that was meant", async () => {
    const running = await startHost({ vms });
    const [root, user] = await Promise.all([
      subscriber(running.statPath, ":"),
      subscriber(running.statPath, "user:"),
    ]);
    await running.host.misbehave({ type: "close", slot: "user:" });
    await user.end();
    running.clock.advance(1_000);
    await root.count(3);
    await expectRecovered(running);
  });
});

describe("a subscribe", () => {
  test("to a silent daemon is acknowledged and nothing follows, also after the silence", async () => {
    const running = await startHost({ vms });
    const end = await running.host.misbehave({ type: "silent" });
    const client = await subscriber(running.statPath, ":");
    running.clock.advance(3_000);
    await end();
    running.clock.advance(3_000);
    expect(await client.isQuiet()).toBe(true);
    expect(client.closed).toBe(false);
    await expectRecovered(running);
  });

  test("to a mute daemon is not answered", async () => {
    const running = await startHost({ vms });
    const end = await running.host.misbehave({ type: "no_reply" });
    const client = new Client(running.statPath).send(subscribeCommand(parseName(":")));
    await settle();
    running.clock.advance(3_000);
    await settle();
    expect([client.bytes.length, client.closed]).toEqual([0, false]);
    await end();
    await expectRecovered(running);
  });

  test("finds no socket while albatross-stats is gone, and one when it is back", async () => {
    const running = await startHost({ vms });
    const client = await subscriber(running.statPath, ":");
    const end = await running.host.misbehave({ type: "stat_gone" });
    await client.end();
    expect(existsSync(running.statPath)).toBe(false);
    running.clock.advance(5_000);
    await end();
    await expectRecovered(running);
  });
});

describe("a daemon that two faults keep away", () => {
  test.each(["stat_gone", "vmmd_gone"] as const)("is back when both have ended: %s", async (type) => {
    const running = await startHost({ vms });
    const path = type === "stat_gone" ? running.statPath : running.vmmdPath;
    const ends = [await running.host.misbehave({ type }), await running.host.misbehave({ type })];
    await ends[1]?.();
    expect(existsSync(path)).toBe(false);
    await ends[0]?.();
    await expectRecovered(running);
  });
});

describe("a rival", () => {
  test("takes the slot, and takes it again whenever it has lost it", async () => {
    const { host, statPath, clock } = await startHost({ vms });
    let mine = await subscriber(statPath, ":");
    const end = await host.misbehave({ type: "rival", slot: ":", everyMs: null });
    for (let kick = 0; kick < 3; kick++) {
      await mine.end();
      mine = await subscriber(statPath, ":");
      await settle();
      clock.advance(10);
    }
    await mine.end();
    await end();
    const last = await subscriber(statPath, ":");
    clock.advance(1_000);
    await last.count(3);
    expect(last.closed).toBe(false);
  });

  test("with a period takes it just so often, and another slot is not its business", async () => {
    const { host, statPath, clock } = await startHost({ vms });
    const elsewhere = await subscriber(statPath, "user:");
    const end = await host.misbehave({ type: "rival", slot: ":", everyMs: 60_000 });
    await settle();
    for (let kick = 0; kick < 2; kick++) {
      const mine = await subscriber(statPath, ":");
      clock.advance(59_000);
      await settle();
      expect(mine.closed).toBe(false);
      clock.advance(1_000);
      await mine.end();
      await settle();
    }
    await end();
    expect(elsewhere.closed).toBe(false);
  });
});

describe("a command to albatrossd", () => {
  test.each<{ fault: Fault; bytes: number }>([
    { fault: { type: "vmmd_close" }, bytes: 0 },
    { fault: { type: "vmmd_garbage" }, bytes: 64 },
    { fault: { type: "vmmd_gone" }, bytes: 0 },
  ])("meets $fault.type: $bytes bytes and the end", async ({ fault, bytes }) => {
    const running = await startHost({ vms });
    const end = await running.host.misbehave(fault);
    const client = info(running.vmmdPath);
    await client.end();
    expect(client.bytes).toHaveLength(bytes);
    await end();
    await expectRecovered(running);
  });

  test("meets vmmd_no_reply: nothing, not even the end", async () => {
    const running = await startHost({ vms });
    const end = await running.host.misbehave({ type: "vmmd_no_reply" });
    const client = info(running.vmmdPath);
    await settle();
    expect([client.bytes.length, client.closed]).toEqual([0, false]);
    await end();
    await expectRecovered(running);
  });

  test("meets vmmd_unreadable: a socket that the group may not open", async () => {
    const running = await startHost({ vms });
    const end = await running.host.misbehave({ type: "vmmd_unreadable" });
    expect(statSync(running.vmmdPath).mode & 0o777).toBe(0o600);
    await end();
    expect(statSync(running.vmmdPath).mode & 0o777).toBe(0o660);
    await expectRecovered(running);
  });
});

describe("faults", () => {
  test("all end with `recover`, and ending one twice does nothing", async () => {
    const running = await startHost({ vms });
    const faults: Fault[] = [
      { type: "silent" },
      { type: "no_reply" },
      { type: "stall", slot: null },
      { type: "device_name", vm: null },
      { type: "rival", slot: ":", everyMs: null },
      { type: "vmmd_gone" },
    ];
    const ends = await Promise.all(faults.map((fault) => running.host.misbehave(fault)));
    await running.host.recover();
    for (const end of ends) await end();
    await settle();
    await expectRecovered(running);
  });

  test("of the scenario come at their time and last as long as it says", async () => {
    const running = await startHost({
      vms,
      events: [{ atMs: 1_500, action: { type: "misbehave", fault: { type: "vmmd_gone" }, forMs: 2_000 } }],
    });
    running.clock.advance(1_499);
    expect(existsSync(running.vmmdPath)).toBe(true);
    running.clock.advance(1);
    await eventually("vmmd.sock to go", () => !existsSync(running.vmmdPath));
    running.clock.advance(2_000);
    await eventually("vmmd.sock to be back", () => existsSync(running.vmmdPath));
    expect(running.events).toContain("misbehaves: vmmd_gone");
    await expectRecovered(running);
  });

  test("leave nothing behind when the host stops in the middle of them", async () => {
    const running = await startHost({ vms });
    const client = await subscriber(running.statPath, ":");
    await running.host.misbehave({ type: "rival", slot: ":", everyMs: null });
    await running.host.misbehave({ type: "stall", slot: null });
    await running.host.misbehave({ type: "vmmd_gone" });
    await running.host.stop();
    await client.end();
    await settle();
    expect([running.host.connectionCount, running.clock.pendingTimers]).toEqual([0, 0]);
    expect([existsSync(running.statPath), existsSync(running.vmmdPath)]).toEqual([false, false]);
  });
});
