import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadSection } from "../../src/config/promql.ts";
import { LABELLED, tableFamily } from "../../src/exposition/row.ts";
import type { Logger } from "../../src/log.ts";
import { decisionJson, explain } from "../../src/scaler/report/json.ts";
import { logDecision } from "../../src/scaler/report/log.ts";
import { GroupItems, scalerGroupRows } from "../../src/scaler/report/metrics.ts";
import { describe as describeDecision } from "../../src/scaler/report/words.ts";
import { LOAD_OUTCOMES, type LoadAnswer } from "../../src/scaler/rules/types.ts";
import { render, seriesOf } from "../exporter/records.ts";
import { type Case, type Members, MINUTE, run, words } from "./rules.ts";

/** A query in requests per second, of which a member can take 200. */
const load = loadSection.schema.parse({ query: "sum(rate(requests_total[2m]))", capacity_per_member: 200 });

/** A group that is asked for its load: thresholds of 90 and 40 %, three and five evaluations. */
function asked(answer: number | LoadAnswer, members: Members, given: Partial<Case> = {}): Case {
  const known: LoadAnswer = typeof answer === "number" ? { outcome: "ok", value: answer } : answer;
  return {
    ...given,
    members,
    policy: { load, ...given.policy },
    facts: { load: known, ...given.facts },
  };
}

const busy = { state: { highTicks: 2 } };
const idle = { state: { lowTicks: 4 } };

test.each<[name: string, given: Case, decision: string, text: string]>([
  [
    "the load is shared by the members that are not silent",
    asked(361, { 0: 1, 1: 1 }, busy),
    "scale_up overloaded web-clone-2",
    "Create web-clone-2: the load of 361 is above 360 (90 % of 2 members at 200 each) for 3 evaluations in a row.",
  ],
  [
    "what is exactly at a threshold is not beyond it",
    asked(360, { 0: 1, 1: 1 }, busy),
    "hold normal",
    "The load of 360 is between 160 (40 % of 2 members at 200 each) and 360 (90 % of 2 members at 200 each).",
  ],
  [
    "a load that just is, is told with as many digits as it takes",
    asked(360.000_1, { 0: 1, 1: 1 }),
    "hold pending_up",
    "Busy (a load of 360.0001, above 360 (90 % of 2 members at 200 each)): evaluation 1 of the 3 in a row that call for a clone.",
  ],
  [
    "it is not clamped: a step is as large as the load asks for",
    asked(1300, { 0: 100 }, { ...busy, policy: { scaleUpMaxStep: 9, maxClones: 20 } }),
    "scale_up overloaded web-clone-1 x9",
    "Create web-clone-1 and 8 more: the load of 1300 is above 180 (90 % of one member at 200) for 3 evaluations in a row, and target_percent is 65.",
  ],
  [
    "a small one is told with the digits that it has",
    asked(0.06, { 0: 1 }, { policy: { load: { ...load, capacityPerMember: 0.05 } } }),
    "hold pending_up",
    "Busy (a load of 0.06, above 0.045 (90 % of one member at 0.05)): evaluation 1 of the 3 in a row that call for a clone.",
  ],
  [
    "the largest load is compared as any other",
    asked(1e307, { 0: 1, 1: 1 }, { ...busy, policy: { load: { ...load, capacityPerMember: 1e307 } } }),
    "hold normal",
    "The load of 1e+307 is between 8e+306 (40 % of 2 members at 1e+307 each) and 1.8e+307 (90 % of 2 members at 1e+307 each).",
  ],
  [
    "the CPU usage of the members does not matter",
    asked(250, { 0: 100, 1: 100 }, busy),
    "hold normal",
    "The load of 250 is between 160 (40 % of 2 members at 200 each) and 360 (90 % of 2 members at 200 each).",
  ],
  [
    "a member that is not measured carries a share of it on the way up",
    asked(300, { 0: 1, 1: "warming" }, busy),
    "hold incomplete_data",
    "Those measured are busy (a load of 300, above 180 (90 % of one member at 200)), but with web-clone-1 (warming) to carry it, too, it is not above 360 (90 % of 2 members at 200 each).",
  ],
  [
    "and none on the way down",
    asked(100, { 0: 1, 1: "missing" }, idle),
    "hold normal",
    "The load of 100 is between 80 (40 % of one member at 200) and 360 (90 % of 2 members at 200 each).",
  ],
  [
    "silent ones carry nothing",
    asked(170, { 0: 1, 1: "silent" }, busy),
    "hold normal",
    "The load of 170 is between 80 (40 % of one member at 200) and 180 (90 % of one member at 200).",
  ],
  [
    "no clone is given up whose share the others could not carry",
    asked(159, { 0: 1, 1: 1 }, { ...idle, policy: { scaleUpThresholdPercent: 60 } }),
    "hold would_overload",
    "A clone could go (a load of 159, below 160 (40 % of 2 members at 200 each)), but the others would then be above 60 %.",
  ],
  [
    "a load without a member that is measured says nothing",
    asked(1000, { 0: "missing" }, busy),
    "hold no_data",
    "No member is measured: web (missing). Nothing can be decided.",
  ],
  [
    "a load that is not known holds",
    asked({ outcome: "timeout", text: "no answer within 10s" }, { 0: 95 }, busy),
    "hold no_data",
    "Its load is not known: no answer within 10s. Nothing can be decided.",
  ],
  [
    "starved members are not told of: their CPU usage is not the load",
    asked(
      170,
      {},
      {
        facts: { members: [{ vm: "web", cloneId: 0, state: "fresh", usagePercent: 99, starved: true }] },
      },
    ),
    "hold normal",
    "The load of 170 is not above 180 (90 % of one member at 200), and there is no clone to give up.",
  ],
])("%s", (_, given, decision, text) => {
  const { evaluation } = run(given);
  expect(words(evaluation.decision)).toBe(decision);
  expect(describeDecision(evaluation, 60 * MINUTE)).toBe(text);
});

