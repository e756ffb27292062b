import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Sample } from "../src/client/receiver.ts";
import { type Clock, inTurns } from "../src/clock.ts";
import { Fleet } from "../src/fleet/fleet.ts";
import { encodeFrame, FrameReader } from "../src/wire/framing.ts";
import { decodeMessage, encodeMessage, type Stats, statsMessage } from "../src/wire/messages.ts";
import { type Name, parseName } from "../src/wire/names.ts";
import { FakeClock } from "../test/support/fakeClock.ts";
import { arrivingNow, makeInfo, makeInterface, makeRusage } from "../test/support/stats.ts";
import { crowd } from "../test/support/world.ts";
import { collectYoung, median, probeRounds, sumUp } from "./probe.ts";
import { type BenchRow, row } from "./types.ts";

const HOST = "host-1";
const INTERVAL_US = 10_000_000;
const VMS = 10_000;
const MANY_VMS = 100_000;
const ROUNDS = 21;
const WARM_UP = 5;
const VMS_PER_GROUP = 4;
/** What a socket hands over at once. */
const CHUNK_BYTES = 65_536;
const OPTIONS = { staleAfterUs: (_: string, intervalUs: number) => 3.5 * intervalUs };

/** What a sample costs on its way from bytes to the fleet, a snapshot and its groups, and the memory that a VM takes. */
export async function fleetRows(): Promise<BenchRow[]> {
  const perSampleUs = samplesThroughTheWire();
  const recordUs = samplesIntoTheFleet();
  // a sample of each VM once per interval: microseconds of work per microsecond of time
  const corePercent = (100 * perSampleUs * VMS) / INTERVAL_US;
  return [
    row("record one sample, 10,000 VMs", recordUs, "us"),
    row("frame, decode and record one sample, 10,000 VMs", perSampleUs, "us"),
    row("10,000 VMs, one sample each per 10 s", corePercent, "% of a core", 5),
    ...(await snapshotRows(VMS)),
    ...(await snapshotRows(MANY_VMS, 25)),
    row("memory per VM with one interface", bytesPerVm(), "bytes"),
  ];
}

/** Microseconds per sample from the bytes of one burst to the records. */
function samplesThroughTheWire(): number {
  const { fleet, clock } = emptyFleet();
  const names = vmNames(VMS);
  return medianPerItem(VMS, (round) => {
    const stream = Buffer.concat(
      names.map((name, i) => encodeFrame(encodeMessage(statsMessage(name, stats(i, round))))),
    );
    const reader = new FrameReader(1_048_576);
    clock.advance(INTERVAL_US / 1000);
    return () => {
      for (let at = 0; at < stream.length; at += CHUNK_BYTES) {
        reader.push(stream.subarray(at, at + CHUNK_BYTES), (frame) => {
          const { header, payload } = decodeMessage(frame);
          if (payload.type !== "data" || payload.data !== "stats") throw new Error("not a sample");
          fleet.record(sampleNow(header.name, payload.stats, clock));
        });
      }
    };
  });
}

/** Microseconds per sample in `record` alone. */
function samplesIntoTheFleet(): number {
  const { fleet, clock } = emptyFleet();
  const names = vmNames(VMS);
  return medianPerItem(VMS, (round) => {
    const burst = names.map((_, i) => stats(i, round));
    clock.advance(INTERVAL_US / 1000);
    return () => {
      for (const [i, name] of names.entries()) {
        const stats = burst[i];
        if (stats === undefined) throw new Error("a sample for each name");
        fleet.record(sampleNow(name, stats, clock));
      }
    };
  });
}

