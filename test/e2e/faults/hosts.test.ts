import { describe, expect, test } from "vitest";
import { vmSpec } from "../../../src/simulator/model.ts";
import { parseName } from "../../../src/wire/names.ts";
import { Lab } from "../support/lab.ts";
import {
  expectRecovered,
  expectRight,
  HOST,
  INTERVAL_MS,
  quietScene,
  slotState,
  statsCount,
  usageOf,
  vmLabels,
} from "../support/scene.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

describe("albatross-stats", () => {
  test("that is gone takes its VMs out of /metrics, and brings them back", async () => {
    const scene = await quietScene();
    const { lab, host } = scene;
    const back = await host.misbehave({ type: "stat_gone" });
    await lab.pass(3 * MINUTE_MS);
    const without = await lab.scrape();
    expect(without.value("albatross_up", { host: "sim" })).toBe(0);
    expect(without.matching(/^albatross_(vm|group|policy)_/).size).toBe(0);
    expect(slotState(without)).toBe("backoff");
    expect(lab.logged("warn")).toHaveLength(2);
    await back();
    const scrape = await expectRecovered(scene);
    expect(statsCount(scrape, "connects")).toBe(2);
    expect(statsCount(scrape, "disconnects", "closed")).toBe(1);
  });

  test("that forgets its subscribers is noticed after three intervals and subscribed to again", async () => {
    const scene = await quietScene();
    const { lab, host } = scene;
    await host.misbehave({ type: "forget" });
    await lab.pass(3 * INTERVAL_MS - 1_000);
    expect(statsCount(await lab.scrape(), "disconnects", "watchdog")).toBe(0);
    await lab.pass(1_000);
    expect(statsCount(await lab.scrape(), "disconnects", "watchdog")).toBe(1);
    const scrape = await expectRecovered(scene);
    expect(statsCount(scrape, "disconnects", "watchdog")).toBe(1);
    expect(statsCount(scrape, "connects")).toBe(2);
  });

  test("that acknowledges and stays silent serves no stale VM, and is left for good when it speaks", async () => {
    const scene = await quietScene();
    const { lab, host } = scene;
    const speak = await host.misbehave({ type: "silent" });
    await host.misbehave({ type: "close", slot: null });
    await lab.pass(5 * MINUTE_MS);
    const silent = await lab.scrape();
    expect(silent.matching(/^albatross_vm_/).size).toBe(0);
    expect(statsCount(silent, "disconnects", "watchdog")).toBeGreaterThan(1);
    await speak();
    await expectRecovered(scene, { withinMs: 20 * MINUTE_MS });
  });

  test("that never acknowledges is left, and taken up when it does", async () => {
    const scene = await quietScene();
    const { lab, host } = scene;
    const answer = await host.misbehave({ type: "no_reply" });
    await host.misbehave({ type: "close", slot: null });
    await lab.pass(3 * MINUTE_MS);
    expect((await lab.scrape()).value("albatross_up", { host: "sim" })).toBe(0);
    await answer();
    expect(statsCount(await expectRecovered(scene), "disconnects", "timeout")).toBeGreaterThan(1);
  });

  test.each([
    [25_500, 1],
    // Just more than half an interval before the next sample: the worst case for its rate.
    [24_500, 1],
    // The watchdog subscribes anew, and is stalled again.
    [60_000, 2],
  ])("stalled for %i ms gives one burst, and no CPU usage that is absurd", async (stallMs, connects) => {
    const scene = await quietScene();
    const { lab, host } = scene;
    const goOn = await host.misbehave({ type: "stall", slot: null });
    await lab.pass(stallMs);
    // Stale is what was silent for more than 3.5 intervals.
    const served = (await lab.scrape()).matching(/^albatross_vm_cpu_usage_percent$/).size;
    expect(served).toBe(stallMs <= 3.5 * INTERVAL_MS ? host.vmNames.length : 0);
    await goOn();
    // A message carries no time: late by up to half an interval, its rate may be off by a factor of two, never more.
    for (let step = 0; step < 2 * INTERVAL_MS; step += 500) {
      await lab.pass(500);
      const percent = usageOf(await lab.scrape(), "user:web");
      expect(percent).toBeGreaterThanOrEqual(20);
      expect(percent).toBeLessThanOrEqual(80);
    }
    expectRight(await lab.scrape(), host);
    expect(statsCount(await expectRecovered(scene), "connects")).toBe(connects);
  });
});

