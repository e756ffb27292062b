import { afterEach, describe, expect, test, vi } from "vitest";
import { yieldToEventLoop } from "../../src/clock.ts";
import { configToYaml } from "../../src/config/load.ts";
import type { FleetSnapshot, Group } from "../../src/fleet/types.ts";
import { groupsJson, jsonPieces, targetsJson, vmsJson } from "../../src/web/api.ts";
import { DISTINCT_KINFO, record, snapshot, stats } from "../exporter/records.ts";
import { collect } from "../support/collect.ts";
import { eventually } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { ask, open, type RunningWeb, SCALER, startWeb, targetSnapshot, webConfig } from "../support/web.ts";

let web: RunningWeb;

const huge = record("local", "", "web", {
  stats: stats({ kinfoMem: { ...DISTINCT_KINFO, rss: 2n ** 51n } }),
});
const fleet = snapshot({ vms: [huge, record("local", "", "db")] });

/** A fleet whose groups are made one by one. */
function groupsAsTheyCome(groups: () => Generator<Partial<Group>>): FleetSnapshot {
  return { ...snapshot({}), groups: groups as () => Iterable<Partial<Group>> as () => readonly Group[] };
}

describe("the API", () => {
  afterEach(() => web.stop());

  test.each([
    { route: "targets", data: targetsJson([targetSnapshot()]) },
    {
      route: "vms",
      data: [
        { ...[...vmsJson(fleet, webConfig())][0], memory_resident_bytes: "9223372036854775808" },
        [...vmsJson(fleet, webConfig())][1],
      ],
    },
    { route: "groups", data: [...groupsJson(fleet, SCALER)] },
    {
      route: "status/config",
      data: {
        yaml: configToYaml(webConfig()),
        last_reload: { successful: true, time: "1970-01-01T00:00:00.000Z", problems: [] },
      },
    },
    { route: "status/buildinfo", data: { version: "1.2.3", revision: "abc", nodeVersion: process.version } },
  ])("answers /api/v1/$route as Prometheus does", async ({ route, data }) => {
    web = await startWeb({
      targets: () => [targetSnapshot()],
      snapshot: () => fleet,
      build: { version: "1.2.3", revision: "abc" },
    });
    const { status, headers, body } = await ask(`${web.url}/api/v1/${route}`);
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(headers["cache-control"]).toBe("no-store");
    expect(JSON.parse(body.toString())).toEqual({ status: "success", data });
    const head = await ask(`${web.url}/api/v1/${route}`, { method: "HEAD" });
    expect(head.status).toBe(200);
    expect(head.headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(head.body.length).toBe(0);
  });

  test("answers with an empty list where there is nothing", async () => {
    web = await startWeb();
    const { body } = await ask(`${web.url}/api/v1/vms`);
    expect(JSON.parse(body.toString())).toEqual({ status: "success", data: [] });
  });

  test.each(["/api", "/api/", "/api/v1", "/api/v1/nothing", "/api/v2/vms", "/api/v1/vms/"])(
    "answers %s with a JSON error",
    async (path) => {
      web = await startWeb();
      const { status, headers, body } = await ask(`${web.url}${path}`, { headers: { Accept: "text/html" } });
      expect(status).toBe(404);
      expect(headers["content-type"]).toBe("application/json; charset=utf-8");
      expect(JSON.parse(body.toString())).toEqual({
        status: "error",
        errorType: "not_found",
        error: `there is no ${path}`,
      });
    },
  );

  test("answers a failure of its provider with a JSON error, and logs it", async () => {
    web = await startWeb({
      snapshot: () => {
        throw new Error("no snapshot");
      },
    });
    const { status, body } = await ask(`${web.url}/api/v1/groups`);
    expect(status).toBe(500);
    expect(JSON.parse(body.toString())).toMatchObject({ status: "error", errorType: "internal" });
    expect(web.log.join("")).toContain("no snapshot");
  });

  test("cuts a list whose provider fails in the middle, and logs it", async () => {
    web = await startWeb({
      snapshot: () =>
        groupsAsTheyCome(function* () {
          for (let i = 0; i < 20_000; i++) yield { group: `web-${i}`, members: [] };
          throw new Error("the record is gone");
        }),
    });
    await expect(ask(`${web.url}/api/v1/groups`)).rejects.toThrow("aborted");
    await eventually("the failure was logged", () => web.log.join("").includes("the record is gone"));
  });

  test("makes no more of a list once its client is gone", async () => {
    let made = 0;
    web = await startWeb({
      snapshot: () =>
        groupsAsTheyCome(function* () {
          for (; made < 1_000_000; made++) yield { group: `web-${made}`, members: [] };
        }),
    });
    const response = await open(`${web.url}/api/v1/groups`);
    response.once("error", () => {});
    response.destroy();
    await eventually("the delivery ended", () => web.clock.pendingTimers === 0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(made).toBeLessThan(1_000_000);
  });
});

describe("a long list", () => {
  const signal = new AbortController().signal;

  test("comes in pieces of bounded size, each a turn of the event loop", async () => {
    const yieldTurn = vi.fn(yieldToEventLoop);
    const items = Array.from({ length: 10_000 }, (_, i) => ({ vm: `web-clone-${i}`, path: "größe" }));
    const pieces = await collect(jsonPieces(items, { yieldTurn, signal, clock: new FakeClock() }));
    expect(JSON.parse(Buffer.concat(pieces).toString())).toEqual({ status: "success", data: items });
    expect(pieces.length).toBeGreaterThan(5);
    expect(yieldTurn).toHaveBeenCalledTimes(pieces.length);
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(100_000);
  });

  test("gives way by time where items take long to make", async () => {
    const yieldTurn = vi.fn(yieldToEventLoop);
    const clock = new FakeClock();
    function* slow() {
      for (let i = 0; i < 640; i++) {
        clock.advance(1);
        yield i;
      }
    }
    await collect(jsonPieces(slow(), { yieldTurn, signal, clock }));
    expect(yieldTurn).toHaveBeenCalledTimes(1 + 640 / 5);
  });
});
