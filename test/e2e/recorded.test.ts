import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Serving, temporaryFolder, until } from "../support/serving.ts";
import { Scrape } from "./support/exposition.ts";
import { expectRecorded, type RecordedTarget } from "./support/recordedHost.ts";
import { RECORDINGS, ReplayedHost } from "./support/replayedHost.ts";

/** albatross-stats ran with this interval when the streams were recorded: their CPU times are worth rates with it only. */
const RECORDED_INTERVAL_MS = 2_000;
/** What real time may do to a rate. */
const TOLERANCE = 0.2;

/** Hosts in `folder`, each in a folder of its own, that will send what was recorded. */
async function recordedTargets(folder: string): Promise<RecordedTarget[]> {
  return [
    {
      host: "root",
      replay: await ReplayedHost.start(join(folder, "root"), RECORDINGS.root),
      // 0.80 s, 0.11 s, 0.20 s and 0.40 s of CPU time within 2 s
      cpuPercent: { "user:web": 40, "user:sub:router": 5.5, "user:db": 10, ":hello": 20 },
      intervalSeconds: 2,
    },
    {
      host: "path",
      replay: await ReplayedHost.start(join(folder, "path"), RECORDINGS.user),
      cpuPercent: { ":web": 40, "sub:router": 5.5, ":db": 10 },
      intervalSeconds: 2,
    },
    {
      host: "nobody",
      replay: await ReplayedHost.start(join(folder, "nobody"), RECORDINGS.nobody),
      cpuPercent: {},
      // nothing was heard to learn it from: albatross-stats' default
      intervalSeconds: 10,
    },
  ];
}

function configFor(folder: string, targets: readonly RecordedTarget[]): string {
  const lines = targets.map(
    ({ host, replay }) =>
      `  - { name: ${host}, socket_dir: ${join(folder, host)}, subscribe: ["${replay.recording.slot}"], os: linux, page_size: 4096 }`,
  );
  return `targets:\n${lines.join("\n")}\nweb: { listen_addresses: ["127.0.0.1:0"] }\n`;
}

test("the running program says of recorded streams what their messages say, in every family", async () => {
  const folder = await temporaryFolder();
  const targets = await recordedTargets(folder);
  const startMs = Date.now();
  const serving = await Serving.start(folder, configFor(folder, targets));
  await until(
    "subscriptions",
    async () => targets.flatMap(({ replay }) => replay.subscribers).length,
    (count) => count === targets.length,
  );
  const bursts = Math.max(...targets.map(({ replay }) => replay.bursts.length));
  for (let index = 0; index < bursts; index++) {
    if (index > 0) await sleep(RECORDED_INTERVAL_MS);
    for (const { replay } of targets) replay.sendBurst(index);
  }
  const scrape = await until(
    "the last burst and unikernel info",
    () => Scrape.of(serving.url),
    ({ series }) =>
      targets.every(({ host, replay }) => {
        const bytes = series.get(
          `albatross_stats_bytes_total{host="${host}",subscription="${replay.recording.slot}"}`,
        );
        return Number(bytes) === replay.bytesUntil(replay.bursts.length);
      }) && [...series.keys()].some((key) => key.startsWith("albatross_vm_info{")),
  );
  for (const target of targets)
    expectRecorded(scrape, target, { startMs, endMs: Date.now(), tolerance: TOLERANCE });

  // What is not about a host is about the exporter, and says that all is well.
  const own = [...scrape.series].filter(([key]) => !key.includes('host="'));
  const names = own.map(([key]) => key.replace(/\{.*/s, ""));
  expect(
    names.filter((name) => !/^(albatross_exporter|albatross_scaler|process|nodejs)_/.test(name)),
  ).toEqual([]);
  expect(scrape.value("albatross_exporter_config_last_reload_successful")).toBe(1);
  expect(scrape.value("albatross_exporter_vms_dropped")).toBe(0);
  expect(scrape.value("albatross_exporter_duplicate_series_total")).toBe(0);
  expect(serving.events.filter(({ level }) => level !== "info")).toEqual([]);

  // The same in the other format, but for what has moved on since.
  const openmetrics = await Scrape.of(serving.url, "openmetrics");
  for (const target of targets)
    expectRecorded(openmetrics, target, { startMs, endMs: Date.now(), tolerance: TOLERANCE });
});
