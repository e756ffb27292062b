import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { describe as describeInWords } from "../../src/scaler/report/words.ts";
import { type EvaluateInput, evaluate } from "../../src/scaler/rules/evaluate.ts";
import {
  coolingUntilMs,
  type Decision,
  FRESH_STATE,
  type GroupPolicy,
  type GroupState,
  type MemberObservation,
  type Observation,
  type Outstanding,
  type Scale,
} from "../../src/scaler/rules/types.ts";
import { isValidLabel } from "../../src/wire/names.ts";
import { MINUTE, observation, outstanding, policy, type Seen, words } from "./rules.ts";

const NOW_MS = 100 * MINUTE;

const load = fc.oneof(
  { weight: 4, arbitrary: fc.double({ min: 0, max: 100, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, 40, 90, 100) },
);
const unknown: fc.Arbitrary<Seen> = fc.constantFrom("warming", "missing");
const seen: fc.Arbitrary<Seen> = fc.oneof(
  { weight: 4, arbitrary: load },
  { weight: 2, arbitrary: unknown },
  { weight: 1, arbitrary: fc.constant<Seen>("silent") },
);
const cloneId = fc.oneof(
  fc.integer({ min: 1, max: 6 }),
  fc.integer({ min: 1, max: 999_999_999 }),
  fc.constant(999_999_999),
);

const settings: fc.Arbitrary<GroupPolicy> = fc
  .record({
    thresholds: fc.uniqueArray(fc.integer({ min: 0, max: 99 }), { minLength: 2, maxLength: 2 }),
    scaleUpTriggerTicks: fc.integer({ min: 1, max: 4 }),
    scaleDownTriggerTicks: fc.integer({ min: 1, max: 4 }),
    scaleUpCooldownPeriodMs: fc.constantFrom(0, MINUTE, 10 * MINUTE),
    scaleDownCooldownPeriodMs: fc.constantFrom(0, MINUTE, 10 * MINUTE),
    scaleUpMaxStep: fc.integer({ min: 1, max: 4 }),
    flapDampingMax: fc.constantFrom(1, 8),
    clones: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 2, maxLength: 2 }),
    adoptClones: fc.boolean(),
  })
  .map(({ thresholds, clones, ...keys }) =>
    policy({
      ...keys,
      scaleDownThresholdPercent: Math.min(...thresholds),
      scaleUpThresholdPercent: Math.max(...thresholds),
      minClones: Math.min(...clones),
      maxClones: Math.max(...clones),
    }),
  );

const asked: fc.Arbitrary<Outstanding> = fc
  .tuple(
    fc.constantFrom(
      "scale_up overloaded",
      "scale_up below_min",
      "scale_down underloaded",
      "scale_down above_max",
    ),
    cloneId,
  )
  .map(([text, id]) => outstanding(text, id));

