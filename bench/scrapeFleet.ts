import { Fleet } from "../src/fleet/fleet.ts";
import type { Stats } from "../src/wire/messages.ts";
import { parseName } from "../src/wire/names.ts";
import { FakeClock } from "../test/support/fakeClock.ts";
import { arrivingNow, makeInfo, makeInterface, makeRusage } from "../test/support/stats.ts";
import { crowd } from "../test/support/world.ts";
import { lehmer } from "./probe.ts";

const INTERVAL_US = 10_000_000;
const VMS_PER_GROUP = 5;
const START_MS = Date.parse("2026-01-01T00:00:00Z");
export const HOST = "host-1";

/** A fleet of `count` FreeBSD VMs that have sent two samples with every field filled, and are listed by info. */
export function filledFleet(count: number): Fleet {
  const clock = new FakeClock();
  const fleet = new Fleet({ clock, deathTimeoutMs: 900_000 });
  const names = crowd(count, VMS_PER_GROUP).map(parseName);
  const random = lehmer(7);
  for (const round of [1, 2]) {
    for (const name of names) {
      const stats = filledStats(random, round);
      fleet.record({ host: HOST, name, stats, ...arrivingNow(clock), intervalUs: INTERVAL_US });
    }
    clock.advance(INTERVAL_US / 1000);
  }
  const info = makeInfo({ typ: "bhyve", digest: Buffer.from("web"), startedMs: START_MS });
  fleet.recordInfo(
    HOST,
    names.map((name) => ({ name, info })),
    clock.nowUs(),
  );
  return fleet;
}

/** Numbers of the sizes that real ones have; the CPU time of the second round is higher than that of the first. */
function filledStats(random: () => number, round: number): Stats {
  const upTo = (limit: number) => Math.floor(random() * limit);
  return {
    rusage: makeRusage({
      utimeSec: round * 4,
      utimeUsec: upTo(1e6),
      stimeSec: round,
      stimeUsec: upTo(1e6),
      maxrss: upTo(1e6),
      ixrss: upTo(1e9),
      idrss: upTo(1e9),
      isrss: upTo(1e9),
      minflt: round * 1e6 + upTo(1e6),
      majflt: upTo(100),
      inblock: upTo(1e4),
      outblock: upTo(1e4),
      nsignals: upTo(10),
      nvcsw: round * 1e7 + upTo(1e7),
      nivcsw: upTo(1e6),
    }),
    kinfoMem: {
      vsize: upTo(1e9),
      rss: upTo(1e5),
      tsize: upTo(1e3),
      dsize: upTo(1e5),
      ssize: upTo(1e2),
      runtime: upTo(1e12),
      cow: upTo(1e3),
      startSec: START_MS / 1000,
      startUsec: upTo(1e6),
    },
    vmm: [{ key: "Resident memory", value: upTo(1e9) }],
    ifdata: [
      makeInterface({
        flags: 69_699,
        maxSendLength: 50,
        sendDrops: upTo(10),
        baudrate: 10_000_000_000,
        inputPackets: upTo(1e9),
        outputPackets: upTo(1e9),
        inputBytes: upTo(2 ** 45),
        outputBytes: upTo(2 ** 45),
        inputMcast: upTo(1e4),
        outputMcast: upTo(1e4),
        inputDropped: upTo(100),
      }),
    ],
  };
}
