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
