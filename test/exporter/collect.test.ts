import { describe, expect, it } from "vitest";
import type { ExporterConfig } from "../../src/config/sections.ts";
import { collectFamilies } from "../../src/exporter/collect.ts";
import { vmLabels } from "../../src/exporter/families.ts";
import type { VmInfo } from "../../src/fleet/types.ts";
import {
  Counts,
  config,
  DISTINCT_KINFO,
  DISTINCT_RUSAGE,
  device,
  everyField,
  exposition,
  policy,
  record,
  SOLO5_INFO,
  seriesOf,
  snapshot,
  stats,
  target,
  targetSnapshot,
} from "./records.ts";

const vms = [
  record("local", "", "hello"),
  record("local", "user", "db", { usagePercent: 10 }),
  record("local", "user", "web", { usagePercent: 90 }),
  record("local", "user", "web-clone-1", { usagePercent: 30 }),
];

/** The names of the VMs that have series, and how many the cap left out. */
async function shown(exporter: Partial<ExporterConfig>): Promise<{ names: string[]; dropped: number }> {
  const counts = new Counts();
  const text = await exposition({ vms }, config([target("local", "linux")], exporter), { counts });
  const names = seriesOf(text, "albatross_vm_restarts_total{").map(
    (line) => /vm="([^"]*)"/.exec(line)?.[1] ?? "",
  );
  return { names, dropped: counts.dropped };
}

describe("filters", () => {
  it.each<[string, Partial<ExporterConfig>, string[]]>([
    ["none take every VM", {}, ["hello", "db", "web", "web-clone-1"]],
    ["include takes whole full names", { include: ["user:web"] }, ["web"]],
    ["a VM at the root is :name", { include: [":*"] }, ["hello"]],
    ["any of several globs takes a VM", { include: [":hello", "user:d?"] }, ["hello", "db"]],
    ["exclude leaves out", { exclude: ["*-clone-*"] }, ["hello", "db", "web"]],
    ["exclude wins over include", { include: ["user:*"], exclude: ["user:web*"] }, ["db"]],
  ])("%s", async (_sentence, exporter, names) => {
    expect(await shown(exporter)).toEqual({ names, dropped: 0 });
  });

  it("do not touch groups", async () => {
    const text = await exposition({ vms }, config([target("local", "linux")], { exclude: ["*"] }));
    expect(seriesOf(text, "albatross_vm_")).toEqual([]);
    expect(seriesOf(text, "albatross_group_cpu_usage_percent{")).toEqual([
      'albatross_group_cpu_usage_percent{host="local",path="user",group="db"} 10',
      'albatross_group_cpu_usage_percent{host="local",path="user",group="web"} 60',
    ]);
  });
});

describe("the cap on VMs", () => {
  it.each<[string, Partial<ExporterConfig>, string[], number]>([
    ["0 is none", { maxVms: 0 }, ["hello", "db", "web", "web-clone-1"], 0],
    ["as many as there are drops none", { maxVms: 4 }, ["hello", "db", "web", "web-clone-1"], 0],
    ["drops the last ones and counts them", { maxVms: 3 }, ["hello", "db", "web"], 1],
    ["counts only what passes the filters", { include: ["user:*"], maxVms: 1 }, ["db"], 2],
  ])("%s", async (_sentence, exporter, names, dropped) => {
    expect(await shown(exporter)).toEqual({ names, dropped });
  });
});

describe("collectors", () => {
  const full = {
    vms: [record("local", "user", "web", { usagePercent: 1, info: SOLO5_INFO, stats: everyField })],
    policies: [policy("local", "user", { unikernels: 1, memoryBytes: 1, blockBytes: 1 })],
    targets: [targetSnapshot("local")],
  };
  const familyNames = async (exporter: Partial<ExporterConfig>) => {
    const text = await exposition(full, config([target("local", "freebsd")], exporter));
    return seriesOf(text, "# TYPE ").map((line) => line.split(" ")[2] ?? "");
  };
  const all = { cpu: true, memory: true, process: true, network: true, vmm: true, info: true, policy: true };

  it.each<[keyof typeof all, RegExp, number]>([
    ["cpu", /^albatross_vm_cpu_/, 3],
    ["memory", /^albatross_vm_memory_(?!limit)/, 7],
    ["process", /^albatross_vm_(.*_faults|context|swaps|block|ipc|signals|start|last|restarts)/, 10],
    ["network", /^albatross_vm_network_/, 17],
    ["vmm", /^albatross_vm_vmm_stat$/, 1],
    ["info", /^albatross_vm_(info|memory_limit_bytes|cpus)$/, 3],
    ["policy", /^albatross_policy_/, 3],
  ])("%s switched off takes its families and no others", async (name, pattern, count) => {
    const before = await familyNames({});
    const without = await familyNames({ collectors: { ...all, [name]: false } });
    expect(before.filter((family) => pattern.test(family))).toHaveLength(count);
    expect(without).toEqual(before.filter((family) => !pattern.test(family)));
  });

  it("switched off all leave targets and groups", async () => {
    const none = {
      cpu: false,
      memory: false,
      process: false,
      network: false,
      vmm: false,
      info: false,
      policy: false,
    };
    const names = await familyNames({ collectors: none });
    expect(names.every((family) => /^albatross_(up|info_|host_|stats_|group_)/.test(family))).toBe(true);
    expect(names).toContain("albatross_group_clones");
  });
});

