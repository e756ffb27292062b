import { describe, expect, test } from "vitest";
import { loadSection, prometheusSection } from "../../src/config/promql.ts";
import type { ScalerConfig } from "../../src/config/scaler.ts";
import { Fleet } from "../../src/fleet/fleet.ts";
import { Rules } from "../../src/scaler/rules/tick.ts";
import type { GroupName, LoadAnswer } from "../../src/scaler/rules/types.ts";
import { FleetSource } from "../../src/scaler/sources/fleet.ts";
import { MAX_QUERIES, type PromqlOptions, PromqlSource } from "../../src/scaler/sources/promql.ts";
import { scalerConfig } from "../support/scalerConfig.ts";
import { World } from "../support/world.ts";
import { Disk, Process } from "./process.ts";

const prometheus = prometheusSection.schema.parse({ url: "http://prometheus:9090" });
const load = loadSection.schema.parse({
  query: 'q{a="$host$path:$group",m=~"$members"}',
  capacity_per_member: 100,
});
const settings = scalerConfig({ match: "user:*", load }, { prometheus });
/** Groups of `user` are asked for, those of `other` go by CPU usage. */
const config = {
  ...settings,
  policies: settings.policies.flatMap((policy) => [policy, { ...policy, match: "other:*", load: null }]),
};

interface Query {
  readonly text: string;
  readonly atS: number;
  readonly signal: AbortSignal;
  answer(load: number | LoadAnswer): Promise<void>;
}

/** A program with VMs, and a Prometheus that says what the test says. */
class Asking extends World {
  readonly queries: Query[] = [];
  most = 0;
  connections = 0;
  /** what it answers at once; null to wait for `answer` */
  answers: ((query: string) => number) | null = null;
  readonly process: Process;
  #open = 0;

