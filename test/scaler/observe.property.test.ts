import fc from "fast-check";
import { expect, test } from "vitest";
import { Fleet } from "../../src/fleet/fleet.ts";
import { FRESH_STATE, groupKey, type Observation } from "../../src/scaler/rules/types.ts";
import { FleetSource } from "../../src/scaler/sources/fleet.ts";
import { parseState, restoreState, statePieces } from "../../src/scaler/state/savedState.ts";
import { parseName } from "../../src/wire/names.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { arrivingNow, makeInfo, makeStats } from "../support/stats.ts";
import { outstanding, policy } from "./rules.ts";

const TARGETS = new Map([["h", "/run/h"]]);
const INTERVAL_MS = 10_000;
const POLL_MS = 60_000;
const DEATH_MS = 150_000;
const VMS = ["user:web", "user:web-clone-1", "user:web-clone-2", "user:db"] as const;
const POLICY = policy({ warmupPeriodMs: 90_000, deathTimeoutMs: DEATH_MS });
/** web-clone-2 is asked to go all the time */
const STATE = { ...FRESH_STATE, outstanding: outstanding("scale_down underloaded", 2) };

/** What happens to a VM in one interval: it sends a sample or not, after a restart or not. */
type Moment = "sample" | "silent" | "restart";

interface Course {
  /** by VM and interval */
  readonly moments: readonly (readonly Moment[])[];
  /** by interval: which VMs an info lists, if there is one */
  readonly infos: readonly (readonly boolean[] | null)[];
  /** by interval, percent of one CPU that all use */
  readonly percents: readonly number[];
}

/** A program that is started anew after the ticks of `restarts`: what it observes at each tick. */
function observed({ moments, infos, percents }: Course, restarts: ReadonlySet<number>): Told[] {
  const clock = new FakeClock();
  let fleet = new Fleet({ clock, deathTimeoutMs: DEATH_MS });
  let source = new FleetSource(fleet);
  const cpuS = VMS.map(() => 1_000);
  const sentS = VMS.map(() => 0);
  const startedMs = VMS.map(() => clock.wallMs());
  const seen: Told[] = [];
  for (const [interval, percent] of percents.entries()) {
    clock.advance(INTERVAL_MS);
    for (const [i, vm] of VMS.entries()) {
      const moment = moments[i]?.[interval];
      cpuS[i] = (cpuS[i] ?? 0) + (INTERVAL_MS / 1000) * (percent / 100);
      // a smaller decrease would be for info to tell
      if (moment === "restart" && (sentS[i] ?? 0) > 1) {
        cpuS[i] = 0;
        startedMs[i] = clock.wallMs();
      }
      if (moment === "silent") continue;
      sentS[i] = cpuS[i] ?? 0;
      const stats = makeStats(Math.round((cpuS[i] ?? 0) * 1e6));
      const intervalUs = INTERVAL_MS * 1000;
      fleet.record({ host: "h", name: parseName(vm), stats, ...arrivingNow(clock), intervalUs });
    }
    const listed = infos[interval];
    if (listed) {
      const entries = VMS.map((vm, i) => ({
        name: parseName(vm),
        info: makeInfo({ startedMs: startedMs[i] ?? null, cpuids: [i % 2] }),
      }));
      fleet.recordInfo(
        "h",
        entries.filter((_, i) => listed[i]),
        clock.nowUs(),
      );
    }
    if ((clock.nowUs() / 1000) % POLL_MS > 0) continue;
    const now = { nowUs: clock.nowUs(), wallMs: clock.wallMs() };
    const observations = source.observeNow({
      ...now,
      firstSampleUs: 0,
      groupOf: (name) => ({ key: groupKey(name), ...name, policy: POLICY, state: STATE }),
    });
    seen.push(...observations.map(told));
    if (!restarts.has(clock.nowUs() / 1000 / POLL_MS)) continue;
    const text = [
      ...statePieces({ groups: new Map(), targets: TARGETS, fleet: source.memory, lastHold: () => null }),
    ].join("");
    fleet = new Fleet({ clock, deathTimeoutMs: DEATH_MS });
    source = new FleetSource(fleet);
    source.restore(
      restoreState(parseState(text), {
        now,
        pollIntervalMs: POLL_MS,
        deathTimeoutMs: DEATH_MS,
        targets: TARGETS,
      }),
    );
    // the connection is there again before the next tick
    fleet.setLive("h", true);
  }
  return seen;
}

type Told = ReturnType<typeof told>;

function told({ group, members, highestListedId, leastUsedCpu }: Observation) {
  const rounded = (percent: number | null) => (percent === null ? null : Math.round(percent * 100) / 100);
  return {
    group,
    highestListedId,
    leastUsedCpu: leastUsedCpu && { cpu: leastUsedCpu.cpu, percent: rounded(leastUsedCpu.usagePercent) },
    members: members
      .map(({ vm, state, usagePercent, starved }) => `${vm} ${state} ${rounded(usagePercent)} ${starved}`)
      .sort(),
  };
}

const TICKS = 8;
const INTERVALS = (TICKS * POLL_MS) / INTERVAL_MS;
const each = <T>(arbitrary: fc.Arbitrary<T>, count: number) =>
  fc.array(arbitrary, { minLength: count, maxLength: count });
const moment = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Moment>("sample") },
  { weight: 3, arbitrary: fc.constant<Moment>("silent") },
  { weight: 1, arbitrary: fc.constant<Moment>("restart") },
);
const course: fc.Arbitrary<Course> = fc.record({
  moments: each(each(moment, INTERVALS), VMS.length),
  infos: each(
    fc.oneof(
      { weight: 2, arbitrary: fc.constant(null) },
      {
        weight: 1,
        arbitrary: each(
          fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
          VMS.length,
        ),
      },
    ),
    INTERVALS,
  ),
  percents: each(fc.integer({ min: 20, max: 100 }), INTERVALS),
});

test("a restart between any two ticks changes nothing in what is observed", () => {
  const restarts = fc.uniqueArray(fc.integer({ min: 1, max: TICKS - 1 }), { minLength: 1 });
  fc.assert(
    fc.property(course, restarts, (course, restarts) => {
      expect(observed(course, new Set(restarts))).toEqual(observed(course, new Set()));
    }),
    { numRuns: 150 },
  );
});

test("only a fresh member has a usage, and only such a one is starved", () => {
  fc.assert(
    fc.property(course, (course) => {
      for (const { members } of observed(course, new Set())) {
        for (const member of members) {
          expect(member).toMatch(/ fresh [0-9.]+ (true|false)$| (warming|missing|silent) null false$/);
        }
      }
    }),
    { numRuns: 50 },
  );
});
