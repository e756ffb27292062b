/** An hour of the whole exporter on a clock that is moved, recorded as `record` does it and replayed by `backtest`. */
import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { isDeepStrictEqual } from "node:util";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { SimulatedHost } from "../../src/simulator/host.ts";
import { openTraceFile } from "../../src/trace/file.ts";
import { openStream, recordTrace } from "../../src/trace/record.ts";
import { folder, run, runJson } from "../backtest/run.ts";
import { eventually } from "../support/eventually.ts";
import { serve, success, vector } from "../support/prometheusStub.ts";
import { Lab } from "./support/lab.ts";
import { expectSame, explainedGroups, loadedVm, type ToldDecision } from "./support/scaling.ts";

const files = folder();
const json =
  (body: unknown, statusCode = 200) =>
  (response: ServerResponse) =>
    void response.writeHead(statusCode).end(JSON.stringify(body));
const silence = () => undefined;
const ofLongAgo = (response: ServerResponse) => {
  const result = [{ metric: {}, value: [Date.now() / 1000 - 400, "1"] }];
  json(success({ resultType: "vector", result }))(response);
};
/** On the clock of this test all times are whole milliseconds, as in the trace. */
const TOLERANCE = { percent: 1e-9, ms: 1 };
const NO_ANSWER = "no answer came in the 8s before the evaluation";

