import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { policyLookup } from "../../src/scaler/rules/tick.ts";
import { MINUTE } from "./rules.ts";
import { Scenario } from "./scenario.ts";

function lookup(policies: string) {
  const text = `targets: [{ name: local }]\nscaler:\n  defaults: { max_clones: 9, death_timeout: 20m }\n  policies:\n${policies}`;
  const result = loadConfig("test.yaml", text);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  const policyOf = policyLookup(result.config.scaler);
  /** which policy holds, told by its max_clones: 9 is the default's */
  return (path: string, group: string, host = "local") => policyOf({ host, path, group })?.maxClones ?? null;
}

describe("which policy holds", () => {
  test.each([
    { name: "the whole name is matched", match: "user:web", group: ["user", "web"], holds: true },
    { name: "not a part of it", match: "user:we", group: ["user", "web"], holds: false },
    {
      name: "a primary at the root has a colon before it",
      match: ":hello",
      group: ["", "hello"],
      holds: true,
    },
    { name: "and is not matched without", match: "hello", group: ["", "hello"], holds: false },
    {
      name: "a star is any characters, colons too",
      match: "user:*",
      group: ["user:sub", "web"],
      holds: true,
    },
    { name: "a pattern may be written in capitals", match: "USER:Web", group: ["user", "web"], holds: true },
    { name: "a question mark is one character", match: "user:w?b", group: ["user", "web"], holds: true },
    { name: "a set is one of its characters", match: "user:[vw]eb", group: ["user", "web"], holds: true },
  ])("$name: $match", ({ match, group: [path = "", group = ""], holds }) => {
    expect(lookup(`    - { match: "${match}" }`)(path, group)).toBe(holds ? 9 : null);
  });

  test("the first that matches, not the closest", () => {
    const of = lookup(`    - { match: "user:w*", max_clones: 1 }\n    - { match: "user:*", max_clones: 2 }`);
    expect([of("user", "web"), of("user", "db"), of("other", "web")]).toEqual([1, 2, null]);
  });

  test("one for a host holds on that host only", () => {
    const of = lookup(
      `    - { match: "*", host: local, max_clones: 1 }\n    - { match: "*", max_clones: 2 }`,
    );
    expect([of("user", "web", "local"), of("user", "web", "other")]).toEqual([1, 2]);
  });

  test("asking again gives the same", () => {
    const of = lookup(`    - { match: "user:*", max_clones: 1 }`);
    expect([1, 2, 3].map(() => [of("user", "web"), of("root", "web")])).toEqual(Array(3).fill([1, null]));
  });
});

describe("another configuration while the program runs", () => {
  test("other thresholds hold from the next tick on; what was counted stays", () => {
    const scenario = new Scenario().start("user:web", 85);
    expect(scenario.next(2)).toEqual(["hold normal", "hold normal"]);
    scenario.reconfigure({ scaleUpThresholdPercent: 80, scaleUpTriggerTicks: 2 });
    expect(scenario.next(2)).toEqual(["hold pending_up", "scale_up overloaded web-clone-1"]);
  });

  test("a policy that is removed and comes back leaves the cooldown standing", () => {
    const scenario = new Scenario().start("user:web", 95);
    expect(scenario.next(3).at(-1)).toBe("scale_up overloaded web-clone-1");
    scenario.reconfigure({ match: "nothing" });
    expect(scenario.next(2)).toEqual(["hold no_policy", "hold no_policy"]);
    scenario.reconfigure({});
    expect(scenario.next(1)).toEqual(["hold cooldown"]);
  });

  test("a longer cooldown holds for the decision that was taken before", () => {
    const scenario = new Scenario().start("user:web", 95);
    scenario.next(3);
    scenario.reconfigure({ cooldownPeriodMs: 60 * MINUTE });
    expect(scenario.next(59)).toEqual(Array(59).fill("hold cooldown"));
    expect(scenario.next(1)).toEqual(["hold pending_up"]);
  });

  test("pausing and going on: what was counted meanwhile counts", () => {
    const scenario = new Scenario().start("user:web", 95);
    scenario.tick().reconfigure({ paused: true });
    expect(scenario.next(3)).toEqual([
      "hold pending_up",
      "paused (scale_up overloaded web-clone-1)",
      "paused (scale_up overloaded web-clone-1)",
    ]);
    scenario.reconfigure({});
    expect(scenario.next(1)).toEqual(["scale_up overloaded web-clone-1"]);
  });

  test("fewer clones allowed than there are: one goes per decision, each after the other's cooldown", () => {
    const scenario = new Scenario().start("user:web", 50);
    for (const id of [1, 2, 3]) scenario.start(`user:web-clone-${id}`, 50);
    scenario.tick().reconfigure({ maxClones: 1 });
    expect(scenario.next(2)).toEqual(["hold normal", "scale_down above_max web-clone-3"]);
    scenario.stop("user:web-clone-3");
    expect(scenario.next(10).at(-1)).toBe("scale_down above_max web-clone-2");
    scenario.stop("user:web-clone-2");
    expect(scenario.next(11).at(-1)).toBe("hold normal");
  });
});
