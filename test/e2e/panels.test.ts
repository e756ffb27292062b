import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Stack, type StackOptions, startStack } from "../../scripts/stack/stack.ts";
import type { Scenario } from "../../src/simulator/model.ts";
import { loadScenario } from "../../src/simulator/scenarioFile.ts";
import {
  type DashboardQuery,
  dashboardNames,
  dashboardQueries,
  readDashboard,
} from "../support/dashboards.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { until } from "../support/serving.ts";
import { EMPTY_WHILE_CALM, ZERO_WHILE_CALM } from "./support/calmPanels.ts";
import { type Asked, askAs, type Choices, offeredValues, type PanelSeries } from "./support/panelQueries.ts";
import { CALM, DISPLACED, FREEBSD, TROUBLED } from "./support/panelScenarios.ts";

/** Prometheus scrapes every half a second, an hour takes two minutes. */
const SPEED = 30;

const SCALER = {
  poll_interval: "500ms",
  policies: [{ match: "user:*" }],
  defaults: { cooldown_period: "2s", warmup_period: "500ms", adopt_clones: true },
};

const QUERIES = dashboardNames.flatMap(dashboardQueries).filter(({ kind }) => kind !== "variable");

const both = [requireProgram("prometheus"), requireProgram("prometheus-alertmanager")];

test("panels that are called empty or zero while all is well are panels", () => {
  expect(QUERIES.map(keyOf)).toEqual(
    expect.arrayContaining(Object.keys({ ...EMPTY_WHILE_CALM, ...ZERO_WHILE_CALM })),
  );
});

describe.skipIf(both.includes(false))("every panel", () => {
  describe("of a host where all is well", () => {
    const played = play({ hosts: { demo: scenario(CALM) } });

    test("offers every job, exporter, host, path, group and VM to choose from", async () => {
      for (const name of dashboardNames) {
        const { offered } = await until(
          "VMs to choose from",
          () => offeredValues(readDashboard(name), played.asked()),
          ({ offered }) => offered["vm"]?.length === 4,
        );
        expect(offered).toEqual({
          job: ["albatross"],
          instance: [new URL(played.stack().exporter.url).host],
          host: ["demo"],
          path: expect.toBeOneOf([
            ["^user$", "^$"],
            ["^$", "^user$"],
          ]),
          group: ["db", "hello", "web"],
          vm: ["db", "hello", "web", "web-clone-1"],
        });
      }
    });

    test("has data for all there is", async () => {
      await hasData(
        played,
        (all) => all,
        QUERIES.filter((query) => !(keyOf(query) in EMPTY_WHILE_CALM)),
      );
    });

    test("has data for one host, path, group and VM", async () => {
      const one = { host: "demo", path: "^user$", group: "web", vm: "web" };
      await hasData(
        played,
        (all) => ({ ...all, ...one }),
        QUERIES.filter((query) => !(keyOf(query) in EMPTY_WHILE_CALM)),
      );
    });

    test.each(Object.entries(EMPTY_WHILE_CALM))("%s is empty: %s", async (key) => {
      for (const { series } of await answers(played, (query) => keyOf(query) === key)) {
        expect(series).toEqual([]);
      }
    });

    test.each(Object.entries(ZERO_WHILE_CALM))("%s is zero: %s", async (key) => {
      for (const { series } of await answers(played, (query) => keyOf(query) === key)) {
        expect(isZero(series)).toBe(true);
      }
    });
  });

  describe("of hosts where much goes wrong, and of one that fills every field", () => {
    const played = play({
      hosts: {
        bsd: scenario(FREEBSD),
        displaced: scenario(DISPLACED),
        troubled: scenario(TROUBLED),
      },
      targets: { bsd: { os: "freebsd" } },
    });
    beforeAll(async () => {
      const stack = played.stack();
      await until(
        "Prometheus to have scraped the exporter",
        () => stack.query("albatross_up"),
        (samples) => samples.length === 3,
      );
      // a configuration that is taken while it runs, and leaves a VM out
      appendFileSync(join(stack.folder, "exporter.yml"), "exporter: { max_vms: 3 }\n");
      stack.exporter.signal("SIGHUP");
    });

    test("that is empty while all is well has data", async () => {
      await hasData(
        played,
        (all) => all,
        QUERIES.filter((query) => keyOf(query) in EMPTY_WHILE_CALM),
      );
    });

    test("that is zero while all is well shows what happened", async () => {
      await until(
        "figures above zero",
        async () =>
          (await answers(played, (query) => keyOf(query) in ZERO_WHILE_CALM))
            .filter(({ series }) => isZero(series))
            .map(({ key }) => key),
        (left) => left.length === 0,
      );
    });
  });
});

/** What runs while a group of tests does. */
interface Played {
  stack(): Stack;
  /** everything from the beginning until now */
  asked(): Asked;
}

function play(options: Pick<StackOptions, "hosts" | "targets">): Played {
  let running: Stack | undefined;
  let fromMs = 0;
  beforeAll(async () => {
    fromMs = Date.now();
    running = await startStack({ ...options, speed: SPEED, scaler: SCALER, program: "built" });
  });
  afterAll(() => running?.stop());
  const stack = () => {
    if (running === undefined) throw new Error("asked before it was started");
    return running;
  };
  const asked = () => ({ prometheusUrl: stack().prometheus.url, speed: SPEED, fromMs, toMs: Date.now() });
  return { stack, asked };
}

function scenario(text: string): Scenario {
  const read = loadScenario("a scenario of the panels", text);
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.scenario;
}

/** Dashboard, panel with the letter of its query. */
function keyOf({ dashboard, name }: DashboardQuery): string {
  return `${dashboard}: ${name}`;
}

/** What the chosen queries get with All chosen everywhere. */
async function answers(
  played: Played,
  wanted: (query: DashboardQuery) => boolean,
  choose: (all: Choices) => Choices = (all) => all,
): Promise<{ readonly key: string; readonly series: readonly PanelSeries[] }[]> {
  const asked = played.asked();
  const found = [];
  for (const name of dashboardNames) {
    const { all } = await offeredValues(readDashboard(name), asked);
    for (const query of QUERIES.filter((one) => one.dashboard === name && wanted(one))) {
      found.push({ key: keyOf(query), series: await askAs(query, choose(all), asked) });
    }
  }
  return found;
}

/** Waits until each of the queries has had an answer with something in it. */
async function hasData(
  played: Played,
  choose: (all: Choices) => Choices,
  queries: readonly DashboardQuery[],
): Promise<void> {
  let left = new Set(queries.map(keyOf));
  await until(
    "data for every query",
    async () => {
      const found = await answers(played, (query) => left.has(keyOf(query)), choose);
      left = new Set(found.filter(({ series }) => series.length === 0).map(({ key }) => key));
      return [...left];
    },
    (keys) => keys.length === 0,
  );
}

function isZero(series: readonly PanelSeries[]): boolean {
  return series.every(({ points }) => points.every(([, value]) => value === 0));
}
