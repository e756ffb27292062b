import { expect, test } from "vitest";
import { expectRecovered, expectRight, INTERVAL_MS, quietScene, slotState } from "../support/scene.ts";

const MINUTE_MS = 60_000;
const SLOTS = ["user:"];

test("a unikernel that appears with the name of a subscribed path closes the slot before it can do harm", async () => {
  // A daemon that ticks once a minute: unikernel info, asked twice as often, sees the unikernel first.
  const slow = { settings: "stats_interval: 1m", scenario: { intervalMs: MINUTE_MS } };
  const scene = await quietScene({ slots: SLOTS, ...slow });
  const { lab, host } = scene;
  await lab.pass(5_000);
  host.addVm({ name: ":user", load: 1 });
  const blocked = await lab.passUntil("blocked", (now) => slotState(now, "user:") === "blocked");
  expect(blocked.value("albatross_up", { host: "sim" })).toBe(0);
  expect(
    blocked.value("albatross_stats_disconnects_total", {
      host: "sim",
      subscription: "user:",
      reason: "blocked",
    }),
  ).toBe(1);
  expect(lab.logged("warn")).toEqual([
    expect.stringMatching(/^the unikernel :user runs: .* would crash albatross-stats/),
  ]);
  await lab.pass(10 * MINUTE_MS, 5_000);
  expect(slotState(await lab.scrape(), "user:")).toBe("blocked");
  expect(host.slots).toEqual([]);
  expect(host.statCrashes).toBe(0);
  expect(lab.logged("warn")).toHaveLength(1);

  host.removeVm(":user");
  await expectRecovered(scene, { slots: SLOTS, withinMs: 5 * MINUTE_MS });
});

test("one that albatross-stats meets first crashes it once, and not again", async () => {
  const scene = await quietScene({ slots: SLOTS });
  const { lab, host } = scene;
  host.addVm({ name: ":user", load: 1 });
  await lab.pass(10 * MINUTE_MS, 5_000);
  expect(host.statCrashes).toBe(1);
  expect(slotState(await lab.scrape(), "user:")).toBe("blocked");
  host.removeVm(":user");
  await expectRecovered(scene, { slots: SLOTS });
  expect(host.statCrashes).toBe(1);
});

test("it does not touch the subscription to another path of the same host", async () => {
  const scene = await quietScene({ slots: ["user:", ":hello"] });
  const { lab, host } = scene;
  // The crash that it brings about is albatross-stats' own.
  host.addVm({ name: ":user", load: 1 });
  await lab.pass(5 * MINUTE_MS, 5_000);
  const scrape = await lab.scrape();
  expect(slotState(scrape, "user:")).toBe("blocked");
  expectRight(scrape, host, [":hello"]);
  host.removeVm(":user");
  await expectRecovered(scene, { slots: ["user:", ":hello"], withinMs: 6 * INTERVAL_MS });
});
