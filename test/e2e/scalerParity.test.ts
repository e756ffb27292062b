import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Serving, temporaryFolder, until } from "../support/serving.ts";
import { Scrape } from "./support/exposition.ts";
import {
  apiDecisions,
  decided,
  expectSame,
  explainedGroups,
  loadedVm,
  Recording,
  startSimulated,
  type ToldDecision,
} from "./support/scaling.ts";

/** Not a divisor of the poll interval: ticks meet samples at every phase. */
const INTERVAL_MS = 300;
const POLL_MS = 1000;

/** Periods that no distance between a sample and a tick, or between two ticks, comes near: those are multiples of 100 ms. */
const SCALER = `
  poll_interval: ${POLL_MS}ms
  defaults:
    scale_up_threshold_percent: 80
    scale_up_trigger_ticks: 2
    scale_down_threshold_percent: 40
    scale_down_trigger_ticks: 2
    cooldown_period: 2550ms
    death_timeout: 2050ms
    warmup_period: 0s
    max_clones: 2
  policies:
    - { match: "user:web", host: plain }
    - { match: ":pool", min_clones: 1 }
    - { match: "ops:*", paused: true }
    - { match: "*:mirror", enabled: false }
    - { match: "user:*", host: listed, warmup_period: 5050ms }
`;

/** What the run below is made to show, whatever else it does on a busy machine. */
const REASONS = [
  ...[
    "normal",
    "pending_up",
    "overloaded",
    "cooldown",
    "outstanding",
    "pending_down",
    "underloaded",
    "below_min",
  ],
  ...["no_policy", "disabled", "no_data", "paused", "incomplete_data"],
];

/**
 * Times in a trace are whole milliseconds, rounded down, and what follows a tick within its millisecond is put into the
 * next: both ends of a window together are off by less than two. No window is shorter than half a poll interval.
 */
const TOLERANCE_PERCENT = (100 * 2) / (POLL_MS / 2);
/** A tick's time in the trace is monotonic, in the decision wall time: both are read once, one after the other. */
const TOLERANCE_MS = 50;
const TOLERANCE = { percent: TOLERANCE_PERCENT, ms: TOLERANCE_MS };

/** The evaluations of a replay, found by group and time. */
class Replayed {
  readonly #byGroup = new Map<string, ToldDecision[]>();

  constructor(evaluations: readonly ToldDecision[]) {
    for (const one of evaluations) {
      const group = `${one.host} ${one.path}:${one.group}`;
      this.#byGroup.set(group, [...(this.#byGroup.get(group) ?? []), one]);
    }
  }

  like({ host, path, group, time }: ToldDecision): ToldDecision | undefined {
    return this.#byGroup
      .get(`${host} ${path}:${group}`)
      ?.find((one) => Math.abs(Date.parse(one.time) - Date.parse(time)) < TOLERANCE_MS);
  }
}

/** Looks at every group's explanation again and again until told to stop; each evaluation once. */
function watchGroups(serving: Serving): { stop(): Promise<ToldDecision[]> } {
  const seen = new Map<string, ToldDecision>();
  let stopped = false;
  const watching = (async () => {
    while (!stopped) {
      for (const one of await explainedGroups(serving.url))
        seen.set(`${one.host} ${one.path}:${one.group} ${one.time}`, one);
      await sleep(POLL_MS / 3);
    }
    return [...seen.values()];
  })();
  return {
    stop: () => {
      stopped = true;
      return watching;
    },
  };
}

