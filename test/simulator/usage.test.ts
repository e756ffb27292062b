import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { statsOf, type UsageShape } from "../../src/simulator/usage.ts";
import type { Stats } from "../../src/wire/messages.ts";
import { cpuUs } from "./support.ts";

const shape: UsageShape = {
  os: "linux",
  kinfoMem: true,
  vmmStats: true,
  cpus: 4,
  memoryMb: 64,
  interfaces: ["service", "private"],
  systemShare: 25,
  startedMs: Date.parse("2026-01-01T00:00:00.123Z"),
};
const busy = { aliveUs: 100_000_000, cpuUs: 123_456_789 };

/** What may only grow while a process lives, by name. */
function counters({ rusage, kinfoMem, vmm, ifdata }: Stats): Record<string, bigint> {
  const { maxrss: _, utimeSec, utimeUsec, stimeSec, stimeUsec, ...counts } = rusage;
  const found: Record<string, number | bigint> = {
    ...counts,
    utime: Number(utimeSec) * 1_000_000 + Number(utimeUsec),
    stime: Number(stimeSec) * 1_000_000 + Number(stimeUsec),
    runtime: kinfoMem?.runtime ?? 0,
    cow: kinfoMem?.cow ?? 0,
  };
  for (const { key, value } of vmm ?? []) if (!key.endsWith("memory")) found[key] = value;
  for (const {
    bridge,
    flags: _f,
    mtu: _m,
    baudrate: _b,
    sendLength: _s,
    maxSendLength: _l,
    ...counts
  } of ifdata) {
    for (const [key, value] of Object.entries(counts)) found[`${bridge} ${key}`] = value;
  }
  return Object.fromEntries(Object.entries(found).map(([key, value]) => [key, BigInt(value)]));
}

describe("a VM's statistics", () => {
  test("are integers that never fall while it lives, on either system", () => {
    const step = fc.record({
      aliveUs: fc.nat(30_000_000),
      share: fc.double({ min: 0, max: 4, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.constantFrom("linux", "freebsd"), fc.array(step, { maxLength: 30 }), (os, steps) => {
        let usage = { aliveUs: 0, cpuUs: 0 };
        let before = counters(statsOf({ ...shape, os }, usage));
        for (const { aliveUs, share } of steps) {
          usage = { aliveUs: usage.aliveUs + aliveUs, cpuUs: usage.cpuUs + Math.floor(aliveUs * share) };
          const now = counters(statsOf({ ...shape, os }, usage));
          for (const [key, value] of Object.entries(now)) {
            expect(value >= (before[key] ?? 0n), `${key}: ${before[key]} then ${value}`).toBe(true);
          }
          before = now;
        }
      }),
    );
  });

  test("on Linux leave the fields at zero that Linux does not fill, and count CPU time in 10 ms", () => {
    const { rusage, kinfoMem, ifdata } = statsOf(shape, busy);
    const { ixrss, idrss, isrss, nswap, inblock, outblock, msgsnd, msgrcv, nsignals } = rusage;
    expect([ixrss, idrss, isrss, nswap, inblock, outblock, msgsnd, msgrcv, nsignals]).toEqual(
      Array(9).fill(0),
    );
    expect([rusage.utimeUsec, rusage.stimeUsec].map((us) => Number(us) % 10_000)).toEqual([0, 0]);
    expect(kinfoMem).toMatchObject({
      cow: 0,
      rss: rusage.maxrss,
      ssize: kinfoMem?.dsize,
      runtime: cpuUs({ rusage }),
    });
    expect(ifdata).toMatchObject(
      ["service", "private"].map((bridge) => ({
        bridge,
        sendLength: 0,
        sendDrops: 0,
        baudrate: 0,
        outputMcast: 0,
      })),
    );
  });

  test("on FreeBSD are exact, and fill what Linux does not", () => {
    const { rusage, kinfoMem, ifdata } = statsOf({ ...shape, os: "freebsd" }, busy);
    expect(cpuUs({ rusage })).toBe(busy.cpuUs);
    expect(kinfoMem?.runtime).toBe(busy.cpuUs);
    expect(rusage.maxrss).toBe(Number(kinfoMem?.rss) * 4);
    const filled = [rusage.ixrss, rusage.nsignals, rusage.msgsnd, kinfoMem?.cow, ifdata[0]?.baudrate];
    expect(filled.every((value) => Number(value) > 0)).toBe(true);
  });

  test("carry the process' start and, where the scenario leaves them out, neither memory nor hypervisor counters", () => {
    expect(statsOf(shape, busy).kinfoMem).toMatchObject({ startSec: 1_767_225_600, startUsec: 123_000 });
    expect(statsOf({ ...shape, kinfoMem: false, vmmStats: false }, busy)).toMatchObject({
      kinfoMem: null,
      vmm: null,
    });
  });
});
