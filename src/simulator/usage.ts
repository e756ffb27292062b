/**
 * What a VM that has lived and worked for so long shows in its statistics. Every counter is a function of those two
 * times that never falls while they grow, so counters are monotone within a life and start again with it.
 */
import type { IfData, KinfoMem, Rusage, Stats, VmmStat } from "../wire/messages.ts";
import type { SimulatedOs } from "./model.ts";

/** How long a process has lived and how much CPU time it has used, integer microseconds. */
export interface Usage {
  readonly aliveUs: number;
  readonly cpuUs: number;
}

/** The parts of a VM and its host that shape its statistics. */
export interface UsageShape {
  readonly os: SimulatedOs;
  readonly kinfoMem: boolean;
  readonly vmmStats: boolean;
  readonly cpus: number;
  readonly memoryMb: number;
  readonly interfaces: readonly string[];
  /** Share of CPU time spent in the system, in 1/256. */
  readonly systemShare: number;
  /** Wall time at which the process started. */
  readonly startedMs: number;
}

const PAGE_BYTES = 4096;
const MB = 1_048_576;
/** Linux counts CPU time in ticks of 10 ms (sysconf(_SC_CLK_TCK) = 100). */
const LINUX_TICK_US = 10_000;
/** FreeBSD's statistics clock (stathz), which its memory integrals count in. */
const FREEBSD_STATHZ = 128;
/** UP, BROADCAST, RUNNING, PROMISC, MULTICAST and LOWER_UP: a tap in a bridge, as recorded from a real host. */
const TAP_FLAGS = 69_699;
/** FreeBSD's tap reports 10 Mbit/s whatever it carries. */
const FREEBSD_TAP_BAUDRATE = 10_000_000;
const ETHERNET_MTU = 1500;

/** The statistics of one VM at one tick, the fields filled as the operating system fills them. */
export function statsOf(shape: UsageShape, usage: Usage): Stats {
  const stimeUs = Math.floor((usage.cpuUs * shape.systemShare) / 256);
  const linux = shape.os === "linux";
  const exact = { utimeUs: usage.cpuUs - stimeUs, stimeUs };
  const cpu = linux ? { utimeUs: linuxTicks(exact.utimeUs), stimeUs: linuxTicks(exact.stimeUs) } : exact;
  const memory = linux ? linuxMemory(shape, usage, cpu) : freebsdMemory(shape, usage);
  return {
    rusage: linux ? linuxRusage(usage, cpu, memory) : freebsdRusage(usage, cpu, memory),
    kinfoMem: shape.kinfoMem ? memory : null,
    vmm: shape.vmmStats ? vmmCounters(shape, usage, memory.rss) : null,
    ifdata: shape.interfaces.map((device, index) => interfaceCounters(shape.os, device, index, usage)),
  };
}

/** As it is sent: on Linux in steps of 10 ms. */
interface CpuTimes {
  readonly utimeUs: number;
  readonly stimeUs: number;
}

/** KInfo whose figures are all plain numbers here, for the sums made of them. */
type Memory = { readonly [Field in keyof KinfoMem]: number };

function linuxMemory(shape: UsageShape, usage: Usage, cpu: CpuTimes): Memory {
  const rss = residentPages(shape, usage);
  return {
    vsize: shape.memoryMb * MB + 8 * MB,
    rss,
    tsize: 1,
    dsize: rss + 64,
    ssize: rss + 64,
    runtime: cpu.utimeUs + cpu.stimeUs,
    cow: 0,
    startSec: seconds(shape.startedMs * 1000),
    startUsec: microseconds(shape.startedMs * 1000),
  };
}

function freebsdMemory(shape: UsageShape, usage: Usage): Memory {
  return {
    vsize: shape.memoryMb * MB + 12 * MB,
    rss: residentPages(shape, usage),
    tsize: 96,
    dsize: 480,
    ssize: 32,
    runtime: usage.cpuUs,
    cow: 40 + perSecond(usage.cpuUs, 1),
    startSec: seconds(shape.startedMs * 1000),
    startUsec: microseconds(shape.startedMs * 1000),
  };
}

// The two rusages are written out in full and not spread together from parts: that is twenty times as fast, and
// thousands of them are made at a tick.

function linuxRusage(usage: Usage, cpu: CpuTimes, memory: Memory): Rusage {
  return {
    utimeSec: seconds(cpu.utimeUs),
    utimeUsec: microseconds(cpu.utimeUs),
    stimeSec: seconds(cpu.stimeUs),
    stimeUsec: microseconds(cpu.stimeUs),
    // Albatross reports the current resident set, in pages, as the peak.
    maxrss: memory.rss,
    ixrss: 0,
    idrss: 0,
    isrss: 0,
    minflt: minorFaults(usage),
    majflt: majorFaults(usage),
    nswap: 0,
    inblock: 0,
    outblock: 0,
    msgsnd: 0,
    msgrcv: 0,
    nsignals: 0,
    nvcsw: voluntarySwitches(usage),
    nivcsw: involuntarySwitches(usage),
  };
}

