import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { type Stack, type StackOptions, startStack } from "../../scripts/stack/stack.ts";
import { systemClock } from "../../src/clock.ts";
import { SimulatedHost } from "../../src/simulator/host.ts";
import type { Scenario } from "../../src/simulator/model.ts";
import { loadScenario } from "../../src/simulator/scenarioFile.ts";
import {
  type DashboardQuery,
  dashboardNames,
  dashboardQueries,
  figurePanels,
  type PanelJson,
  readDashboard,
} from "../support/dashboards.ts";
import { answering } from "../support/prometheusStub.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { until } from "../support/serving.ts";
import { EMPTY_WHILE_CALM, ZERO_WHILE_CALM } from "./support/calmPanels.ts";
import { grafanaData, hasGrafanaData } from "./support/grafanaData.ts";
import { type Asked, askAs, type Choices, offeredValues, type PanelSeries } from "./support/panelQueries.ts";
import { CALM, DISPLACED, EMPTY, FREEBSD, TROUBLED } from "./support/panelScenarios.ts";

/** Prometheus scrapes every half a second, an hour takes two minutes. */
const SPEED = 30;

const SCALER = {
  poll_interval: "500ms",
  policies: [{ match: "user:*" }],
  defaults: { cooldown_period: "2s", warmup_period: "500ms", adopt_clones: true },
};

const QUERIES = dashboardNames.flatMap(dashboardQueries).filter(({ kind }) => kind !== "variable");

const PANELS = dashboardNames.flatMap((dashboard) =>
  figurePanels(readDashboard(dashboard)).map((panel) => ({
    dashboard,
    panel,
    key: `${dashboard}: ${panel.title}`,
  })),
);

const both = [requireProgram("prometheus"), requireProgram("prometheus-alertmanager")];

test("panels that are called empty or zero while all is well are panels", () => {
  expect(QUERIES.map(keyOf)).toEqual(
    expect.arrayContaining(Object.keys({ ...EMPTY_WHILE_CALM, ...ZERO_WHILE_CALM })),
  );
});

/** By panel, names that its overrides, transformations and sorting mention, and no answer has had so far. */
const unseen = new Map<string, readonly string[]>();

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

    test.skipIf(!hasGrafanaData())("is what its figures are, each told apart from the others", () =>
      looksRight(played),
    );

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
      isAsking: true,
    });
    let far: SimulatedHost | undefined;
    afterAll(() => far?.stop());
    beforeAll(async () => {
      const stack = played.stack();
      await until(
        "Prometheus to have scraped the exporter",
        () => stack.query("albatross_up"),
        (samples) => samples.length === 3,
      );
      // taken while it runs: it leaves a VM out, has loads from PromQL, reaches a host by TLS, and acts
      const file = join(stack.folder, "exporter.yml");
      const config = parse(readFileSync(file, "utf8"));
      const load = (query: string) => ({ query, capacity_per_member: 100 });
      const { host, target } = await startByTls(join(stack.folder, "far"));
      far = host;
      config.targets.push(target);
      Object.assign(config.scaler, {
        mode: "execute",
        prometheus: { url: stack.prometheus.url, timeout: "200ms" },
        policies: [
          { match: "user:zealous", mode: "execute", clone: { arguments: [] } },
          { match: "user:web", load: load("vector(50)") },
          { match: "user:idle", load: load("vector(1) > 2") },
        ],
      });
      writeFileSync(file, stringify({ ...config, exporter: { max_vms: 3 } }));
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

    test.skipIf(!hasGrafanaData())("is what its figures are, also when all is filled", () =>
      looksRight(played),
    );

    test.skipIf(!hasGrafanaData())("has every name that it mentions", () => {
      expect([...unseen].filter(([, names]) => names.length > 0)).toEqual([]);
    });
  });
});

