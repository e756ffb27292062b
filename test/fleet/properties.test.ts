import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { VmRecord } from "../../src/fleet/types.ts";
import { TestFleet } from "./testFleet.ts";

interface Step {
  readonly gapS: number;
  readonly vm: string;
  /** CPU time used since the last sample; null for a restart */
  readonly usedS: number | null;
}

const gapS = fc.oneof(fc.constantFrom(0, 0.001, 2, 5, 10, 30), fc.double({ min: 0, max: 60, noNaN: true }));
const usedS = fc.option(fc.double({ min: 0, max: 30, noNaN: true }), { freq: 8 });
const vm = fc.constantFrom(":web", ":web-clone-1", "user:db");
const steps: fc.Arbitrary<Step[]> = fc.array(fc.record({ gapS, vm, usedS }), { maxLength: 60 });

/** Plays the steps; CPU times grow from 1 s, so that every restart (back to 0) is a decrease. */
function play(fleet: TestFleet, script: readonly Step[], after?: (step: Step) => void): Map<string, number> {
  const cpuS = new Map<string, number>();
  const restarts = new Map<string, number>();
  let nowS = 0;
  for (const step of script) {
    nowS += Math.round(step.gapS * 1e6) / 1e6;
    const before = cpuS.get(step.vm);
    const isRestart = before !== undefined && before > 0 && step.usedS === null;
    const now = isRestart ? 0 : Math.round(((before ?? 1) + (step.usedS ?? 0)) * 1e6) / 1e6;
    cpuS.set(step.vm, now);
    restarts.set(step.vm, (restarts.get(step.vm) ?? 0) + (isRestart ? 1 : 0));
    fleet.at(nowS).sample(step.vm, now);
    after?.(step);
  }
  return restarts;
}

describe("whatever samples arrive", () => {
  test("a gauge is absent or within 0 and 100", () => {
    fc.assert(
      fc.property(steps, (script) => {
        const fleet = new TestFleet();
        play(fleet, script, (step) => {
          const gauge = fleet.gauge(step.vm);
          expect(gauge === null || (gauge >= 0 && gauge <= 100)).toBe(true);
        });
      }),
    );
  });

  test("there are as many restarts as decreases, where no info tells otherwise", () => {
    fc.assert(
      fc.property(steps, (script) => {
        const fleet = new TestFleet({ deathTimeoutS: 1e6 });
        const restarts = play(fleet, script);
        for (const [name, count] of restarts) {
          expect(fleet.vm(name).restarts).toBe(count);
        }
      }),
    );
  });

  test("the window of a gauge is never shorter than half an interval", () => {
    // A VM that uses CPU at a steady 50 % shows 50 % however unevenly its samples arrive.
    fc.assert(
      fc.property(fc.array(gapS, { maxLength: 60 }), (gaps) => {
        const fleet = new TestFleet({ deathTimeoutS: 1e6 });
        let nowUs = 0;
        for (const gap of gaps) {
          nowUs += 2 * Math.round(gap * 5e5);
          fleet.at(nowUs / 1e6).sample(":web", nowUs / 2e6);
          const gauge = fleet.gauge(":web");
          if (gauge !== null) expect(gauge).toBeCloseTo(50, 9);
        }
      }),
    );
  });

  test("a group's average lies between the least and the greatest gauge of its fresh members", () => {
    fc.assert(
      fc.property(steps, (script) => {
        const fleet = new TestFleet();
        play(fleet, script);
        for (const { members, usagePercent } of fleet.snapshot().groups()) {
          const gauges = members.flatMap(({ record, state }) =>
            state === "fresh" && record.usagePercent !== null ? [record.usagePercent] : [],
          );
          if (gauges.length === 0) expect(usagePercent).toBeNull();
          else {
            expect(usagePercent).toBeGreaterThanOrEqual(Math.min(...gauges) - 1e-9);
            expect(usagePercent).toBeLessThanOrEqual(Math.max(...gauges) + 1e-9);
          }
        }
      }),
    );
  });

  test("groups and served VMs follow from the VMs that are not gone and their states", () => {
    const host = fc.constantFrom("h", "other");
    const label = fc.constantFrom("a", "a-clone-1", "a-clone-2", "a-clone-10", "b-clone-3", "c", "ab");
    const event = fc.record({ gapS: fc.constantFrom(0, 1, 10, 20, 40, 70), host, label, live: fc.boolean() });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (events) => {
        const fleet = new TestFleet({ deathTimeoutS: 60 });
        let nowS = 0;
        for (const { gapS: gap, label: vmLabel, live, host: on } of events) {
          nowS += gap;
          fleet.at(nowS).sample(`:${vmLabel}`, nowS, {}, on);
          fleet.fleet.setLive("other", live);
          const snapshot = fleet.snapshot();
          const { vms, states } = snapshot;
          expect(vms.every(({ sample }) => snapshot.nowUs - sample.arrivalUs < 60e6)).toBe(true);
          const isServed = (vm: VmRecord, i: number) =>
            (vm.host !== "other" || live) && ["fresh", "warming"].includes(states[i] ?? "");
          expect(snapshot.served).toEqual(vms.filter(isServed));

          const keyOf = (vm: VmRecord) => `${vm.host} ${vm.path} ${vm.primary}`;
          const keys = [...new Set(vms.map(keyOf))];
          expect(snapshot.groups().map((g) => `${g.host} ${g.path} ${g.group}`)).toEqual(keys);
          for (const group of snapshot.groups()) {
            const members = vms.filter((vm) => keyOf(vm) === `${group.host} ${group.path} ${group.group}`);
            const ids = members.map(({ cloneId }) => cloneId);
            expect(group.members.map(({ record }) => record)).toEqual(members);
            expect(ids).toEqual([...ids].sort((a, b) => a - b));
            expect(group.orphaned).toBe(!ids.includes(0));
            expect(group.clones).toBe(ids.filter((id) => id > 0).length);
          }
        }
      }),
    );
  });

  test("an old snapshot stays the same to the last field", () => {
    fc.assert(
      fc.property(steps, steps, (first, second) => {
        const fleet = new TestFleet();
        play(fleet, first);
        const snapshot = fleet.snapshot();
        const copyOf = () => structuredClone([snapshot.vms, snapshot.states, snapshot.served]);
        const copy = copyOf();
        const offsetS = fleet.clock.nowUs() / 1e6;
        play(fleet, [{ gapS: offsetS, vm: ":web", usedS: 0 }, ...second]);
        fleet
          .info({ ":web": { startedMs: 1 } })
          .info({})
          .info({})
          .snapshot();
        expect(copyOf()).toEqual(copy);
      }),
    );
  });
});

