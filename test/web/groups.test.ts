import { afterEach, describe, expect, test } from "vitest";
import { loadSection } from "../../src/config/promql.ts";
import type { ActionJson } from "../../src/scaler/actions/record.ts";
import { History } from "../../src/scaler/report/history.ts";
import { explain } from "../../src/scaler/report/json.ts";
import type { RecentDecision, RecentQuery } from "../../src/scaler/report/log.ts";
import { type Evaluation, groupKey, type LoadAnswer } from "../../src/scaler/rules/types.ts";
import type { WebDeps } from "../../src/web/app.ts";
import { record, SOLO5_INFO, snapshot } from "../exporter/records.ts";
import { MINUTE, outstanding, run } from "../scaler/rules.ts";
import { ask, type RunningWeb, readable, SCALER, startWeb } from "../support/web.ts";

let web: RunningWeb;

afterEach(() => web?.stop());

const NOW_MS = 60 * MINUTE;

/** A scaler whose last tick, now, made these evaluations. */
function scalerOf(evaluations: readonly Evaluation[], history = new History()): WebDeps["scaler"] {
  const tick = { nowMs: NOW_MS, wallMs: Date.parse("2026-01-01T00:00:00Z"), mode: "dry_run" };
  history.add(evaluations, NOW_MS);
  const byKey = new Map(evaluations.map((one) => [one.observation.key, one]));
  return {
    ...SCALER,
    evaluations,
    explain: (name) => {
      const evaluation = byKey.get(groupKey(name));
      return evaluation ? { ...explain(evaluation, tick, NOW_MS), actions: [] } : null;
    },
    history: (name) => history.of(groupKey(name), NOW_MS),
    summary: () => ({
      mode: "dry_run",
      pollIntervalMs: MINUTE,
      groups: evaluations.filter(({ policy }) => policy !== null).length,
      lastTickMs: tick.wallMs,
      isOff: false,
    }),
  };
}

type Given = Parameters<typeof run>[0];

/** `web` in a state that the case says, under another name. */
function group(name: string, given: Given): Evaluation {
  const path = given.facts?.path ?? "user";
  const names = { group: name, key: groupKey({ host: "h", path, group: name }) };
  return run({ ...given, facts: { ...names, ...given.facts } }).evaluation;
}

async function frontPage(scaler: WebDeps["scaler"], query = ""): Promise<string> {
  web = await startWeb({ scaler });
  return (await ask(`${web.url}/${query}`)).body.toString();
}

/** The groups that a page lists, in its order. */
function listed(page: string): string[] {
  return [...page.matchAll(/<li class="card group" id="[^"]*">\n<div><h3><a href="[^"]+">([^<]+)/g)].map(
    ([, name]) => name ?? "",
  );
}

const BUSY = { highTicks: 2 };

