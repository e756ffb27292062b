import type { Sample } from "../../src/client/receiver.ts";
import type { Clock } from "../../src/clock.ts";
import {
  type IfData,
  type Int64,
  infoOfKnown,
  type Rusage,
  type Stats,
  type UnikernelInfo,
} from "../../src/wire/messages.ts";
import { statsOfUsage } from "../../src/wire/stats.ts";

const INTERFACE: IfData = {
  bridge: "service",
  flags: 0,
  sendLength: 0,
  maxSendLength: 0,
  sendDrops: 0,
  mtu: 1500,
  baudrate: 0,
  inputPackets: 0,
  inputErrors: 0,
  outputPackets: 0,
  outputErrors: 0,
  collisions: 0,
  inputBytes: 0,
  outputBytes: 0,
  inputMcast: 0,
  outputMcast: 0,
  inputDropped: 0,
  outputDropped: 0,
};

const INFO = infoOfKnown({ cpuids: [0], memory: 32, digest: Buffer.alloc(32) });

/** A resource usage in which only what is given is not zero. */
export function makeRusage(fields: Partial<Rusage> = {}): Rusage {
  return statsOfUsage(fields).rusage;
}

/** A sample with this CPU time, half of it user, half system, and everything else zero unless given. */
export function makeStats(cpuUs = 0, fields: Partial<Rusage> = {}): Stats {
  const systemUs = Math.floor(cpuUs / 2);
  const userUs = cpuUs - systemUs;
  const times: Partial<Record<keyof Rusage, Int64>> = {
    utimeSec: Math.floor(userUs / 1e6),
    utimeUsec: userUs % 1e6,
    stimeSec: Math.floor(systemUs / 1e6),
    stimeUsec: systemUs % 1e6,
  };
  return { rusage: makeRusage({ ...times, ...fields }), kinfoMem: null, vmm: null, ifdata: [] };
}

/** A sample of `:web` on the host `h`, every 10 s, as the program starts: but for the fields given. */
export function makeSample(fields: Partial<Sample> = {}): Sample {
  const name = { path: [], label: "web" };
  return { host: "h", name, stats: makeStats(), arrivalUs: 0, arrivalWallMs: 0, intervalUs: 10e6, ...fields };
}

/** The times of a sample that arrives now. */
export function arrivingNow(
  clock: Pick<Clock, "nowUs" | "wallMs">,
): Pick<Sample, "arrivalUs" | "arrivalWallMs"> {
  return { arrivalUs: clock.nowUs(), arrivalWallMs: clock.wallMs() };
}

/** A network interface in which only what is given is not zero (and the MTU is 1500). */
export function makeInterface(fields: Partial<IfData> = {}): IfData {
  return { ...INTERFACE, ...fields };
}

/** What albatrossd says about a small solo5 unikernel, but for the fields given. */
export function makeInfo(fields: Partial<UnikernelInfo> = {}): UnikernelInfo {
  return { ...INFO, ...fields };
}
