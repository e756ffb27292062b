import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { Serving, startSimulatedHost, temporaryFolder, until } from "../../support/serving.ts";
import { Scrape } from "../support/exposition.ts";

const VMS = 20;
const INTERVAL_MS = 200;
const MB = 1024 * 1024;

function configFor(folder: string, more = ""): string {
  return `targets: [{ name: sim, socket_dir: ${folder} }]\nweb: { listen_addresses: ["127.0.0.1:0"] }\n${more}`;
}

/** All VMs are there, each with about the usage that it has. */
function isRight(scrape: Scrape): boolean {
  const usages = [...scrape.matching(/^albatross_vm_cpu_usage_percent$/).values()];
  return usages.length === VMS && usages.every((percent) => percent > 25 && percent < 75);
}

async function rightScrape(serving: Serving): Promise<Scrape> {
  return until("all VMs as they are", () => Scrape.of(serving.url), isRight);
}

function messages(scrape: Scrape): number {
  return Number(scrape.value("albatross_stats_messages_total", { host: "sim", subscription: ":" }));
}

test("a host that goes and comes back, again and again, costs neither descriptors nor memory", async () => {
  const folder = await temporaryFolder();
  const host = await startSimulatedHost(folder, VMS, INTERVAL_MS);
  const serving = await Serving.start(folder, configFor(folder));
  const before = await rightScrape(serving);
  const descriptors = readdirSync(`/proc/${serving.pid}/fd`).length;
  for (let round = 0; round < 2; round++) {
    const back = await host.misbehave({ type: "stat_gone" });
    // Long enough to be looked for in vain: a daemon that is always there and closes again and again has a rival.
    await until(
      "an attempt to reach it",
      () => serving.get("/api/v1/targets"),
      (targets) => /stat\.sock does not exist/.test(targets),
    );
    expect((await Scrape.of(serving.url)).value("albatross_up", { host: "sim" })).toBe(0);
    const read = messages(await Scrape.of(serving.url));
    await back();
    // Only a subscription that has held for a while makes the next reconnect a quick one.
    await until(
      "some samples of each VM",
      () => rightScrape(serving),
      (scrape) => messages(scrape) >= read + 10 * VMS,
    );
  }
  await until(
    "the same descriptors",
    async () => readdirSync(`/proc/${serving.pid}/fd`).length,
    (count) => count <= descriptors,
  );
  const after = await rightScrape(serving);
  const heap = (scrape: Scrape) => Number(scrape.value("nodejs_heap_size_used_bytes"));
  expect(heap(after) - heap(before)).toBeLessThan(32 * MB);
  expect(after.value("albatross_stats_connects_total", { host: "sim", subscription: ":" })).toBe(3);
});

test("a broken configuration on SIGHUP leaves the VMs as they are, and a good one is taken after it", async () => {
  const folder = await temporaryFolder();
  await startSimulatedHost(folder, VMS, INTERVAL_MS);
  const serving = await Serving.start(folder, configFor(folder));
  const taken = async () =>
    (await rightScrape(serving)).value("albatross_exporter_config_last_reload_successful");
  expect(await taken()).toBe(1);
  await writeFile(serving.configFile, "targets: [");
  serving.signal("SIGHUP");
  await serving.logged("configuration not reloaded: the one before stays in force");
  expect(await taken()).toBe(0);
  await writeFile(serving.configFile, configFor(folder, "exporter: { collectors: { network: false } }\n"));
  serving.signal("SIGHUP");
  await serving.logged("configuration reloaded");
  expect(await taken()).toBe(1);
  const scrape = await rightScrape(serving);
  expect(scrape.matching(/^albatross_vm_network_/).size).toBe(0);
  expect(scrape.value("albatross_stats_connects_total", { host: "sim", subscription: ":" })).toBe(1);
  serving.signal("SIGTERM");
  expect(await serving.exited).toBe(0);
});
