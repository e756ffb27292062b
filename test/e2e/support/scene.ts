import { expect } from "vitest";
import type { SimulatedHost } from "../../../src/simulator/host.ts";
import { type Scenario, type VmSpec, vmSpec } from "../../../src/simulator/model.ts";
import { parseName } from "../../../src/wire/names.ts";
import { type Scrape, seriesKey } from "./exposition.ts";
import { Lab, OpenThings } from "./lab.ts";

export const HOST = "sim";
/** The simulated albatross-stats' interval: its default. */
export const INTERVAL_MS = 10_000;

/** CPU usage by full name, in percent of one CPU: whole 10 ms ticks of Linux in each interval, so that rates are exact. */
const LOADS: Readonly<Record<string, number>> = {
  "user:web": 40,
  "user:web-clone-1": 20,
  "user:sub:router": 5,
  ":hello": 10,
};

export interface Scene {
  readonly lab: Lab;
  readonly host: SimulatedHost;
  readonly things: OpenThings;
  /** what was open when everything was well */
  readonly atRest: object;
}

/** An exporter in this process that has read a simulated host for six intervals, all being well. */
export async function quietScene(
  options: {
    readonly slots?: readonly string[];
    readonly settings?: string;
    readonly scenario?: Partial<Scenario>;
  } = {},
): Promise<Scene> {
  const { slots = [":"], settings = "", scenario = {} } = options;
  const lab = await Lab.make();
  const host = await lab.simulate(HOST, { intervalMs: INTERVAL_MS, vms: vmsOf(LOADS), ...scenario });
  const subscribe = `subscribe: [${slots.map((slot) => JSON.stringify(slot)).join(", ")}]`;
  await lab.serve([{ name: HOST, settings: `${subscribe}, ${settings}` }]);
  const { intervalMs } = host.scenario;
  await lab.pass(6 * intervalMs, intervalMs / 20);
  expectRight(await lab.scrape(), host, slots);
  const things = new OpenThings(lab, host);
  return { lab, host, things, atRest: things.now };
}

/** Moves time on until everything is well again, and looks that nothing was left open on the way there. */
export async function expectRecovered(
  { lab, host, things, atRest }: Scene,
  { slots = [":"], withinMs = 120_000 }: { slots?: readonly string[]; withinMs?: number } = {},
): Promise<Scrape> {
  const scrape = await lab.passUntil("all is well again", (now) => isRight(now, host, slots), { withinMs });
  expectRight(scrape, host, slots);
  await things.areAgain(atRest);
  return scrape;
}

/** Every VM of the host is there with the usage that it has, every subscription receives, and nobody else is there. */
export function expectRight(scrape: Scrape, host: SimulatedHost, slots: readonly string[] = [":"]): void {
  expect(usages(scrape)).toEqual(expectedUsages(host, slots));
  expect(scrape.value("albatross_up", { host: HOST })).toBe(1);
  for (const subscription of slots) expect(slotState(scrape, subscription)).toBe("receiving");
  const listed = scrape.matching(/^albatross_vm_last_sample_timestamp_seconds$/);
  expect(listed.size).toBe(usages(scrape).size);
  const web = ["user:web", "user:web-clone-1"].map((name) => usageOf(scrape, name));
  if (web.every((percent) => percent !== undefined)) {
    const group = { host: HOST, path: "user", group: "web" };
    const mean = web.reduce((sum, percent) => sum + percent, 0) / web.length;
    expect(scrape.value("albatross_group_cpu_usage_percent", group)).toBe(mean);
    expect(scrape.value("albatross_group_clones", group)).toBe(1);
  }
}

/** What a subscription is doing. */
export function slotState(scrape: Scrape, subscription = ":"): string {
  const states =
    scrape.families.find(({ name }) => name === "albatross_stats_subscription_state")?.series ?? [];
  const on = states.filter(({ labels, value }) => labels["subscription"] === subscription && value === "1");
  return on.map(({ labels }) => labels["state"]).join();
}

/** A counter of the subscription at the root, by the rest of its name. */
export function statsCount(scrape: Scrape, counter: string, reason?: string): number | undefined {
  const labels = { host: HOST, subscription: ":" };
  return scrape.value(
    `albatross_stats_${counter}_total`,
    reason === undefined ? labels : { ...labels, reason },
  );
}

/** The CPU usage of one VM by full name; undefined while it is not known. */
export function usageOf(scrape: Scrape, fullName: string): number | undefined {
  return scrape.value("albatross_vm_cpu_usage_percent", vmLabels(fullName));
}

export function vmLabels(fullName: string): { host: string; path: string; vm: string } {
  const { path, label } = parseName(fullName);
  return { host: HOST, path: path.join(":"), vm: label ?? "" };
}

function isRight(scrape: Scrape, host: SimulatedHost, slots: readonly string[]): boolean {
  const expected = expectedUsages(host, slots);
  const found = usages(scrape);
  return (
    found.size === expected.size &&
    [...expected].every(([key, percent]) => found.get(key) === percent) &&
    slots.every((slot) => slotState(scrape, slot) === "receiving")
  );
}

function usages(scrape: Scrape): Map<string, number> {
  return scrape.matching(/^albatross_vm_cpu_usage_percent$/);
}

function expectedUsages(host: SimulatedHost, slots: readonly string[]): Map<string, number> {
  const covered = host.vmNames.filter((name) =>
    slots.some((slot) => slot === ":" || (slot.endsWith(":") ? name.startsWith(slot) : name === slot)),
  );
  return new Map(
    covered.map((name) => [seriesKey("albatross_vm_cpu_usage_percent", vmLabels(name)), LOADS[name] ?? 0]),
  );
}

function vmsOf(loads: Readonly<Record<string, number>>): VmSpec[] {
  return Object.entries(loads).map(([name, percent]) =>
    vmSpec({ name: parseName(name), load: { type: "constant", percent } }),
  );
}
