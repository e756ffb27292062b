/** Draws what `--what-if` played. The one file that knows the library that draws; loaded only when there is a plot to make. */
import { LineChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, MarkAreaComponent, TitleComponent } from "echarts/components";
import { type ComposeOption, init, use } from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { nameOf, printable } from "./output.ts";
import type { Meter } from "./player.ts";
import type { Drawn } from "./whatIf.ts";

use([
  LineChart,
  ScatterChart,
  GridComponent,
  LegendComponent,
  MarkAreaComponent,
  TitleComponent,
  SVGRenderer,
]);

const WIDTH = 1_200;
const PANEL_HEIGHT = 190;
const HEAD_HEIGHT = 60;
/** From a panel's top to its axes, and from there to the next panel. */
const TITLE_HEIGHT = 34;
const AXIS_HEIGHT = 34;
const SIDE = 56;

const DEMAND = "#2563a8";
const CAPACITY = "#4b5563";
const SATURATED = "rgba(214, 40, 40, 0.22)";
const MORE = { name: "clones more", color: "#1a7f37", symbol: "path://M0 8L5 0L10 8Z" };
const FEWER = { name: "clones fewer", color: "#b45309", symbol: "path://M0 0L5 8L10 0Z" };
const LEGEND = ["demand", "capacity", MORE.name, FEWER.name];

type Option = ComposeOption<never> & Record<string, unknown>;

/** One SVG with a panel for each history of each group, in this order, one below the other. */
export function drawPlot(groups: readonly Drawn[]): string {
  const panels = groups.flatMap((group) =>
    group.histories.map((history) => ({ ...group, ...history, isOnly: groups.length === 1 })),
  );
  const height = HEAD_HEIGHT + panels.length * PANEL_HEIGHT;
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  const times = groups.flatMap(({ demand }) => [demand[0]?.[0] ?? 0, demand.at(-1)?.[0] ?? 0]);
  const [min, max] = [Math.min(...times), Math.max(...times)];
  const top = (panel: number) => HEAD_HEIGHT + panel * PANEL_HEIGHT;
  const option: Option = {
    animation: false,
    backgroundColor: "#ffffff",
    useUTC: true,
    legend: { top: 8, left: SIDE, itemGap: 24, data: panels.length === 0 ? [] : LEGEND },
    title: [
      {
        text: `${units(groups)}; red where the demand was not met`,
        right: SIDE,
        top: 8,
        textStyle: { fontSize: 12, fontWeight: "normal" },
      },
      ...panels.map(({ name, title, isOnly, meter }, i) => ({
        text: isOnly ? title : printable(`${nameOf(name)}, ${title}`),
        subtext: figures(meter),
        left: SIDE,
        top: top(i),
        itemGap: 2,
        padding: 0,
        textStyle: { fontSize: 13 },
        subtextStyle: { fontSize: 11, color: CAPACITY },
      })),
    ],
    grid: panels.map((_, i) => ({
      left: SIDE,
      right: SIDE,
      top: top(i) + TITLE_HEIGHT,
      height: PANEL_HEIGHT - TITLE_HEIGHT - AXIS_HEIGHT,
    })),
    xAxis: panels.map((_, i) => ({ type: "time", gridIndex: i, min, max })),
    yAxis: panels.map((panel, i) => ({
      type: "value",
      gridIndex: i,
      min: 0,
      max: most(panel),
      ...(!panel.hasLoad && { minInterval: 1 }),
    })),
    series: panels.flatMap((panel, i) => seriesOf(panel, i)),
  };
  chart.setOption(option);
  const svg = chart.renderToSVGString();
  chart.dispose();
  return withoutCounts(svg);
}

/** The library numbers charts and styles for the pointer as it goes; the same plot is to be the same file. */
function withoutCounts(svg: string): string {
  return svg
    .replaceAll(/ class="zr[^"]*"| ecmeta_\w+="[^"]*"|<style >.*?<\/style>\n?/gs, "")
    .replaceAll(/\bzr\d+-/g, "plot-");
}

function figures({ saturatedMs, cloneMs, actions, reversals }: Meter): string {
  const minutes = (saturatedMs / 60_000).toFixed(1);
  const hours = (cloneMs / 3_600_000).toFixed(2);
  return `saturated min ${minutes}, clone-hours ${hours}, actions ${actions}, reversals ${reversals}`;
}