describe.skipIf(!hasGrafanaData())("what Grafana's data layer makes of", () => {
  const panel = (dashboard: string, title: string) =>
    figurePanels(readDashboard(dashboard)).find((one) => one.title === title) as PanelJson;
  const one = (value: number): PanelSeries[] => [{ labels: {}, points: [[1, value]] }];
  const colours = async (dashboard: string, title: string, ...values: readonly number[]) => {
    const { fields } = await grafanaData().show(panel(dashboard, title), values.map(one));
    return fields.map(({ name, values: [value] }) => [name, value?.text, value?.color]);
  };
  const [GREEN, YELLOW, RED, TEXT] = ["#73BF69", "#FADE2A", "#F2495C", expect.any(String)];

  test.each([
    ["exporter", "Exporters"],
    ["fleet", "Hosts"],
  ])("%s: %s is green only when all are up", async (dashboard, title) => {
    expect(await colours(dashboard, title, 2, 0)).toEqual([
      ["up", "2", TEXT],
      ["down", "0", GREEN],
    ]);
    expect(await colours(dashboard, title, 1, 1)).toEqual([
      ["up", "1", TEXT],
      ["down", "1", RED],
    ]);
  });

  test.each([
    [12, GREEN],
    [45, YELLOW],
    [75, RED],
  ])("fleet: Oldest sample after %i s", async (seconds, colour) => {
    expect(await colours("fleet", "Oldest sample", seconds)).toMatchObject([
      ["age", expect.any(String), colour],
    ]);
  });
});

/** What runs while a group of tests does. */
interface Played {
  stack(): Stack;
  /** everything from the beginning until now */
  asked(): Asked;
}

/** `isAsking`: there is a group with a load from PromQL, of which every other query is answered. */
function play({
  isAsking = false,
  ...options
}: Pick<StackOptions, "hosts" | "targets"> & { isAsking?: boolean }): Played {
  let running: Stack | undefined;
  let endStub = () => {};
  let fromMs = 0;
  beforeAll(async () => {
    fromMs = Date.now();
    const scaler = isAsking ? await scalerThatAsks((end) => (endStub = end)) : SCALER;
    running = await startStack({ ...options, speed: SPEED, scaler, program: "built" });
  });
  afterAll(async () => {
    await running?.stop();
    endStub();
  });
  const stack = () => {
    if (running === undefined) throw new Error("asked before it was started");
    return running;
  };
  const asked = () => ({ prometheusUrl: stack().prometheus.url, speed: SPEED, fromMs, toMs: Date.now() });
  return { stack, asked };
}

async function scalerThatAsks(atEnd: (end: () => void) => void) {
  let asked = 0;
  const url = await answering(() => (asked++ % 2 === 0 ? ["50"] : []), atEnd);
  const asking = { match: "user:idle", load: { query: "load", capacity_per_member: 100 } };
  return { ...SCALER, prometheus: { url }, policies: [asking, ...SCALER.policies] };
}

/** A host with a TLS endpoint, and the target that reaches it there. */
async function startByTls(socketDir: string) {
  const tls = { address: { host: "127.0.0.1", port: 0 }, folder: join(socketDir, "tls") };
  const host = new SimulatedHost(scenario(EMPTY), { socketDir, clock: systemClock(), tls });
  await host.start();
  const file = (name: string) => join(tls.folder, name);
  const issuer = { certificate: file("issuer-user.pem"), key: file("issuer-user.key") };
  const way = { address: host.tlsAddress, ca: file("ca.pem"), issuer };
  const target = { name: "far", tls: way, enforces_policy: true, allow_unchecked_path: true };
  return { host, target };
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

/**
 * Holds each panel to what Grafana makes of it: units that it has, words for every value that has some, series told apart by
 * name and, in graphs, by colour or dashes. Takes from `unseen` the names that are there.
 */
async function looksRight(played: Played): Promise<void> {
  const grafana = grafanaData();
  const asked = played.asked();
  for (const { dashboard, panel, key } of PANELS) {
    const { all } = await offeredValues(readDashboard(dashboard), asked);
    const answers = await Promise.all(
      (panel.targets ?? []).map(({ expr, instant = false }) =>
        askAs({ expression: expr, instant }, all, asked),
      ),
    );
    const { fields, absent } = await grafana.show(panel, answers);
    for (const { name, unit, values, words } of fields) {
      if (unit !== undefined) expect(grafana.isUnit(unit), `${key}: ${unit}`).toBe(true);
      const unmapped = values.map(({ text }) => text).filter((text) => !words.includes(text));
      if (words.length > 0) expect(unmapped, `${key}: ${name}`).toEqual([]);
    }
    const names = fields.map(({ name }) => name);
    expect(names, key).toEqual([...new Set(names)]);
    const looks = fields.map(({ look }) => look);
    if (panel.type === "timeseries") expect(looks, key).toEqual([...new Set(looks)]);
    const before = unseen.get(key) ?? absent;
    unseen.set(
      key,
      absent.filter((name) => before.includes(name)),
    );
  }
}

function isZero(series: readonly PanelSeries[]): boolean {
  return series.every(({ points }) => points.every(([, value]) => value === 0));
}
