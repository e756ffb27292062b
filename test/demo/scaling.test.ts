import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { demoConfig } from "../../src/demo/config.ts";
import { BUILTIN_SCENARIOS } from "../../src/simulator/builtin.ts";
import { loadScenario } from "../../src/simulator/scenarioFile.ts";
import { Machine, Program } from "../scaler/acting.ts";

/** What the demo's exporter, up so many seconds after the host, decides about user:web and makes of it, in order. */
async function story({ startS, untilS }: { startS: number; untilS: number }) {
  const scenario = loadScenario("demo", BUILTIN_SCENARIOS["demo"]?.yaml ?? "");
  const loaded = loadConfig("demo.yaml", demoConfig("/tmp/demo", 0, null));
  if (!scenario.ok || !loaded.ok) throw new Error("the demo's scenario or configuration is wrong");
  const machine = new Machine();
  await machine.addHost("demo", scenario.scenario);
  machine.clock.advance(startS * 1000);
  const beganMs = machine.clock.wallMs() - startS * 1000;
  const program = new Program(machine, loaded.config.scaler).start();
  await machine.pass(untilS - startS);
  await program.stop();
  return machine.lines
    .filter(({ group }) => group === "web")
    .map(({ time, decision, reason, clone, clones, operation, phase }) => ({
      second: (Date.parse(String(time)) - beganMs) / 1000,
      line:
        operation === undefined
          ? `${decision === "hold" ? reason : `${decision} ${clone}`}, ${clones} ${clones === 1 ? "clone" : "clones"}`
          : `${operation} ${clone} ${phase}`,
    }));
}

/** The parts of the story that anybody who looks on is to see, in their order. Others may stand in between. */
const STATES = [
  "normal, 0 clones",
  "pending_up, 0 clones",
  "scale_up web-clone-1, 0 clones",
  "create web-clone-1 verified",
  "cooldown, 1 clone",
  "pending_up, 1 clone",
  "scale_up web-clone-2, 1 clone",
  "create web-clone-2 verified",
  "normal, 2 clones",
  "pending_down, 2 clones",
  "scale_down web-clone-2, 2 clones",
  "destroy web-clone-2 verified",
  "pending_down, 1 clone",
  "scale_down web-clone-1, 1 clone",
  "destroy web-clone-1 verified",
  "normal, 0 clones",
];

/** Those of `expected` that come in `told`, in their order. */
function inOrder(told: readonly { readonly line: string }[], expected: readonly string[]): readonly string[] {
  let found = 0;
  for (const { line } of told) if (line === expected[found]) found++;
  return expected.slice(0, found);
}

const isOfScaling = ({ line }: { readonly line: string }) => /^(?:scale_|create|destroy)/.test(line);

test.each([0.4, 2.7, 4.9])(
  "the demo's group grows and shrinks by itself within three minutes, its exporter up after %d s",
  async (startS) => {
    const told = await story({ startS, untilS: 180 });
    expect(inOrder(told, STATES)).toEqual(STATES);
    // and nothing is done that does not belong to the story
    const wanted = STATES.filter((line) => isOfScaling({ line }));
    expect(told.filter(isOfScaling).map(({ line }) => line)).toEqual(wanted);
    const second = (line: string) => told.find((one) => one.line === line)?.second;
    expect(second("create web-clone-1 verified")).toBeLessThan(60);
    expect(second("destroy web-clone-2 verified")).toBeLessThan(180);
  },
);

test("the next rounds are like the first", async () => {
  const told = await story({ startS: 1.1, untilS: 540 });
  // a round begins in the state in which the one before it ends
  const rounds = [...STATES, ...STATES.slice(1), ...STATES.slice(1)];
  expect(inOrder(told, rounds)).toEqual(rounds);
});