/** The same for all panels of a group, so that they can be compared. */
function most({ hasLoad, demand, histories }: Drawn): number {
  let cpus = 0;
  for (const points of [demand, ...histories.map(({ meter }) => meter.capacities)]) {
    for (const [, value] of points) cpus = Math.max(cpus, value ?? 0);
  }
  // a load may be in thousandths or thousands
  if (hasLoad && cpus > 0) return Number((1.1 * cpus).toPrecision(2));
  return Math.ceil(cpus) + 1;
}

/** What the axes count. */
function units(groups: readonly Drawn[]): string {
  const loads = groups.filter(({ hasLoad }) => hasLoad).length;
  if (loads === 0) return "CPUs";
  return loads === groups.length ? "Load in the unit of the query" : "CPUs, or load in the unit of the query";
}

function seriesOf({ demand, meter }: Drawn & { readonly meter: Meter }, panel: number): object[] {
  const axes = { xAxisIndex: panel, yAxisIndex: panel };
  const endMs = demand.findLast(([, cpus]) => cpus !== null)?.[0] ?? 0;
  const capacity = [...meter.capacities, [endMs, meter.capacities.at(-1)?.[1] ?? 0] as const];
  const line = { ...axes, type: "line", showSymbol: false, silent: true };
  const marks = ({ name, color, symbol }: typeof MORE, isShown: (clones: number) => boolean) => ({
    ...axes,
    name,
    type: "scatter",
    silent: true,
    symbol,
    symbolSize: [10, 8],
    itemStyle: { color },
    data: apart(meter.steps.filter(([, clones]) => isShown(clones))).map(([ms, clones]) => ({
      value: [ms, capacityAt(meter.capacities, ms)],
      label: { show: Math.abs(clones) > 1, position: "top", formatter: String(Math.abs(clones)) },
    })),
    z: 5,
  });
  return [
    {
      ...line,
      name: "demand",
      step: "start",
      color: DEMAND,
      lineStyle: { width: 1.2 },
      areaStyle: { opacity: 0.15 },
      data: demand,
      markArea: {
        itemStyle: { color: SATURATED },
        data: saturatedSpans(demand, meter.capacities).map(([from, until]) => [
          { xAxis: from },
          { xAxis: until },
        ]),
      },
    },
    {
      ...line,
      ...{ name: "capacity", step: "end", color: CAPACITY, lineStyle: { width: 1.6 } },
      ...{ sampling: "minmax", data: capacity },
    },
    marks(MORE, (clones) => clones > 0),
    marks(FEWER, (clones) => clones < 0),
  ];
}

/** One of those that would be drawn upon each other, however many there are. */
function apart(steps: Meter["steps"]): Meter["steps"] {
  const leastMs = pixelMs(steps);
  let lastMs = Number.NEGATIVE_INFINITY;
  return steps.filter(([ms]) => {
    if (ms - lastMs < leastMs) return false;
    lastMs = ms;
    return true;
  });
}

function pixelMs(points: readonly (readonly [ms: number, value: unknown])[]): number {
  return ((points.at(-1)?.[0] ?? 0) - (points[0]?.[0] ?? 0)) / WIDTH;
}

function capacityAt(capacities: Meter["capacities"], ms: number): number {
  let [low, high] = [0, capacities.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((capacities[middle]?.[0] ?? 0) <= ms) low = middle + 1;
    else high = middle;
  }
  return capacities[Math.max(0, low - 1)]?.[1] ?? 0;
}

/** When no less was needed than there was. */
function saturatedSpans(demand: Drawn["demand"], capacities: Meter["capacities"]): [number, number][] {
  const spans: [number, number][] = [];
  const leastMs = pixelMs(demand);
  let at = 0;
  let fromMs = demand[0]?.[0] ?? 0;
  for (const [untilMs, cpus] of demand) {
    while (fromMs < untilMs) {
      while ((capacities[at + 1]?.[0] ?? Number.POSITIVE_INFINITY) <= fromMs) at += 1;
      const endMs = Math.min(untilMs, capacities[at + 1]?.[0] ?? untilMs);
      if (cpus !== null && cpus >= (capacities[at]?.[1] ?? 0)) {
        const last = spans.at(-1);
        if (last !== undefined && fromMs - last[1] <= leastMs) last[1] = endMs;
        else spans.push([fromMs, endMs]);
      }
      fromMs = endMs;
    }
  }
  return spans;
}
