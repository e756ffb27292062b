import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseState } from "../../src/scaler/state/savedState.ts";
import type { SimulatedHost } from "../../src/simulator/host.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { Serving, temporaryFolder, until } from "../support/serving.ts";
import { Scrape } from "./support/exposition.ts";
import { Prometheus } from "./support/prometheus.ts";
import {
  apiDecisions,
  decided,
  fileDecisions,
  loadedVm,
  loggedDecisions,
  startSimulated,
  type ToldDecision,
} from "./support/scaling.ts";

const INTERVAL_MS = 300;
const WEB = { host: "sim", path: "user", group: "web" };
/** The four ways to scale: their counts are there from the first evaluation on. */
const SCALES = [
  ["scale_down", "above_max"],
  ["scale_down", "underloaded"],
  ["scale_up", "below_min"],
  ["scale_up", "overloaded"],
] as const;

/** One running program's surroundings: they outlive it. */
interface Place {
  readonly folder: string;
  readonly host: SimulatedHost;
}

/** A simulated host with a group whose load is shared, and one that has a clone less than it should. */
async function place(): Promise<Place> {
  const folder = await temporaryFolder();
  const web = loadedVm("user:web", 50, { shareLoadWithClones: true });
  const host = await startSimulated(join(folder, "sim"), [web, loadedVm(":pool", 20)], INTERVAL_MS);
  // Nobody tells which unikernels there are, so clones need not wait until they are listed.
  await host.misbehave({ type: "vmmd_gone" });
  return { folder, host };
}

function configOf({ folder }: Place, { cooldown = "2s", paused = false, port = 0 } = {}): string {
  return `targets: [{ name: sim, socket_dir: ${join(folder, "sim")}, os: linux }]
web: { listen_addresses: ["127.0.0.1:${port}"] }
scaler:
  poll_interval: 1s
  defaults:
    scale_up_threshold_percent: 80
    scale_up_trigger_ticks: 2
    scale_down_threshold_percent: 40
    scale_down_trigger_ticks: 2
    cooldown_period: ${cooldown}
    death_timeout: 3s
    warmup_period: 0s
  policies:
    - { match: "user:web", paused: ${paused} }
    - { match: ":pool", min_clones: 1 }
`;
}

function start(at: Place, options: Parameters<typeof configOf>[1] = {}): Promise<Serving> {
  return Serving.start(at.folder, configOf(at, options));
}

function decisionFile({ folder }: Place): string {
  return join(folder, "decisions.ndjson");
}

/** What the state file holds; throws when it is not as the program writes it. */
function savedState({ folder }: Place) {
  return parseState(readFileSync(join(folder, "scaler-state.json"), "utf8"));
}

/** What a decision is, without when and in which of the three places it is told. */
function told(decisions: readonly object[]) {
  return decisions.map((decision) => {
    const {
      host,
      path,
      group,
      decision: kind,
      reason,
      clone,
      step,
      clones,
      high_ticks,
      low_ticks,
      text,
    } = decision as ToldDecision;
    return { host, path, group, decision: kind, reason, clone, step, clones, high_ticks, low_ticks, text };
  });
}

/** Log, API and decision file tell the same. Returns it. `earlier` lines of the file are of another run. */
async function expectOneStory(at: Place, serving: Serving, earlier = 0): Promise<ToldDecision[]> {
  const api = await until(
    "log, API and decision file to agree",
    async () => {
      const decisions = await apiDecisions(serving);
      const inFile = fileDecisions(decisionFile(at)).slice(earlier);
      const inLog = loggedDecisions(serving);
      return { decisions, agree: decisions.length === inFile.length && decisions.length === inLog.length };
    },
    ({ agree }) => agree,
  );
  expect(fileDecisions(decisionFile(at)).slice(earlier)).toEqual(api.decisions);
  expect(told(loggedDecisions(serving))).toEqual(told(api.decisions));
  return api.decisions;
}

/** How often each of the four ways to scale is among these. */
function scaleCounts(decisions: readonly object[]): Record<string, number> {
  const all = told(decisions);
  return Object.fromEntries(
    SCALES.map(([decision, reason]) => [
      `${decision} ${reason}`,
      all.filter((one) => one.decision === decision && one.reason === reason).length,
    ]),
  );
}

