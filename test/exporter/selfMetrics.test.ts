import { spawnSync } from "node:child_process";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { collectFamilies } from "../../src/exporter/collect.ts";
import { SelfMetrics } from "../../src/exporter/selfMetrics.ts";
import { requireProgram } from "../support/requireProgram.ts";
import {
  Counts,
  config,
  device,
  everyField,
  policy,
  record,
  render,
  SOLO5_INFO,
  seriesOf,
  snapshot,
  target,
  targetSnapshot,
} from "./records.ts";

let self: SelfMetrics;
beforeEach(() => {
  self = new SelfMetrics({ version: "1.2.3", revision: "abc" });
});

const text = async (runtime = true) => render(await self.families({ runtime }));

/** The event loop's delays in an exposition, without their values. */
const delaysIn = (shown: string) =>
  seriesOf(shown, "nodejs_eventloop_lag_").flatMap((line) => line.match(/^\w+_(?:m|stddev|p)\w+ /) ?? []);
/** An exposition made after the event loop's delay was measured, which takes some milliseconds. */
const textWithDelays = () =>
  vi.waitFor(async () => {
    const shown = await text();
    expect(delaysIn(shown)).toHaveLength(7);
    return shown;
  });

describe("the exporter's own metrics", () => {
  it("say what is running", async () => {
    expect(seriesOf(await text(), "albatross_exporter_build_info{")).toEqual([
      `albatross_exporter_build_info{version="1.2.3",revision="abc",nodeversion="${process.versions.node}"} 1`,
    ]);
  });

  it("keep the time of the last configuration taken when one is refused", async () => {
    self.configRead(true, 1_767_225_600_500);
    self.configRead(false, 1_767_225_700_000);
    expect(seriesOf(await text(), "albatross_exporter_config")).toEqual([
      "albatross_exporter_config_last_reload_successful 0",
      "albatross_exporter_config_last_reload_success_timestamp_seconds 1767225600.5",
    ]);
  });

  it("count passwords that were wrong, from 0 on", async () => {
    const counted = async () => seriesOf(await text(), "albatross_exporter_auth_failures_total");
    expect(await counted()).toEqual(["albatross_exporter_auth_failures_total 0"]);
    self.authFailed();
    expect(await counted()).toEqual(["albatross_exporter_auth_failures_total 1"]);
  });

  it("count scrapes by outcome, every outcome from the start, and time those answered whole", async () => {
    self.finished({ outcome: "ok", durationSeconds: 0.02, series: 450_000 });
    self.finished({ outcome: "timeout", durationSeconds: 30, series: 7 });
    const shown = await text();
    expect(seriesOf(shown, "albatross_exporter_scrapes_total{")).toEqual([
      'albatross_exporter_scrapes_total{outcome="ok"} 1',
      'albatross_exporter_scrapes_total{outcome="timeout"} 1',
      'albatross_exporter_scrapes_total{outcome="aborted"} 0',
      'albatross_exporter_scrapes_total{outcome="rejected"} 0',
      'albatross_exporter_scrapes_total{outcome="error"} 0',
    ]);
    expect(seriesOf(shown, "albatross_exporter_scrape_duration_seconds_count")).toEqual([
      "albatross_exporter_scrape_duration_seconds_count 1",
    ]);
    expect(seriesOf(shown, "albatross_exporter_scrape_series")).toEqual([
      "albatross_exporter_scrape_series 450000",
    ]);
  });

  it("tell the event loop's delays again when there is none since the scrape before", async () => {
    await textWithDelays();
    for (const shown of [await text(), await text()]) {
      expect(delaysIn(shown)).toHaveLength(7);
      expect(shown).not.toContain("NaN");
      expect(Number(seriesOf(shown, "nodejs_eventloop_lag_min_seconds ")[0]?.split(" ")[1])).toBeLessThan(60);
    }
  });

  it("tell no delays of the event loop before one was measured", async () => {
    const shown = await text();
    expect(delaysIn(shown)).toEqual([]);
    expect(shown).not.toContain("NaN");
  });

  it("count what scrapes and the stream leave out", async () => {
    self.vmsDropped(5);
    self.duplicateSeries(2);
    self.duplicateSeries(3);
    self.streamDropped();
    const shown = await text();
    expect(seriesOf(shown, "albatross_exporter_vms_dropped")).toEqual(["albatross_exporter_vms_dropped 5"]);
    expect(seriesOf(shown, "albatross_exporter_duplicate")).toEqual([
      "albatross_exporter_duplicate_series_total 5",
    ]);
    expect(seriesOf(shown, "albatross_exporter_stream")).toEqual([
      "albatross_exporter_stream_clients_dropped_total 1",
    ]);
  });

  it("without the runtime ones say what the program is and how it is configured, nothing else", async () => {
    const names = seriesOf(await text(false), "# TYPE ").map((line) => line.split(" ")[2]);
    expect(names).toEqual([
      "albatross_exporter_config_last_reload_successful",
      "albatross_exporter_config_last_reload_success_timestamp_seconds",
      "albatross_exporter_vms_dropped",
      "albatross_exporter_duplicate_series_total",
      "albatross_exporter_build_info",
    ]);
  });

  it("include those of the process", async () => {
    const shown = await textWithDelays();
    for (const name of [
      "process_cpu_seconds_total",
      "process_resident_memory_bytes",
      "nodejs_eventloop_lag_p99_seconds",
    ]) {
      expect(seriesOf(shown, `${name} `)).toHaveLength(1);
    }
  });
});

describe.skipIf(!requireProgram("promtool"))("promtool check metrics", { tags: ["process"] }, () => {
  const everything = (os: "linux" | "freebsd") => {
    const odd = { ...everyField, ifdata: [...everyField.ifdata, device('odd "name"\n\\')] };
    return collectFamilies({
      snapshot: snapshot({
        vms: [record("local", "user", "web", { usagePercent: 50, info: SOLO5_INFO, stats: odd })],
        policies: [policy("local", "user", { unikernels: 1, memoryBytes: 2, blockBytes: 3 })],
      }),
      targets: [targetSnapshot("local")],
      config: config([target("local", os)], { unfilledFields: true }),
      counts: new Counts(),
    });
  };

  it.each(["linux", "freebsd"] as const)(
    "has nothing to say about all families of %s at once",
    async (os) => {
      const shown = await render([...everything(os), ...(await self.families({ runtime: true }))]);
      const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
        input: shown,
        encoding: "utf8",
      });
      expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
    },
  );
});