describe("hosts of different systems in one scrape", () => {
  const sample = stats({ rusage: DISTINCT_RUSAGE, kinfoMem: DISTINCT_KINFO });
  const two = {
    vms: [record("bsd", "", "web", { stats: sample }), record("linux", "", "web", { stats: sample })],
  };
  const targets = [target("bsd", "freebsd", 16_384), target("linux", "linux", 4096)];

  it("have pages of their own size", async () => {
    const text = await exposition(two, config(targets));
    expect(seriesOf(text, "albatross_vm_memory_resident_bytes{")).toEqual([
      `albatross_vm_memory_resident_bytes{host="bsd",path="",vm="web"} ${201 * 16_384}`,
      `albatross_vm_memory_resident_bytes{host="linux",path="",vm="web"} ${201 * 4096}`,
    ]);
  });

  it("have the fields that their system fills", async () => {
    const text = await exposition(two, config(targets));
    expect(seriesOf(text, "albatross_vm_memory_max_resident_bytes{")).toEqual([
      `albatross_vm_memory_max_resident_bytes{host="bsd",path="",vm="web"} ${4097 * 1024}`,
    ]);
    expect(seriesOf(text, "albatross_vm_start_time_seconds{")).toEqual([
      'albatross_vm_start_time_seconds{host="bsd",path="",vm="web"} 1767225600.123456',
    ]);
  });

  it("are told apart wherever one ends and the next begins", async () => {
    const hosts = ["a", "b", "c", "d", "e"];
    const systems = hosts.map((name, index) => target(name, index % 2 === 0 ? "linux" : "freebsd"));
    for (const counts of [
      [1, 1, 1, 1, 1],
      [3, 0, 2, 7, 1],
      [0, 4, 0, 0, 5],
      [2, 1, 6, 0, 0],
      [0, 0, 0, 3, 0],
    ]) {
      const vms = hosts.flatMap((host, index) =>
        Array.from({ length: counts[index] ?? 0 }, (_, n) => record(host, "", `vm${n}`, { stats: sample })),
      );
      const text = await exposition({ vms }, config(systems));
      expect(seriesOf(text, "albatross_vm_swaps_total{").map((line) => /host="(.)"/.exec(line)?.[1])).toEqual(
        vms.map(({ host }) => host).filter((host) => host === "b" || host === "d"),
      );
    }
  });

  it("without kinfo_mem have a resident size on Linux only, from maxrss", async () => {
    const bare = stats({ rusage: DISTINCT_RUSAGE });
    const text = await exposition(
      { vms: [record("bsd", "", "web", { stats: bare }), record("linux", "", "web", { stats: bare })] },
      config(targets),
    );
    expect(seriesOf(text, "albatross_vm_memory_resident_bytes{")).toEqual([
      `albatross_vm_memory_resident_bytes{host="linux",path="",vm="web"} ${4097 * 4096}`,
    ]);
  });
});

it("works out nothing before the families are written", () => {
  const broken = record("local", "", "web");
  Object.defineProperty(broken, "sample", {
    get() {
      throw new Error("read too early");
    },
  });
  const input = {
    snapshot: snapshot({ vms: [broken] }),
    targets: [],
    config: config([target("local", "linux")]),
    counts: new Counts(),
  };
  expect(() => collectFamilies(input)).not.toThrow();
});

it("a VM with thousands of devices, equal ones among them, is written without its scrape slowing down with their square", async () => {
  const many = Array.from({ length: 8_000 }, (_, index) => device(`tap${index % 4_000}`));
  const counts = new Counts();
  const text = await exposition(
    { vms: [record("local", "", "web", { stats: stats({ ifdata: many }) })] },
    config([target("local", "freebsd")]),
    { counts },
  );
  expect(seriesOf(text, "albatross_vm_network_mtu_bytes{")).toHaveLength(4_000);
  expect(counts.duplicates).toBe(4_000 * 17);
});

