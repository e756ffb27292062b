import { describe, expect, test } from "vitest";
import type { AnsweredPanel } from "../../scripts/picture/answers.ts";
import { draw } from "../../scripts/picture/draw.ts";
import { PANELS } from "../../scripts/picture/panels.ts";
import { formatValue } from "../../scripts/picture/units.ts";
import { figurePanels, readDashboard } from "../support/dashboards.ts";

const averages: AnsweredPanel = {
  dashboard: "Albatross / Scaler",
  title: "Averages",
  unit: "percent",
  series: [
    {
      name: "user:web average ↑",
      points: [
        [1000, 40],
        [1001, 97],
      ],
    },
    {
      name: "user:web threshold ↑",
      points: [
        [1000, 90],
        [1001, 90],
      ],
    },
  ],
  mappings: {},
};
const reasons: AnsweredPanel = {
  dashboard: "Albatross / Scaler",
  title: "Reasons",
  unit: "none",
  series: [
    {
      name: "user:db",
      points: [
        [1000, 0],
        [1001, 0],
        [1002, 1],
      ],
    },
  ],
  mappings: {
    0: { text: "normal", color: "green" },
    1: { text: "busy, waits for trigger", color: "yellow" },
  },
};

describe("the picture", () => {
  const svg = draw({
    panels: [averages, reasons],
    decisions: [{ atMs: 1_001_000, text: "scale up" }],
    fromMs: 1_000_000,
    toMs: 1_060_000,
    speed: 60,
  });

  test.each([
    "Averages",
    "Albatross / Scaler",
    "user:web average ↑",
    "user:web threshold ↑",
    "100 %",
    "0:40 h",
    "scale up",
    "user:db",
    "normal",
    "busy, waits for trigger",
  ])("says %s", (text) => {
    expect(svg).toContain(`>${text}</text>`);
  });

  test("draws a bound dashed", () => {
    expect(svg).toMatch(/stroke-dasharray/);
  });

  test("is one SVG with one within it for each panel", () => {
    expect(svg.match(/<svg /g)).toHaveLength(3);
  });
});

test("every panel that is wanted is on its dashboard", () => {
  for (const { dashboard, title } of PANELS) {
    expect(figurePanels(readDashboard(dashboard)).map((panel) => panel.title)).toContain(title);
  }
});

test.each([
  ["percent", 25, "25 %"],
  ["none", 3, "3"],
  ["bytes", 0, "0 B"],
  ["bytes", 1024, "1 KiB"],
  ["bytes", 192 * 1024 ** 2, "192 MiB"],
  ["bps", -20e6, "-20 Mb/s"],
  ["bps", 1.5e9, "1.5 Gb/s"],
] as const)("%s %d is %s", (unit, value, text) => {
  expect(formatValue(unit, value)).toBe(text);
});
