import { describe, expect, test } from "vitest";
import { coolingUntilMs } from "../../src/scaler/rules/types.ts";
import { MINUTE } from "./rules.ts";
import { Scenario } from "./scenario.ts";

describe("which VMs are a group", () => {
  test("groups of the same name on several hosts, and on several paths, are decided on apart", () => {
    const scenario = new Scenario({ policy: { match: "*" } });
    scenario.start("a/user:web", 95).start("b/user:web", 50).start("a/:web", 5).start("a/:web-clone-1", 5);
    scenario.tick().tick().tick();
    expect(scenario.evaluations.map(({ observation: o }) => `${o.host}/${o.path}:${o.group}`)).toEqual([
      "a/:web",
      "a/user:web",
      "b/user:web",
    ]);
    expect(scenario.decision("a/user:web")).toBe("scale_up overloaded web-clone-1");
    expect(scenario.decision("b/user:web")).toBe("hold normal");
    expect(scenario.decision("a/:web")).toBe("hold pending_down");
  });

  test("web-clone-1-clone-2 is a primary of that name", () => {
    const scenario = new Scenario().start("user:web", 50).start("user:web-clone-1-clone-2", 95);
    expect(scenario.next(2, "user:web-clone-1-clone-2")).toEqual(["hold pending_up", "hold pending_up"]);
    expect(scenario.evaluation("user:web").clones).toBe(0);
  });

  test("a group whose clones would not be read back as its own is never scaled up", () => {
    const scenario = new Scenario().start("user:web-clone-1-clone-2", 95);
    expect(scenario.next(3, "user:web-clone-1-clone-2").at(-1)).toBe("hold no_clone_name");
  });

  test.each([
    { primary: "w".repeat(55), decides: `scale_up overloaded ${"w".repeat(55)}-clone-1`, of: 63 },
    { primary: "w".repeat(56), decides: "hold no_clone_name", of: 64 },
  ])("a clone name of $of characters: $decides", ({ primary, decides }) => {
    const scenario = new Scenario().start(`user:${primary}`, 95);
    expect(scenario.next(3, `user:${primary}`).at(-1)).toBe(decides);
  });

  test("a group whose primary is gone is orphaned, until a primary is there again", () => {
    const scenario = new Scenario().start("user:web", 95).start("user:web-clone-1", 95);
    scenario.tick().stop("user:web");
    expect(scenario.next(14)).not.toContain("hold orphaned");
    expect(scenario.next(2)).toEqual(["hold orphaned", "hold orphaned"]);
    scenario.start("user:web", 95).tick();
    expect(scenario.decision("user:web")).toBe("hold pending_up");
  });

  test("clones without a primary from the beginning are never scaled", () => {
    const scenario = new Scenario().start("user:web-clone-1", 95).start("user:web-clone-2", 95);
    expect(new Set(scenario.next(20))).toEqual(new Set(["hold orphaned"]));
  });

  test("a group no policy matches is looked at and left alone", () => {
    const scenario = new Scenario().start("other:web", 99);
    expect(new Set(scenario.next(5, "other:web"))).toEqual(new Set(["hold no_policy"]));
  });
});

describe("hosts", () => {
  test("a host goes down and comes back: no data in between, and no clone is taken for gone before death_timeout", () => {
    const scenario = new Scenario().start("user:web", 60).start("user:web-clone-1", 60);
    scenario.tick().connected("h", false);
    expect(scenario.next(5)).toEqual(Array(5).fill("hold no_data"));
    expect(scenario.members()).toEqual({ 0: "missing", 1: "missing" });
    scenario.connected("h", true);
    expect(scenario.next(2)).toEqual(["hold normal", "hold normal"]);
  });

  test("what was counted before it went down does not count after", () => {
    const scenario = new Scenario().start("user:web", 95);
    expect(scenario.next(2).at(-1)).toBe("hold pending_up");
    scenario.connected("h", false).tick();
    scenario.connected("h", true);
    expect(scenario.next(3)).toEqual([
      "hold pending_up",
      "hold pending_up",
      "scale_up overloaded web-clone-1",
    ]);
  });

  test("a host that is down says nothing about another", () => {
    const scenario = new Scenario().start("a/user:web", 95).start("b/user:web", 95);
    scenario.tick().connected("a", false).tick().tick();
    expect(scenario.decision("a/user:web")).toBe("hold no_data");
    expect(scenario.decision("b/user:web")).toBe("scale_up overloaded web-clone-1");
  });

  test("samples of a host that is said to be down are no data", () => {
    const scenario = new Scenario().start("user:web", 95);
    scenario.tick().fleet.setLive("h", false);
    expect(scenario.tick().decision("user:web")).toBe("hold no_data");
  });
});

