import fc from "fast-check";
import { expect, test } from "vitest";
import type { ScalerPolicy } from "../../src/config/scaler.ts";
import { MINUTE } from "./rules.ts";
import { Scenario } from "./scenario.ts";

const VMS = ["web", "web-clone-1", "web-clone-2", "web-clone-4", "db", "db-clone-1"].map(
  (vm) => `user:${vm}`,
);
const GROUPS = ["user:web", "user:db"];
const COOLDOWN_MINUTES = 4;

interface Step {
  readonly vm: string;
  readonly does: "start" | "stop" | "load" | "mute" | "unmute" | "restart" | "host down" | "host up";
  readonly percent: number;
  /** seconds into the minute at which it happens */
  readonly at: number;
  /** minutes that pass after it */
  readonly minutes: number;
}

const steps = fc.array(
  fc.record<Step>({
    vm: fc.constantFrom(...VMS),
    does: fc.constantFrom(
      "start",
      "start",
      "load",
      "load",
      "stop",
      "mute",
      "unmute",
      "restart",
      "host down",
      "host up",
    ),
    percent: fc.constantFrom(0, 5, 20, 39, 40, 60, 90, 91, 95, 100),
    at: fc.integer({ min: 0, max: 59 }),
    minutes: fc.integer({ min: 1, max: 6 }),
  }),
  { minLength: 10, maxLength: 40 },
);

const settings = fc.record({
  scaleUpTriggerTicks: fc.integer({ min: 1, max: 3 }),
  scaleDownTriggerTicks: fc.integer({ min: 1, max: 3 }),
  minClones: fc.integer({ min: 0, max: 1 }),
  maxClones: fc.integer({ min: 1, max: 3 }),
  adoptClones: fc.boolean(),
});

/** One line per group and tick: `12 user:web hold normal`. */
function play(script: readonly Step[], policy: Partial<ScalerPolicy>, info: boolean): string[] {
  const scenario = new Scenario({
    info,
    policy: { ...policy, cooldownPeriodMs: COOLDOWN_MINUTES * MINUTE },
    scaler: { maxScaleUpsPerTick: 1 },
  });
  const running = new Set(["user:web", "user:db", "user:db-clone-1"]);
  scenario.start("user:web", 95).start("user:db", 5).start("user:db-clone-1", 5);
  const told: string[] = [];
  let minute = 0;
  for (const step of script) {
    scenario.pass(step.at);
    act(scenario, running, step);
    for (let i = 0; i < step.minutes; i++) {
      scenario.tick();
      minute += 1;
      for (const group of GROUPS) told.push(`${minute} ${group} ${scenario.decision(group)}`);
    }
  }
  return told;
}

function act(scenario: Scenario, running: Set<string>, { vm, does, percent }: Step): void {
  if (does === "host down" || does === "host up") {
    scenario.connected("h", does === "host up");
    return;
  }
  if (does === "start") {
    scenario.start(vm, percent);
    running.add(vm);
    return;
  }
  if (!running.has(vm)) return;
  if (does === "stop") {
    scenario.stop(vm);
    running.delete(vm);
  } else if (does === "load") scenario.load(vm, percent);
  else if (does === "restart") scenario.restart(vm);
  else scenario.mute(vm, does === "mute");
}

test("whatever happens, no two scale decisions of a group are closer than cooldown_period", () => {
  let decisions = 0;
  fc.assert(
    fc.property(steps, settings, fc.boolean(), (script, policy, info) => {
      const last = new Map<string, number>();
      for (const line of play(script, policy, info)) {
        const [minute, group = "", decision] = line.split(" ");
        if (decision !== "scale_up" && decision !== "scale_down") continue;
        decisions += 1;
        const before = last.get(group) ?? Number.NEGATIVE_INFINITY;
        expect(Number(minute) - before).toBeGreaterThanOrEqual(COOLDOWN_MINUTES);
        last.set(group, Number(minute));
      }
    }),
    { numRuns: 150 },
  );
  expect(decisions).toBeGreaterThan(100);
});

test("the same course of events gives the same decisions", () => {
  fc.assert(
    fc.property(steps, settings, fc.boolean(), (script, policy, info) => {
      expect(play(script, policy, info)).toEqual(play(script, policy, info));
    }),
    { numRuns: 50 },
  );
});

test("a usage is within 0 and 100, and a member has one exactly when it is fresh", () => {
  fc.assert(
    fc.property(steps, settings, (script, policy) => {
      const scenario = new Scenario({ policy });
      const running = new Set<string>();
      for (const step of script) {
        scenario.pass(step.at);
        act(scenario, running, step);
        scenario.tick();
        for (const { observation } of scenario.evaluations) {
          for (const { state, usagePercent } of observation.members) {
            expect(usagePercent !== null).toBe(state === "fresh");
            if (usagePercent !== null) expect(usagePercent).toBeGreaterThanOrEqual(0);
            if (usagePercent !== null) expect(usagePercent).toBeLessThanOrEqual(100);
          }
        }
      }
    }),
    { numRuns: 100 },
  );
});
