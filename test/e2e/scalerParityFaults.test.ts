import { get } from "node:http";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Scenario } from "../../src/simulator/model.ts";
import { loadScenario } from "../../src/simulator/scenarioFile.ts";
import { folder, runJson } from "../backtest/run.ts";
import { eventually } from "../support/eventually.ts";
import { Lab } from "./support/lab.ts";
import { expectSame, explainedGroups, type ToldDecision } from "./support/scaling.ts";

const files = folder();
/** No more than that: on the clock of this test all times are whole milliseconds, as in the trace. */
const TOLERANCE = { percent: 1e-9, ms: 1 };

/** A stretch of time on a simulated host, and the scaler that looks on. */
interface Story {
  readonly minutes: number;
  /** in the scenario's words */
  readonly statsInterval: string;
  /** of the clock: whatever sockets have ready is read after each */
  readonly stepMs: number;
  /** Keys of `scaler`. Its ticks do not fall on times of samples: no clock here tells which of two would be first. */
  readonly scaler: string;
  /** Something happens every so often, and not much later. */
  readonly everyS: number;
  readonly laterS: number;
  readonly events: readonly string[];
}

const POLICIES = `policies: [
  { match: ":pool", min_clones: 1 }, { match: "ops:*", paused: true }, { match: ":short*", max_clones: 0 },
  { match: "user:*" }]`;
const THRESHOLDS = "scale_up_threshold_percent: 80, scale_up_trigger_ticks: 3, scale_down_trigger_ticks: 4";

const FAULTS: Story = {
  minutes: 60,
  statsInterval: "10s",
  stepMs: 1_000,
  scaler: `poll_interval: 29731ms, ${POLICIES}, defaults: { ${THRESHOLDS},
    cooldown_period: 3m, death_timeout: 2m, warmup_period: 45s }`,
  // no fault lasts until the next one
  everyS: 150,
  laterS: 50,
  // clones come and go as other people like
  events: [
    ...["clone: user:web", "clone: user:web", "clone: user:db", "clone: :pool"],
    ...["destroy: user:web-clone-1", "destroy: user:web-clone-2", "destroy: user:db-clone-1"],
    ...["restart: user:web", "restart: ops:cron", "crash: user:sub:router", "restart_albatrossd: true"],
    "misbehave: { type: stall, for: 75s }",
    "misbehave: { type: close }",
    "misbehave: { type: close }",
    "misbehave: { type: half_frame }",
    "misbehave: { type: garbage, bytes: 64 }",
    "misbehave: { type: undecodable }",
    "misbehave: { type: stat_gone, for: 20s }",
    "misbehave: { type: stat_gone, for: 95s }",
    "misbehave: { type: vmmd_gone, for: 100s }",
    'misbehave: { type: rival, slot: ":", for: 5s }',
  ],
};

const RESTARTS: Story = {
  minutes: 20,
  statsInterval: "2s",
  stepMs: 500,
  scaler: `poll_interval: 7331ms, ${POLICIES}, defaults: { ${THRESHOLDS},
    cooldown_period: 40s, death_timeout: 30s, warmup_period: 9s }`,
  everyS: 15,
  laterS: 14,
  events: [
    ...["restart: user:web", "restart: user:web", "restart: user:db", "restart: user:db", "restart: :pool"],
    ...["restart: ops:cron", "crash: user:sub:router", "restart_albatrossd: true", "clone: user:web"],
    "misbehave: { type: stall, for: 7s }",
    "misbehave: { type: close }",
  ],
};

function scenarioOf({ minutes, statsInterval, everyS, laterS, events }: Story, seed: number): Scenario {
  const happening = fc.record({
    afterS: fc.noBias(fc.integer({ min: 0, max: laterS })),
    event: fc.noBias(fc.constantFrom(...events)),
  });
  const timeline = fc.sample(happening, { seed, numRuns: (minutes * 60) / everyS });
  const text = `
interval: ${statsInterval}
seed: ${seed}
vms:
  - name: user:web
    share_load_with_clones: true
    load:
      sum:
        - steps: [{ at: 0s, percent: 40 }, { at: 4m, percent: 190 }, { at: ${minutes / 2}m, percent: 40 }]
        - noise: { amplitude: 10, every: 20s }
  - { name: user:db, cpus: 2, load: { sine: { mean: 70, amplitude: 40, period: 7m } } }
  - { name: user:sub:router, load: { noise: { mean: 60, amplitude: 45, every: 40s } }, down_for: 25s }
  - { name: ops:cron, load: 97, restarts: [2m31s, 10m15s, 10m55s] }
  - { name: :pool, load: 20 }
  - { name: :short-lived, load: 93, start_at: 6m12s, stop_at: 14m }
  - { name: user:db-clone-7, load: 50, start_at: 9m3s, stop_at: 18m }
events:
${timeline.map(({ afterS, event }, i) => `  - { at: ${i * everyS + afterS}s, ${event} }`).join("\n")}
`;
  const loaded = loadScenario("scenario.yaml", text);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return loaded.scenario;
}

/** Reads the stream of a running exporter; what comes back gives all that has come so far. */
async function listen(url: string): Promise<() => string> {
  let text = "";
  let isOpen = false;
  const request = get(`${url}/api/v1/stream`, { agent: false }, (response) => {
    isOpen = true;
    response.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
  });
  onTestFinished(() => {
    request.destroy();
  });
  await eventually("the stream", () => isOpen);
  return () => text;
}

/** What every tick said of every group, in order. */
async function evaluationsOf(
  lab: Lab,
  { minutes, stepMs }: Story,
  trace: () => string,
): Promise<ToldDecision[]> {
  const told: ToldDecision[] = [];
  let read = 0;
  for (let passedMs = 0; passedMs < minutes * 60_000; passedMs += stepMs) {
    await lab.pass(stepMs, stepMs);
    const hasTicked = trace().slice(read).includes('"event":"tick"');
    read = trace().length;
    if (!hasTicked) continue;
    told.push(...(await explainedGroups(lab.url)));
  }
  return told;
}

function key({ time, host, path, group }: ToldDecision): string {
  return `${time} ${host} ${path}:${group}`;
}

const STORIES = { "in which everything goes wrong": FAULTS, "in which VMs restart all the time": RESTARTS };

describe.each(Object.entries(STORIES))("a trace of a time %s", (_, story) => {
  test.each([1, 2, 3, 22])(
    "brings, replayed, every decision and average of the live run (seed %i)",
    async (seed) => {
      const lab = await Lab.make();
      await lab.simulate("sim", scenarioOf(story, seed));
      await lab.serve([{ name: "sim" }], { scaler: story.scaler });
      const trace = await listen(lab.url);
      const live = await evaluationsOf(lab, story, trace);

      const file = files.write("config.yaml", `scaler: { ${story.scaler} }\n`);
      const told = await runJson({ file, traces: ["-"], all: true, ticks: "trace" }, trace());
      // Whoever asks after a tick is not told of a group that has gone since: it had nothing to be measured any more.
      const seen = new Set(live.map(key));
      const leaving = told.decisions.filter((one) => !seen.has(key(one)));
      expect(leaving.map(({ reason }) => reason)).toEqual(leaving.map(() => "no_data"));
      expect(leaving.length).toBeLessThan(4);
      expectSame(
        live,
        told.decisions.filter((one) => seen.has(key(one))),
        TOLERANCE,
      );
      expect(told.ticks).toBeGreaterThan(100);
      expect(live.length).toBeGreaterThan(4 * told.ticks);
    },
  );
});
