import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { formatProblem } from "../../src/config/checkedYaml.ts";
import { BUILTIN_SCENARIOS } from "../../src/simulator/builtin.ts";
import type { Scenario } from "../../src/simulator/model.ts";
import { loadScenario, loadScenarioFile } from "../../src/simulator/scenarioFile.ts";
import { World } from "../../src/simulator/world.ts";
import { formatName } from "../../src/wire/names.ts";

const FIXTURES = "test/fixtures/scenarios";

function scenarioFrom(text: string): Scenario {
  const result = loadScenario("scenario.yaml", text);
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.scenario;
}

describe("a scenario file", () => {
  test("that is empty is a host without VMs, at albatross-stats' default interval", () => {
    expect(scenarioFrom("")).toMatchObject({
      intervalMs: 10_000,
      os: "linux",
      infoVersion: 19,
      seed: 1,
      vms: [],
      events: [],
    });
  });

  test("with every key gives the scenario that it says", () => {
    const scenario = scenarioFrom(readFileSync(`${FIXTURES}/good/every-key.yaml`, "utf8"));
    expect(JSON.stringify(scenario, bigints, 2)).toBe(
      readFileSync(`${FIXTURES}/good/every-key.json`, "utf8").trimEnd(),
    );
  });

  test("makes as many VMs of one entry as it says", () => {
    const { vms } = scenarioFrom("vms: [{ name: 'load:vm-{n}', count: 2000, load: 3 }]");
    expect([
      vms.length,
      ...[0, 1, 1999].map((index) => formatName(vms[index]?.name ?? { path: [], label: null })),
    ]).toEqual([2000, "load:vm-1", "load:vm-2", "load:vm-2000"]);
  });

  test.each(readdirSync(`${FIXTURES}/bad`).filter((file) => file.endsWith(".yaml")))(
    "%s is refused as its .txt says",
    (file) => {
      const result = loadScenario(file, readFileSync(`${FIXTURES}/bad/${file}`, "utf8"));
      const lines = result.ok ? [] : result.problems.map(formatProblem);
      expect(lines.join("\n")).toBe(
        readFileSync(`${FIXTURES}/bad/${file.replace(".yaml", ".txt")}`, "utf8").trimEnd(),
      );
    },
  );

  test("that does not exist is a problem like any other", () => {
    const result = loadScenarioFile("no/such.yaml");
    expect(result.ok ? [] : result.problems.map(formatProblem)).toEqual(["no/such.yaml: no such file"]);
  });
});

describe("built in", () => {
  test.each(Object.keys(BUILTIN_SCENARIOS))(
    "%s is a right scenario, and all that it has can happen",
    (name) => {
      const scenario = scenarioFrom(BUILTIN_SCENARIOS[name]?.yaml ?? "");
      const events: string[] = [];
      const world = new World(scenario, 0, {
        event: (text) => events.push(text),
        albatrossdRestarted: () => undefined,
        misbehave: () => undefined,
      });
      world.advanceTo(10_000_000 + 1000 * (scenario.repeatEveryMs ?? 0));
      expect(events.filter((text) => text.includes("left out"))).toEqual([]);
      expect(world.size).toBeGreaterThan(0);
    },
  );

  test("demo overloads user:web alone, relieves it with two clones, and ends as it began", () => {
    const scenario = scenarioFrom(BUILTIN_SCENARIOS["demo"]?.yaml ?? "");
    const world = new World(scenario, 0, {
      event: () => undefined,
      albatrossdRestarted: () => undefined,
      misbehave: () => undefined,
    });
    // Average of the group over the seconds before each of these times, and how many clones it has then.
    const seen = [9, 50, 75, 92, 98, 137, 179].map((second) => {
      world.advanceTo((second - 4) * 1_000_000);
      const before = new Map([...world.vms].map((one) => [one.fullName, one.usage.cpuUs]));
      world.advanceTo(second * 1_000_000);
      const group = [...world.vms].filter((one) => one.groupName === "user:web");
      const used = group.map((one) => (one.usage.cpuUs - (before.get(one.fullName) ?? 0)) / 40_000);
      const average = used.reduce((sum, percent) => sum + percent, 0) / group.length;
      return { second, clones: group.length - 1, tens: Math.round(average / 10) * 10 };
    });
    expect(seen).toEqual([
      { second: 9, clones: 0, tens: 60 },
      { second: 50, clones: 0, tens: 100 },
      { second: 75, clones: 1, tens: 100 },
      { second: 92, clones: 2, tens: 80 },
      { second: 98, clones: 2, tens: 20 },
      { second: 137, clones: 1, tens: 30 },
      { second: 179, clones: 0, tens: 60 },
    ]);
  });
});

function bigints(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
