import { afterEach, describe, expect, test } from "vitest";
import type { RecentDecision, RecentQuery } from "../../src/scaler/report/log.ts";
import { ask, type RunningWeb, SCALER, startWeb } from "../support/web.ts";

let web: RunningWeb;

afterEach(() => web.stop());

/** What is asked of the scaler with this query string, and what is answered. */
async function asked(query: string) {
  const queries: RecentQuery[] = [];
  const decisions = (wanted: RecentQuery) => {
    queries.push(wanted);
    return [{ group: "web", decision: "hold" } as RecentDecision];
  };
  web = await startWeb({ scaler: { ...SCALER, decisions } });
  const { status, headers, body } = await ask(`${web.url}/api/v1/decisions${query}`);
  expect(headers["content-type"]).toBe("application/json; charset=utf-8");
  return { status, body: JSON.parse(body.toString()), queries };
}

describe("/api/v1/decisions", () => {
  test.each<[query: string, wanted: RecentQuery]>([
    ["", { limit: 100 }],
    ["?limit=1", { limit: 1 }],
    ["?limit=10000", { limit: 10_000 }],
    ["?group=web", { limit: 100, group: "web" }],
    ["?group=User:Web&limit=5", { limit: 5, group: "user:web" }],
    ["?decision=scale_up", { limit: 100, decision: "scale_up" }],
    ["?reason=paused&decision=hold", { limit: 100, decision: "hold", reason: "paused" }],
    ["?group=%3Aweb&host=a%20b", { limit: 100, group: ":web", host: "a b" }],
  ])("%s", async (query, wanted) => {
    const { status, body, queries } = await asked(query);
    expect(queries).toEqual([wanted]);
    expect([status, body]).toEqual([200, { status: "success", data: [{ group: "web", decision: "hold" }] }]);
  });

  test.each([
    ["?limit=0", 'limit "0": a whole number from 1 to 10000 is allowed'],
    ["?limit=10001", 'limit "10001": a whole number from 1 to 10000 is allowed'],
    ["?limit=-1", 'limit "-1"'],
    ["?limit=1e3", 'limit "1e3"'],
    ["?limit=1.5", 'limit "1.5"'],
    ["?limit=", 'limit ""'],
    ["?limit=ten", 'limit "ten"'],
    ["?limit=1&limit=2", 'limit ["1","2"]'],
    ["?limit=99999999999999999999", 'limit "99999999999999999999"'],
    ["?group=", 'group "": one name is allowed, such as web or user:web'],
    ["?group=a&group=b", 'group ["a","b"]'],
    ["?host=", 'host "": the name of one target is allowed'],
    ["?host=a&host=b", 'host ["a","b"]'],
    ["?decision=up", 'decision "up": one of scale_up, scale_down, hold is allowed'],
    ["?decision=", 'decision "": one of'],
    ["?decision=hold&decision=hold", 'decision ["hold","hold"]'],
    ["?reason=busy", 'reason "busy": one of overloaded, below_min, underloaded, above_max, no_policy, '],
    ["?reason=constructor", "pending_up, pending_down, normal is allowed"],
  ])("%s is refused", async (query, message) => {
    const { status, body, queries } = await asked(query);
    expect(queries).toEqual([]);
    expect(status).toBe(400);
    expect(body).toEqual({ status: "error", errorType: "bad_data", error: expect.stringContaining(message) });
  });
});

describe("the front page says of the scaler", () => {
  const poll = { mode: "dry_run", pollIntervalMs: 60_000 };

  test.each([
    ["nothing yet", { ...poll, groups: 0, lastTickMs: null }, "No group has been evaluated yet."],
    [
      "that nothing is scaled",
      { ...poll, groups: 0, lastTickMs: Date.parse("2025-12-31T23:59:48Z") },
      "No policy matches any group; they were last looked at 12 s ago.",
    ],
    [
      "what it does with one group",
      { ...poll, groups: 1, lastTickMs: Date.parse("2025-12-31T23:59:48Z") },
      "One group is evaluated every 60 s, last 12 s ago. Dry run: decisions are counted and logged, not carried out.",
    ],
    [
      "what it does with many",
      { ...poll, groups: 12, lastTickMs: Date.parse("2026-01-01T00:00:00Z") },
      "12 groups are evaluated every 60 s, last 0 s ago.",
    ],
  ])("%s", async (_, summary, words) => {
    web = await startWeb({ scaler: { ...SCALER, summary: () => summary } });
    const page = (await ask(`${web.url}/`)).body.toString();
    expect(page).toContain(words);
    expect(page).toContain('<a href="/api/v1/decisions">');
  });

  test("which scale decisions were the last, of either direction, in words", async () => {
    const at = (second: number, decision: "scale_up" | "scale_down") => ({
      ...{ host: "h", path: "user", group: "web", decision, text: `Why <${decision}> at ${second}.` },
      time: `2025-12-31T23:59:${second}.000Z`,
    });
    const taken = [
      ...Array.from({ length: 9 }, (_, i) => at(58 - 2 * i, "scale_up")),
      ...Array.from({ length: 9 }, (_, i) => at(59 - 2 * i, "scale_down")),
    ];
    const decisions = ({ limit, decision }: RecentQuery) =>
      taken.filter((one) => one.decision === decision).slice(0, limit) as unknown as RecentDecision[];
    web = await startWeb({ scaler: { ...SCALER, decisions } });
    const page = (await ask(`${web.url}/`)).body.toString();
    const told = [...page.matchAll(/Why &lt;(\w+)&gt; at (\d+)/g)].map(
      ([, decision, second]) => `${decision} ${second}`,
    );
    const newest = Array.from(
      { length: 10 },
      (_, i) => `${i % 2 === 0 ? "scale_down" : "scale_up"} ${59 - i}`,
    );
    expect(told).toEqual(newest);
    expect(page).toContain("<code>h user:web</code>");
    expect(page).toContain("1 s ago");
  });

  test("of no decision while there was none", async () => {
    web = await startWeb();
    expect((await ask(`${web.url}/`)).body.toString()).not.toContain("Last scale decisions");
  });
});