/** Members without the primary now and then, and any state that may have come before. */
const situation: fc.Arbitrary<EvaluateInput> = fc
  .record({
    primary: fc.option(seen, { freq: 9 }),
    clones: fc.dictionary(cloneId.map(String), seen, { maxKeys: 5 }),
    policy: settings,
    hostLive: fc.boolean().map((down) => !down),
    clonesLeft: fc.nat({ max: 3 }),
    sameClones: fc.boolean(),
    starved: fc.array(cloneId, { maxLength: 2 }).map((ids) => [...ids, 0].slice(0, ids.length)),
    state: fc.record({
      highTicks: fc.integer({ min: 0, max: 5 }),
      lowTicks: fc.integer({ min: 0, max: 5 }),
      lastActionMs: fc.option(fc.integer({ min: 0, max: NOW_MS })),
      outstanding: fc.option(asked),
      tombstones: fc.array(
        fc.record({ cloneId, untilMs: fc.integer({ min: NOW_MS - MINUTE, max: NOW_MS + MINUTE }) }),
        { maxLength: 3 },
      ),
      ours: fc.array(fc.record({ cloneId, goneMs: fc.constantFrom(null, NOW_MS - MINUTE) }), {
        maxLength: 3,
      }),
      side: fc.constantFrom("above" as const, "below" as const, null),
      row: fc.nat({ max: 3 }),
      flapFactor: fc.constantFrom(1, 2, 8),
      lastScaleUpMs: fc.constant(null),
      lastScaleDownMs: fc.constant(null),
      action: fc.constant(null),
      failures: fc.constant({ up: null, down: null }),
    }),
  })
  .map(({ primary, clones, policy, hostLive, clonesLeft, sameClones, starved, state }) => {
    const told = observation({ ...(primary === null ? {} : { 0: primary }), ...clones }, { hostLive });
    const members = told.members.map((member) => ({
      ...member,
      starved: member.state === "fresh" && starved.includes(member.cloneId),
    }));
    const observed = { ...told, members };
    const ids = observed.members.map((m) => m.cloneId).filter((id) => id > 0);
    const known: GroupState = { ...state, knownClones: sameClones ? ids.sort((a, b) => a - b) : null };
    return { policy, observation: observed, state: known, nowMs: NOW_MS, clonesLeft };
  });

function decisionOf(input: EvaluateInput): Decision {
  return evaluate(input).decision;
}

/** Only the situations in which something is decided tell about decisions. */
function whenScaling(check: (scale: Scale, input: EvaluateInput) => void): void {
  let decided = 0;
  fc.assert(
    fc.property(situation, (input) => {
      const decision = decisionOf(input);
      if (decision.decision === "hold") return;
      decided += 1;
      check(decision, input);
    }),
    { numRuns: 5000 },
  );
  expect(decided).toBeGreaterThan(100);
}

