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
});

function bigints(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
