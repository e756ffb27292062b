import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { decodeMessage } from "../../src/albatross/codec.ts";
import { FrameReader } from "../../src/albatross/framing.ts";
import type { Message, Stats } from "../../src/albatross/messages.ts";
import { parseName } from "../../src/albatross/names.ts";
import { StreamLines } from "../../src/serve/streamLines.ts";
import { Broadcast } from "../../src/web/broadcast.ts";
import { FakeClock } from "../support/fake-clock.ts";

const FIXTURES = `${import.meta.dirname}/../fixtures/wire`;

function messagesOf(capture: string): Message[] {
  const messages: Message[] = [];
  new FrameReader(1_048_576).push(readFileSync(`${FIXTURES}/captures/${capture}`), (frame) =>
    messages.push(decodeMessage(frame)),
  );
  return messages;
}

function firstStats(): Stats {
  for (const { payload } of messagesOf("stats-root.bin")) {
    if (payload.type === "data" && payload.data === "stats") return payload.stats;
  }
  throw new Error("the capture holds no statistics");
}

function listening() {
  const clock = new FakeClock(Date.parse("2026-03-01T12:00:00Z"));
  const broadcast = new Broadcast<string>();
  const lines: { line: string; host: string | undefined }[] = [];
  const stop = broadcast.subscribe({
    next: (line, host) => lines.push({ line, host }),
    end: () => undefined,
  });
  return { clock, lines, stop, stream: new StreamLines(broadcast, clock) };
}

/** The keys of a value and of what is in it, values left out. */
function shapeOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]));
}

test("a sample is a line in the form of the recorded trace, under the VM's full name", () => {
  const { clock, lines, stream } = listening();
  clock.advance(1_500);
  stream.sample("alpha", parseName("user:web"), firstStats(), clock.nowUs());
  const [recorded] = readFileSync(`${FIXTURES}/traces/real-web.ndjson`, "utf8").split("\n");
  const line = JSON.parse(lines[0]?.line ?? "");
  expect(shapeOf(line)).toEqual(shapeOf(JSON.parse(recorded ?? "")));
  expect(line).toMatchObject({
    time: "2026-03-01T12:00:01.500Z",
    host: "alpha",
    header: { name: "user:web", path: ["user"], label: "web" },
  });
  expect(lines[0]?.host).toBe("alpha");
});

test("an answer of albatrossd is a line with the VMs it lists, without their arguments", () => {
  const { lines, stream } = listening();
  const [reply] = messagesOf("vmmd-info-root.s2c.bin");
  if (reply?.payload.type !== "success" || reply.payload.result !== "unikernel_info") {
    throw new Error("the capture holds no unikernel info");
  }
  const entries = reply.payload.unikernels;
  stream.info("alpha", entries);
  const line = JSON.parse(lines[0]?.line ?? "");
  expect(line).toMatchObject({ time: "2026-03-01T12:00:00.000Z", host: "alpha", event: "info" });
  expect(line.vms).toHaveLength(entries.length);
  expect(Object.keys(line.vms[0])).toEqual(["name", "cpus", "started"]);
});

test("time goes on evenly while the wall clock is set back", () => {
  const { clock, lines, stream } = listening();
  clock.advance(1_000);
  clock.setWall(Date.parse("2026-01-01T00:00:00Z"));
  clock.advance(1_000);
  stream.sample("alpha", parseName("user:web"), firstStats(), clock.nowUs());
  expect(JSON.parse(lines[0]?.line ?? "").time).toBe("2026-03-01T12:00:02.000Z");
});

test("nothing is written while nobody reads", () => {
  const { clock, lines, stop, stream } = listening();
  stop();
  stream.sample("alpha", parseName("user:web"), firstStats(), clock.nowUs());
  stream.info("alpha", []);
  expect(lines).toEqual([]);
});
