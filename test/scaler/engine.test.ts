import { describe, expect, test } from "vitest";
import { Scenario } from "./scenario.ts";

function repeated(times: number, decision: string): string[] {
  return Array.from({ length: times }, () => decision);
}

describe("the incarnation of an episode", () => {
  test("a group grows and shrinks again, with a cooldown after each decision", () => {
    const scenario = new Scenario().start("user:web", 95);
    expect(scenario.next(3)).toEqual([
      "hold pending_up",
      "hold pending_up",
      "scale_up overloaded web-clone-1",
    ]);
    scenario.start("user:web-clone-1", 10).load("user:web", 10);
    expect(scenario.next(9)).toEqual(repeated(9, "hold cooldown"));
    expect(scenario.next(5)).toEqual([
      ...repeated(4, "hold pending_down"),
      "scale_down underloaded web-clone-1",
    ]);
    scenario.stop("user:web-clone-1");
    expect(scenario.next(9)).toEqual(repeated(9, "hold cooldown"));
    expect(scenario.next(2)).toEqual(repeated(2, "hold normal"));
  });

  test("a scale-up that nobody carries out for two hours is one decision", () => {
    const scenario = new Scenario().start("user:web", 95);
    const decisions = scenario.next(120);
    expect(decisions.filter((d) => d.startsWith("scale_up"))).toEqual(["scale_up overloaded web-clone-1"]);
    expect(decisions.at(-1)).toBe("hold outstanding");
  });

  test("a scale-down that nobody carries out for two hours is one decision, though its tombstone is over", () => {
    const scenario = new Scenario().start("user:web", 5).start("user:web-clone-1", 5);
    const decisions = scenario.next(120);
    expect(decisions.filter((d) => d.startsWith("scale_down"))).toHaveLength(1);
    expect(decisions.at(-1)).toBe("hold outstanding");
  });

  test("when the load was gone in between, the same load is another episode", () => {
    const scenario = new Scenario().start("user:web", 95);
    expect(scenario.next(3).at(-1)).toBe("scale_up overloaded web-clone-1");
    scenario.load("user:web", 50).next(10);
    scenario.load("user:web", 95);
    expect(scenario.next(3)).toEqual([
      "hold pending_up",
      "hold pending_up",
      "scale_up overloaded web-clone-1",
    ]);
  });

  test("the id of a removed clone is not given again before death_timeout is over", () => {
    const scenario = new Scenario().start("user:web", 5).start("user:web-clone-1", 5);
    expect(scenario.next(5).at(-1)).toBe("scale_down underloaded web-clone-1");
    scenario.stop("user:web-clone-1").load("user:web", 95);
    expect(scenario.next(12).at(-1)).toBe("scale_up overloaded web-clone-2");
    scenario.load("user:web", 50).next(10);
    scenario.load("user:web", 95);
    expect(scenario.next(3).at(-1)).toBe("scale_up overloaded web-clone-1");
  });

  test("gaps in the ids of clones are left as they are", () => {
    const scenario = new Scenario({ policy: { maxClones: 9 } }).start("user:web", 95);
    for (const id of [2, 7]) scenario.start(`user:web-clone-${id}`, 95);
    expect(scenario.next(3).at(-1)).toBe("scale_up overloaded web-clone-8");
  });
});

describe("samples and lives", () => {
  test("a window is as long as the time between two ticks, whatever happened inside it", () => {
    const scenario = new Scenario().start("user:web", 0);
    scenario.tick();
    scenario.load("user:web", 100).pass(20);
    scenario.load("user:web", 25).tick();
    expect(scenario.members()).toEqual({ 0: 50 });
  });

  test("a restart inside a window leaves the part after it: no negative rate, none too high", () => {
    const scenario = new Scenario().start("user:web", 80);
    scenario.tick().pass(20);
    scenario.restart("user:web").load("user:web", 60).tick();
    expect(scenario.members()).toEqual({ 0: 60 });
  });

  test("when less than half of the window is left, there is no rate", () => {
    const scenario = new Scenario().start("user:web", 80);
    scenario.tick().pass(30);
    scenario.restart("user:web").tick();
    expect(scenario.members()).toEqual({ 0: "warming" });
    expect(scenario.decision("user:web")).toBe("hold no_data");
    scenario.tick();
    expect(scenario.members()).toEqual({ 0: 80 });
  });

  test("a restart that info tells of before the new process was heard gives no rate across it", () => {
    const scenario = new Scenario({ info: true }).start("user:web", 100);
    scenario.tick().pass(5);
    scenario.restart("user:web").mute("user:web").tick();
    expect(scenario.members()).toEqual({ 0: "missing" });
    scenario.mute("user:web", false).tick();
    expect(scenario.members()).toEqual({ 0: 100 });
  });

  test("a VM that appears between two ticks is measured from its first sample", () => {
    const scenario = new Scenario().start("user:web", 50);
    scenario.tick().pass(20);
    scenario.start("user:web-clone-1", 90).tick();
    expect(scenario.members()).toEqual({ 0: 50, 1: 90 });
  });

  test("one that appears late between two ticks has no rate yet", () => {
    const scenario = new Scenario().start("user:web", 50);
    scenario.tick().pass(40);
    scenario.start("user:web-clone-1", 90).tick();
    expect(scenario.members()).toEqual({ 0: 50, 1: "warming" });
  });

  test("a VM that dies between two ticks is measured up to its last sample, then missing, then gone", () => {
    const scenario = new Scenario().start("user:web", 50).start("user:web-clone-1", 90);
    scenario.tick().pass(40);
    scenario.stop("user:web-clone-1").tick();
    expect(scenario.members()).toEqual({ 0: 50, 1: 90 });
    const seen = Array.from({ length: 15 }, () => scenario.tick().members()[1]);
    expect(seen).toEqual([...repeated(14, "missing"), undefined]);
  });

  test("a VM that is heard again after two ticks is measured over all of them", () => {
    const scenario = new Scenario().start("user:web", 30);
    scenario.tick();
    scenario.mute("user:web").next(2);
    scenario.mute("user:web", false).load("user:web", 60).tick();
    expect(scenario.members()).toEqual({ 0: 40 });
  });

  test("all VMs of a host restarting at once decide nothing", () => {
    const scenario = new Scenario().start("user:web", 60).start("user:web-clone-1", 60);
    scenario.tick().pass(40);
    scenario.restart("user:web").restart("user:web-clone-1");
    expect(scenario.next(3)).toEqual(["hold no_data", "hold normal", "hold normal"]);
    expect(scenario.members()).toEqual({ 0: 60, 1: 60 });
  });

  test("a VM younger than warmup_period is warming", () => {
    const scenario = new Scenario({ policy: { warmupPeriodMs: 120_000 } }).start("user:web", 50);
    expect(scenario.next(3)).toEqual(["hold no_data", "hold normal", "hold normal"]);
    scenario.start("user:web-clone-1", 50).tick();
    expect(scenario.members()).toEqual({ 0: 50, 1: "warming" });
    scenario.tick();
    expect(scenario.members()).toEqual({ 0: 50, 1: 50 });
  });
});
