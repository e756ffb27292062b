import type { Clock } from "../src/clock.ts";
import { Fleet } from "../src/fleet/fleet.ts";
import { infoOfKnown, type Stats } from "../src/wire/messages.ts";
import type { Name } from "../src/wire/names.ts";

const INTERVAL_US = 10_000_000;
const VMS_PER_GROUP = 5;
const PATHS = 50;
const START_MS = Date.parse("2026-01-01T00:00:00Z");
export const HOST = "host-1";

/** A fleet of `count` FreeBSD VMs that have sent two samples with every field filled, and are listed by info. */
export function filledFleet(count: number): Fleet {
  const clock = steppedClock();
  const fleet = new Fleet({ clock, deathTimeoutMs: 900_000 });
  const names = Array.from({ length: count }, (_, index) => vmName(index));
  const random = lehmer(7);
  for (const round of [1, 2]) {
    for (const name of names) {
      const arrival = { arrivalUs: clock.nowUs(), arrivalWallMs: clock.wallMs() };
      const stats = filledStats(random, round);
      fleet.record({ host: HOST, name, stats, ...arrival, intervalUs: INTERVAL_US });
    }
    clock.step(INTERVAL_US);
  }
  fleet.recordInfo(
    HOST,
    names.map((name) => ({ name, info: INFO })),
    clock.nowUs(),
  );
  return fleet;
}

/** `user3:web7` and its clones `web7-clone-1` to `-4`, spread over the paths. */
function vmName(index: number): Name {
  const group = Math.floor(index / VMS_PER_GROUP);
  const clone = index % VMS_PER_GROUP;
  const primary = `web${group}`;
  return { path: [`user${group % PATHS}`], label: clone === 0 ? primary : `${primary}-clone-${clone}` };
}

const INFO = infoOfKnown({
  typ: "bhyve",
  cpuids: [0],
  memory: 32,
  digest: Buffer.from("web"),
  startedMs: START_MS,
});

/** Numbers of the sizes that real ones have; the CPU time of the second round is higher than that of the first. */
function filledStats(random: () => number, round: number): Stats {
  const upTo = (limit: number) => Math.floor(random() * limit);
  return {
    rusage: {
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
      nswap: 0,
      inblock: upTo(1e4),
      outblock: upTo(1e4),
      msgsnd: 0,
      msgrcv: 0,
      nsignals: upTo(10),
      nvcsw: round * 1e7 + upTo(1e7),
      nivcsw: upTo(1e6),
    },
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
      {
        bridge: "service",
        flags: 69_699,
        sendLength: 0,
        maxSendLength: 50,
        sendDrops: upTo(10),
        mtu: 1500,
        baudrate: 10_000_000_000,
        inputPackets: upTo(1e9),
        inputErrors: 0,
        outputPackets: upTo(1e9),
        outputErrors: 0,
        collisions: 0,
        inputBytes: upTo(2 ** 45),
        outputBytes: upTo(2 ** 45),
        inputMcast: upTo(1e4),
        outputMcast: upTo(1e4),
        inputDropped: upTo(100),
        outputDropped: 0,
      },
    ],
  };
}

/** A clock that stands still between steps, so that no VM goes stale while the bench runs. */
function steppedClock(): Clock & { step(us: number): void } {
  let nowUs = 0;
  return {
    nowUs: () => nowUs,
    wallMs: () => START_MS + nowUs / 1000,
    after: () => () => undefined,
    step(us) {
      nowUs += us;
    },
  };
}

/** The same numbers in every run. */
function lehmer(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
