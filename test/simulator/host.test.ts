import { describe, expect, test } from "vitest";
import { cpuUs, samples, startHost, subscriber, vm } from "./support.ts";

describe("a host under control", () => {
  test("shows at the next tick what was done to its VMs", async () => {
    const { host, statPath, clock } = await startHost({
      os: "freebsd",
      vms: [vm("user:web", { percent: 50 })],
    });
    const client = await subscriber(statPath, ":");
    const heard: Record<string, number>[] = [];
    const tick = async () => {
      const before = client.messages.length;
      clock.advance(1_000);
      await client.count(before + host.vmNames.length);
      heard.push(
        Object.fromEntries(
          samples(client.messages.slice(before)).map(({ name, stats }) => [name, cpuUs(stats) / 1000]),
        ),
      );
    };
    await tick();
    host.addVm({ name: "user:db", load: 20, cpus: 2 });
    await tick();
    host.setLoad("user:web", 100);
    expect(host.cloneVm("user:db")).toBe("user:db-clone-1");
    await tick();
    host.restartVm("user:web");
    host.removeVm("user:db-clone-1");
    await tick();
    host.crashVm("user:db");
    host.setLoad("user:db", { type: "steps", steps: [{ atMs: 4_500, percent: 100 }] });
    await tick();
    expect(heard).toEqual([
      { "user:web": 500 },
      { "user:web": 1_000, "user:db": 400 },
      { "user:web": 2_000, "user:db": 800, "user:db-clone-1": 400 },
      { "user:web": 1_000, "user:db": 1_200 },
      { "user:web": 2_000, "user:db": 2_000 },
    ]);
  });

  test("counts what was lived through between two ticks, to the millisecond", async () => {
    const { host, statPath, clock } = await startHost({
      os: "freebsd",
      vms: [vm("user:web", { percent: 100 })],
    });
    const client = await subscriber(statPath, ":");
    clock.advance(250);
    host.setLoad("user:web", 0);
    clock.advance(250);
    host.setLoad("user:web", 50);
    clock.advance(500);
    await client.count(2);
    expect(samples(client.messages).map(({ stats }) => cpuUs(stats) / 1000)).toEqual([500]);
  });

  test("refuses VMs that are not there, and a second of one name", async () => {
    const { host } = await startHost({ vms: [vm("user:web")] });
    expect(() => host.removeVm("user:nope")).toThrow("no VM named user:nope is running");
    expect(() => host.cloneVm("user:nope")).toThrow("no VM named user:nope is running");
    expect(() => host.setLoad(":web", 3)).toThrow("no VM named :web is running");
    expect(() => host.addVm({ name: "user:web" })).toThrow("a VM named user:web is running");
  });

  test("tells on what happens", async () => {
    const { host, events, statPath } = await startHost({ vms: [vm("user:web")] });
    await subscriber(statPath, ":");
    await subscriber(statPath, ":");
    host.restartVm("user:web");
    host.restartAlbatrossd();
    expect(events).toEqual([
      "a client subscribes to :",
      "a client subscribes to :, the one before it is closed",
      "user:web restarts",
      "albatrossd restarts, and with it every VM",
    ]);
  });

  test("sends the same bytes again for the same seed, and others for another", async () => {
    const load = { type: "noise", mean: 50, amplitude: 40, everyMs: 300 } as const;
    const streams = [];
    for (const seed of [7, 7, 8]) {
      const { statPath, clock } = await startHost({
        seed,
        vms: [vm("user:web", { load }), vm(":hello", { load })],
      });
      const client = await subscriber(statPath, ":");
      for (let tick = 0; tick < 5; tick++) clock.advance(1_000);
      await client.count(11);
      streams.push(client.bytes.toString("hex"));
    }
    expect(streams[1]).toBe(streams[0]);
    expect(streams[2]).not.toBe(streams[0]);
  });

  test("closes a subscriber that has let 64 MiB pile up, and remembers no more of it", async () => {
    // long names are made faster than many interfaces
    const interfaces = Array.from({ length: 100 }, (_, index) => `if${index}`.padEnd(4_000, "x"));
    const vms = Array.from({ length: 10 }, (_, index) => vm(`load:vm-${index}`, { interfaces }));
    const { statPath, clock, host, events } = await startHost({ vms });
    const client = await subscriber(statPath, ":");
    client.socket.pause();
    for (let tick = 0; tick < 90 && host.slots.length > 0; tick++) clock.advance(1_000);
    expect(events.at(-1)).toBe("the subscriber of : does not read: closed");
    expect(host.slots).toEqual([]);
  });

  test("sends one burst for several ticks when it was held up", async () => {
    const { statPath, clock, host } = await startHost({ vms: [vm("user:web", { percent: 50 })] });
    const client = await subscriber(statPath, ":");
    const nowUs = clock.nowUs.bind(clock);
    // The timer of the first tick fires 3.4 s late.
    clock.nowUs = () => nowUs() + 3_400_000;
    clock.advance(1_000);
    await client.count(2);
    expect(await client.isQuiet()).toBe(true);
    clock.advance(599);
    expect(await client.isQuiet()).toBe(true);
    clock.advance(1);
    await client.count(3);
    expect(host.slots).toEqual([":"]);
  });
});