describe("max_scale_ups_per_tick", () => {
  test("the most overloaded groups of each host go first, the others at the next ticks", () => {
    const scenario = new Scenario();
    scenario.start("a/user:x", 92).start("a/user:y", 99).start("a/user:z", 95).start("b/user:x", 91);
    scenario.tick().tick().tick();
    const decisions = () => ["a/user:x", "a/user:y", "a/user:z", "b/user:x"].map((g) => scenario.decision(g));
    expect(decisions()).toEqual([
      "hold host_limit",
      "scale_up overloaded y-clone-1",
      "hold host_limit",
      "scale_up overloaded x-clone-1",
    ]);
    scenario.tick();
    expect(decisions()).toEqual([
      "hold host_limit",
      "hold cooldown",
      "scale_up overloaded z-clone-1",
      "hold cooldown",
    ]);
  });

  test("groups that are held back begin no cooldown", () => {
    const scenario = new Scenario().start("user:x", 92).start("user:y", 99);
    scenario.tick().tick().tick();
    expect(coolingUntilMs(scenario.evaluation("user:x"), "up")).toBeNull();
    expect(scenario.evaluation("user:x").state.highTicks).toBe(3);
  });

  test("a higher limit lets as many through", () => {
    const scenario = new Scenario({ scaler: { maxScaleUpsPerTick: 2 } });
    scenario.start("user:x", 92).start("user:y", 99).start("user:z", 95);
    scenario.tick().tick().tick();
    expect(["user:x", "user:y", "user:z"].map((g) => scenario.decision(g).split(" ")[0])).toEqual([
      "hold",
      "scale_up",
      "scale_up",
    ]);
  });

  test("scale-downs are not limited", () => {
    const scenario = new Scenario();
    for (const vm of ["x", "x-clone-1", "y", "y-clone-1"]) scenario.start(`user:${vm}`, 5);
    scenario.next(5, "user:x");
    expect(scenario.decision("user:x")).toBe("scale_down underloaded x-clone-1");
    expect(scenario.decision("user:y")).toBe("scale_down underloaded y-clone-1");
  });
});

describe("a clone that is decided to go", () => {
  const victimOf = (info: boolean) => {
    const scenario = new Scenario({ info, policy: { cooldownPeriodMs: 2 * MINUTE } });
    scenario.start("user:web", 5).start("user:web-clone-1", 5);
    expect(scenario.next(5).at(-1)).toBe("scale_down underloaded web-clone-1");
    return scenario;
  };

  test("is gone when it misses two ticks", () => {
    const scenario = victimOf(false);
    scenario.tick();
    expect(scenario.members()).toEqual({ 0: 5, 1: 5 });
    scenario.stop("user:web-clone-1").tick();
    expect(scenario.members()).toEqual({ 0: 5, 1: "missing" });
    scenario.tick();
    expect(scenario.members()).toEqual({ 0: 5 });
    expect(scenario.evaluation("user:web").state.outstanding).toBeNull();
  });

  test("stays gone, though the fleet waits for it until death_timeout", () => {
    const scenario = victimOf(false);
    scenario.next(20);
    scenario.stop("user:web-clone-1").next(2);
    expect(scenario.evaluation("user:web").clones).toBe(0);
    expect(scenario.next(20)).toEqual(Array(20).fill("hold normal"));
    expect(scenario.evaluation("user:web").clones).toBe(0);
  });

  test("is a clone again when it is heard again", () => {
    const scenario = victimOf(false);
    scenario.mute("user:web-clone-1").next(2);
    expect(scenario.evaluation("user:web").clones).toBe(0);
    scenario.mute("user:web-clone-1", false).tick();
    expect(scenario.members()).toEqual({ 0: 5, 1: 5 });
  });

  test("is another incarnation when it is heard again", () => {
    const warmupPeriodMs = 2 * MINUTE;
    const scenario = new Scenario({ policy: { cooldownPeriodMs: 2 * MINUTE, warmupPeriodMs } });
    scenario.start("user:web", 5).start("user:web-clone-1", 5);
    expect(scenario.next(6).at(-1)).toBe("scale_down underloaded web-clone-1");
    scenario.load("user:web-clone-1", 80).mute("user:web-clone-1").next(3);
    expect(scenario.members()).toEqual({ 0: 5 });
    scenario.load("user:web-clone-1", 50).mute("user:web-clone-1", false).tick();
    expect(scenario.members()).toEqual({ 0: 5, 1: "warming" });
    scenario.tick().tick();
    expect(scenario.members()).toEqual({ 0: 5, 1: 50 });
  });

  test("counts as a silent clone when its tombstone is over and info still lists it", () => {
    const scenario = victimOf(true);
    scenario.mute("user:web-clone-1").load("user:web", 60);
    scenario.next(14);
    expect(scenario.members()).toEqual({ 0: 60 });
    scenario.tick();
    expect(scenario.members()).toEqual({ 0: 60, 1: "silent" });
  });
});

describe("silent clones", () => {
  test("a clone that info lists but nobody hears is the first victim", () => {
    const scenario = new Scenario({ info: true });
    scenario.start("user:web", 20).start("user:web-clone-1", 20).start("user:web-clone-2", 20);
    scenario.load("user:web", 50).load("user:web-clone-1", 50).load("user:web-clone-2", 50).tick();
    scenario.mute("user:web-clone-1").next(15);
    expect(scenario.members()).toEqual({ 0: 50, 1: "silent", 2: 50 });
    scenario.load("user:web", 20).load("user:web-clone-2", 20);
    expect(scenario.next(5).at(-1)).toBe("scale_down underloaded web-clone-1");
  });
});