describe("another client of the slot", () => {
  test("is not fought: an attempt every five minutes, said once, until the slot is free again", async () => {
    const scene = await quietScene();
    const { lab, host } = scene;
    const leave = await host.misbehave({ type: "rival", slot: ":", everyMs: null });
    await lab.pass(2 * MINUTE_MS);
    const displaced = await lab.scrape();
    expect(slotState(displaced)).toBe("displaced");
    expect(displaced.value("albatross_up", { host: "sim" })).toBe(0);
    expect(statsCount(displaced, "connects")).toBe(3);
    const lines = lab.logged("warn").filter((line) => line.startsWith("displaced: "));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/albatross-influx or mollymawk/);

    await lab.pass(HOUR_MS, 1_000);
    const later = await lab.scrape();
    expect(slotState(later)).toBe("displaced");
    const attempts = Number(statsCount(later, "connects")) - 3;
    expect(attempts).toBeGreaterThanOrEqual(11);
    expect(attempts).toBeLessThanOrEqual(12);
    expect(lab.logged("warn").filter((line) => line.startsWith("displaced: "))).toHaveLength(1);

    await leave();
    await expectRecovered(scene, { withinMs: 6 * MINUTE_MS });
  });
});

describe("damage in the stream", () => {
  test.each([
    ["a frame of 2 GB announced", 0x7fff_ffff, "frame_too_long"],
    ["a length of zero", 0, "frame_length"],
    ["a negative length", -1, "frame_length"],
    ["the most negative length", -0x8000_0000, "frame_length"],
  ])("%s costs a reconnect and no memory", async (_, announced, reason) => {
    const scene = await quietScene();
    const before = process.memoryUsage.rss();
    await scene.host.misbehave({ type: "frame_length", slot: null, announced });
    await scene.lab.pass(500);
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
    const scrape = await expectRecovered(scene);
    expect(statsCount(scrape, "decode_errors", reason)).toBe(1);
    expect(statsCount(scrape, "disconnects", "framing")).toBe(1);
    expect(statsCount(scrape, "connects")).toBe(2);
  });

  test("half a frame and nothing after it is noticed by the watchdog", async () => {
    const scene = await quietScene();
    await scene.host.misbehave({ type: "half_frame", slot: null });
    await scene.lab.pass(5 * INTERVAL_MS);
    expect(statsCount(await expectRecovered(scene), "disconnects", "watchdog")).toBe(1);
  });

  test.each([
    ["undecodable", "message"],
    ["unknown_data", "unknown_data"],
  ] as const)("one message that is %s costs that message only", async (type, reason) => {
    const scene = await quietScene();
    await scene.host.misbehave({ type, slot: null });
    await scene.lab.pass(500);
    const scrape = await expectRecovered(scene, { withinMs: 0 });
    expect(statsCount(scrape, "decode_errors", reason)).toBe(1);
    expect(statsCount(scrape, "connects")).toBe(1);
  });

  test("random bytes on 300 connections in a row leave nothing behind", async () => {
    const scene = await quietScene();
    const { lab, host } = scene;
    for (let round = 0; round < 300; round++) {
      await host.misbehave({ type: "garbage", slot: null, bytes: 1 + ((round * 37) % 5_000) });
      // Longer than any backoff: each round has a subscription of its own.
      await lab.pass(70_000, 10_000);
    }
    const scrape = await expectRecovered(scene, { withinMs: 10 * MINUTE_MS });
    expect(statsCount(scrape, "connects")).toBeGreaterThan(200);
    expect(lab.logged("error")).toEqual([]);
  });
});

describe("albatrossd", () => {
  test.each(["vmmd_gone", "vmmd_close", "vmmd_no_reply", "vmmd_garbage"] as const)(
    "in trouble (%s) costs none of the statistics, and is asked again",
    async (type) => {
      const scene = await quietScene();
      const { lab, host } = scene;
      const recover = await host.misbehave({ type });
      await lab.pass(5 * MINUTE_MS);
      expectRight(await lab.scrape(), host);
      await recover();
      await lab.pass(MINUTE_MS);
      const scrape = await expectRecovered(scene);
      expect(scrape.matching(/^albatross_vm_cpus$/).size).toBe(host.vmNames.length);
    },
  );
});