/** The scale counts of the program's own `/metrics`, over all groups. */
async function scrapedCounts(serving: Serving): Promise<Record<string, number>> {
  const { families } = await Scrape.of(serving.url);
  const series = families.find(({ name }) => name === "albatross_scaler_decisions_total")?.series ?? [];
  return Object.fromEntries(
    SCALES.map(([decision, reason]) => [
      `${decision} ${reason}`,
      series
        .filter(({ labels }) => labels["decision"] === decision && labels["reason"] === reason)
        .reduce((sum, { value }) => sum + Number(value), 0),
    ]),
  );
}

/** What the last evaluation said of user:web. */
async function webNow(serving: Serving): Promise<ToldDecision & { outstanding: { clone: string } | null }> {
  const { data } = JSON.parse(await serving.get("/api/v1/groups"));
  return data.find(({ group }: { group: string }) => group === "web")?.scaler;
}

describe.skipIf(!requireProgram("prometheus"))("decisions of the running program", () => {
  test("are the same in Prometheus, in the log, in the API and in the decision file", async () => {
    const at = await place();
    const serving = await start(at);
    const prometheus = await Prometheus.start(at.folder, { albatross: new URL(serving.url).host });
    const selector = `albatross_scaler_decisions_total{decision=~"scale_.*"}`;
    // All pairs are scraped at 0 before anything has happened: Prometheus sees the first decision as an increase.
    await until(
      "the pairs in Prometheus",
      () => prometheus.values(`${selector.replace("}", ',group="web"}')} == 0`),
      ({ length }) => length === SCALES.length,
    );

    at.host.setLoad("user:web", 130);
    let seen = await decided(serving, { ...WEB, decision: "scale_up", clone: "web-clone-1" });
    seen = await decided(serving, { ...WEB, reason: "outstanding" }, seen);
    at.host.cloneVm("user:web");
    seen = await decided(serving, { ...WEB, reason: "normal", clones: 1 }, seen);
    at.host.setLoad("user:web", 30);
    seen = await decided(serving, { ...WEB, decision: "scale_down", clone: "web-clone-1" }, seen);
    at.host.removeVm("user:web-clone-1");
    seen = await decided(serving, { ...WEB, reason: "normal", clones: 0 }, seen);

    const story = await expectOneStory(at, serving);
    const counts = {
      "scale_down above_max": 0,
      "scale_down underloaded": 1,
      "scale_up below_min": 1,
      "scale_up overloaded": 1,
    };
    expect(scaleCounts(story)).toEqual(counts);
    expect(await scrapedCounts(serving)).toEqual(counts);
    const lastMs = Date.parse(story.at(-1)?.time ?? "");
    await until(
      "a scrape after the last decision",
      () => prometheus.values("albatross_scaler_last_tick_timestamp_seconds"),
      ([tick = 0]) => tick * 1000 > lastMs,
    );
    const stored = await prometheus.query(`sum by (decision, reason) (${selector})`);
    expect(
      Object.fromEntries(
        stored.map(({ metric, value }) => [`${metric["decision"]} ${metric["reason"]}`, Number(value?.[1])]),
      ),
    ).toEqual(counts);
    const increases = await prometheus.query(`increase(${selector}[5m]) > 0`);
    expect(
      increases
        .map(({ metric: { group, decision, reason, mode } }) => `${group} ${decision} ${reason} ${mode}`)
        .sort(),
    ).toEqual([
      // pool was one short from the beginning, before the first scrape perhaps
      ...(increases.length === 3 ? ["pool scale_up below_min dry_run"] : []),
      "web scale_down underloaded dry_run",
      "web scale_up overloaded dry_run",
    ]);
    // Every evaluation is counted, and each group is evaluated once a tick: holds fill up what is left.
    const ticks = "albatross_scaler_tick_duration_seconds_count";
    expect(
      await prometheus.values(
        `sum by (group) (albatross_scaler_decisions_total) == on() group_left ${ticks}`,
      ),
    ).toHaveLength(2);
  });
});