describe("groups on the front page", () => {
  test("stand in order of what is wrong, what is being done, what holds, what is well, what is left alone", async () => {
    const page = await frontPage(
      scalerOf([
        group("alone", { members: { 0: 50 }, policy: null }),
        group("well", { members: { 0: 50 } }),
        group("cooling", { members: { 0: 95 }, state: { lastActionMs: 59 * MINUTE } }),
        group("acting", { members: { 0: 95 }, state: BUSY }),
        group("full", { members: { 0: 95, 1: 95 }, policy: { maxClones: 1 }, state: BUSY }),
      ]),
    );
    expect(listed(page)).toEqual(["user:full", "user:acting", "user:cooling", "user:well", "user:alone"]);
  });

  test("tell the average, clones against their bounds, the state and the sentence why", async () => {
    const page = await frontPage(
      scalerOf([group("web", { members: { 0: 95, 1: 97 }, policy: { maxClones: 1 }, state: BUSY })]),
    );
    const text = readable(page);
    expect(text).toContain(
      "user:web on h 96 % CPU 1 clone 0 to 1 allowed busy at max_clones Too busy (an average of 96 %, above 90 %), but it has 1 clone and max_clones is 1.",
    );
    expect(text).toContain(
      "One thing needs somebody user:web on h: busy at max_clones Too busy (an average of 96 %, above 90 %), but it has 1 clone and max_clones is 1. What to do: Raise max_clones",
    );
  });

  test("tell a load from PromQL in its own unit, and what to do where it is not known", async () => {
    const load = loadSection.schema.parse({ query: "q", capacity_per_member: 200 });
    const answered = (answer: LoadAnswer, name: string) =>
      group(name, { members: { 0: 5, 1: 5 }, policy: { load }, facts: { load: answer } });
    const page = await frontPage(
      scalerOf([
        answered({ outcome: "ok", value: 372.123_45 }, "web"),
        answered({ outcome: "timeout", text: "no answer within 10s" }, "db"),
        group("lost", {
          ...{ members: { 0: "silent" }, policy: { load }, facts: { load: { outcome: "ok", value: 3 } } },
        }),
      ]),
    );
    const text = readable(page);
    expect(text).toContain("user:web on h 372.1 of 400 that its members can take 1 clone");
    expect(page).toContain(
      'aria-label="Load of the last 60 s: now 372.1, before 372.1 to 372.1; thresholds 160 and 360"',
    );
    expect(text).toContain(
      "user:db on h – of 400 that its members can take 1 clone 0 to 3 allowed load not known",
    );
    expect(text).toContain("What to do: Put right why");
    expect(text).toContain("no data No member is measured: lost (silent). Nothing can be decided.");
    const own = (await ask(`${web.url}/groups/h/user:web`)).body.toString();
    expect(readable(own)).toContain("372.1 of 400 that its members can take");
    expect(own).toContain("above 360: scale up");
    expect(own).toContain("below 160: scale down");
  });

  test("draw a load from PromQL in its own unit, with thresholds that rise with the members", async () => {
    const load = loadSection.schema.parse({ query: "q", capacity_per_member: 200 });
    const history = new History();
    const at = (minute: number, members: Given["members"], value: number) => {
      const one = group("web", { members, policy: { load }, facts: { load: { outcome: "ok", value } } });
      history.add([one], minute * MINUTE);
      return one;
    };
    at(58, { 0: 5 }, 100);
    at(59, { 0: 5 }, 210);
    const page = await frontPage(scalerOf([at(60, { 0: 5, 1: 5 }, 200)], history));
    expect(page).toContain(
      'aria-label="Load of the last 2 min: now 200, before 100 to 210; thresholds 160 and 360"',
    );
    // 105 % of 400 is the upper edge
    expect(page).toContain('<path class="measured" d="M0 30.5h0L60 20L120 21"/>');
    expect(page).toContain('<path class="limit up" d="M0 22.9H120V5.7H120"/>');
    expect(page).toContain('<path class="below" d="M0 40V32.4H120V24.8H120V40Z"/>');
    const own = readable((await ask(`${web.url}/groups/h/user:web`)).body.toString());
    expect(own).toContain(
      "Load 200 Threshold for scaling up 360 (90 %) Threshold for scaling down 160 (40 %) Last answer of its query ok",
    );
  });

  test("keep the names of the thresholds within the chart, however large the load", async () => {
    const load = loadSection.schema.parse({ query: "q", capacity_per_member: 200 });
    const known = { load: { outcome: "ok", value: 20_000 } } as const;
    const over = group("web", { members: { 0: 5 }, policy: { load, maxClones: 0 }, facts: known });
    await frontPage(scalerOf([over]));
    const own = (await ask(`${web.url}/groups/h/user:web`)).body.toString();
    const places = [...own.matchAll(/y="([\d.]+)%" dy="(-?\d+)"/g)].map((match) => match.slice(1));
    expect(places).toEqual([
      ["99.1", "-5"],
      ["90.0", "15"],
    ]);
  });

  test("keep each figure and its unit on one line, but for what somebody has written", async () => {
    const scaler = scalerOf([group("web", { members: { 0: 95 } }), group("db", { members: { 0: 50 } })]);
    const page = await frontPage(scaler, "?group=5+%25");
    expect(page).toContain("evaluated every 60\u00a0s, last <time");
    expect(page).toContain('value="5 %"');
    const own = (await ask(`${web.url}/groups/h/user:web`)).body.toString();
    expect(own).toContain("Busy (an average of 95\u00a0%, above 90\u00a0%): evaluation 1 of the 3");
  });

  test("say what is to be created in dry run, as long as nobody has", async () => {
    const state = { outstanding: outstanding("scale_up overloaded", 1), lastActionMs: 59 * MINUTE };
    const text = readable(await frontPage(scalerOf([group("web", { members: { 0: 95 }, state })])));
    expect(text).toContain("user:web on h: create web-clone-1");
    expect(text).toContain("What to do: Create web-clone-1 on h by hand");
  });

  test("are not complained of one by one where their host is down", async () => {
    const down = { members: { 0: "missing" }, facts: { hostLive: false } } as const;
    const text = readable(await frontPage(scalerOf([group("a", down), group("b", down)])));
    expect(text).toContain("Nothing needs you");
    expect(text).toContain("no data No statistics arrive from its host");
  });

  test("have the line of the last hour between their thresholds, in words as well", async () => {
    const history = new History();
    for (const [minute, percent] of [20, 95, 60].entries()) {
      history.add([group("web", { members: { 0: percent } })], (57 + minute) * MINUTE);
    }
    const page = await frontPage(scalerOf([group("web", { members: { 0: 50 } })], history));
    expect(page).toContain(
      'aria-label="Average of the last 3 min: now 50 %, before 20 % to 95 %; thresholds 40 % and 90 %"',
    );
    // 105 % is the upper edge
    expect(page).toContain('<path class="measured" d="M0 32.4h0L40 3.8L80 17.1L120 21"/>');
    expect(page).toContain('<path class="limit up" d="M0 5.7H120"/>');
  });
});

