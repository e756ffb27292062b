import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { RequestListener, ServerResponse } from "node:http";
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { WebAddress } from "../../src/config/sections.ts";
import { createLogger } from "../../src/log.ts";
import { OPEN } from "../../src/web/access.ts";
import { ListenError, systemdSockets } from "../../src/web/listen.ts";
import { Listeners } from "../../src/web/server.ts";
import { eventually } from "../support/eventually.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { ask, connectWithoutReading, webConfig } from "../support/web.ts";

const hasIPv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === "::1"),
);
const log = createLogger({ level: "error", format: "logfmt" }, { write: () => {} });
const hello: RequestListener = (_request, response) => response.end("hello");
const cut: string[] = [];
const metrics = { responsesCut: (route: string) => void cut.push(route) };
const servers: { server: Listeners; clock: FakeClock }[] = [];

afterEach(async () => {
  for (const { server, clock } of servers.splice(0)) {
    const stopped = server.stop();
    clock.advance(60_000);
    await stopped;
  }
});

async function start(app: RequestListener, listenAddresses: WebAddress[] = [{ host: "127.0.0.1", port: 0 }]) {
  const clock = new FakeClock();
  const server = new Listeners({
    app,
    clock,
    log,
    metrics,
    config: webConfig,
    access: { current: () => OPEN },
  });
  await server.apply(listenAddresses);
  servers.push({ server, clock });
  const address = server.addresses[0] ?? { host: null, port: 0, url: "" };
  return { server, clock, ...address };
}

describe("listening", () => {
  test("happens on every address, and says the ports that the system chose", async () => {
    const { server } = await start(hello, [
      { host: "127.0.0.1", port: 0 },
      { host: "127.0.0.2", port: 0 },
    ]);
    expect(server.addresses.map(({ host }) => host)).toEqual(["127.0.0.1", "127.0.0.2"]);
    for (const { host, port, url } of server.addresses) {
      expect(port).toBeGreaterThan(0);
      expect(url).toBe(`http://${host}:${port}`);
      expect((await ask(url)).body.toString()).toBe("hello");
    }
  });

  test("without a host reaches every address", async () => {
    const { port, url } = await start(hello, [{ host: null, port: 0 }]);
    expect(url).toBe(`http://127.0.0.1:${port}`);
    expect((await ask(`http://127.0.0.2:${port}`)).body.toString()).toBe("hello");
  });

  test.runIf(hasIPv6)(
    "on all IPv4 and all IPv6 addresses of one port is possible, one after the other too",
    async () => {
      const { port, server } = await start(hello, [{ host: "0.0.0.0", port: 0 }]);
      const both = ["0.0.0.0", "::"].map((host) => ({ host, port }));
      await server.apply(both);
      const answers = async () => [
        (await ask(`http://127.0.0.1:${port}`)).body.toString(),
        (await ask(`http://[::1]:${port}`)).body.toString(),
      ];
      expect(await answers()).toEqual(["hello", "hello"]);
      // alone it takes IPv4 as well, so it cannot stay as it was
      await server.apply([{ host: "::", port }]);
      expect(await answers()).toEqual(["hello", "hello"]);
      await server.apply(both.toReversed());
      expect(await answers()).toEqual(["hello", "hello"]);
    },
  );

  test("on an address in use fails with its name and a way out, and leaves no other address open", async () => {
    const { port } = await start(hello);
    const wanted = await start(hello);
    await wanted.server.stop();
    const addresses = [
      { host: "127.0.0.1", port: wanted.port },
      { host: "127.0.0.1", port },
    ];
    const error = await start(hello, addresses).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ListenError);
    expect(String(error)).toContain(
      `cannot listen on 127.0.0.1:${port}: something listens there already; stop it or choose`,
    );
    expect(String(error)).toContain("--web.listen-address");
    await start(hello, [{ host: "127.0.0.1", port: wanted.port }]);
  });

  test("on an address that this machine does not have fails with its name", async () => {
    await expect(start(hello, [{ host: "192.0.2.1", port: 10_042 }])).rejects.toThrow(
      "cannot listen on 192.0.2.1:10042: this machine does not have that address",
    );
  });
});