  constructor(given: ScalerConfig = config) {
    super();
    const { clock: machine } = this;
    this.process = new Process({ machine, disk: new Disk(), config: given, connect: () => this.#connect() });
    this.feed({ record: (sample) => this.process.record(sample) });
  }

  why(group: string, path = "user") {
    const explanation = this.process.scaler.explain({ host: "h", path, group });
    return explanation && [explanation.time.slice(14, 19), explanation.reason, explanation.text];
  }

  get open(): readonly Query[] {
    return this.queries.filter(({ signal }) => !signal.aborted);
  }

  #connect(): ReturnType<PromqlOptions["connect"]> {
    this.connections++;
    return {
      close: () => void this.connections--,
      ask: (text, signal) =>
        new Promise((resolve) => {
          this.most = Math.max(this.most, ++this.#open);
          const done = (answer: LoadAnswer) => {
            this.#open--;
            resolve(answer);
          };
          const givenUp = () => done({ outcome: "timeout", text: "given up" });
          signal.addEventListener("abort", givenUp, { once: true });
          const answer = async (load: number | LoadAnswer) => {
            done(typeof load === "number" ? { outcome: "ok", value: load } : load);
            await new Promise((resolve) => setImmediate(resolve));
          };
          this.queries.push({ text, atS: this.clock.nowUs() / 1e6, signal, answer });
          if (this.answers !== null) void answer(this.answers(text));
        }),
    };
  }
}

describe("queries", () => {
  test("are asked as long before each tick as one may take, for each group with load that is scaled", async () => {
    const off = {
      ...(settings.policies[0] as (typeof settings.policies)[0]),
      match: "user:off",
      enabled: false,
    };
    const asking = new Asking({ ...config, policies: [off, ...config.policies] });
    for (const vm of ["user:web", "user:web-clone-2", "user:off", "other:web", "third:web"])
      asking.start(vm, 50);
    asking.answers = () => 95;
    await asking.passAndSettle(130);
    expect(asking.queries.map(({ text, atS }) => [text, atS])).toEqual([
      ['q{a="huser:web",m=~"web|web-clone-2"}', 60],
      ['q{a="huser:web",m=~"web|web-clone-2"}', 120],
    ]);
    expect(asking.why("web")).toEqual([
      "02:10",
      "normal",
      expect.stringContaining("load of 95 is between 80"),
    ]);
    expect(asking.why("off")?.[1]).toBe("disabled");
    expect(asking.connections).toBe(0);
  });

  test("have half of poll_interval at most, and more time than one takes only where they need it", async () => {
    const asking = new Asking({ ...config, prometheus: { ...prometheus, timeoutMs: 4_000 } });
    for (let i = 0; i < 3 * MAX_QUERIES; i++) asking.start(`user:web${i}`, 50);
    const askedAt = async (seconds: number) => {
      const known = asking.queries.length;
      await asking.passAndSettle(seconds);
      return asking.queries.slice(known).map(({ atS }) => atS);
    };
    // ticks are at 70 s, 130 s and so on; 20 at a time fail after 4 s each
    expect(new Set(await askedAt(70))).toEqual(new Set([66]));
    expect(new Set(await askedAt(60))).toEqual(new Set([118, 122, 126]));
    for (let i = 60; i < 400; i++) asking.start(`user:web${i}`, 50);
    await asking.passAndSettle(60);
    expect(Math.min(...(await askedAt(60)))).toBe(220);
    asking.answers = () => 50;
    await asking.passAndSettle(60);
    expect(new Set(await askedAt(60))).toEqual(new Set([366]));
  });

  test(`are ${MAX_QUERIES} at a time`, async () => {
    const asking = new Asking();
    for (let i = 0; i < 45; i++) asking.start(`user:web${i}`, 50);
    await asking.passAndSettle(65);
    expect(asking.open).toHaveLength(MAX_QUERIES);
    for (let i = 0; i < 45; i++) await asking.queries[i]?.answer(95);
    await asking.passAndSettle(10);
    expect([asking.queries.length, asking.most]).toEqual([45, MAX_QUERIES]);
    for (let i = 0; i < 45; i++) expect(asking.why(`web${i}`)?.[1]).toBe("pending_up");
  });

  test("are given up when the program ends", async () => {
    const asking = new Asking().start("user:web", 50);
    await asking.passAndSettle(65);
    asking.process.terminate();
    expect([asking.open.length, asking.connections]).toEqual([0, 0]);
  });
});

describe("a server that does not answer", () => {
  test("delays no tick and no group that does not ask it", async () => {
    const asking = new Asking().start("user:web", 95).start("other:web", 95);
    await asking.passAndSettle(70);
    expect(asking.why("web", "other")?.slice(0, 2)).toEqual(["01:10", "pending_up"]);
    expect(asking.why("web")).toEqual([
      "01:10",
      "no_data",
      "Its load is not known: no answer came in the 10s before the evaluation. Nothing can be decided.",
    ]);
    expect([asking.open.length, asking.connections]).toEqual([0, 0]);
  });

  test("is asked again for the next tick, and what it answers then holds", async () => {
    const asking = new Asking().start("user:web", 50);
    await asking.passAndSettle(125);
    const [late, next] = asking.queries;
    await late?.answer(1);
    await next?.answer(150);
    await asking.passAndSettle(5);
    expect(asking.why("web")?.[2]).toContain("load of 150, above 90");
  });

  test("is not waited for longer than the timeout", async () => {
    const asking = new Asking({ ...config, prometheus: { ...prometheus, timeoutMs: 2_000 } });
    for (let i = 0; i <= MAX_QUERIES; i++) asking.start(`user:web${i}`, 50);
    await asking.passAndSettle(130);
    expect(asking.why("web0")?.[2]).toContain("given up");
  });

  test("has said nothing of those that had no turn", async () => {
    const asking = new Asking();
    for (let i = 0; i <= MAX_QUERIES; i++) asking.start(`user:web${i}`, 50);
    await asking.passAndSettle(70);
    expect(asking.why(`web${MAX_QUERIES}`)?.[2]).toContain("no answer came in the 10s before the evaluation");
  });
});

test("an answer that is older than a poll_interval, as when the machine slept, is stale", async () => {
  const world = new World();
  const fleet = new Fleet({ clock: world.clock, deathTimeoutMs: 900_000 });
  world.feed(fleet).start("user:web", 50).pass(10);
  const told: unknown[] = [];
  const source = new PromqlSource({
    clock: world.clock,
    fleet: new FleetSource(fleet),
    config: () => config,
    connect: () => ({ ask: async () => ({ outcome: "ok", value: 95 }), close: () => undefined }),
    onLoad: ({ group }, value) => told.push([group, value]),
  });
  const rules = new Rules(config);
  const groupOf = (name: GroupName) => rules.groupOf(name);
  for (const seconds of [60, 60.5]) {
    source.prepare(groupOf);
    await new Promise((resolve) => setImmediate(resolve));
    world.pass(seconds);
    const now = { nowUs: world.clock.nowUs(), wallMs: world.clock.wallMs(), firstSampleUs: 0 };
    told.push((await source.observe({ ...now, groupOf }))[0]?.load);
  }
  const text = "the answer came 1m500ms before the evaluation";
  expect(told).toEqual([
    ["web", 95],
    { outcome: "ok", value: 95 },
    ["web", null],
    { outcome: "stale", text },
  ]);
});

test("what another query was answered before a reload is no load; with another capacity it is", async () => {
  const asking = new Asking().start("user:web", 50);
  asking.answers = () => 50;
  const reload = (given: object) => {
    const other = loadSection.schema.parse({ query: load.query.text, capacity_per_member: 100, ...given });
    asking.process.reconfigure(scalerConfig({ match: "user:*", load: other }, { prometheus }));
  };
  await asking.passAndSettle(65);
  reload({ capacity_per_member: 10 });
  await asking.passAndSettle(5);
  expect(asking.why("web")?.[2]).toContain("load of 50, above 9 ");
  await asking.passAndSettle(55);
  reload({ query: "seconds", capacity_per_member: 1 });
  await asking.passAndSettle(5);
  expect(asking.why("web")).toEqual([
    "02:10",
    "no_data",
    "Its load has not been asked for yet. Nothing can be decided.",
  ]);
  await asking.passAndSettle(60);
  expect(asking.queries.at(-1)?.text).toBe("seconds");
  expect(asking.why("web")?.[2]).toContain("load of 50, above 0.9 ");
});

test("what another server was asked before a reload counts for nothing; the same one is believed", async () => {
  const asking = new Asking().start("user:web", 50);
  asking.answers = () => 50;
  const reload = (given: object) =>
    asking.process.reconfigure({ ...config, prometheus: { ...prometheus, ...given } });
  await asking.passAndSettle(65);
  reload({});
  await asking.passAndSettle(5);
  expect(asking.why("web")?.[2]).toContain("load of 50");
  await asking.passAndSettle(55);
  reload({ url: "http://other:9090" });
  await asking.passAndSettle(5);
  expect(asking.why("web")?.[2]).toBe("Its load has not been asked for yet. Nothing can be decided.");
  await asking.passAndSettle(60);
  expect(asking.why("web")?.[2]).toContain("load of 50");
});

test("a load that a reload brings is asked for before the next tick, and once", async () => {
  const asking = new Asking(scalerConfig({ match: "user:*" })).start("user:web", 50);
  asking.answers = () => 95;
  await asking.passAndSettle(100);
  asking.process.reconfigure(config);
  await asking.passAndSettle(25);
  // while its answer is there already
  asking.process.reconfigure(config);
  await asking.passAndSettle(5);
  expect(asking.queries.map(({ atS }) => atS)).toEqual([120]);
  expect(asking.why("web")?.[2]).toContain("load of 95, above 90");
});

test("a group that came since is told to have not been asked for", async () => {
  const asking = new Asking().start("user:web", 50);
  asking.answers = () => 50;
  await asking.passAndSettle(65);
  asking.start("user:new", 50).sample("user:new");
  await asking.passAndSettle(5);
  expect(asking.why("new")?.[2]).toBe("Its load has not been asked for yet. Nothing can be decided.");
});
