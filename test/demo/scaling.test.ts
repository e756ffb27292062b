import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { demoConfig } from "../../src/demo/config.ts";
import { Fleet } from "../../src/fleet/fleet.ts";
import { Rules } from "../../src/scaler/rules/tick.ts";
import { FleetSource } from "../../src/scaler/sources/fleet.ts";
import { BUILTIN_SCENARIOS } from "../../src/simulator/builtin.ts";
import { loadScenario } from "../../src/simulator/scenarioFile.ts";
import { World } from "../../src/simulator/world.ts";
import { FakeClock } from "../support/fakeClock.ts";

const HOST = "demo";
const INFO_EVERY_S = 30;

/**
 * What an exporter that starts so many seconds after the host says of user:web, each time that it says something else:
 * the demo's scenario and configuration, without sockets and at the end at once.
 */
function story({ startS, ticksLateMs, untilS }: { startS: number; ticksLateMs: number; untilS: number }) {
  const scenario = loadScenario("demo", BUILTIN_SCENARIOS["demo"]?.yaml ?? "");
  const loaded = loadConfig("demo.yaml", demoConfig("/tmp/demo", 0));
  if (!scenario.ok || !loaded.ok) throw new Error("the demo's scenario or configuration is wrong");
  const { scaler } = loaded.config;
  const clock = new FakeClock();
  const world = new World(scenario.scenario, clock.wallMs(), {
    event: () => undefined,
    albatrossdRestarted: () => undefined,
    misbehave: () => undefined,
  });
  const fleet = new Fleet({ clock, deathTimeoutMs: scaler.defaults.deathTimeoutMs });
  const source = new FleetSource(fleet);
  const rules = new Rules(scaler);
  const told: string[] = [];

  const askInfo = () => {
    world.applyEventsUntil(clock.nowUs());
    const entries = [...world.vms].map((vm) => ({ name: vm.spec.name, info: vm.info() }));
    fleet.recordInfo(HOST, entries, clock.nowUs());
  };
  const sample = () => {
    world.advanceTo(clock.nowUs());
    for (const vm of world.vms) {
      const arrival = { arrivalUs: clock.nowUs(), arrivalWallMs: clock.wallMs() };
      const { name } = vm.spec;
      fleet.record({ host: HOST, name, stats: vm.stats(), ...arrival, intervalUs: 1_000_000 });
    }
  };
  const tick = (firstSampleUs: number) => {
    const groupOf = rules.groupOf.bind(rules);
    const nowUs = clock.nowUs();
    const observations = source.observeNow({ nowUs, wallMs: clock.wallMs(), firstSampleUs, groupOf });
    for (const { observation, decision, clones } of rules.tick(observations, nowUs)) {
      if (observation.group !== "web") continue;
      const what = decision.decision === "hold" ? decision.reason : `${decision.decision} ${decision.clone}`;
      const line = `${what}, ${clones} ${clones === 1 ? "clone" : "clones"}`;
      if (told.at(-1) !== line) told.push(line);
    }
  };

  // info as soon as the program runs, then the samples of the whole seconds
  for (let atS = startS; atS <= untilS; atS += INFO_EVERY_S) clock.after(atS * 1000, askInfo);
  const firstS = Math.floor(startS) + 1;
  for (let atS = firstS; atS <= untilS; atS++) clock.after(atS * 1000, sample);
  // in turn on time and late
  const pollS = scaler.pollIntervalMs / 1000;
  for (let k = 1; firstS + k * pollS <= untilS; k++) {
    clock.after((firstS + k * pollS) * 1000 + (k % 2) * ticksLateMs, () => tick(firstS * 1e6));
  }
  clock.advance(untilS * 1000);
  return told;
}

/** The parts of the story that anybody who looks on is to see, in their order. Others may stand in between. */
const STATES = [
  "normal, 0 clones",
  "pending_up, 0 clones",
  "scale_up web-clone-1, 0 clones",
  "cooldown, 0 clones",
  "outstanding, 0 clones",
  "incomplete_data, 1 clone",
  "pending_up, 1 clone",
  "scale_up web-clone-2, 1 clone",
  "cooldown, 1 clone",
  "cooldown, 2 clones",
  "normal, 2 clones",
  "pending_down, 2 clones",
  "scale_down web-clone-2, 2 clones",
  "cooldown, 1 clone",
  "pending_down, 1 clone",
  "scale_down web-clone-1, 1 clone",
  "normal, 0 clones",
];

/** How many of `expected` come in `told`, in their order. */
function inOrder(told: readonly string[], expected: readonly string[]): number {
  let found = 0;
  for (const line of told) if (line === expected[found]) found++;
  return found;
}

test.each(
  [0.4, 1.1, 2.7, 3.5, 4.9].flatMap((startS) => [0, 30].map((ticksLateMs) => ({ startS, ticksLateMs }))),
)(
  "the demo shows all that a scaler does within three minutes, its exporter up after $startS s, ticks $ticksLateMs ms late",
  (when) => {
    const told = story({ ...when, untilS: 180 });
    expect(inOrder(told, STATES), told.join("\n")).toBe(STATES.length);
    // and each clone comes and goes as it was asked for, so that nothing is asked for twice
    const scales = (lines: readonly string[]) => lines.filter((line) => line.startsWith("scale_"));
    expect(scales(told)).toEqual(scales(STATES));
  },
);

test("the next rounds are like the first", () => {
  const told = story({ startS: 1.1, ticksLateMs: 0, untilS: 540 });
  // a round begins in the state in which the one before it ends
  const rounds = [...STATES, ...STATES.slice(1), ...STATES.slice(1)];
  expect(inOrder(told, rounds), told.join("\n")).toBe(rounds.length);
});