describe("listening on a unix socket", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "listening-"));
    path = join(folder, "web.sock");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const answerOn = (socketPath: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      request({ socketPath, path: "/", agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .once("error", reject)
        .end();
    });

  test("serves whoever its group lets in, and removes it at the end", async () => {
    const { server, url } = await start(hello, [{ unix: path }]);
    expect(url).toBe(`http://unix:${path}:`);
    expect(lstatSync(path).mode & 0o777).toBe(0o660);
    expect(await answerOn(path)).toBe(200);
    await server.stop();
    expect(existsSync(path)).toBe(false);
  });

  test("goes on beside another address that changes", async () => {
    const { server } = await start(hello, [{ unix: path }]);
    const inode = lstatSync(path).ino;
    await server.apply([{ host: "127.0.0.1", port: 0 }, { unix: path }]);
    await server.apply([{ unix: path }]);
    expect(lstatSync(path).ino).toBe(inode);
    expect(await answerOn(path)).toBe(200);
  });

  test("takes the place of one that nobody listens on any more", { tags: ["process"] }, async () => {
    const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(lstatSync(path).isSocket()).toBe(true);
    await start(hello, [{ unix: path }]);
    expect(await answerOn(path)).toBe(200);
  });

  test.each([
    ["that somebody listens on", () => start(hello, [{ unix: path }]), /something listens there already/],
    ["where a file is", async () => writeFileSync(path, ""), /something that is no socket is there/],
    [
      "in no folder",
      async () => rmSync(folder, { recursive: true }),
      /its folder is not there, or may not be written to; choose/,
    ],
  ])("fails on one %s", async (_, prepare, words) => {
    await prepare();
    const error = await start(hello, [{ unix: path }]).catch((reason: unknown) => reason);
    mkdirSync(folder, { recursive: true });
    expect(error).toBeInstanceOf(ListenError);
    expect(String(error)).toContain(`cannot listen on unix:${path}: `);
    expect(String(error)).toMatch(words);
  });
});

