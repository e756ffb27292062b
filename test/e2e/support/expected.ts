/**
 * What `/metrics` must say about a Linux host whose messages are these, worked out from the protocol's table of units
 * alone: no code of the program is used.
 */
import { seriesKey } from "./exposition.ts";
import type {
  InfoMessage,
  JsonDevice,
  JsonTime,
  JsonUnikernel,
  PoliciesMessage,
  StatsMessage,
} from "./wireJson.ts";

const PAGE_BYTES = 4096;
const MB = 1024 * 1024;
/** How albatrossd writes "no limit". */
const NO_LIMIT = "4611686018427387903";

export interface RecordedHost {
  readonly host: string;
  /** The subscribed path, which names in its messages are relative to: `user`; empty at the root. */
  readonly base: string;
  readonly samples: readonly StatsMessage[];
  readonly info: InfoMessage;
  readonly policies: PoliciesMessage | null;
}

/** All series about VMs and policies, but CPU usage and the time of arrival: name and labels to value. */
export function expectedSeries({ host, base, samples, info, policies }: RecordedHost): Map<string, number> {
  const series = new Map<string, number>();
  for (const { header, payload } of samples) {
    const labels = { host, ...vmLabels(base, header.name) };
    const set = (name: string, value: number, more: Record<string, string> = {}) =>
      series.set(seriesKey(`albatross_vm_${name}`, { ...labels, ...more }), value);

    const { rusage, kinfo_mem: kinfo, ifdata } = payload;
    set("cpu_seconds_total", seconds(rusage.utime), { mode: "user" });
    set("cpu_seconds_total", seconds(rusage.stime), { mode: "system" });
    set("page_faults_total", Number(rusage.minflt), { kind: "minor" });
    set("page_faults_total", Number(rusage.majflt), { kind: "major" });
    set("context_switches_total", Number(rusage.nvcsw), { kind: "voluntary" });
    set("context_switches_total", Number(rusage.nivcsw), { kind: "involuntary" });
    set("restarts_total", 0);
    if (kinfo !== null) {
      set("cpu_runtime_seconds_total", Number(kinfo.runtime) / 1e6);
      set("memory_resident_bytes", Number(kinfo.rss) * PAGE_BYTES);
      set("memory_virtual_bytes", Number(kinfo.vsize));
      set("memory_text_bytes", Number(kinfo.tsize) * PAGE_BYTES);
      set("memory_data_bytes", Number(kinfo.dsize) * PAGE_BYTES);
    }
    for (const device of ifdata) {
      for (const [name, value] of networkSeries(device))
        set(`network_${name}`, value, { device: device.bridge });
    }
    const unikernel = info.payload.unikernels.find(({ name }) => name === header.name);
    if (unikernel === undefined) continue;
    for (const [name, value] of infoSeries(unikernel)) set(name, value);
    const { typ, digest, cpuids } = unikernel.info;
    set("info", 1, { type: typ, digest, cpuids: cpuids.join(",") });
  }
  for (const [key, limit] of policySeries(host, policies)) series.set(key, limit);
  return series;
}

/** `path` and `vm` of a name that is relative to `base`: `user` and `:web`, `user` and `sub:router`, none and `:hello`. */
export function vmLabels(base: string, name: string): { path: string; vm: string } {
  const parts = [...base.split(":"), ...name.split(":")].filter((part) => part !== "");
  return { path: parts.slice(0, -1).join(":"), vm: parts.at(-1) ?? "" };
}

/** Input is what the host takes from the VM. On Linux output_mcast, the queue's fields and baudrate are not filled. */
function networkSeries(device: JsonDevice): [name: string, value: number][] {
  return [
    ["transmit_bytes_total", Number(device.input_bytes)],
    ["transmit_packets_total", Number(device.input_packets)],
    ["transmit_errors_total", Number(device.input_errors)],
    ["transmit_dropped_total", Number(device.input_dropped)],
    ["transmit_multicast_total", Number(device.input_mcast)],
    ["receive_bytes_total", Number(device.output_bytes)],
    ["receive_packets_total", Number(device.output_packets)],
    ["receive_errors_total", Number(device.output_errors)],
    ["receive_dropped_total", Number(device.output_dropped)],
    ["collisions_total", Number(device.collisions)],
    ["mtu_bytes", Number(device.mtu)],
    ["flags", Number(device.flags)],
  ];
}

function infoSeries({ info }: JsonUnikernel): [name: string, value: number][] {
  return [
    ["start_time_seconds", Date.parse(info.started) / 1000],
    ["memory_limit_bytes", info.memory * MB],
    ["cpus", info.numcpus],
  ];
}

function policySeries(host: string, message: PoliciesMessage | null): [key: string, value: number][] {
  return (message?.payload.policies ?? []).flatMap(({ name, policy }) => {
    const labels = { host, path: name.replace(/:$/, "") };
    const limits: [string, string | number | null][] = [
      ["unikernels_limit", policy.unikernels],
      ["memory_limit_bytes", policy.memory * MB],
      ["block_limit_bytes", policy.block === null ? null : policy.block * MB],
    ];
    return limits
      .filter(([, limit]) => limit !== null && String(limit) !== NO_LIMIT)
      .map(([limit, value]): [string, number] => [
        seriesKey(`albatross_policy_${limit}`, labels),
        Number(value),
      ]);
  });
}

function seconds({ sec, usec }: JsonTime): number {
  return Number(`${sec}.${String(usec).padStart(6, "0")}`);
}