test("a recorded trace, replayed at its ticks, brings the decisions of the live run", async () => {
  const folder = await temporaryFolder();
  const plainDir = join(folder, "plain");
  const listedDir = join(folder, "listed");
  const targets = [
    `{ name: plain, socket_dir: ${plainDir}, os: linux }`,
    `{ name: listed, socket_dir: ${listedDir}, os: linux }`,
  ];
  const config = `targets: [${targets.join(", ")}]\nweb: { listen_addresses: ["127.0.0.1:0"] }\nscaler:${SCALER}`;
  const serving = await Serving.start(folder, config);
  // before anything happens on the hosts
  const recording = await Recording.start(folder, serving);

  const plain = await startSimulated(
    plainDir,
    [
      loadedVm("user:web", 50, { shareLoadWithClones: true }),
      loadedVm(":pool", 20),
      loadedVm("ops:batch", 93),
      loadedVm("user:mirror", 99),
      loadedVm(":lonely-clone-3", 60),
    ],
    INTERVAL_MS,
  );
  // nobody tells there which unikernels there are, so clones need not wait to be listed
  await plain.misbehave({ type: "vmmd_gone" });
  // where cores are known a load of 95 % is at the edge of using one up
  const listed = await startSimulated(
    listedDir,
    [loadedVm("user:web", 93), loadedVm("user:db", 93, { cpus: 2 }), loadedVm("other:web", 10)],
    INTERVAL_MS,
  );
  const watch = watchGroups(serving);
  const web = { host: "plain", path: "user", group: "web" };

  // Loads change just after a tick, so that no window's average comes near a threshold.
  let seen = await decided(serving, { ...web, reason: "normal" });
  plain.setLoad("user:web", 210);
  seen = await decided(serving, { ...web, decision: "scale_up", clone: "web-clone-1" }, seen);
  listed.restartVm("user:db");
  listed.cloneVm("user:web");
  seen = await decided(serving, { ...web, reason: "outstanding" }, seen);
  expect(plain.cloneVm("user:web")).toBe("user:web-clone-1");
  listed.restartVm("user:web");
  seen = await decided(serving, { ...web, decision: "scale_up", clone: "web-clone-2" }, seen);
  plain.cloneVm("user:web");
  seen = await decided(serving, { ...web, reason: "cooldown" }, seen);
  plain.setLoad("user:web", 30);
  seen = await decided(serving, { ...web, decision: "scale_down", clone: "web-clone-2" }, seen);
  plain.removeVm("user:web-clone-2");
  seen = await decided(serving, { ...web, reason: "cooldown" }, seen);
  // most of the next window is heard, and at its end the host is away
  await sleep(0.7 * POLL_MS);
  const back = await plain.misbehave({ type: "stat_gone" });
  seen = await decided(serving, { ...web, reason: "no_data" }, seen);
  await back();
  seen = await decided(serving, { ...web, decision: "scale_down", clone: "web-clone-1" }, seen);
  plain.removeVm("user:web-clone-1");
  seen = await decided(serving, { ...web, reason: "normal" }, seen);
  // unikernel info lists the clone over there and tells of the restarts
  await decided(serving, { ...web, host: "listed", reason: "overloaded" });

  // the counters just after a tick are those of that tick
  const lastTick = () => serving.metric("albatross_scaler_last_tick_timestamp_seconds");
  const before = await lastTick();
  await until("the next tick", lastTick, (tick) => tick !== before);
  const scrape = await Scrape.of(serving.url);
  const explained = await watch.stop();
  const live = await apiDecisions(serving);
  await recording.end();

  const ticks = readFileSync(recording.trace, "utf8").match(/"event":"tick"/g)?.length ?? 0;
  const upTo = (decisions: readonly ToldDecision[], lastMs: number) =>
    decisions.filter(({ time }) => Date.parse(time) < lastMs + TOLERANCE_MS);

  // what is news, live and replayed
  const told = await recording.replay();
  expect(told.summary.skipped_lines).toBe(0);
  expectSame(live, upTo(told.decisions, Date.parse(live.at(-1)?.time ?? "")), TOLERANCE);
  expect(live.map(({ reason }) => reason)).toEqual(expect.arrayContaining(REASONS));

  // every evaluation: those that were seen one by one, and all of them by their numbers
  const all = await recording.replay("--all");
  expect([all.ticks, told.ticks]).toEqual([ticks, ticks]);
  const replayed = new Replayed(all.decisions);
  const pairs = explained.map((one) => ({ one, again: replayed.like(one) }));
  expect(pairs.length).toBeGreaterThan(all.decisions.length / 2);
  expectSame(
    pairs.map(({ one }) => one),
    pairs.flatMap(({ again }) => (again === undefined ? [] : [again])),
    TOLERANCE,
  );
  const tickMs = 1000 * (scrape.value("albatross_scaler_last_tick_timestamp_seconds") ?? 0);
  const counted = new Map<string, number>();
  for (const { host, path, group, decision, reason } of upTo(all.decisions, tickMs)) {
    if (reason === "no_policy") continue;
    const key = [host, path, group, decision, reason].join(" ");
    counted.set(key, (counted.get(key) ?? 0) + 1);
  }
  const series =
    scrape.families.find(({ name }) => name.startsWith("albatross_scaler_decisions"))?.series ?? [];
  const exported = new Map(
    series
      .filter(({ value }) => value !== "0")
      .map(({ labels: l, value }) => [
        [l["host"], l["path"], l["group"], l["decision"], l["reason"]].join(" "),
        Number(value),
      ]),
  );
  expect(counted).toEqual(exported);
});
