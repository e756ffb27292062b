import { readdirSync } from "node:fs";
import type { Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { Serving, startSimulatedHost, temporaryFolder, until } from "../../support/serving.ts";
import { ask, connectWithoutReading } from "../../support/web.ts";

/** So many that a response is larger than what sockets hold on the way: then it waits for its client. */
const VMS = 3_000;
const SECOND_MS = 1_000;

interface Busy {
  readonly serving: Serving;
  readonly port: number;
  /** file descriptors open while nobody scrapes */
  readonly descriptors: number;
}

/** The running program with many VMs, all of them served. */
async function busyProgram(web: string): Promise<Busy> {
  const folder = await temporaryFolder();
  await startSimulatedHost(folder, VMS, SECOND_MS);
  const config = `targets: [{ name: sim, socket_dir: ${folder} }]\nexporter: { stale_after: 1m }\nweb: { listen_addresses: ["127.0.0.1:0"], ${web} }\n`;
  const serving = await Serving.start(folder, config);
  const busy = { serving, port: Number(new URL(serving.url).port) };
  await until(
    "all VMs",
    () => usages(serving),
    (count) => count === VMS,
  );
  return { ...busy, descriptors: descriptorsOf(serving) };
}

/** How many VMs a scrape gives the last sample of, from a text too long to be read strictly each time. */
async function usages(serving: Serving): Promise<number> {
  return (
    (await serving.get("/metrics")).match(/^albatross_vm_last_sample_timestamp_seconds\{/gm)?.length ?? 0
  );
}

function descriptorsOf({ pid }: Serving): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function scrapes(serving: Serving, outcome: string): Promise<number | undefined> {
  return serving.metric(`albatross_exporter_scrapes_total{outcome="${outcome}"}`);
}

/** A client that has asked and takes nothing. */
async function stuckClient(port: number, path = "/metrics"): Promise<Socket> {
  const socket = await connectWithoutReading(port, path);
  socket.on("error", () => undefined);
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function expectWell({ serving, descriptors }: Busy): Promise<void> {
  expect(await usages(serving)).toBe(VMS);
  await until(
    "the connections to be closed",
    async () => descriptorsOf(serving),
    // Answers of the looking itself are being closed as well.
    (count) => count <= descriptors,
  );
}

test("a client that reads one byte a second is cut by write_timeout and counted, and disturbs nobody", async () => {
  const busy = await busyProgram("write_timeout: 6s");
  const { serving, port } = busy;
  const askedMs = performance.now();
  const socket = await stuckClient(port);
  let closed = false;
  socket.once("close", () => {
    closed = true;
  });
  const reading = setInterval(() => socket.read(1), SECOND_MS);
  onTestFinished(() => clearInterval(reading));

  // While it dawdles others are served whole.
  expect(await usages(serving)).toBe(VMS);
  await until(
    "the cut",
    () => scrapes(serving, "timeout"),
    (count) => count === 1,
  );
  expect(performance.now() - askedMs).toBeGreaterThanOrEqual(6_000);
  await serving.logged("response cut: not taken in time");
  socket.resume();
  await until(
    "the client's end of it",
    async () => closed,
    (isClosed) => isClosed,
  );
  await expectWell(busy);
});

test("of 41 scrapes at once the last is sent away, the others are answered whole", async () => {
  const busy = await busyProgram("max_requests: 40");
  const { serving, port } = busy;
  const clients = await Promise.all(Array.from({ length: 40 }, () => stuckClient(port)));
  const oneTooMany = await until(
    "the limit",
    () => ask(`${serving.url}/metrics`),
    ({ status }) => status === 503,
  );
  expect(oneTooMany.body.toString()).toBe("Limit of concurrent requests reached (40), try again later.\n");

  const lastBytes = await Promise.all(clients.map(lastBytesOf));
  expect(new Set(lastBytes)).toEqual(new Set(["\r\n0\r\n\r\n"]));
  expect(await scrapes(serving, "rejected")).toBeGreaterThanOrEqual(1);
  expect(await scrapes(serving, "timeout")).toBe(0);
  expect(await scrapes(serving, "aborted")).toBe(0);
  for (const client of clients) client.destroy();
  await expectWell(busy);
});

test("clients that go away in the middle of a scrape leave nothing behind", async () => {
  const busy = await busyProgram("max_requests: 10");
  const { serving, port } = busy;
  for (let round = 0; round < 5; round++) {
    const clients = await Promise.all(Array.from({ length: 10 }, () => stuckClient(port)));
    await Promise.all(clients.map((client) => new Promise((resolve) => client.once("readable", resolve))));
    for (const client of clients) client.destroy();
    await until(
      "room for others",
      async () => (await ask(`${serving.url}/metrics`)).status,
      (status) => status === 200,
    );
  }
  expect(await scrapes(serving, "aborted")).toBe(50);
  await expectWell(busy);
});

/** Reads a kept-alive connection up to the end of its one response. */
function lastBytesOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let last = "";
    socket.once("close", () => reject(new Error(`closed after ${JSON.stringify(last)}`)));
    socket.setEncoding("latin1").on("data", (text: string) => {
      last = (last + text).slice(-7);
      if (last === "\r\n0\r\n\r\n") resolve(last);
    });
  });
}

test("a connection on which headers come slowly is cut and told", async () => {
  const folder = await temporaryFolder();
  const config = `targets: [{ name: none, socket_dir: ${folder} }]\nweb: { listen_addresses: ["127.0.0.1:0"] }\n`;
  const serving = await Serving.start(folder, config);
  const socket = await stuckClient(Number(new URL(serving.url).port), "/-/healthy");
  socket.write("GET /metrics HTTP/1.1\r\nX-Slow: ");
  const drip = setInterval(() => socket.write("x"), SECOND_MS);
  onTestFinished(() => clearInterval(drip));
  const closed = new Promise((resolve) => socket.resume().once("close", resolve));
  await serving.logged("request cut: not sent in time");
  await closed;
});

test("SIGTERM ends it in time, however many clients are stuck", async () => {
  const { serving, port } = await busyProgram("write_timeout: 30s");
  for (let i = 0; i < 5; i++) {
    await stuckClient(port);
    const [asksAll, asksSlowly] = [
      await stuckClient(port, "/api/v1/stream"),
      await stuckClient(port, "/api/v1/vms"),
    ];
    asksAll.write("GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(20));
    asksSlowly.write("GET / HTTP/1.1\r\nHo");
  }
  const startedMs = performance.now();
  serving.signal("SIGTERM");
  expect(await serving.exited).toBe(0);
  // 5 s, of which a busy machine may make three times as many; the clients' own limit would be 30 s
  expect(performance.now() - startedMs).toBeLessThan(15_000);
});