describe("what was carried out", () => {
  const NAME = { host: "h", path: "user", group: "web" };
  const decided = { ...NAME, decision: "scale_up", reason: "overloaded", clones: 0, text: "Why." };
  const decisions = () => [{ ...decided, time: "2025-12-31T23:59:00.000Z" }] as unknown as RecentDecision[];
  const action = (change: object) =>
    ({
      ...{ ...NAME, operation: "create", clone: "web-clone-1", phase: "verified", outcome: "verified" },
      ...{ reason: null, text: "", decision_time: "2025-12-31T23:59:00.001Z", ...change },
    }) as unknown as ActionJson;
  const actions = () => [
    action({ clone: "web-clone-2", phase: "failed", outcome: "failed", reason: "quota", text: "no <more>" }),
    action({}),
    action({ clone: "of-another-group", group: "api" }),
    action({ clone: "of-another-decision", decision_time: "2025-12-31T23:58:00.000Z" }),
  ];

  test.each(["/", "/groups/h/user:web"])("stands under its decision on %s, in order", async (path) => {
    const scaler = { ...scalerOf([group("web", { members: { 0: 50 } })]), decisions, actions };
    web = await startWeb({ scaler });
    const text = readable((await ask(web.url + path)).body.toString());
    expect(text).toContain("Why. verified create web-clone-1 failed create web-clone-2 (quota): no <more>");
    expect(text).not.toContain("of-another");
  });

  test("is nothing that somebody has to do, while it goes on", async () => {
    const state = { outstanding: outstanding("scale_up overloaded", 1), lastActionMs: 59 * MINUTE };
    const acting = group("web", { members: { 0: 95 }, policy: { mode: "execute" }, state });
    const text = readable(await frontPage(scalerOf([acting])));
    expect(text).toContain("Nothing needs you");
    expect(text).toContain("0 to 3 allowed creating web-clone-1");
    expect(text).toContain(
      "1 group under policies, evaluated every 60 s, last 0 s ago. Decisions about all of them are carried out.",
    );
  });
});

describe("of many groups", () => {
  const many = Array.from({ length: 250 }, (_, i) => group(`web${i}`, { members: { 0: 50 } }));

  test.each([
    ["", 100, "user:web0", "Page 1 of 3"],
    ["?page=2", 100, "user:web100", "Page 2 of 3"],
    ["?page=3", 50, "user:web200", "Page 3 of 3"],
    ["?page=4", 50, "user:web200", "Page 3 of 3"],
    ["?page=0", 100, "user:web0", "Page 1 of 3"],
    ["?page=-1&page=2", 100, "user:web0", "Page 1 of 3"],
    ["?group=WEB24", 11, "user:web24", "11 groups of 250 with WEB24 in the name."],
    ["?group=user%3Aweb1&page=2", 11, "user:web189", "Page 2 of 2"],
    ["?group=%3Cb%3E", 0, undefined, "0 groups of 250 with <b> in the name."],
  ])("%s shows %i, %s first", async (query, count, first, words) => {
    const page = await frontPage(scalerOf(many), query);
    const names = listed(page);
    expect([names.length, names[0]]).toEqual([count, first]);
    expect(readable(page)).toContain(words);
  });

  test("with long names and an hour of points each, a page is under 300 KB", async () => {
    const members = (minute: number) => ({ 0: minute % 4 < 2 ? 91.234 : 12.345 });
    const long = (minute: number) =>
      Array.from({ length: 100 }, (_, i) =>
        group(`${"long-name-".repeat(6)}${i}`, {
          members: members(minute),
          facts: { path: "user:some:where" },
        }),
      );
    const history = new History();
    for (let point = 0; point < 240; point++) history.add(long(point), point * 15_000);
    const page = await frontPage(scalerOf(long(0), history));
    expect(page.match(/class="measured" d="[^"]{500}/g)).toHaveLength(100);
    expect(Buffer.byteLength(page)).toBeLessThan(300_000);
  });

  test("beyond 1,000 it says how many have no line", async () => {
    const most = Array.from({ length: 1_003 }, (_, i) => group(`web${i}`, { members: { 0: 50 } }));
    const page = await frontPage(scalerOf(most), "?page=11");
    expect(readable(page)).toContain("Lines are kept for 1,000 groups; 3 groups more have none.");
    expect(readable(page)).toContain("user:web1002 on h no line kept 50 % CPU");
  });

  test("a page leads to the next and the one before, and keeps what was looked for", async () => {
    const page = await frontPage(scalerOf(many), "?group=web&page=2");
    for (const number of [1, 3]) expect(page).toContain(`href="./?group=web&amp;page=${number}"`);
  });
});