describe("clones of another image than the primary's", () => {
  const other = { ...SOLO5_INFO, digest: "ff".repeat(32) };
  const bhyve = { ...SOLO5_INFO, type: "bhyve" as const };

  it.each<[string, Record<string, VmInfo | null>, string | null]>([
    ["are counted", { web: SOLO5_INFO, "web-clone-1": other, "web-clone-2": SOLO5_INFO }, "1"],
    ["are none where all are the primary's", { web: SOLO5_INFO, "web-clone-1": SOLO5_INFO }, "0"],
    ["are none where there is no clone", { web: SOLO5_INFO }, "0"],
    ["are not those that info has not listed", { web: SOLO5_INFO, "web-clone-1": null }, "0"],
    ["are not known without the primary's image", { web: null, "web-clone-1": other }, null],
    ["are not known without a primary", { "web-clone-1": other }, null],
    ["are not known of bhyve VMs", { web: bhyve, "web-clone-1": { ...bhyve, digest: "name" } }, null],
  ])("%s", async (_, infos, count) => {
    const vms = Object.entries(infos).map(([vm, info]) => record("h", "user", vm, { info }));
    const text = await exposition({ vms }, config([target("h", "linux")]));
    const name = 'albatross_group_outdated_clones{host="h",path="user",group="web"}';
    expect(seriesOf(text, "albatross_group_outdated_clones{")).toEqual(
      count === null ? [] : [`${name} ${count}`],
    );
  });
});

describe("labels", () => {
  it("are escaped wherever they come from", async () => {
    const vm = record('h"1', "user:sub", "web-clone-2");
    const limits = policy('h"1', "user\\sub", { unikernels: 3 });
    const text = await exposition({ vms: [vm], policies: [limits] }, config([target('h"1', "linux")]));
    const group = 'host="h\\"1",path="user:sub",group="web"';
    expect(seriesOf(text, "albatross_policy_unikernels_limit{")).toEqual([
      'albatross_policy_unikernels_limit{host="h\\"1",path="user\\\\sub"} 3',
    ]);
    expect(seriesOf(text, "albatross_vm_restarts_total{")).toEqual([
      'albatross_vm_restarts_total{host="h\\"1",path="user:sub",vm="web-clone-2"} 0',
    ]);
    expect(seriesOf(text, "albatross_group_clones{")).toEqual([`albatross_group_clones{${group}} 1`]);
    expect(seriesOf(text, "albatross_group_member_info{")).toEqual([
      `albatross_group_member_info{${group},vm="web-clone-2",role="clone"} 1`,
    ]);
  });

  it("are made once per VM", () => {
    const { identity } = record("h", "", "web");
    expect(vmLabels(identity)).toBe(vmLabels(identity));
    expect(vmLabels(identity).toString()).toBe('host="h",path="",vm="web"');
  });
});

describe("the CPUs of hosts", () => {
  it("add up what VMs use of them, by host and in order of number, whatever filters leave out", async () => {
    const pinned = (host: string, vm: string, usagePercent: number | null, cpuids: string, cpus = 1) =>
      record(host, "user", vm, { usagePercent, info: { ...SOLO5_INFO, cpuids, cpus } });
    const vms = [
      pinned("a", "db", 80, "10"),
      pinned("a", "web", 50, "2,10", 2),
      pinned("a", "web-clone-1", null, "3"),
      pinned("b", "web", 10.5, "2"),
      record("b", "user", "unknown", { usagePercent: 99 }),
    ];
    const targets = [target("a", "linux"), target("b", "linux")];
    const text = await exposition({ vms }, config(targets, { exclude: ["*"] }));
    expect(seriesOf(text, "albatross_host_cpu_usage_percent{")).toEqual([
      'albatross_host_cpu_usage_percent{host="a",cpu="2"} 50',
      'albatross_host_cpu_usage_percent{host="a",cpu="10"} 130',
      'albatross_host_cpu_usage_percent{host="b",cpu="2"} 10.5',
    ]);
  });

  it("are those of VMs that are served", async () => {
    const vm = record("a", "user", "web", { usagePercent: 50, info: SOLO5_INFO });
    const parts = { vms: [], unserved: [{ vm, state: "missing" as const }] };
    expect(seriesOf(await exposition(parts, config([target("a", "linux")])), "albatross_host_cpu")).toEqual(
      [],
    );
  });
});