function freebsdRusage(usage: Usage, cpu: CpuTimes, memory: Memory): Rusage {
  const statTicks = perSecond(usage.cpuUs, FREEBSD_STATHZ);
  return {
    utimeSec: seconds(cpu.utimeUs),
    utimeUsec: microseconds(cpu.utimeUs),
    stimeSec: seconds(cpu.stimeUs),
    stimeUsec: microseconds(cpu.stimeUs),
    maxrss: kibibytes(memory.rss),
    ixrss: kibibytes(memory.tsize) * statTicks,
    idrss: kibibytes(memory.dsize) * statTicks,
    isrss: kibibytes(memory.ssize) * statTicks,
    minflt: minorFaults(usage),
    majflt: majorFaults(usage),
    nswap: 0,
    inblock: 12 + perSecond(usage.cpuUs, 2),
    outblock: 3 + perSecond(usage.cpuUs, 5),
    msgsnd: perSecond(usage.cpuUs, 30),
    msgrcv: perSecond(usage.cpuUs, 25),
    nsignals: 1 + perSecond(usage.aliveUs, 1),
    nvcsw: voluntarySwitches(usage),
    nivcsw: involuntarySwitches(usage),
  };
}

function minorFaults(usage: Usage): number {
  return 1178 + perSecond(usage.cpuUs, 40);
}

function majorFaults(usage: Usage): number {
  return 1 + Math.floor(usage.aliveUs / 600_000_000);
}

/** A solo5 tender waits for its network about twenty times a second. */
function voluntarySwitches(usage: Usage): number {
  return 8 + perSecond(usage.aliveUs, 20);
}

function involuntarySwitches(usage: Usage): number {
  return 5 + perSecond(usage.cpuUs, 11);
}

/** `input` is what the VM transmits: the host sees it come in from the tap. */
function interfaceCounters(os: SimulatedOs, device: string, index: number, usage: Usage): IfData {
  // The first interface carries the service, the others a share of it.
  const share = index + 1;
  const transmitted = 4_200 + Math.floor((usage.cpuUs * 2) / share);
  const received = 5_568 + Math.floor(usage.cpuUs / (2 * share)) + perSecond(usage.aliveUs, 60);
  const linux = os === "linux";
  return {
    bridge: device,
    flags: TAP_FLAGS,
    sendLength: 0,
    maxSendLength: linux ? 0 : 50,
    sendDrops: linux ? 0 : Math.floor(usage.cpuUs / 300_000_000),
    mtu: ETHERNET_MTU,
    baudrate: linux ? 0 : FREEBSD_TAP_BAUDRATE,
    inputPackets: Math.ceil(transmitted / 700),
    inputErrors: 0,
    outputPackets: Math.ceil(received / 64),
    outputErrors: 0,
    collisions: 0,
    inputBytes: transmitted,
    outputBytes: received,
    inputMcast: 8 + Math.floor(usage.aliveUs / 30_000_000),
    outputMcast: linux ? 0 : 6 + Math.floor(usage.aliveUs / 20_000_000),
    inputDropped: Math.floor(usage.cpuUs / 60_000_000),
    outputDropped: Math.floor(usage.cpuUs / 90_000_000),
  };
}

function vmmCounters(shape: UsageShape, usage: Usage, residentPagesNow: number): VmmStat[] {
  return [
    { key: "vm exits due to external interrupt", value: perSecond(usage.cpuUs, 120) },
    { key: "number of ticks vcpu was idle", value: perSecond(usage.aliveUs * shape.cpus - usage.cpuUs, 100) },
    { key: "total number of vm exits", value: perSecond(usage.aliveUs, 900) },
    { key: "Resident memory", value: residentPagesNow * PAGE_BYTES },
    { key: "Wired memory", value: 0 },
  ];
}

/** Memory is touched within the first minute of a life, up to three quarters of what the VM was given. */
function residentPages(shape: UsageShape, usage: Usage): number {
  const granted = (shape.memoryMb * MB) / PAGE_BYTES;
  const atStart = Math.floor(granted / 4);
  const growth = Math.floor(granted / 2);
  return atStart + Math.floor((growth * Math.min(usage.aliveUs, 60_000_000)) / 60_000_000);
}

function perSecond(us: number, count: number): number {
  return Math.floor((Math.max(us, 0) * count) / 1_000_000);
}

function linuxTicks(us: number): number {
  return us - (us % LINUX_TICK_US);
}

function seconds(us: number): number {
  return Math.floor(us / 1_000_000);
}

function microseconds(us: number): number {
  return us % 1_000_000;
}

function kibibytes(pages: number): number {
  return (pages * PAGE_BYTES) / 1024;
}
