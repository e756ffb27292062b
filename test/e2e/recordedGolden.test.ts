import { describe, expect, test } from "vitest";
import { settle } from "../support/eventually.ts";
import { Lab } from "./support/lab.ts";
import { expectRecorded } from "./support/recordedHost.ts";
import { RECORDINGS, type Recording, ReplayedHost } from "./support/replayedHost.ts";

const HOST = "recorded";
/** CPU time within each interval, worked out by hand from utime + stime of the last two bursts: 0.80 s of 2 s are 40 %. */
const CPU_PERCENT = { "user:web": 40, "user:sub:router": 5.5, "user:db": 10, ":hello": 20 };
const CPU_PERCENT_10S = { "user:web": 39.6, "user:sub:router": 5, "user:db": 10, ":hello": 20 };
const CPU_PERCENT_BELOW_USER = { ":web": 40, "sub:router": 5.5, ":db": 10 };

/** What is another on each machine. */
function withoutNode(text: string): string {
  return text.replaceAll(`nodeversion="${process.versions.node}"`, 'nodeversion="NODE"');
}

/** An exporter that has read a recording whole, the clock moved on by `intervalMs` before each burst but the first. */
async function replay(recording: Recording, intervalMs: number, send = sendWhole) {
  const lab = await Lab.make();
  const host = await ReplayedHost.start(lab.socketDir(HOST), recording);
  await lab.serve([{ name: HOST, settings: `subscribe: ["${recording.slot}"]` }]);
  await lab.passUntil("subscribed", () => host.subscribers.length === 1);
  for (const index of host.bursts.keys()) {
    if (index > 0) lab.clock.advance(intervalMs);
    await send(host, index);
    await settle();
  }
  return { lab, host };
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
  { name: "stats-root", recording: RECORDINGS.root, intervalSeconds: 2, cpuPercent: CPU_PERCENT },
  { name: "stats-root-10s", recording: RECORDINGS.root10s, intervalSeconds: 10, cpuPercent: CPU_PERCENT_10S },
  {
    name: "stats-path-user",
    recording: RECORDINGS.user,
    intervalSeconds: 2,
    cpuPercent: CPU_PERCENT_BELOW_USER,
  },
  // Nothing came that an interval could be learnt from: it is albatross-stats' default.
  { name: "stats-nonexisting", recording: RECORDINGS.nobody, intervalSeconds: 10, cpuPercent: {} },
])("after $name", ({ name, recording, intervalSeconds, cpuPercent }) => {
  test.each(["text", "openmetrics"] as const)(
    "all of /metrics in %s is as it was found right",
    async (format) => {
      const { lab, host } = await replay(recording, intervalSeconds * 1000);
      const startMs = lab.clock.wallMs() - 3 * intervalSeconds * 1000;
      const scrape = await lab.scrape(format);
      await expect(withoutNode(scrape.text)).toMatchFileSnapshot(`golden/${name}.${format}.txt`);
      const target = { host: HOST, replay: host, cpuPercent, intervalSeconds };
      expectRecorded(scrape, target, { startMs, endMs: lab.clock.wallMs(), tolerance: 1e-9 });
    },
  );
});

test("a recording that comes cut at every byte makes the same metrics", async () => {
  const { lab } = await replay(RECORDINGS.root, 2_000, sendByteByByte);
  const { text } = await lab.scrape("text");
  await expect(withoutNode(text)).toMatchFileSnapshot("golden/stats-root.text.txt");
});