test("a restart is counted once, whenever its decrease and its info arrive, and in whichever order", () => {
  // Ground truth: a process that restarts at most once between two infos. Samples (every 10 s) and infos (every 30 s)
  // tell the state at their time; each arrives up to 3 s late, in order within its own stream.
  const restartGapsS = fc.array(fc.integer({ min: 60, max: 120 }), { minLength: 1, maxLength: 4 });
  const delaysS = fc.array(fc.constantFrom(0, 0.1, 1, 3), { minLength: 7, maxLength: 7 });
  fc.assert(
    fc.property(
      restartGapsS,
      delaysS,
      delaysS,
      fc.integer({ min: 0, max: 29 }),
      (gapsS, late, lateInfo, phaseS) => {
        const restartsAt: number[] = [];
        for (const gap of gapsS) restartsAt.push((restartsAt.at(-1) ?? 60.5) + gap);
        const endS = (restartsAt.at(-1) ?? 0) + 100;
        const startAt = (t: number) => restartsAt.filter((r) => r <= t).at(-1) ?? 0;
        const events: { readonly atS: number; readonly run: (fleet: TestFleet) => void }[] = [];
        for (let t = 0, i = 0; t < endS; t += 10, i++) {
          const cpuS = (t - startAt(t)) / 2;
          events.push({ atS: t + (late[i % 7] ?? 0), run: (fleet) => fleet.sample(":web", cpuS) });
        }
        for (let t = phaseS, i = 0; t < endS; t += 30, i++) {
          const startedMs = startAt(t) * 1000;
          const run = (fleet: TestFleet) => fleet.info({ ":web": { startedMs } }, t);
          events.push({ atS: t + (lateInfo[i % 7] ?? 0), run });
        }
        const fleet = new TestFleet();
        for (const { atS, run } of events.sort((a, b) => a.atS - b.atS)) run(fleet.at(atS));
        expect(fleet.vm(":web").restarts).toBe(restartsAt.length);
      },
    ),
    { numRuns: 300 },
  );
});
