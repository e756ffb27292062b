import { describe, expect, test } from "vitest";
import type { ParsedFamily } from "../support/expositionParser.ts";
import type { Scrape } from "./support/exposition.ts";
import { Lab } from "./support/lab.ts";
import { expectRight, HOST, INTERVAL_MS, quietScene, vmLabels } from "./support/scene.ts";

/** Names that the format asks for: of a counter's family without `_total` in OpenMetrics, with it in text. */
function wrongNames(families: readonly ParsedFamily[], format: "text" | "openmetrics"): string[] {
  return families
    .filter(({ name, type, series }) => {
      const total = name.endsWith("_total");
      if (type !== "counter") return total;
      return format === "text" ? !total : total || series.some((one) => one.name !== `${name}_total`);
    })
    .map(({ name }) => name);
}

/** The names of all series but those whose number depends on what Node happens to be doing. */
function seriesNames({ series }: Scrape): string[] {
  return [...series.keys()].filter((key) => !key.startsWith("nodejs_"));
}

test("two OpenMetrics scrapes followed by a text scrape have right names in all three", async () => {
  const lab = await Lab.make();
  await lab.simulate(HOST, { intervalMs: INTERVAL_MS });
  await lab.serve([{ name: HOST }], { runtime: true });
  const first = await lab.scrape("openmetrics");
  const second = await lab.scrape("openmetrics");
  const text = await lab.scrape("text");
  expect(wrongNames(first.families, "openmetrics")).toEqual([]);
  expect(wrongNames(second.families, "openmetrics")).toEqual([]);
  expect(wrongNames(text.families, "text")).toEqual([]);
  // In both formats a series has the same name: what reads one finds it in the other.
  expect(seriesNames(second)).toEqual(seriesNames(first));
  expect(seriesNames(text)).toEqual(seriesNames(first));
  expect(text.value("process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(text.value("albatross_exporter_scrapes_total", { outcome: "ok" })).toBe(2);
  expect(second.value("albatross_exporter_scrape_duration_seconds_bucket", { le: "+Inf" })).toBe(1);
});

describe("a device name that is not UTF-8", () => {
  test.each(["text", "openmetrics"] as const)("does not cost the scrape in %s", async (format) => {
    const { lab, host } = await quietScene();
    const mend = await host.misbehave({ type: "device_name", vm: "user:web" });
    await lab.pass(2 * INTERVAL_MS);
    const scrape = await lab.scrape(format);
    expectRight(scrape, host);
    expect(
      scrape.value("albatross_vm_network_mtu_bytes", { ...vmLabels("user:web"), device: "\uFFFDervice" }),
    ).toBe(1500);
    expect(scrape.value("albatross_vm_network_mtu_bytes", { ...vmLabels(":hello"), device: "service" })).toBe(
      1500,
    );
    await mend();
    await lab.pass(2 * INTERVAL_MS);
    const devices = new Set(
      (await lab.scrape(format)).labelValues("albatross_vm_network_mtu_bytes", "device"),
    );
    expect(devices).toEqual(new Set(["service"]));
  });
});
