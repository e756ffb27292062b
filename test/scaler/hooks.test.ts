import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Cancel } from "../../src/clock.ts";
import { type HookEvent, type HookSubject, hookPoster } from "../../src/scaler/actions/hooks.ts";
import { eventually, settle } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";

const SUBJECT: HookSubject = {
  id: "a1",
  host: "box",
  path: "user",
  group: "web",
  clone: "web-clone-2",
  reason: "overloaded",
  bridges: [{ device: "service", bridge: "br0", mac: "00:80:41:01:02:03" }],
};

/** How often it has been asked to wake somebody after 5 s: between two tries. */
class PausesClock extends FakeClock {
  pauses = 0;

  override after(delayMs: number, callback: () => void): Cancel {
    if (delayMs === 5_000) this.pauses++;
    return super.after(delayMs, callback);
  }
}

let clock: PausesClock;
let server: Server;
let port: number;
/** what it was told, whole */
let told: { request: IncomingMessage; body: string }[];
let answer: (response: ServerResponse, count: number) => void;

beforeEach(async () => {
  clock = new PausesClock();
  told = [];
  answer = (response) => response.end();
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => {
      body += part;
    });
    request.on("end", () => {
      told.push({ request, body });
      answer(response, told.length);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  port = (server.address() as AddressInfo).port;
});

afterEach(async () => {
  expect(clock.pendingTimers).toBe(0);
  server.closeAllConnections();
  server.close();
});

function post(event: HookEvent, path = "/hook", signal?: AbortSignal, host = `127.0.0.1:${port}`) {
  const hook = { url: `http://${host}${path}`, timeoutMs: 10_000, waitMs: 0 };
  return hookPoster(clock)(hook, event, SUBJECT, signal);
}

test("a hook is told of the clone, by POST of JSON", async () => {
  expect(await post("before_destroy", "/drain?key=1")).toBeNull();
  const { request, body } = told[0] ?? expect.fail("nothing was told");
  expect([request.method, request.url]).toEqual(["POST", "/drain?key=1"]);
  expect(request.headers["content-type"]).toBe("application/json");
  expect(JSON.parse(body)).toEqual({ event: "before_destroy", ...SUBJECT });
});

test("it is told nothing that it need not know", async () => {
  const hook = { url: `http://127.0.0.1:${port}/`, timeoutMs: 10_000, waitMs: 0 };
  const action = { ...SUBJECT, argv: ["--password=hunter2"], endpoint: "/run/secret" };
  expect(await hookPoster(clock)(hook, "after_create", action)).toBeNull();
  expect(JSON.parse(told[0]?.body ?? "")).toEqual({ event: "after_create", ...SUBJECT });
});

test("a user and password of the URL go into the request", async () => {
  expect(await post("kept", "/", undefined, `me:hunter2@127.0.0.1:${port}`)).toBeNull();
  expect(told[0]?.request.headers.authorization).toBe(
    `Basic ${Buffer.from("me:hunter2").toString("base64")}`,
  );
});

describe("only 2xx is a yes:", () => {
  test.each([
    [200, null],
    [204, null],
    [299, null],
    [302, "it answers with status 302"],
    [404, "it answers with status 404"],
    [500, "it answers with status 500"],
  ])("%d", async (status, failure) => {
    answer = (response) => response.writeHead(status, { Location: "/elsewhere" }).end("{}");
    const why = failure && `before_destroy at 127.0.0.1:${port}: ${failure}`;
    expect(await post("before_destroy")).toBe(why);
    expect(told).toHaveLength(1);
  });
});

describe("a failure says why, and nothing of the URL but its host:", () => {
  const secret = "/hunter2/x?key=hunter2#hunter2";

  async function failure(host: string, before: () => Promise<void> = async () => undefined): Promise<string> {
    const outcome = post("before_destroy", secret, undefined, `hunter2:hunter2@${host}`);
    await before();
    const why = await outcome;
    expect(why).not.toContain("hunter2");
    return why ?? "it said yes";
  }

  test("nobody listens", async () => {
    const closed = createTcpServer().listen(0, "127.0.0.1");
    await once(closed, "listening");
    const free = (closed.address() as AddressInfo).port;
    closed.close();
    await once(closed, "close");
    expect(await failure(`127.0.0.1:${free}`)).toBe(
      `before_destroy at 127.0.0.1:${free}: connection refused`,
    );
  });

  test("no answer in time", async () => {
    answer = () => undefined;
    const why = await failure(`127.0.0.1:${port}`, async () => {
      await eventually("told", () => told.length === 1);
      clock.advance(9_999);
      await settle();
      expect(clock.pendingTimers).toBe(1);
      clock.advance(1);
    });
    expect(why).toBe(`before_destroy at 127.0.0.1:${port}: no answer within 10 s`);
  });

  test("a connection that breaks", async () => {
    answer = (response) => response.destroy();
    expect(await failure(`127.0.0.1:${port}`)).toBe(`before_destroy at 127.0.0.1:${port}: connection lost`);
  });

  test("what is no HTTP", async () => {
    const other = createTcpServer((socket) => socket.end("SSH-2.0-hunter2\r\n")).listen(0, "127.0.0.1");
    await once(other, "listening");
    const at = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    expect(await failure(at)).toMatch(/^before_destroy at 127\.0\.0\.1:\d+: Parse Error/);
    other.close();
  });

  test("a password that cannot be sent", async () => {
    const hook = { url: `http://me:%zz@127.0.0.1:${port}/`, timeoutMs: 10_000, waitMs: 0 };
    expect(await hookPoster(clock)(hook, "before_destroy", SUBJECT)).toMatch(/: URI malformed$/);
  });
});

test("an answer without an end is an answer", async () => {
  let taken = 0;
  answer = (response) => {
    const block = Buffer.alloc(2 ** 20);
    const more = () => {
      taken += block.length;
      if (!response.destroyed) response.write(block, more);
    };
    response.writeHead(200).write(block, more);
  };
  const outcome = post("before_destroy");
  // more than waits in a socket: its beginning has been read
  await eventually("16 MiB are taken", () => taken > 16 * 2 ** 20);
  clock.advance(10_000);
  expect(await outcome).toBeNull();
});

describe("tries", () => {
  test.each<[HookEvent, number]>([
    ["after_create", 3],
    ["kept", 3],
    ["before_destroy", 1],
  ])("of %s: %d, the next 5 s after the last", async (event, tries) => {
    answer = (response) => response.writeHead(503).end();
    const outcome = post(event);
    for (let count = 1; count < tries; count++) {
      await eventually(`a pause after try ${count}`, () => clock.pauses === count);
      clock.advance(4_999);
      await settle();
      expect(told).toHaveLength(count);
      clock.advance(1);
    }
    expect(await outcome).toBe(`${event} at 127.0.0.1:${port}: it answers with status 503`);
    expect(told).toHaveLength(tries);
  });

  test("end with the first yes", async () => {
    answer = (response, count) => response.writeHead(count === 1 ? 503 : 200).end();
    const outcome = post("after_create");
    await eventually("a pause", () => clock.pauses === 1);
    clock.advance(5_000);
    expect(await outcome).toBeNull();
    expect(told).toHaveLength(2);
  });

  test("end when they are to", async () => {
    const stopping = new AbortController();
    answer = (response) => response.writeHead(503).end();
    const outcome = post("after_create", "/", stopping.signal);
    await eventually("a pause", () => clock.pauses === 1);
    stopping.abort();
    expect(await outcome).toMatch(/status 503$/);
    expect(await post("after_create", "/", stopping.signal)).toMatch(/: stopped$/);
    expect(told).toHaveLength(1);
  });

  test("end on the way, too", async () => {
    const stopping = new AbortController();
    answer = () => stopping.abort();
    expect(await post("before_destroy", "/", stopping.signal)).toMatch(/: stopped$/);
  });
});
