import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { SimulatedHost } from "../../src/simulator/host.ts";
import { type Scenario, vmSpec } from "../../src/simulator/model.ts";
import { parseName } from "../../src/wire/names.ts";
import { requireProgram } from "../support/requireProgram.ts";
import { Serving, temporaryFolder, until } from "../support/serving.ts";
import { scenarioOf } from "../support/simulated.ts";
import { Scrape, seriesKey } from "./support/exposition.ts";
import { Prometheus, type RelayedScrape, relay } from "./support/prometheus.ts";

const TEXT = "text/plain;version=0.0.4";
const INTERVAL_MS = 500;
const SCRAPES = 3;
/** Counters of Prometheus that count samples or scrapes it threw away, and reasons to. */
const LOSSES = /^prometheus_(target_scrapes_|tsdb_(out_of_(order|bound)|too_old)).*_total[ {]/;

/** One VM of each kind that the exposition tells apart. */
const VMS = [
  { name: "user:web", percent: 40, cpus: 1 },
  { name: "user:web-clone-1", percent: 60, cpus: 1 },
  { name: "user:sub:router", percent: 5, cpus: 2 },
  { name: ":hello", percent: 0, cpus: 1 },
];

async function simulate(folder: string, scenario: Partial<Scenario>): Promise<SimulatedHost> {
  const vms = VMS.map(({ name, percent, cpus }) =>
    vmSpec({
      name: parseName(name),
      load: { type: "constant", percent },
      cpus,
      type: scenario.os === "freebsd" ? "bhyve" : "solo5",
      interfaces: ["service", "private"],
    }),
  );
  const options = { socketDir: folder, clock: systemClock() };
  const host = new SimulatedHost(scenarioOf({ intervalMs: INTERVAL_MS, vms, ...scenario }), options);
  await host.start();
  onTestFinished(() => host.stop());
  return host;
}

/** The running program, reading one simulated host of each operating system. */
async function serveBoth(): Promise<{ folder: string; serving: Serving; linux: SimulatedHost }> {
  const folder = await temporaryFolder();
  const linux = await simulate(join(folder, "linux"), { os: "linux" });
  await simulate(join(folder, "freebsd"), { os: "freebsd", vmmStats: true });
  const config = `targets:
  - { name: linux, socket_dir: ${join(folder, "linux")}, os: linux }
  - { name: freebsd, socket_dir: ${join(folder, "freebsd")}, os: freebsd }
web: { listen_addresses: ["127.0.0.1:0"] }
`;
  const serving = await Serving.start(folder, config);
  await until(
    "CPU usage and info of all VMs",
    () => Scrape.of(serving.url),
    (scrape) => scrape.matching(/^albatross_vm_(cpu_usage_percent|cpus)$/).size === 4 * VMS.length,
  );
  return { folder, serving, linux };
}

function samplesIn({ body }: RelayedScrape): number {
  return body.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
}

describe.skipIf(!requireProgram("prometheus"))("Prometheus", () => {
  test("takes every sample of the running program, in both formats", async () => {
    const { folder, serving, linux } = await serveBoth();
    const relays = { openmetrics: await relay(serving.url), text: await relay(serving.url, TEXT) };
    const prometheus = await Prometheus.start(folder, {
      openmetrics: relays.openmetrics.address,
      text: relays.text.address,
    });
    const scraped = async (job: string) => {
      const [result] = await prometheus.query(`scrape_samples_scraped{job="${job}"}[5m]`);
      return (result?.values ?? []).map(([, value]) => Number(value));
    };
    for (const job of ["openmetrics", "text"] as const) {
      const counts = await until(
        `${SCRAPES} scrapes`,
        () => scraped(job),
        ({ length }) => length >= SCRAPES,
      );
      const { scrapes } = relays[job];
      // As many as were sent, at each scrape, and all of them kept.
      expect(counts).toEqual(scrapes.slice(0, counts.length).map(samplesIn));
      expect(await prometheus.values(`min_over_time(up{job="${job}"}[5m])`)).toEqual([1]);
      const dropped = `scrape_samples_scraped{job="${job}"} - scrape_samples_post_metric_relabeling{job="${job}"}`;
      expect(await prometheus.values(dropped)).toEqual([0]);
      expect(scrapes[0]?.accept).toMatch(/^application\/openmetrics-text/);
      expect(scrapes[0]?.contentType).toMatch(
        job === "text" ? /^text\/plain; version=0\.0\.4/ : /^application\/openmetrics-text; version=1\.0\.0/,
      );

      // What it stored is what was sent, under the names that both formats have in common.
      for (const host of ["linux", "freebsd"]) {
        for (const { name, percent, cpus } of VMS) {
          const vm = name.split(":").at(-1) ?? "";
          const labels = `{job="${job}",host="${host}",vm="${vm}"}`;
          const [usage = Number.NaN] = await prometheus.values(`albatross_vm_cpu_usage_percent${labels}`);
          expect(Math.abs(usage - percent)).toBeLessThan(15);
          expect(await prometheus.values(`albatross_vm_cpus${labels}`)).toEqual([cpus]);
          const modes = await prometheus.query(`albatross_vm_cpu_seconds_total${labels}`);
          expect(modes.map(({ metric }) => metric["mode"])).toEqual(["system", "user"]);
        }
        const group = `{job="${job}",host="${host}",group="web"}`;
        expect(await prometheus.values(`albatross_group_clones${group}`)).toEqual([1]);
      }
    }

    // A device whose name is no UTF-8 costs neither the scrape nor anybody else's series.
    await linux.misbehave({ type: "device_name", vm: "user:web" });
    const odd = 'albatross_vm_network_mtu_bytes{host="linux",vm="web",device!~"service|private"}';
    const devices = await until(
      "the odd devices",
      () => prometheus.query(odd),
      ({ length }) => length === 2 * 2,
    );
    expect(new Set(devices.map(({ metric }) => metric["device"]))).toEqual(
      new Set(["\uFFFDervice", "\uFFFDrivate"]),
    );
    expect(await prometheus.values("min_over_time(up[5m])")).toEqual([1, 1]);

    const own = (await prometheus.ownMetrics()).split("\n").filter((line) => LOSSES.test(line));
    expect(own.length).toBeGreaterThan(8);
    expect(own.filter((line) => !line.endsWith(" 0"))).toEqual([]);
    expect(prometheus.log.filter((line) => !/ level=(info|debug) /.test(line))).toEqual([]);
    expect(serving.events.filter(({ level }) => level !== "info")).toEqual([]);
  });
});

describe.skipIf(!requireProgram("promtool"))("promtool check metrics", () => {
  test("finds nothing to say about the running program with a Linux and a FreeBSD host", async () => {
    const { serving } = await serveBoth();
    const { text } = await Scrape.of(serving.url);
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
      input: text,
      encoding: "utf8",
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(text).toContain(seriesKey("albatross_vm_swaps_total", { host: "freebsd", path: "", vm: "hello" }));
  });
});