test.each<[name: string, load: number, members: Members, threshold: string]>([
  ["it is little for all of them", 159, { 0: 1, 1: 1 }, "160 (40 % of 2 members at 200 each)"],
  ["the clone carries none of it yet", 79, { 0: 1, 1: "warming" }, "80 (40 % of one member at 200)"],
  ["there is none", 0, { 0: 100, 1: 100 }, "160 (40 % of 2 members at 200 each)"],
])("a clone is given up by the load where %s", (_, given, members, threshold) => {
  const { evaluation } = run(asked(given, members, idle));
  expect(words(evaluation.decision)).toBe("scale_down underloaded web-clone-1");
  expect(describeDecision(evaluation, 60 * MINUTE)).toBe(
    `Remove web-clone-1: the load of ${given} is below ${threshold} for 5 evaluations in a row.`,
  );
});

test.each([
  [0.004_567_8, 0.004_568],
  [151.136_363, 151.14],
  [1e308, 1e308],
])("the program's log has a load of %d as %d", (answer, logged) => {
  const { evaluation } = run(asked(answer, { 0: 1 }));
  const events: object[] = [];
  const log = { isLevelEnabled: () => true, info: (event: object) => events.push(event) };
  const decision = { ...decisionJson(evaluation, 0), mode: "dry_run", text: "" };
  logDecision(log as unknown as Logger, evaluation, decision);
  expect(events).toMatchObject([{ load: logged }]);
});

describe("a load that is not known", () => {
  const unknown = LOAD_OUTCOMES.filter((outcome) => outcome !== "ok");

  test("neither grows nor shrinks a group, whatever it was about to do", () => {
    const seen = fc.constantFrom<Members[number]>(0, 50, 100, "warming", "missing", "silent");
    fc.assert(
      fc.property(
        fc.constantFrom(...unknown),
        fc.record({ 0: seen, 1: seen, 2: seen }),
        fc.record({ highTicks: fc.nat(5), lowTicks: fc.nat(9) }),
        (outcome, members, state) => {
          const { evaluation } = run(asked({ outcome, text: "" }, members, { state }));
          expect(words(evaluation.decision)).toBe("hold no_data");
          expect(evaluation.state).toMatchObject({ highTicks: 0, lowTicks: 0 });
        },
      ),
    );
  });

  test("lets what is outstanding wait", () => {
    const { evaluation: taken } = run(asked(400, { 0: 1 }, busy));
    const { state } = run(asked({ outcome: "error", text: "" }, { 0: 1 }, { state: taken.state }));
    expect(state.outstanding).toMatchObject({ decision: "scale_up", clone: "web-clone-1" });
  });
});

test("an explanation has the answer and the thresholds in the query's unit, or why there is none", () => {
  const explained = (given: Case) => {
    const tick = { nowMs: 0, wallMs: 0, mode: "dry_run" };
    return explain(run(given).evaluation, tick, 0);
  };
  expect(explained(asked(300, { 0: 1, 1: "warming" }))).toMatchObject({
    load: 300,
    average_percent: 150,
    average_for_up_percent: 75,
    average_for_down_percent: 150,
    load_query: { outcome: "ok", error: null, scale_up_threshold: 360, scale_down_threshold: 80 },
    policy: { load: { query: load.query.text, capacity_per_member: 200 } },
  });
  expect(explained(asked({ outcome: "several", text: "it has 2 samples" }, { 0: 1 }))).toMatchObject({
    load: null,
    average_percent: null,
    load_query: { outcome: "several", error: "it has 2 samples", scale_up_threshold: 180 },
  });
});

test("metrics have the load beside its thresholds, and count how queries ended", async () => {
  const items = new GroupItems();
  const facts = { nowMs: 0, wallMs: 0, mode: "dry_run" };
  const series = async (name: string) =>
    seriesOf(
      await render(scalerGroupRows.map((row) => tableFamily(row, items.items, LABELLED))),
      `albatross_scaler_load${name}{`,
    );
  const labels = (more = "") => `{host="h",path="user",group="web"${more}}`;
  items.update([run(asked(300, { 0: 1, 1: "warming" })).evaluation], facts);
  expect(await series("")).toEqual([`albatross_scaler_load${labels()} 300`]);
  expect(await series("_threshold")).toEqual([
    `albatross_scaler_load_threshold${labels(',direction="up"')} 360`,
    `albatross_scaler_load_threshold${labels(',direction="down"')} 80`,
  ]);
  items.update([run(asked({ outcome: "stale", text: "" }, { 0: 1 })).evaluation], facts);
  expect(await series("")).toEqual([]);
  expect(await series("_queries_total")).toEqual(
    LOAD_OUTCOMES.map((outcome) => {
      const count = outcome === "ok" || outcome === "stale" ? 1 : 0;
      return `albatross_scaler_load_queries_total${labels(`,outcome="${outcome}"`)} ${count}`;
    }),
  );
});
