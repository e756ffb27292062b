import { describe, expect, test } from "vitest";
import { settle } from "../support/eventually.ts";
import { Lab } from "./support/lab.ts";
import { RECORDINGS, type Recording, ReplayedHost } from "./support/replayedHost.ts";

/** What is another on each machine. */
function withoutNode(text: string): string {
  return text.replaceAll(`nodeversion="${process.versions.node}"`, 'nodeversion="NODE"');
}

/** An exporter that has read a recording whole, the clock moved on by `intervalMs` before each burst but the first. */
async function replay(recording: Recording, intervalMs: number, send = sendWhole): Promise<Lab> {
  const lab = await Lab.make();
  const host = await ReplayedHost.start(lab.socketDir("recorded"), recording);
  await lab.serve([{ name: "recorded", settings: `subscribe: ["${recording.slot}"]` }]);
  await lab.passUntil("subscribed", () => host.subscribers.length === 1);
  for (const index of host.bursts.keys()) {
    if (index > 0) lab.clock.advance(intervalMs);
    await send(host, index);
    await settle();
  }
  return lab;
}

async function sendWhole(host: ReplayedHost, index: number): Promise<void> {
  host.sendBurst(index);
}

/** Each byte in a chunk of its own. */
async function sendByteByByte(host: ReplayedHost, index: number): Promise<void> {
  const [peer] = host.subscribers;
  for (const byte of host.bursts[index] ?? []) {
    peer?.raw(Uint8Array.of(byte));
    await settle(2);
  }
}

describe.each([
  ["stats-root", RECORDINGS.root, 2_000],
  ["stats-root-10s", RECORDINGS.root10s, 10_000],
  ["stats-path-user", RECORDINGS.user, 2_000],
  ["stats-nonexisting", RECORDINGS.nobody, 2_000],
] as const)("after %s all of /metrics is as it was found right", (name, recording, intervalMs) => {
  test.each(["text", "openmetrics"] as const)("in %s", async (format) => {
    const lab = await replay(recording, intervalMs);
    const { text } = await lab.scrape(format);
    await expect(withoutNode(text)).toMatchFileSnapshot(`golden/${name}.${format}.txt`);
  });
});

test("a recording that comes cut at every byte makes the same metrics", async () => {
  const lab = await replay(RECORDINGS.root, 2_000, sendByteByByte);
  const { text } = await lab.scrape("text");
  await expect(withoutNode(text)).toMatchFileSnapshot("golden/stats-root.text.txt");
});