async function snapshotRows(count: number, boundMs?: number): Promise<BenchRow[]> {
  const { fleet, clock } = emptyFleet();
  fill(fleet, clock, count);
  const snapshotUs = medianPerItem(1, () => () => fleet.snapshot(OPTIONS));
  const groupsUs = medianPerItem(1, () => {
    const snapshot = fleet.snapshot(OPTIONS);
    return () => snapshot.groups();
  });
  const info = await infoIntoTheFleet(fleet, clock, count);
  const vms = `${count.toLocaleString("en")} VMs`;
  return [
    row(`snapshot of ${vms}`, snapshotUs / 1000, "ms", boundMs),
    row(`groups of ${vms}`, groupsUs / 1000, "ms"),
    row(`unikernel info of ${vms}`, info.durationMs, "ms"),
    row(`unikernel info of ${vms}: event loop blocked`, info.longestBlockMs, "ms", boundMs),
  ];
}

/** What an answer to unikernel info takes. */
async function infoIntoTheFleet(fleet: Fleet, clock: Clock, count: number) {
  const entries = vmNames(count).map((name) => ({ name, info: makeInfo({ startedMs: 1_795_343_131_000 }) }));
  return sumUp(await probeRounds(() => inTurns(fleet.infoSteps(HOST, entries, clock.nowUs()))));
}

/** Heap that the fleet holds per VM: record, sample, index. Samples are decoded from bytes, as they are in real use. */
function bytesPerVm(): number {
  const { fleet, clock } = emptyFleet();
  const before = heapAfterCollection();
  fill(fleet, clock, VMS);
  const after = heapAfterCollection();
  if (fleet.sizes.vms !== VMS) throw new Error("the fleet lost VMs");
  return (after - before) / VMS;
}

function sampleNow(name: Name, stats: Stats, clock: Clock): Sample {
  return { host: HOST, name, stats, ...arrivingNow(clock), intervalUs: INTERVAL_US };
}

function fill(fleet: Fleet, clock: FakeClock, count: number): void {
  for (const round of [1, 2]) {
    clock.advance(INTERVAL_US / 1000);
    for (const [i, name] of vmNames(count).entries()) {
      const { header, payload } = decodeMessage(encodeMessage(statsMessage(name, stats(i, round))));
      if (payload.type !== "data" || payload.data !== "stats") throw new Error("not a sample");
      fleet.record(sampleNow(header.name, payload.stats, clock));
    }
  }
}

/** The median over rounds of the time that `prepare`'s result takes, in microseconds per item. */
function medianPerItem(items: number, prepare: (round: number) => () => void): number {
  const perItem: number[] = [];
  for (let round = 0; round < WARM_UP + ROUNDS; round++) {
    const work = prepare(round);
    collectYoung();
    const start = performance.now();
    work();
    if (round >= WARM_UP) perItem.push(((performance.now() - start) * 1000) / items);
  }
  return median(perItem);
}

function emptyFleet(): { readonly fleet: Fleet; readonly clock: FakeClock } {
  const clock = new FakeClock();
  return { fleet: new Fleet({ clock, deathTimeoutMs: 900_000 }), clock };
}

function vmNames(count: number): Name[] {
  return crowd(count, VMS_PER_GROUP).map(parseName);
}

/** A sample with kinfo_mem and one interface: the 455-byte message, more or less. */
function stats(vm: number, round: number): Stats {
  const grown = vm * 1000 + round * 12_345;
  return {
    rusage: makeRusage({
      utimeSec: 10 * round,
      utimeUsec: vm,
      stimeSec: round,
      maxrss: 1411,
      minflt: grown,
      majflt: 1,
      nvcsw: grown,
      nivcsw: 18,
    }),
    kinfoMem: {
      vsize: 6_799_360,
      rss: 1411 + vm,
      tsize: 1,
      dsize: 1130,
      ssize: 1130,
      runtime: grown * 1e6,
      cow: vm,
      startSec: 1_795_343_131,
      startUsec: 755_570,
    },
    vmm: null,
    ifdata: [
      makeInterface({
        flags: 4163,
        inputPackets: grown,
        outputPackets: grown,
        inputBytes: grown * 1e6,
        outputBytes: grown * 1e6,
      }),
    ],
  };
}

function heapAfterCollection(): number {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}