/** A fleet of what `MEMBERS` says. */
const snapshotOfWeb = snapshot({
  vms: [
    record("h", "user", "web", { usagePercent: 95, info: { ...SOLO5_INFO, cpus: 2 } }),
    record("h", "user", "web-clone-1", { usagePercent: 97 }),
  ],
});

describe("the page of a group", () => {
  const MEMBERS = { 0: 95, 1: 97 };
  const busyGroup = () => group("web", { members: MEMBERS, policy: { maxClones: 1 }, state: BUSY });

  async function groupAt(path: string, deps: Partial<WebDeps> = {}) {
    const scaler = { ...scalerOf([busyGroup()]), ...deps.scaler };
    web = await startWeb({ snapshot: () => snapshotOfWeb, ...deps, scaler });
    const { status, body } = await ask(`${web.url}${path}`, { headers: { Accept: "text/html" } });
    return { status, page: body.toString(), text: readable(body.toString()) };
  }

  test("tells its state and why, what to do, its members and their CPU, and its policy", async () => {
    const { status, page, text } = await groupAt("/groups/h/user:web");
    expect(status).toBe(200);
    expect(page).toContain("<title>user:web on h · albatross-exporter</title>");
    for (const words of [
      "user:web on h busy at max_clones Too busy (an average of 96 %, above 90 %), but it has 1 clone and max_clones is 1.",
      "What to do: Raise max_clones",
      "96 % CPU on average 1 clone of 0 to 1",
      "2 members VM Role State",
      "web primary fresh 95 % 95 % 2 (cpuid 0, 2) 0 0 s ago web-clone-1 clone fresh 97 % 97 % – 0 0 s ago",
      "Evaluations above, in a row 3 of 3",
      "scale_up_threshold_percent 90 ",
      "clone.max_image_bytes 64MiB",
    ])
      expect(text).toContain(words);
  });

  test("draws the line with its thresholds and marks what was decided, with the last 50 decisions", async () => {
    const at = (secondsAgo: number, decision: string) => ({
      ...{ host: "h", path: "user", group: "web", decision, reason: "overloaded", clones: 1 },
      time: new Date(Date.parse("2026-01-01T00:00:00Z") - secondsAgo * 1000).toISOString(),
      text: `Why <${decision}>.`,
    });
    const asked: RecentQuery[] = [];
    const decisions = (query: RecentQuery) => {
      asked.push(query);
      return [at(15, "scale_up"), at(30, "hold"), at(90, "scale_down")] as unknown as RecentDecision[];
    };
    const { page, text } = await groupAt("/groups/h/user:web", {
      scaler: { decisions } as unknown as WebDeps["scaler"],
    });
    expect(asked).toContainEqual({ limit: 50, host: "h", group: "user:web" });
    // a minute is the least that a line shows
    expect(
      [...page.matchAll(/x="([^"]+)" y="12"[^>]*>(.)<title>(.*?)<.title>/g)].map((m) => m.slice(1)),
    ).toEqual([["75.0%", "▲", "Why &lt;scale_up&gt;."]]);
    expect(text).toContain("15 s ago scale up overloaded 1 Why <scale_up>.");
    expect(text).toContain("30 s ago hold overloaded 1 Why <hold>.");
  });

  test.each([
    "/groups/h/user:nobody",
    "/groups/elsewhere/user:web",
    "/groups/h/web",
    "/groups/h/%3Cb%3E",
    "/groups/h/:",
  ])("%s is not found, and says so with a way back", async (path) => {
    const { status, page, text } = await groupAt(path);
    expect(status).toBe(404);
    expect(text).toContain("There is nothing here");
    expect(page).toContain('<a href="../../">');
    expect(page).not.toContain("<b>");
  });

  test("is there before the first evaluation, and says so", async () => {
    const { status, text } = await groupAt("/groups/h/user:web", {
      scaler: { evaluations: [], explain: () => null } as unknown as WebDeps["scaler"],
    });
    expect([status, text]).toEqual([200, expect.stringContaining("not evaluated yet")]);
    expect(text).toContain("web primary fresh 95 %");
  });

  test("is there for what was decided when no member is alive any more", async () => {
    const last = {
      time: "2025-12-31T23:59:00.000Z",
      decision: "hold",
      reason: "normal",
      clones: 0,
      text: "Why.",
    };
    const { status, text } = await groupAt("/groups/h/user:web", {
      snapshot: () => snapshot({}),
      scaler: { evaluations: [], decisions: () => [last] } as unknown as WebDeps["scaler"],
    });
    expect([status, text]).toEqual([200, expect.stringContaining("gone No member of it is alive.")]);
    expect(text).toContain("60 s ago hold normal 0 Why.");
  });
});