/** The same situation with these loads in the places of the members whose load is not known; a starved one needs more. */
function withLoads(observed: Observation, loads: readonly number[]): Observation {
  let next = 0;
  const members = observed.members.map((member): MemberObservation => {
    const isKnown = member.state === "silent" || (member.state === "fresh" && !member.starved);
    if (isKnown) return member;
    const usagePercent = Math.max(member.usagePercent ?? 0, loads[next++ % loads.length] ?? 0);
    return { ...member, state: "fresh", usagePercent, starved: false };
  });
  return { ...observed, members };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

describe("whatever the situation", () => {
  test("a scale decision taken with members missing or starved is also taken for every load of those members", () => {
    const anyLoads = fc.sample(fc.array(load, { minLength: 1, maxLength: 6 }), 20);
    whenScaling((scale, input) => {
      for (const loads of [[0], [100], ...anyLoads]) {
        const full = decisionOf({ ...input, observation: withLoads(input.observation, loads) });
        // what is not known may only call for more
        if (full.decision === "hold") expect.fail(words(full));
        expect(words({ ...full, step: scale.step })).toBe(words(scale));
        expect(full.step).toBeGreaterThanOrEqual(scale.step);
      }
    });
  });

  test("no decision is taken while one of its direction is outstanding", () => {
    whenScaling(({ decision, reason }, input) => {
      // evaluated at a load between the thresholds, to see what is outstanding by now
      const { state } = evaluate({ ...input, policy: input.policy && { ...input.policy, paused: true } });
      expect(`${state.outstanding?.decision} for ${reason}`).not.toBe(`${decision} for ${reason}`);
    });
  });

  test("a group out of bounds is within them after as many decisions as it is clones away, whatever the load", () => {
    const members = fc.record({
      clones: fc.integer({ min: 0, max: 8 }),
      loads: fc.array(load, { minLength: 40, maxLength: 40 }),
    });
    const bounded = settings.map((policy) => ({
      ...policy,
      scaleUpMaxStep: 1,
      adoptClones: true,
      warmupPeriodMs: 0,
    }));
    fc.assert(
      fc.property(members, bounded, ({ clones, loads }, policy) => {
        const alive = new Set(Array.from({ length: clones }, (_, i) => i + 1));
        const distance = Math.max(alive.size - policy.maxClones, policy.minClones - alive.size, 0);
        let state = FRESH_STATE;
        let nowMs = NOW_MS;
        let decisions = 0;
        for (let next = 0; decisions < distance; next++) {
          expect(next).toBeLessThan(40);
          const seen = [0, ...alive].map((id, i) => [id, loads[(next + i) % loads.length] ?? 0]);
          const facts = { observation: observation(Object.fromEntries(seen)), clonesLeft: 1 };
          const { decision, state: after } = evaluate({ policy, state, nowMs, ...facts });
          state = after;
          nowMs += 10 * MINUTE;
          if (decision.decision === "hold") continue;
          decisions += 1;
          const id = Number(decision.clone.replace("web-clone-", ""));
          if (decision.decision === "scale_up") alive.add(id);
          else alive.delete(id);
        }
        expect(alive.size).toBeGreaterThanOrEqual(policy.minClones);
        expect(alive.size).toBeLessThanOrEqual(policy.maxClones);
      }),
    );
  });

  test("evaluating changes nothing it was given", () => {
    fc.assert(fc.property(situation, (input) => void evaluate(deepFreeze(input))));
  });

  test("evaluating twice gives the same", () => {
    fc.assert(
      fc.property(situation, (input) => {
        expect(evaluate(input)).toEqual(evaluate(input));
      }),
    );
  });

  test("a clone that is created has a name that Albatross takes and no other clone has or had lately", () => {
    whenScaling((scale, { observation: { members }, state }) => {
      if (scale.decision === "scale_down") return;
      expect(isValidLabel(scale.clone)).toBe(true);
      expect(members.map(({ vm }) => vm)).not.toContain(scale.clone);
      const buried = state.tombstones.filter((t) => NOW_MS < t.untilMs);
      expect(buried.map((t) => `web-clone-${t.cloneId}`)).not.toContain(scale.clone);
    });
  });

  test("a clone that is removed is one that is there, and may be removed", () => {
    whenScaling((scale, { observation: { members }, policy, state }) => {
      if (scale.decision === "scale_up") return;
      const victim = members.find(({ vm }) => vm === scale.clone);
      expect(victim?.cloneId).toBeGreaterThan(0);
      const asked = state.outstanding?.decision === "scale_up" ? state.outstanding : null;
      const came = Array.from({ length: asked?.step ?? 0 }, (_, i) => (asked?.cloneId ?? 0) + i);
      const own = state.ours.map(({ cloneId }) => cloneId);
      if (policy?.adoptClones === false) expect([...own, ...came]).toContain(victim?.cloneId);
    });
  });

  test("no decision leads out of the bounds", () => {
    whenScaling((scale, { observation: { members }, policy }) => {
      const clones = members.filter((m) => m.cloneId > 0).length;
      if (scale.decision === "scale_up")
        expect(clones + scale.step).toBeLessThanOrEqual(policy?.maxClones ?? 0);
      else expect(clones).toBeGreaterThan(policy?.minClones ?? 0);
    });
  });

  test("nothing is decided in cooldown, for a disabled group, or for one whose host has no live data", () => {
    whenScaling(({ decision }, { state, policy, observation }) => {
      expect(observation.hostLive).toBe(true);
      const direction = decision === "scale_up" ? "up" : "down";
      const until = coolingUntilMs({ policy, state }, direction) ?? Number.NEGATIVE_INFINITY;
      expect(NOW_MS).toBeGreaterThanOrEqual(until);
    });
    fc.assert(
      fc.property(situation, (input) => {
        const disabled = input.policy === null ? null : { ...input.policy, enabled: false };
        expect(words(decisionOf({ ...input, policy: disabled }))).toBe("hold disabled");
      }),
    );
  });

  test("a paused group does what it would do unpaused, but for doing it", () => {
    whenScaling((_, limited) => {
      // a paused group is not held by the host's limit
      const input = { ...limited, clonesLeft: 10 };
      const scale = decisionOf(input) as Scale;
      const paused = input.policy === null ? null : { ...input.policy, paused: true };
      const { state, decision } = evaluate({ ...input, policy: paused });
      expect(words(decision)).toBe(`paused (${words(scale)})`);
      expect(state.lastActionMs).toBe(input.state.lastActionMs);
      const asked = state.outstanding;
      expect(asked === null || asked.clone === input.state.outstanding?.clone).toBe(true);
    });
  });
});

describe("what is said of an evaluation", () => {
  const CLAIMS: readonly [text: RegExp, holds: (a: number, b: number, c: number) => boolean][] = [
    [/average of ([\d.e-]+) %,? (?:is )?above ([\d.e-]+) %/, (average, threshold) => average > threshold],
    [/average of ([\d.e-]+) %,? (?:is )?below ([\d.e-]+) %/, (average, threshold) => average < threshold],
    [/average of ([\d.e-]+) % is not above ([\d.e-]+) %/, (average, threshold) => average <= threshold],
    [/average of ([\d.e-]+) % is between (\d+) % and (\d+) %/, (x, low, high) => x >= low && x <= high],
    [/(\d+) clones?,? (?:is )?above max_clones \((\d+)\)/, (clones, most) => clones > most],
    [/(\d+) clones?, below min_clones \((\d+)\)/, (clones, least) => clones < least],
    [/it has (\d+) clones? and max_clones is (\d+)/i, (clones, most) => clones >= most],
    [/it has (\d+) clones? and min_clones is (\d+)/, (clones, least) => clones <= least],
    [/evaluation (\d+) of the (\d+) in a row/, (count, trigger) => count < trigger],
    [/of the (\d+) clones (\d+) are still/, (step, awaited) => awaited < step],
  ];
  const seen = new Set<string>();

  test("is true of the figures that it names, and names what the reason is about", () => {
    fc.assert(
      fc.property(situation, fc.boolean(), (input, paused) => {
        const evaluation = evaluate({ ...input, policy: input.policy && { ...input.policy, paused } });
        const { decision, observation } = evaluation;
        const text = describeInWords(evaluation, NOW_MS);
        seen.add(decision.reason);
        expect(text).toMatch(/^[A-Z].*\.$/);
        expect(text).not.toMatch(/unknown|undefined|null|NaN|Infinity/);
        for (const [claim, holds] of CLAIMS) {
          const [, ...figures] = claim.exec(text) ?? [];
          const [a = 0, b = 0, c = 0] = figures.map(Number);
          if (figures.length > 0) expect(holds(a, b, c), text).toBe(true);
        }
        const scale =
          decision.decision === "hold" ? (decision.reason === "paused" ? decision.would : null) : decision;
        if (scale !== null)
          expect(text).toContain(` ${scale.clone}${scale.step > 1 ? ` and ${scale.step - 1} more` : ""}: `);
        if (decision.reason === "incomplete_data") expect(text).toMatch(/\((missing|warming)\)/);
        if (decision.reason === "cooldown") {
          for (const direction of ["up", "down"] as const) {
            const cools = (coolingUntilMs(evaluation, direction) ?? NOW_MS) > NOW_MS;
            expect(text.includes(`no scale-${direction} for another`)).toBe(cools);
          }
        }
        if (decision.reason === "cores_saturated") {
          const starving = observation.members.filter(({ starved }) => starved);
          expect(starving.length).toBeGreaterThan(0);
          expect(text).toMatch(/starved/);
        }
      }),
      { numRuns: 5000 },
    );
    expect([...seen]).toEqual(
      expect.arrayContaining(["incomplete_data", "cores_saturated", "cooldown", "above_max"]),
    );
  });
});