/** Every way in which a load is not known: what the server does, and what is said of it. */
const FAILURES: readonly [outcome: string, text: RegExp, answer: (response: ServerResponse) => void][] = [
  ["unreachable", /^http:\S+: connection lost$/, (response) => response.destroy()],
  ["refused", /^Prometheus refuses the query \(401\): /, json({}, 401)],
  ["error", /^Prometheus says: no$/, json({ status: "error", errorType: "execution", error: "no" }, 422)],
  ["error", /^the answer is longer than 1048576 bytes$/, json(" ".repeat(2 ** 20))],
  ["no_sample", /^the answer has no sample$/, json(success(vector()))],
  ["several", /^the answer has 2 samples, /, json(success(vector("1", "2")))],
  ["not_a_number", /^the answer is NaN$/, json(success(vector("NaN")))],
  ["stale", /^the answer's sample is 6m\S+ old$/, ofLongAgo],
  [
    "warning",
    /^Prometheus warns: a store is down$/,
    json(success(vector("1"), { warnings: ["a store is down"] })),
  ],
  ["timeout", new RegExp(`^${NO_ANSWER}$`), silence],
];

/** Its multiples are no times of samples: no clock here tells which of two would be first. */
const POLL_MS = 29_731;

const SCALER = (url: string) => `
  poll_interval: ${POLL_MS}ms, max_scale_ups_per_tick: 4, prometheus: { url: "${url}", timeout: 8s },
  defaults: { warmup_period: 45s, cooldown_period: 2m, scale_up_trigger_ticks: 2, scale_down_trigger_ticks: 3,
    scale_up_max_step: 3, max_clones: 5, adopt_clones: true },
  policies: [
    { match: "user:web", load: { query: 'web{host="$host",vm=~"$members"}', capacity_per_member: 100 } },
    { match: "user:queue", min_clones: 1, load: { query: 'scalar(queue)', capacity_per_member: 50 } },
    { match: "user:late*", load: { query: 'late', capacity_per_member: 1 } },
    { match: ":pool", paused: true, load: { query: 'pool', capacity_per_member: 0.5 } },
    { match: "ops:*", enabled: false, load: { query: 'ops', capacity_per_member: 1 } },
    { match: "*" }]`;

type Answer = number | ((response: ServerResponse) => void);
const failure = (i: number): Answer => FAILURES[i % FAILURES.length]?.[2] ?? silence;

/** What `box user:web` is to do by that. */
const STEPS = [
  "web-clone-1 3",
  "web-clone-3 1",
  "web-clone-2 1",
  "web-clone-1 1",
  "web-clone-3 3",
  "web-clone-6 2",
];

/** What each query is answered at the nth evaluation, two a minute. */
const SCRIPT: Readonly<Record<string, (n: number) => Answer>> = {
  // grows, holds as large as it is and then as idle as it is, shrinks, grows again
  'web{host="box"': (n) => {
    if (n < 10) return 50;
    if (n < 26) return 250;
    if (n < 46) return failure(n - 26);
    if (n < 61) return 250;
    if (n < 70) return 60;
    if (n < 80) return failure(n - 70);
    return n < 101 ? 60 : 480;
  },
  'web{host="far"': (n) => (n >= 40 && n < 64 ? failure(0) : 40 + 65 * Math.abs(Math.sin(n / 9))),
  "scalar(queue)": (n) => {
    const value = n < 60 ? 20 : 140.25;
    return json(success({ resultType: "scalar", result: [Date.now() / 1000, String(value)] }));
  },
  late: (n) => (n % 4 === 0 ? 0 : 0.7),
  pool: (n) => (n < 70 ? 0.6 : 0.01),
};

/** A server that answers so, and how often each query was asked. */
async function prometheus() {
  const asked = new Map<string, number>();
  const unanswered = new Map<string, ServerResponse>();
  const url = await serve(async (request, response) => {
    let body = "";
    for await (const text of request.setEncoding("utf8")) body += text;
    const query = new URLSearchParams(body).get("query") ?? "";
    const [beginning = query, script = () => silence] =
      Object.entries(SCRIPT).find(([beginning]) => query.startsWith(beginning)) ?? [];
    const n = asked.get(beginning) ?? 0;
    asked.set(beginning, n + 1);
    // what was not answered in time is, when it is too late
    unanswered.get(beginning)?.end(JSON.stringify(success(vector("9999"))));
    unanswered.delete(beginning);
    const answer = script(n);
    if (answer === silence) unanswered.set(beginning, response);
    else if (typeof answer === "number") json(success(vector(String(answer))))(response);
    else answer(response);
  });
  return { url, asked };
}

interface Explained extends ToldDecision {
  readonly text: string;
  readonly load_query: {
    readonly outcome: string | null;
    readonly error: string | null;
    readonly scale_up_threshold: number | null;
  } | null;
  readonly policy: { readonly scale_up_threshold_percent: number };
}

/** The operator does on `box` what is asked for, an evaluation later. */
function follow(box: SimulatedHost, told: readonly Explained[]): void {
  for (const { host, path, decision, clone, step } of told) {
    if (host !== "box" || clone === null) continue;
    const [, before = "", id = ""] = /^(.*?)(\d+)$/.exec(clone) ?? [];
    for (let i = 0; decision === "scale_up" && i < (step ?? 0); i++)
      box.addVm({ name: `${path}:${before}${Number(id) + i}`, load: 20 });
    if (decision === "scale_down") box.removeVm(`${path}:${clone}`);
  }
}

test("a recorded hour with loads is replayed evaluation by evaluation", async () => {
  const lab = await Lab.make();
  const { url, asked } = await prometheus();
  const vms = ["user:web", "user:queue", "user:db", "ops:cron", ":pool"].map((name) => loadedVm(name, 60));
  const box = await lab.simulate("box", { vms });
  const far = await lab.simulate("far", {
    vms: ["user:web", "user:web-clone-1"].map((name) => loadedVm(name, 60)),
  });
  await lab.serve([{ name: "box" }, { name: "far" }], { scaler: SCALER(url) });

  const file = files.path("hour.ndjson.gz");
  const stop = new AbortController();
  const said: string[] = [];
  const report = (line: string) => void said.push(line);
  const stream = await openStream({ url: lab.url, host: null, signal: stop.signal });
  let ticks = 0;
  async function* lines() {
    for await (const some of stream) {
      yield some;
      ticks += some.split('"event":"tick"').length - 1;
    }
  }
  const output = await openTraceFile(file, { clock: lab.clock, report });
  const recording = recordTrace({
    ...{ lines: lines(), output, clock: lab.clock, durationMs: 3_600_000, progress: null, report },
  });

  const live: Explained[] = [];
  let before: readonly Explained[] = [];
  let looks = 0;
  for (let second = 2; second <= 3600; second += 2) {
    await lab.pass(2_000, 2_000);
    if (second === 700) box.setLoad("user:db", 190);
    if (second === 1500) box.restartVm("user:queue");
    if (second === 2300) box.setLoad("user:db", 10);
    if (second === 2600) await far.misbehave({ type: "stall", slot: null });
    if (second === 2690) await far.recover();
    // before a tick, and while its queries are under way
    if (second === 1000 || second === 2026) await lab.reload();
    if (second % 600 === 556) box.addVm({ name: `user:late${second}`, load: 50 });
    // the first samples come after ten seconds
    const due = Math.floor((second * 1_000 - 10_000) / POLL_MS);
    if (due <= looks) continue;
    looks = due;
    await eventually("the evaluation's line", () => ticks === due);
    follow(box, before);
    before = await explainedGroups(lab.url);
    live.push(...before);
  }
  const scrape = await lab.scrape();
  // nobody asks for what is disabled
  expect([...asked.keys()].sort()).toEqual(Object.keys(SCRIPT).sort());
  stop.abort();
  expect([await recording, said]).toEqual([0, [expect.stringMatching(/ samples, .* loads, /)]]);
  await output.close();

  const config = files.write("config.yaml", `scaler: { ${SCALER(url)} }\n`);
  const flags = { file: config, all: true, ticks: "trace" } as const;
  const told = await runJson({ ...flags, traces: [file] });
  expect([told.ticks, told.evaluations, live.length]).toEqual([120, 1029, 1029]);
  expectSame(live, told.decisions, TOLERANCE);
  for (const [index, { load_query: query, policy }] of live.entries()) {
    const { load = null, average_for_up_percent: average } = told.decisions[index] ?? {};
    expect(query?.outcome === "ok").toBe(load !== null);
    // the query's answer at which the average would be the threshold
    if (load !== null && average)
      expect(query?.scale_up_threshold).toBeCloseTo((load * policy.scale_up_threshold_percent) / average, 6);
  }

  const web = live.filter(({ host, path, group }) => `${host} ${path}:${group}` === "box user:web");
  const unknown = web.filter(({ load }) => load === null);
  const failures = [FAILURES, FAILURES, FAILURES].flat();
  expect(unknown.map(({ decision, reason, load_query }) => [decision, reason, load_query?.outcome])).toEqual(
    failures.map(([outcome]) => ["hold", "no_data", outcome]),
  );
  for (const [i, { text, load_query }] of unknown.entries()) {
    expect(load_query?.error).toMatch(failures[i]?.[1] ?? /^$/);
    expect(text).toBe(`Its load is not known: ${load_query?.error}. Nothing can be decided.`);
  }
  for (const [outcome] of FAILURES) {
    const labels = { host: "box", path: "user", group: "web", outcome };
    const count = scrape.value("albatross_scaler_load_queries_total", labels);
    expect([outcome, count]).toEqual([outcome, failures.filter(([one]) => one === outcome).length]);
  }
  // nobody but the load moved it: its CPU usage is 60 % and less all the time
  const steps = web
    .filter(({ decision }) => decision !== "hold")
    .map(({ clone, step }) => `${clone} ${step}`);
  expect(steps).toEqual(STEPS);

  const text = gunzipSync(readFileSync(file)).toString();
  const line = /^.*"host":"box","path":"user","group":"web","value":250}\n/m.exec(text)?.[0] ?? "";
  const name = { host: "box", path: "user", group: "web" };
  const event = {
    time: expect.stringMatching(/^2026-01-01T00:05:37\.\d{3}Z$/),
    event: "load",
    ...name,
    value: 250,
  };
  expect(JSON.parse(line)).toStrictEqual(event);
  const mutated = async (mutation: string) => {
    const { decisions } = await runJson({ ...flags, traces: ["-"] }, text.replace(line, mutation));
    expect(() => expectSame(live, decisions, TOLERANCE)).toThrow();
    return decisions.filter((one, i) => !isDeepStrictEqual(one, told.decisions[i]));
  };
  // what calls for no other decision shows all the same
  expect(await mutated(line.replace("250", "251"))).toMatchObject([{ host: "box", group: "web", load: 251 }]);
  expect((await mutated("")).length).toBeGreaterThan(1);

  const set = ["scale_down_threshold_percent=40", "scale_down_threshold_percent=20"];
  const whatIf = { ...flags, set, whatIf: { startDelayMs: 0, plot: null } };
  const played = await run({ ...whatIf, traces: [file] });
  const rows = JSON.parse(played.stdout).variants.map(({ rows }: { rows: Explained[] }) =>
    rows.find(({ host, path, group }) => `${host} ${path}:${group}` === "box user:web"),
  );
  expect([played.stderr, rows]).toMatchObject([
    "",
    [
      { actions: 6, most_clones: 5 },
      { actions: 3, most_clones: 5 },
    ],
  ]);
  const without = await run({ ...whatIf, traces: ["-"] }, text.replaceAll(/^.*"event":"load".*\n/gm, ""));
  expect(without.stderr).toMatch(/left out .*: box :pool, box user:queue, box user:web, far user:web, /);
});
