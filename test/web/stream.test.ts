import type { IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { ask, connectWithoutReading, open, type RunningWeb, startWeb } from "../support/web.ts";

let web: RunningWeb;

afterEach(() => web.stop());

/** Opens the stream and waits until it is subscribed. */
async function listen(query = "", subscribers = 1): Promise<IncomingMessage> {
  const response = await open(`${web.url}/api/v1/stream${query}`);
  await eventually("the client subscribed", () => web.stream.subscribers === subscribers);
  return response;
}

async function linesOf(response: IncomingMessage): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: response })) lines.push(line);
  return lines;
}

test("each published line reaches every client, and closing the broadcast ends the response", async () => {
  web = await startWeb();
  const one = await listen();
  const two = await listen("", 2);
  expect(one.statusCode).toBe(200);
  expect(one.headers["content-type"]).toBe("application/x-ndjson; charset=utf-8");
  web.stream.publish('{"vm":"größe"}', "a");
  await new Promise((resolve) => setImmediate(resolve));
  web.stream.publish('{"n":2}');
  web.stream.close();
  expect(await linesOf(one)).toEqual(['{"vm":"größe"}', '{"n":2}']);
  expect(await linesOf(two)).toEqual(['{"vm":"größe"}', '{"n":2}']);
});

test.each([
  { query: "?host=a", lines: ["of a", "of all"] },
  { query: "?host=a&host=b", lines: ["of a", "of b", "of all"] },
  { query: "?host=none", lines: ["of all"] },
  { query: "", lines: ["of a", "of b", "of all"] },
])("$query leaves out other hosts' lines", async ({ query, lines }) => {
  web = await startWeb();
  const response = await listen(query);
  web.stream.publish("of a", "a");
  web.stream.publish("of b", "b");
  web.stream.publish("of all");
  web.stream.close();
  expect(await linesOf(response)).toEqual(lines);
});

test("a client that goes away is forgotten", async () => {
  web = await startWeb({ streamLimits: { maxClients: 1, maxBacklogBytes: 1_000 } });
  const response = await listen();
  response.destroy();
  await eventually("the client was forgotten", () => web.stream.subscribers === 0);
  await listen();
});

test("more clients than allowed are sent away", async () => {
  web = await startWeb({ streamLimits: { maxClients: 1, maxBacklogBytes: 1_000 } });
  await listen();
  const { status, headers, body } = await ask(`${web.url}/api/v1/stream`);
  expect(status).toBe(503);
  expect(headers["content-type"]).toBe("application/json; charset=utf-8");
  expect(JSON.parse(body.toString())).toEqual({
    status: "error",
    errorType: "unavailable",
    error: "1 clients read the stream already",
  });
});

test("a client that does not keep up is dropped with a last line, and the others are not", async () => {
  web = await startWeb({ streamLimits: { maxClients: 2, maxBacklogBytes: 100_000 } });
  const fast = createInterface({ input: await listen() });
  let taken = 0;
  fast.on("line", () => taken++);
  const slow = await connectWithoutReading(web.port, "/api/v1/stream");
  await eventually("the slow client subscribed", () => web.stream.subscribers === 2);
  const line = `"${"x".repeat(20_000)}"`;
  let published = 0;
  while (web.streamsDropped() === 0) {
    expect(published).toBeLessThan(10_000);
    web.stream.publish(line);
    published++;
    await eventually("the fast client to take it", () => taken === published);
  }
  const received: Buffer[] = [];
  slow.on("data", (piece) => received.push(piece));
  await new Promise((resolve) => slow.once("end", resolve));
  slow.destroy();
  const text = Buffer.concat(received).toString();
  const last = /(\{"event":"dropped".*\})\n/.exec(text)?.[1] ?? "";
  expect(JSON.parse(last)).toMatchObject({ event: "dropped", reason: "slow client" });
  web.stream.close();
  await new Promise((resolve) => fast.once("close", resolve));
  expect(taken).toBe(published);
  expect(web.log.join("")).toContain("does not keep up");
});

