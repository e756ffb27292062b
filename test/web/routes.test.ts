import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { Broadcast } from "../../src/trace/broadcast.ts";
import type { TraceMessage } from "../../src/trace/lines.ts";
import { createApp } from "../../src/web/app.ts";
import { ROUTE_LABELS, ROUTES } from "../../src/web/routes.ts";
import { eventually } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { ask, type RunningWeb, startWeb, webConfig, webDeps } from "../support/web.ts";

/** Asks a server whose connections let nothing out, as if their client's window were full. */
async function askWhereNothingIsTaken(path: string, headers = "") {
  const clock = new FakeClock();
  const stream = new Broadcast<TraceMessage>(() => [{ message: "a line" }]);
  const { deps, cut, log } = webDeps({ clock, stream });
  const server = createServer(createApp(deps));
  server.on("connection", (socket) => Object.assign(socket, { _write() {}, _writev() {} }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
  onTestFinished(() => {
    socket.destroy();
    server.close();
  });
  const closed = once(socket.resume(), "close");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n${headers}\r\n`);
  await eventually("the request arrived", () => clock.pendingTimers === 1);
  return { clock, cut, log, closed };
}

const STUCK = [
  ...["/", "/metrics", "/nothing/here", "/api/v2", "/api/v1/vms?unknown=1"],
  ...ROUTES.map(({ path }) => path),
];

describe("what is not taken in time is cut and counted", () => {
  test.each(STUCK)("of %s", async (path) => {
    const { clock, cut, log, closed } = await askWhereNothingIsTaken(path);
    const [bare = ""] = path.split("?");
    const route = ROUTE_LABELS.includes(bare) ? bare : "other";
    clock.advance(29_999);
    expect(cut[route]).toBe(0);
    clock.advance(1);
    expect(cut[route]).toBe(1);
    expect(Object.values(cut).reduce((sum, n) => sum + n)).toBe(1);
    expect(log).toEqual([expect.stringContaining(`route=${route}`)]);
    await closed;
    expect(clock.pendingTimers).toBe(0);
  });

  test("when Prometheus says that it does not wait longer, on every route", async () => {
    const { clock, cut, closed } = await askWhereNothingIsTaken(
      "/api/v1/status/config",
      "X-Prometheus-Scrape-Timeout-Seconds: 2\r\n",
    );
    clock.advance(2_000);
    expect(cut["/api/v1/status/config"]).toBe(1);
    await closed;
  });
});

describe("a query parameter", () => {
  let web: RunningWeb;
  afterEach(() => web.stop());

  const api = ROUTES.filter(({ path }) => path.startsWith("/api/"));
  test.each(api)("that $path does not know is refused, with those that it knows", async ({ path, knows }) => {
    web = await startWeb();
    for (const query of ["?hots=a", "?HOST=a", "?__proto__=1", "?x", "?x=1&x=2", "?=1"]) {
      const { status, body } = await ask(`${web.url}${path}${query}`);
      expect(status, query).toBe(400);
      const { error, errorType } = JSON.parse(body.toString());
      expect(errorType).toBe("bad_data");
      expect(error).toContain(`unknown query parameter "${/\?(\w*)/.exec(query)?.[1]}": `);
      expect(error).toContain(knows.length === 0 ? "none is known here" : `known here: ${knows.join(", ")}`);
    }
    expect((await ask(`${web.url}${path}?hots=a`, { method: "HEAD" })).status).toBe(400);
  });

  test("of the stream that names no host is refused", async () => {
    web = await startWeb();
    for (const query of ["?host=", "?host=a&host="]) {
      const { status, body } = await ask(`${web.url}/api/v1/stream${query}`);
      expect(status).toBe(400);
      expect(JSON.parse(body.toString()).error).toContain("names of targets are allowed");
    }
  });

  test("is ignored by the metrics and by pages, as scrapers and links bring their own", async () => {
    web = await startWeb({ config: webConfig });
    for (const path of ["/?x=1", "/metrics?x=1", "/-/healthy?x=1"])
      expect((await ask(`${web.url}${path}`)).status, path).toBe(200);
  });
});