describe("a decision that nobody has carried out yet", () => {
  test("is not taken again after a restart, nor after kill -9 in the middle", async () => {
    const at = await place();
    at.host.setLoad("user:web", 130);
    const first = await start(at);
    let seen = await decided(first, { ...WEB, decision: "scale_up", clone: "web-clone-1" });
    seen = await decided(first, { ...WEB, reason: "outstanding" }, seen);
    const before = await expectOneStory(at, first);
    first.signal("SIGTERM");
    expect(await first.exited).toBe(0);
    expect(savedState(at).groups.find(({ group }) => group === "web")?.outstanding?.clone).toBe(
      "web-clone-1",
    );

    const second = await start(at);
    expect(await second.logged("scaler state loaded")).toMatchObject([{ groups: 2 }]);
    await until(
      "the next evaluations",
      () => webNow(second),
      (now) => now?.reason === "outstanding",
    );
    // killed while it goes on, at whatever it is doing then
    second.signal("SIGKILL");
    await second.exited;
    const inBetween = fileDecisions(decisionFile(at)).length;
    expect(savedState(at).groups.find(({ group }) => group === "web")?.outstanding?.clone).toBe(
      "web-clone-1",
    );

    const third = await start(at);
    expect(await third.logged("scaler state loaded")).toMatchObject([{ groups: 2 }]);
    const now = await until(
      "the next evaluations",
      () => webNow(third),
      (web) => web?.reason === "outstanding",
    );
    expect(now.outstanding?.clone).toBe("web-clone-1");
    await expectOneStory(at, third, inBetween);
    const scales = fileDecisions(decisionFile(at)).filter(({ decision }) => decision !== "hold");
    expect(scales.map(({ group, clone }) => `${group} ${clone}`).sort()).toEqual([
      "pool pool-clone-1",
      "web web-clone-1",
    ]);
    expect(scaleCounts(before)).toMatchObject({ "scale_up overloaded": 1, "scale_up below_min": 1 });
    expect(Object.values(await scrapedCounts(third))).toEqual([0, 0, 0, 0]);
    expect([...second.events, ...third.events].filter(({ level }) => level === "error")).toEqual([]);

    // carried out at last, it is as if the program had never been away
    expect(at.host.cloneVm("user:web")).toBe("user:web-clone-1");
    await decided(third, { ...WEB, reason: "normal", clones: 1 });
    expect((await webNow(third)).outstanding).toBeNull();
  });
});

describe("a group that a reload pauses", () => {
  test("says what it would have done, in the log, the API and the metrics, and does it when it goes on", async () => {
    const at = await place();
    const serving = await start(at);
    let seen = await decided(serving, { ...WEB, reason: "normal" });
    const reload = async (options: Parameters<typeof configOf>[1], count: number) => {
      await writeFile(serving.configFile, configOf(at, options));
      serving.signal("SIGHUP");
      await serving.logged("configuration reloaded", count);
    };
    await reload({ paused: true }, 1);
    at.host.setLoad("user:web", 130);
    seen = await decided(serving, { ...WEB, reason: "paused" }, seen);

    const would = { decision: "scale_up", reason: "overloaded", clone: "web-clone-1", step: 1 };
    expect(loggedDecisions(serving)[seen - 1]).toMatchObject({
      decision: "hold",
      would: "scale_up",
      would_reason: "overloaded",
      would_clone: "web-clone-1",
      would_step: 1,
    });
    expect(await webNow(serving)).toMatchObject({
      decision: "hold",
      reason: "paused",
      clone: null,
      would,
      outstanding: null,
    });
    expect((await expectOneStory(at, serving)).at(-1)).toMatchObject({
      ...WEB,
      decision: "hold",
      reason: "paused",
      would,
    });
    const scrape = await Scrape.of(serving.url);
    const kind = { decision: "hold", reason: "paused", mode: "dry_run" };
    expect(scrape.value("albatross_scaler_decisions_total", { ...WEB, ...kind })).toBeGreaterThan(0);
    expect(scrape.value("albatross_scaler_paused", WEB)).toBe(1);
    expect(scrape.value("albatross_scaler_group_state", { ...WEB, reason: "paused" })).toBe(1);
    expect((await scrapedCounts(serving))["scale_up overloaded"]).toBe(0);

    await reload({ paused: false }, 2);
    seen = await decided(serving, { ...WEB, decision: "scale_up", clone: "web-clone-1" }, seen);
    await until(
      "the count",
      () => scrapedCounts(serving),
      (counts) => counts["scale_up overloaded"] === 1,
    );
    expect((await Scrape.of(serving.url)).value("albatross_scaler_paused", WEB)).toBe(0);
    expect(scaleCounts(await expectOneStory(at, serving))["scale_up overloaded"]).toBe(1);
  });
});
