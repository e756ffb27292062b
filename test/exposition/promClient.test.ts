import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry, Summary } from "prom-client";
import { expect, test } from "vitest";
import type { ExpositionFormat } from "../../src/exposition/family.ts";
import { promClientFamilies } from "../../src/exposition/promClient.ts";
import { renderExposition } from "../../src/exposition/writer.ts";
import { collect } from "../support/collect.ts";
import { parseExposition } from "../support/expositionParser.ts";

async function scrape(registry: Registry, format: ExpositionFormat): Promise<string> {
  const families = await promClientFamilies(registry);
  return Buffer.concat(await collect(renderExposition(families, format))).toString();
}

function exampleRegistry(): Registry {
  const registry = new Registry();
  const frames = new Counter({
    name: "albatross_frames_total",
    help: "Frames.",
    labelNames: ["host"],
    registers: [registry],
  });
  frames.inc({ host: 'a"b' }, 3);
  new Counter({ name: "albatross_unnamed", help: "A counter without _total.", registers: [registry] }).inc(2);
  new Gauge({ name: "albatross_up", help: "Up.", registers: [registry] }).set(1);
  const duration = new Histogram({
    name: "albatross_duration_seconds",
    help: "Duration.",
    buckets: [0.5, 1],
    labelNames: ["code"],
    registers: [registry],
  });
  duration.observe({ code: "200" }, 0.75);
  return registry;
}

test("two OpenMetrics scrapes and a text scrape after them name everything rightly", async () => {
  const registry = exampleRegistry();
  const first = await scrape(registry, "openmetrics");
  const second = await scrape(registry, "openmetrics");
  const third = await scrape(registry, "text");

  const openMetrics = `# HELP albatross_frames Frames.
# TYPE albatross_frames counter
albatross_frames_total{host="a\\"b"} 3
# HELP albatross_unnamed A counter without _total.
# TYPE albatross_unnamed counter
albatross_unnamed_total 2
# HELP albatross_up Up.
# TYPE albatross_up gauge
albatross_up 1
# HELP albatross_duration_seconds Duration.
# TYPE albatross_duration_seconds histogram
albatross_duration_seconds_bucket{le="0.5",code="200"} 0
albatross_duration_seconds_bucket{le="1.0",code="200"} 1
albatross_duration_seconds_bucket{le="+Inf",code="200"} 1
albatross_duration_seconds_sum{code="200"} 0.75
albatross_duration_seconds_count{code="200"} 1
# EOF
`;
  expect(first).toBe(openMetrics);
  expect(second).toBe(openMetrics);
  expect(third).toBe(
    openMetrics
      .replaceAll(/^(# \w+) albatross_(frames|unnamed) /gm, "$1 albatross_$2_total ")
      .replace("# EOF\n", ""),
  );
});

test("default labels of the registry are on every series", async () => {
  const registry = exampleRegistry();
  registry.setDefaultLabels({ zone: "z" });
  const families = parseExposition(await scrape(registry, "text"), "text");
  expect(families.flatMap(({ series }) => series).every(({ labels }) => labels["zone"] === "z")).toBe(true);
});

test.each<ExpositionFormat>(["text", "openmetrics"])(
  "the default metrics of Node parse in the format %s",
  async (format) => {
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const families = parseExposition(await scrape(registry, format), format);
    expect(families.find(({ name }) => name === "process_resident_memory_bytes")?.series).toHaveLength(1);
  },
);

test("a summary is refused by name", async () => {
  const registry = new Registry();
  new Summary({ name: "albatross_sizes", help: "Sizes.", registers: [registry] }).observe(1);
  await expect(promClientFamilies(registry)).rejects.toThrow("albatross_sizes is a summary");
});