describe("sockets that systemd hands over", () => {
  test("are those from the third file descriptor on", () => {
    expect(systemdSockets({ LISTEN_PID: "7", LISTEN_FDS: "2" }, 7)).toEqual([{ fd: 3 }, { fd: 4 }]);
  });

  test.each([
    [{}, "systemd handed over no socket"],
    [{ LISTEN_FDS: "1" }, "systemd handed over no socket"],
    [{ LISTEN_PID: "7" }, "systemd handed over no socket"],
    [{ LISTEN_PID: "8", LISTEN_FDS: "1" }, "the sockets are for the process 8 (LISTEN_PID), this is 7"],
    [{ LISTEN_PID: "7", LISTEN_FDS: "0" }, 'LISTEN_FDS="0" is no number of sockets from 1 to 100'],
    [{ LISTEN_PID: "7", LISTEN_FDS: "x" }, 'LISTEN_FDS="x" is no number'],
    [{ LISTEN_PID: "7", LISTEN_FDS: "1e9" }, 'LISTEN_FDS="1e9" is no number'],
  ])("are refused with %j", (environment, words) => {
    expect(() => systemdSockets(environment, 7)).toThrow(words);
    expect(() => systemdSockets(environment, 7)).toThrow(/--web.systemd-socket: .* or leave the flag out$/);
  });

  test("that are none are refused", async () => {
    const error = await start(hello, [{ fd: 99 }]).catch((reason: unknown) => reason);
    expect(String(error)).toMatch(/^ListenError: cannot listen on systemd's socket 99: /);
  });
});

describe("a connection on which much is asked at once", () => {
  /** Sends so many requests in one go and takes the answers. */
  async function pipelined(port: number, requests: number): Promise<string> {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("error", () => undefined);
    let text = "";
    socket.setEncoding("latin1").on("data", (piece: string) => {
      text += piece;
    });
    const all = Array.from({ length: requests }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: test\r\n\r\n`);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write(all.join(""));
    const isAnswered = () =>
      text.split("HTTP/1.1 200").length > requests && text.endsWith(`/${requests - 1}`);
    await Promise.race([closed, eventually("all answers", () => isAnswered())]);
    socket.destroy();
    return text;
  }

  test("is answered one request after the other, others in between", async () => {
    let running = 0;
    const order: string[] = [];
    const { port } = await start((incoming, response) => {
      expect(++running).toBe(1);
      order.push(incoming.url ?? "");
      setTimeout(() => response.end(incoming.url), 1);
      response.once("close", () => running--);
    });
    await pipelined(port, 20);
    expect(order).toEqual(Array.from({ length: 20 }, (_, n) => `/${n}`));
  });

  test("is cut and counted once when more waits than any client needs", async () => {
    cut.length = 0;
    let asked = 0;
    const { port, url } = await start((_request, response) => {
      asked++;
      if (cut.length > 0) response.end("late");
    });
    const text = await pipelined(port, 1_000);
    expect(text).toBe("");
    expect(cut).toEqual(["other"]);
    expect(asked).toBe(1);
    expect((await ask(url)).body.toString()).toBe("late");
  });
});

describe("what is no request is answered", () => {
  test.each([
    { what: "of another protocol", sent: "hello\r\n\r\n", status: "400 Bad Request" },
    {
      what: "with more headers than anybody sends",
      sent: `GET / HTTP/1.1\r\nX: ${"x".repeat(20_000)}\r\n\r\n`,
      status: "431 Request Header Fields Too Large",
    },
  ])("$what with $status, and the connection closed", async ({ sent, status }) => {
    const { port } = await start(hello);
    const socket = connect({ host: "127.0.0.1", port });
    let text = "";
    socket.setEncoding("latin1").on("data", (piece: string) => {
      text += piece;
    });
    socket.on("error", () => undefined);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.write(sent);
    await closed;
    expect(text).toBe(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
  });
});

describe("stopping", () => {
  /** Answers the first half at once and leaves the rest to the test. */
  function halfway() {
    const responses: ServerResponse[] = [];
    const app: RequestListener = (_request, response) => {
      response.write("half");
      responses.push(response);
    };
    return { app, responses };
  }

  test("lets a response in flight finish and takes no new connection", async () => {
    const { app, responses } = halfway();
    const { server, clock, url, port } = await start(app);
    const answer = ask(url);
    await eventually("the request arrived", () => responses.length === 1);
    let isStopped = false;
    const stopped = server.stop().then(() => {
      isStopped = true;
    });
    const refused = await new Promise((resolve) =>
      connect({ host: "127.0.0.1", port }).once("error", resolve),
    );
    expect(refused).toMatchObject({ code: "ECONNREFUSED" });
    expect(isStopped).toBe(false);
    responses[0]?.end(" and half");
    expect((await answer).body.toString()).toBe("half and half");
    await stopped;
    expect(clock.pendingTimers).toBe(0);
  });

  test("does not wait for connections that are kept alive, idle now or after their answer", async () => {
    const { app, responses } = halfway();
    const { server, url } = await start((incoming, response) => {
      if (incoming.url === "/quick") response.end("quick");
      else app(incoming, response);
    });
    const agent = new Agent({ keepAlive: true });
    const get = (path: string) =>
      new Promise<void>((resolve, reject) => {
        request(`${url}${path}`, { agent }, (response) => response.resume().once("end", resolve))
          .once("error", reject)
          .end();
      });
    await get("/quick");
    const slow = get("/slow");
    const alsoQuick = get("/quick");
    await alsoQuick;
    await eventually("the request arrived", () => responses.length === 1);
    const stopped = server.stop();
    responses[0]?.end();
    await slow;
    await stopped;
    agent.destroy();
  });

  test("does not wait for a connection on which nothing was ever asked", async () => {
    const { server, clock, port } = await start(hello);
    const silent = connect({ host: "127.0.0.1", port });
    const closed = new Promise((resolve) => silent.once("close", resolve));
    silent.resume();
    await ask(`http://127.0.0.1:${port}`);
    await server.stop();
    await closed;
    expect(clock.pendingTimers).toBe(0);
  });

  test("cuts at the deadline what has not finished", async () => {
    const { app, responses } = halfway();
    const { server, clock, port } = await start(app);
    const socket = await connectWithoutReading(port, "/");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.resume();
    await eventually("the request arrived", () => responses.length === 1);
    const stopped = server.stop();
    clock.advance(3_999);
    expect(socket.destroyed).toBe(false);
    clock.advance(1);
    await stopped;
    await closed;
  });

  test("a second time is as good as once", async () => {
    const { server } = await start(hello);
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
  });
});
