import { afterEach, describe, expect, test } from "vitest";
import type { ActionJson } from "../../src/scaler/actions/record.ts";
import { ask, type RunningWeb, SCALER, startWeb } from "../support/web.ts";

let web: RunningWeb;

afterEach(() => web.stop());

async function asked(query: string) {
  const limits: number[] = [];
  const actions = ({ limit }: { readonly limit: number }) => {
    limits.push(limit);
    return [{ clone: "web-clone-1", phase: "sent" } as ActionJson];
  };
  web = await startWeb({ scaler: { ...SCALER, actions } });
  const { status, body } = await ask(`${web.url}/api/v1/actions${query}`);
  return { status, body: JSON.parse(body.toString()), limits };
}

describe("/api/v1/actions", () => {
  test.each([
    ["", 100],
    ["?limit=1", 1],
    ["?limit=1000", 1_000],
  ])("%s asks for at most %d", async (query, limit) => {
    const { status, body, limits } = await asked(query);
    expect(limits).toEqual([limit]);
    const data = [{ clone: "web-clone-1", phase: "sent" }];
    expect([status, body]).toEqual([200, { status: "success", data }]);
  });

  test.each([
    ["?limit=0", 'limit "0": a whole number from 1 to 1000 is allowed'],
    ["?limit=1001", 'limit "1001"'],
    ["?limit=ten", 'limit "ten"'],
    ["?group=web", 'unknown query parameter "group": known here: limit'],
  ])("%s is refused", async (query, message) => {
    const { status, body, limits } = await asked(query);
    expect(limits).toEqual([]);
    expect(status).toBe(400);
    expect(body).toMatchObject({ errorType: "bad_data", error: expect.stringContaining(message) });
  });
});