describe("the wall clock", () => {
  test.each([
    ["back by a day", -24 * HOUR_MS],
    ["forward by a day", 24 * HOUR_MS],
  ])("set %s changes the times that are shown and nothing else", async (_, byMs) => {
    const scene = await quietScene();
    const { lab, host } = scene;
    lab.clock.setWall(lab.clock.wallMs() + byMs);
    for (let step = 0; step < 60; step++) {
      await lab.pass(1_000);
      expectRight(await lab.scrape(), host);
    }
    const scrape = await expectRecovered(scene, { withinMs: 0 });
    expect(statsCount(scrape, "connects")).toBe(1);
    expect([...scrape.matching(/^albatross_vm_restarts_total$/).values()]).toEqual([0, 0, 0, 0]);
    const [arrived] = scrape.matching(/^albatross_vm_last_sample_timestamp_seconds$/).values();
    expect(Math.abs(Number(arrived) * 1000 - lab.clock.wallMs())).toBeLessThanOrEqual(INTERVAL_MS);
  });
});

describe("a VM", () => {
  test("that restarts has no CPU usage until it has lived for two samples, and is counted", async () => {
    const scene = await quietScene();
    const { lab, host } = scene;
    const restarts = { host: "sim", path: "user", vm: "web" };
    await lab.pass(3_000);
    host.restartVm("user:web");
    const restarted = await lab.passUntil(
      "the restart",
      (now) => now.value("albatross_vm_restarts_total", restarts) === 1,
    );
    expect(usageOf(restarted, "user:web")).toBeUndefined();
    expect(
      restarted.value("albatross_group_cpu_usage_percent", { host: "sim", path: "user", group: "web" }),
    ).toBe(20);
    await lab.pass(INTERVAL_MS - 500);
    expect(usageOf(await lab.scrape(), "user:web")).toBeUndefined();
    await lab.pass(1_000);
    expect(usageOf(await lab.scrape(), "user:web")).toBe(40);
    // Unikernel info's changed start time is the same restart.
    await lab.pass(2 * MINUTE_MS);
    const scrape = await expectRecovered(scene);
    expect(scrape.value("albatross_vm_restarts_total", restarts)).toBe(1);
  });

  test("of which all restart with albatrossd, which forgets the subscriber too, are back and counted once", async () => {
    const scene = await quietScene();
    const { lab, host } = scene;
    host.restartAlbatrossd();
    await lab.pass(MINUTE_MS);
    const scrape = await expectRecovered(scene);
    expect([...scrape.matching(/^albatross_vm_restarts_total$/).values()]).toEqual([1, 1, 1, 1]);
    expect(statsCount(scrape, "disconnects", "watchdog")).toBe(1);
  });
});

describe("a VM that is new", () => {
  test("has its gauge one interval after its first sample: info is asked for it at once", async () => {
    const { lab, host } = await quietScene();
    host.addVm({ name: "user:late", load: 30 });
    await lab.pass(2 * INTERVAL_MS);
    expect(usageOf(await lab.scrape(), "user:late")).toBe(30);
  });

  test("and sends once before the interval is learnt is served for 3.5 intervals, not for 35 s", async () => {
    const lab = await Lab.make();
    const load = { type: "constant", percent: 10 } as const;
    await lab.simulate(HOST, {
      intervalMs: 2_000,
      vms: [
        vmSpec({ name: parseName("user:brief"), load, stopAtMs: 3_000 }),
        vmSpec({ name: parseName("user:web"), load }),
      ],
    });
    await lab.serve([{ name: HOST }]);
    await lab.pass(2_000, 100);
    const sample = "albatross_vm_last_sample_timestamp_seconds";
    const isServed = async () => (await lab.scrape()).value(sample, vmLabels("user:brief")) !== undefined;
    expect(await isServed()).toBe(true);
    await lab.pass(6_800, 100);
    expect(await isServed()).toBe(true);
    await lab.pass(400, 100);
    expect(await isServed()).toBe(false);
  });
});