test("a dropped client that does not read its last line is cut", async () => {
  // More than the sockets' buffers hold, so that the last line cannot be on its way when the client is dropped.
  web = await startWeb({ streamLimits: { maxClients: 1, maxBacklogBytes: 50_000_000 } });
  const slow = await connectWithoutReading(web.port, "/api/v1/stream");
  await eventually("the client subscribed", () => web.stream.subscribers === 1);
  const line = "x".repeat(1_000_000);
  while (web.streamsDropped() === 0) web.stream.publish(line);
  expect(web.stream.subscribers).toBe(1);
  expect(web.clock.pendingTimers).toBe(1);
  web.clock.advance(5_000);
  await eventually("the connection was cut", () => web.stream.subscribers === 0);
  slow.destroy();
});

test("HEAD does not subscribe", async () => {
  web = await startWeb();
  const { status, headers } = await ask(`${web.url}/api/v1/stream`, { method: "HEAD" });
  expect(status).toBe(200);
  expect(headers["content-type"]).toBe("application/x-ndjson; charset=utf-8");
  expect(web.stream.subscribers).toBe(0);
});

/** A list of so many lines of a host, and how many of them have been made. */
function longList(lines: number, characters = 1_000) {
  const made = { lines: 0 };
  function* make() {
    for (let n = 0; n < lines; n++) {
      made.lines++;
      yield `"${String(n).padStart(characters, "x")}"`;
    }
  }
  return { make, made };
}

test("a list longer than the backlog is told no faster than the client takes it", async () => {
  const limits = { maxClients: 1, maxBacklogBytes: 1_000_000 };
  web = await startWeb({ streamLimits: limits });
  const client = await connectWithoutReading(web.port, "/api/v1/stream");
  await eventually("the client subscribed", () => web.stream.subscribers === 1);
  const list = longList(1_000, 100_000);
  web.stream.publish(list.make, "a");
  const seen: number[] = [];
  await eventually("the list to wait", () => seen.push(list.made.lines) > 20 && seen.at(-1) === seen.at(-20));
  expect(list.made.lines).toBeLessThan(1_000);
  let bytes = 0;
  client.on("data", (piece) => {
    bytes += piece.length;
  });
  await eventually("the list to be told", () => list.made.lines === 1_000);
  web.stream.close();
  await new Promise((resolve) => client.once("end", resolve));
  client.destroy();
  expect(bytes).toBeGreaterThan(100_000_000);
  expect(web.streamsDropped()).toBe(0);
});

test("lists of one host come one after the other, other lines in between", async () => {
  web = await startWeb();
  const response = await listen();
  const lines = linesOf(response);
  const [first, replaced, last] = [longList(200), longList(1), longList(100)];
  web.stream.publish(first.make, "a");
  web.stream.publish(replaced.make, "a");
  web.stream.publish(last.make, "a");
  web.stream.publish("a sample", "a");
  expect(first.made.lines).toBeLessThan(200);
  await eventually("the lists to be told", () => last.made.lines === 100);
  await new Promise((resolve) => setImmediate(resolve));
  web.stream.close();
  const told = await lines;
  const numbers = told.filter((line) => line !== "a sample").map((line) => Number(line.replace(/[x"]/g, "")));
  expect(numbers).toEqual([...Array(200).keys(), ...Array(100).keys()]);
  expect(told.indexOf("a sample")).toBeLessThan(200);
  expect(replaced.made.lines).toBe(0);
});

test("a client that takes nothing of a line for as long as a response may take is cut and counted", async () => {
  web = await startWeb({ streamLimits: { maxClients: 1, maxBacklogBytes: 100_000_000 } });
  const stuck = await connectWithoutReading(web.port, "/api/v1/stream");
  await eventually("the client subscribed", () => web.stream.subscribers === 1);
  web.clock.advance(3_600_000);
  web.stream.publish("x".repeat(50_000_000));
  await eventually("the line to be written", () => web.clock.pendingTimers === 1);
  web.clock.advance(29_999);
  expect(web.cut["/api/v1/stream"]).toBe(0);
  web.clock.advance(1);
  expect(web.cut["/api/v1/stream"]).toBe(1);
  await eventually("the connection was cut", () => web.stream.subscribers === 0);
  stuck.destroy();
});
