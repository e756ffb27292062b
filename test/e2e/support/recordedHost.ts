import { expect } from "vitest";
import { expectedSeries, vmLabels } from "./expected.ts";
import { type Scrape, seriesKey } from "./exposition.ts";
import type { ReplayedHost } from "./replayedHost.ts";

export interface RecordedTarget {
  /** value of the label `host` */
  readonly host: string;
  readonly replay: ReplayedHost;
  /** by the name as it is sent; worked out by hand from utime + stime of the recording's last two bursts */
  readonly cpuPercent: Readonly<Record<string, number>>;
  readonly intervalSeconds: number;
}

export interface Playing {
  /** wall time at which the first burst was sent, and now */
  readonly startMs: number;
  readonly endMs: number;
  /** How far a rate may be from the one worked out by hand, and the interval from that of the playing, as a share. */
  readonly tolerance: number;
}

/**
 * Holds every series that `/metrics` has about a host, whose recording was played to its end, to what the recorded
 * messages say; whatever is there beyond that, or missing, fails.
 */
export function expectRecorded(
  scrape: Scrape,
  target: RecordedTarget,
  { startMs, endMs, tolerance }: Playing,
): void {
  const { host, replay, cpuPercent, intervalSeconds } = target;
  const { slot } = replay.recording;
  const base = slot.endsWith(":") ? slot.slice(0, -1) : "";
  const samples = replay.bursts.length === 0 ? [] : replay.lastSamples;
  const rest = new Map(
    [...scrape.series]
      .filter(([key]) => key.includes(`host="${host}"`))
      .map(([key, text]) => [key, Number(text)]),
  );
  /** Takes series out of what is left to be explained. */
  const take = (name: string, labels: Record<string, string>): number => {
    const key = seriesKey(name, { host, ...labels });
    const value = rest.get(key);
    rest.delete(key);
    return value ?? Number.NaN;
  };
  const takeAll = (pattern: RegExp): Record<string, number> => {
    const found = [...rest].filter(([key]) => pattern.test(key));
    for (const [key] of found) rest.delete(key);
    return Object.fromEntries(found);
  };

  const described = { host, base, samples, info: replay.info, policies: replay.policies };
  const expected = expectedSeries(described);
  expect(Object.fromEntries([...rest].filter(([key]) => expected.has(key)))).toEqual(
    Object.fromEntries(expected),
  );
  for (const key of expected.keys()) rest.delete(key);

  const cores = new Map<number, number>();
  for (const { header } of samples) {
    const { path, vm } = vmLabels(base, header.name);
    const byHand = cpuPercent[header.name] ?? Number.NaN;
    const percent = take("albatross_vm_cpu_usage_percent", { path, vm });
    expect(Math.abs(percent / byHand - 1), `CPU % of ${header.name}`).toBeLessThan(tolerance);
    const arrivedMs = take("albatross_vm_last_sample_timestamp_seconds", { path, vm }) * 1000;
    expect(arrivedMs).toBeGreaterThanOrEqual(startMs);
    expect(arrivedMs).toBeLessThanOrEqual(endMs);

    const unikernel = replay.info.payload.unikernels.find(({ name }) => name === header.name);
    for (const cpu of unikernel?.info.cpuids ?? []) {
      const { numcpus = 0, cpuids = [] } = unikernel?.info ?? {};
      cores.set(cpu, (cores.get(cpu) ?? 0) + (percent * numcpus) / cpuids.length);
    }

    // None of the recorded unikernels is a clone: each is a group of its own.
    const group = { path, group: vm };
    expect(take("albatross_group_cpu_usage_percent", group)).toBe(percent);
    expect(take("albatross_group_clones", group)).toBe(0);
    expect(take("albatross_group_outdated_clones", group)).toBe(0);
    for (const [state, members] of Object.entries({ fresh: 1, warming: 0, missing: 0, silent: 0 })) {
      expect(take("albatross_group_members", { ...group, state })).toBe(members);
    }
    expect(take("albatross_group_member_info", { ...group, vm, role: "primary" })).toBe(1);
  }

  for (const [cpu, percent] of cores) {
    expect(take("albatross_host_cpu_usage_percent", { cpu: String(cpu) })).toBeCloseTo(percent, 6);
  }
  expect(take("albatross_up", {})).toBe(1);
  expect(take("albatross_vms_vanished_total", {})).toBe(0);
  if (replay.policies !== null) {
    // the only policy that was recorded is the root's, under which all of them run
    const { unikernels } = replay.info.payload;
    const memoryMb = unikernels.reduce((sum, { info }) => sum + Number(info.memory), 0);
    expect(take("albatross_policy_unikernels", { path: "" })).toBe(unikernels.length);
    expect(take("albatross_policy_memory_bytes", { path: "" })).toBe(memoryMb * 2 ** 20);
  }
  const subscription = { subscription: slot };
  const bytes = replay.bytesUntil(replay.bursts.length);
  expect(take("albatross_stats_bytes_total", subscription)).toBe(bytes);
  expect(take("albatross_stats_messages_total", subscription)).toBe(replay.bursts.length * samples.length);
  expect(take("albatross_stats_connects_total", subscription)).toBe(1);
  const intervalMeasured = take("albatross_stats_interval_seconds", subscription);
  expect(Math.abs(intervalMeasured / intervalSeconds - 1)).toBeLessThan(tolerance);
  const troubles = takeAll(/^albatross_(info_errors|stats_(decode_errors|disconnects|implausible))_total\{/);
  expect(Object.values(troubles).length).toBeGreaterThan(10);
  expect(Object.values(troubles).every((count) => count === 0)).toBe(true);
  const states = takeAll(/^albatross_stats_subscription_state\{/);
  expect(Object.keys(states).filter((key) => states[key] === 1)).toEqual([
    seriesKey("albatross_stats_subscription_state", {
      host,
      ...subscription,
      state: samples.length === 0 ? "subscribed" : "receiving",
    }),
  ]);
  if (samples.length > 0) {
    const lastMs = take("albatross_stats_last_message_timestamp_seconds", subscription) * 1000;
    expect(lastMs).toBeGreaterThanOrEqual(startMs);
    expect(lastMs).toBeLessThanOrEqual(endMs);
  }
  expect(take("albatross_info_up", {})).toBe(1);
  expect([...rest.keys()]).toEqual([]);
}
