import { get } from "node:http";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import type { Scenario } from "../../src/simulator/model.ts";
import { loadScenario } from "../../src/simulator/scenarioFile.ts";
import { folder, runJson } from "../backtest/run.ts";
import { eventually, settle } from "../support/eventually.ts";
import { Lab } from "./support/lab.ts";
import { expectSame, type ToldDecision } from "./support/scaling.ts";

const files = folder();
const MINUTE_MS = 60_000;
const LENGTH_MIN = 60;
/** No more than that: on the clock of this test all times are whole milliseconds, as in the trace. */
const TOLERANCE = { percent: 1e-9, ms: 1 };

/** What may befall the host; `clone` and `destroy` are other people's. */
const EVENTS = [
  "clone: user:web",
  "clone: user:web",
  "clone: user:db",
  "clone: :pool",
  "destroy: user:web-clone-1",
  "destroy: user:web-clone-2",
  "destroy: user:db-clone-1",
  "restart: user:web",
  "restart: ops:cron",
  "crash: user:sub:router",
  "restart_albatrossd: true",
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
];

/** Events at some seconds of the hour. */
const TIMELINE = fc.array(fc.record({ atS: fc.nat(LENGTH_MIN * 60), event: fc.constantFrom(...EVENTS) }), {
  minLength: 25,
  maxLength: 25,
  size: "max",
});

/** The interval has no ticks at the times of samples: which of the two is first would be told by no clock here. */
const SCALER = `
poll_interval: 29731ms,
defaults: { scale_up_threshold_percent: 80, scale_down_threshold_percent: 40, scale_up_trigger_ticks: 3,
  scale_down_trigger_ticks: 4, cooldown_period: 3m, death_timeout: 2m, warmup_period: 45s },
policies: [
  { match: ":pool", min_clones: 1 }, { match: "ops:*", paused: true }, { match: ":short*", max_clones: 0 },
  { match: "user:*" }
]`.replaceAll("\n", " ");

function scenarioOf(seed: number): Scenario {
  const [timeline = []] = fc.sample(TIMELINE, { seed, numRuns: 1 });
  const text = `
interval: 10s
seed: ${seed}
vms:
  - name: user:web
    share_load_with_clones: true
    load:
      sum:
        - steps: [{ at: 0s, percent: 40 }, { at: 4m, percent: 190 }, { at: 31m, percent: 40 }]
        - noise: { amplitude: 10, every: 20s }
  - { name: user:db, cpus: 2, load: { sine: { mean: 70, amplitude: 40, period: 7m } } }
  - { name: user:sub:router, load: { noise: { mean: 60, amplitude: 45, every: 40s } }, down_for: 25s }
  - { name: ops:cron, load: 97, restarts: [2m31s, 20m15s, 20m55s] }
  - { name: :pool, load: 20 }
  - { name: :short-lived, load: 95, start_at: 6m12s, stop_at: 14m }
  - { name: user:db-clone-7, load: 50, start_at: 15m3s, stop_at: 44m }
events:
${timeline.map(({ atS, event }) => `  - { at: ${atS}s, ${event} }`).join("\n")}
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

function evaluation({ time, host, path, group }: ToldDecision): string {
  return `${time} ${host} ${path}:${group}`;
}

/** What every tick said of every group, in order. */
async function evaluationsOf(lab: Lab): Promise<ToldDecision[]> {
  const seen = new Map<string, ToldDecision>();
  for (let passedMs = 0; passedMs < LENGTH_MIN * MINUTE_MS; passedMs += 10_000) {
    await lab.pass(10_000, 1_000);
    const { data } = (await (await fetch(`${lab.url}/api/v1/groups`)).json()) as {
      data: (Pick<ToldDecision, "host" | "path" | "group"> & { scaler: ToldDecision | null })[];
    };
    for (const { host, path, group, scaler } of data) {
      if (scaler === null) continue;
      const told = { ...scaler, host, path, group };
      seen.set(evaluation(told), told);
    }
  }
  return [...seen.values()];
}

test.each([6, 8, 9, 10, 11, 12])(
  "a trace of an hour in which much goes wrong, replayed, brings every decision and average of the live run (seed %i)",
  async (seed) => {
    const lab = await Lab.make();
    await lab.simulate("sim", scenarioOf(seed));
    await lab.serve([{ name: "sim" }], { scaler: SCALER });
    const trace = await listen(lab.url);
    const live = await evaluationsOf(lab);
    await settle();

    const file = files.write("config.yaml", `scaler: {${SCALER}}\n`);
    const told = await runJson({ file, traces: ["-"], all: true, ticks: "trace" }, trace());
    // what was said of a group at its last evaluation cannot be asked any more when the group is gone
    const seen = new Set(live.map(evaluation));
    const replayed = told.decisions.filter((one) => seen.has(evaluation(one)));
    expect(told.decisions.length - replayed.length).toBeLessThan(4);
    expectSame(live, replayed, TOLERANCE);
    expect(told.ticks).toBeGreaterThan(100);
    expect(live.length).toBeGreaterThan(5 * told.ticks);
  },
  30_000,
);
