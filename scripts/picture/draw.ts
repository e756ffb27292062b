/** Draws answered panels as one SVG. */
import * as echarts from "echarts";
import type { AnsweredPanel, Mark, NamedSeries } from "./answers.ts";
import { formatValue } from "./units.ts";

const COLUMNS = 2;
const PANEL = { width: 560, height: 250 };
const GAP = 12;
const LEGEND = { margin: 14, gap: 16, icon: 18, fontSize: 11, rowHeight: 24 };
/** Of a letter, as a share of the font's size: of a wide font, for nobody knows which one the reader has. */
const LETTER_WIDTH = 0.59;
const FONT = "Inter, Helvetica, Arial, sans-serif";
const INK = "#24292f";
const FAINT = "#6e7781";
const LINES = ["#3274d9", "#56a64b", "#e08400", "#8f3bb8", "#0f9b9b", "#a16a43"];
/** Grafana's names. */
const COLOURS: Readonly<Record<string, string>> = {
  green: "#73bf69",
  yellow: "#f2cc0c",
  "light-blue": "#8ab8ff",
  red: "#f2495c",
  blue: "#3274d9",
  "dark-orange": "#fa6400",
  purple: "#b877d9",
  "semi-dark-red": "#e02f44",
  "semi-dark-blue": "#1f60c4",
  "super-light-blue": "#c0d8ff",
  orange: "#ff9830",
  "dark-yellow": "#e0b400",
  text: "#b5bcc4",
};

/** Series that are bounds of others, by their names. */
const BOUND = /(threshold|trigger|min|max|limit)(?: (?<direction>[↑↓]))?$/;
const SOLID = "path://M0,0 H18 V2 H0 Z";
const DASHED = "path://M0,0 H5 V2 H0 Z M6.5,0 H11.5 V2 H6.5 Z M13,0 H18 V2 H13 Z";
const MEMORY_STEP = 64 * 1024 * 1024;

export interface Drawing {
  readonly panels: readonly AnsweredPanel[];
  readonly decisions: readonly Mark[];
  /** the range of time that was asked about, wall-clock milliseconds */
  readonly fromMs: number;
  readonly toMs: number;
  /** how many times as fast time ran: the axis says how long it is as shipped */
  readonly speed: number;
}

type Option = echarts.EChartsOption;
type SeriesOption = Exclude<NonNullable<Option["series"]>, readonly unknown[]>;
type XAxis = NonNullable<Option["xAxis"]>;
type YAxis = NonNullable<Option["yAxis"]>;

echarts.setPlatformAPI({
  measureText: (text, font = "") => ({
    width: widthOf(text, Number(/(\d+)px/.exec(font)?.[1] ?? LEGEND.fontSize)),
  }),
});

/** The text of an SVG file: the panels in rows, and below them what the time axis says. */
export function draw(drawing: Drawing): string {
  const rows = Math.ceil(drawing.panels.length / COLUMNS);
  const width = COLUMNS * PANEL.width + (COLUMNS + 1) * GAP;
  const height = rows * PANEL.height + (rows + 1) * GAP;
  const panels = drawing.panels.map((panel, index) => {
    const x = GAP + (index % COLUMNS) * (PANEL.width + GAP);
    const y = GAP + Math.floor(index / COLUMNS) * (PANEL.height + GAP);
    return render(optionOf(panel, drawing)).replace(/^<svg /, `<svg x="${x}" y="${y}" `);
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    `<rect width="${width}" height="${height}" rx="6" fill="#eef0f3"/>`,
    ...panels,
    "</svg>\n",
  ].join("\n");
}

function render(option: Option): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, ...PANEL });
  try {
    chart.setOption(option);
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

function optionOf(panel: AnsweredPanel, drawing: Drawing): Option {
  const isTimeline = Object.keys(panel.mappings).length > 0;
  const series = isTimeline ? timeline(panel, drawing) : lines(panel, drawing);
  const all = series.flatMap(({ name }) => (name === undefined ? [] : String(name)));
  const names = isTimeline ? all : legendNames(all);
  return {
    animation: false,
    backgroundColor: "#fff",
    textStyle: { fontFamily: FONT, color: INK },
    title: {
      text: panel.title,
      subtext: panel.dashboard,
      left: 14,
      top: 8,
      itemGap: 3,
      textStyle: { fontSize: 14, fontWeight: 600, color: INK, fontFamily: FONT },
      subtextStyle: { fontSize: 11, color: FAINT, fontFamily: FONT },
    },
    legend: {
      data: names.map((name) => ({ name, icon: iconOf(name, isTimeline) })),
      bottom: 8,
      left: LEGEND.margin,
      right: LEGEND.margin,
      itemWidth: isTimeline ? 10 : LEGEND.icon,
      itemHeight: isTimeline ? 10 : 2,
      itemGap: LEGEND.gap,
      textStyle: { fontSize: LEGEND.fontSize, color: INK, fontFamily: FONT },
    },
    grid: {
      left: isTimeline ? 84 : 68,
      right: 22,
      top: 60,
      bottom: 36 + LEGEND.rowHeight * legendRows(names),
    },
    xAxis: timeAxis(drawing),
    yAxis: isTimeline ? rowAxis(panel) : valueAxis(panel),
    series,
  };
}

/** Of many VMs' limits, which are drawn alike, one is enough. */
function legendNames(names: readonly string[]): string[] {
  const bounds = new Set<string>();
  return names.filter((name) => {
    const [bound] = BOUND.exec(name) ?? [];
    if (bound === undefined) return true;
    const isFirst = !bounds.has(bound);
    bounds.add(bound);
    return isFirst;
  });
}

/** How many rows the legend of these series takes. */
function legendRows(names: readonly string[]): number {
  const room = PANEL.width - 2 * LEGEND.margin;
  let rows = 1;
  let used = 0;
  for (const name of names) {
    const width = LEGEND.icon + 5 + widthOf(name, LEGEND.fontSize) + LEGEND.gap;
    if (used + width > room) {
      rows += 1;
      used = 0;
    }
    used += width;
  }
  return rows;
}

function widthOf(text: string, fontSize: number): number {
  // The library measures an ideograph, as high as it is wide, to know how high a line is.
  return [...text].reduce((sum, letter) => sum + fontSize * (letter > "\u2e80" ? 1 : LETTER_WIDTH), 0);
}

function timeAxis({ fromMs, toMs, speed }: Drawing): XAxis {
  const minutes = ((toMs - fromMs) * speed) / 60_000;
  return {
    type: "value",
    min: 0,
    max: minutes,
    interval: 20,
    axisLabel: {
      formatter: (minute: number) => (minute % 20 === 0 ? hoursAndMinutes(minute) : ""),
      fontSize: 11,
      color: FAINT,
      fontFamily: FONT,
    },
    axisLine: { lineStyle: { color: "#afb8c1" } },
    splitLine: { lineStyle: { color: "#eef0f3" } },
  };
}

function valueAxis({ unit }: AnsweredPanel): YAxis {
  return {
    type: "value",
    splitNumber: 4,
    ...(unit === "percent" ? { min: 0, max: 100, interval: 25 } : {}),
    ...(unit === "bytes" ? { min: 0, max: fullSteps, interval: MEMORY_STEP } : {}),
    ...(unit === "none" ? { minInterval: 1 } : {}),
    axisLabel: {
      formatter: (value: number) => formatValue(unit, value),
      fontSize: 11,
      color: FAINT,
      fontFamily: FONT,
    },
    splitLine: { lineStyle: { color: "#eef0f3" } },
  };
}

function fullSteps({ max }: { readonly max: number }): number {
  return Math.ceil(max / MEMORY_STEP) * MEMORY_STEP;
}

function iconOf(name: string, isTimeline: boolean): string {
  if (isTimeline) return "rect";
  return BOUND.test(name) ? DASHED : SOLID;
}

function rowAxis({ series }: AnsweredPanel): YAxis {
  return {
    type: "category",
    inverse: true,
    data: series.map(({ name }) => name),
    axisTick: { show: false },
    axisLine: { show: false },
    axisLabel: { fontSize: 11, color: INK, fontFamily: FONT },
  };
}

/** A line for each series; bounds dashed as on the dashboard, and its scale decisions as vertical lines. */
function lines({ dashboard, series, unit }: AnsweredPanel, drawing: Drawing): SeriesOption[] {
  let plain = 0;
  const drawn = series.map(({ name, points }): SeriesOption => {
    const bound = BOUND.exec(name);
    const color = bound === null ? LINES[plain++ % LINES.length] : boundColour(bound.groups?.["direction"]);
    return {
      type: "line",
      name,
      showSymbol: false,
      connectNulls: false,
      ...(unit === "none" || bound !== null ? { step: "end" as const } : {}),
      lineStyle: { width: bound === null ? 2 : 1.5, type: bound === null ? "solid" : "dashed" },
      itemStyle: { color: color ?? INK },
      data: withGaps(points, drawing),
    };
  });
  return dashboard.endsWith("Scaler") ? [...drawn, decisionLines(drawing)] : drawn;
}

function boundColour(direction: string | undefined): string {
  if (direction === undefined) return FAINT;
  return direction === "↑" ? "#e02f44" : "#1f60c4";
}

function decisionLines(drawing: Drawing): SeriesOption {
  return {
    type: "line",
    data: [],
    markLine: {
      symbol: "none",
      silent: true,
      lineStyle: { color: "#fa6400", width: 1, type: "dotted" },
      label: { formatter: "{b}", fontSize: 10, color: "#b94700", position: "end", fontFamily: FONT },
      data: drawing.decisions.map(({ atMs, text }) => ({ name: text, xAxis: minuteOf(atMs, drawing) })),
    },
  };
}

/** A bar for as long as a series has a value; one series of the chart for each value, for the legend. */
function timeline({ series, mappings }: AnsweredPanel, drawing: Drawing): SeriesOption[] {
  const values = [...new Set(series.flatMap(({ points }) => points.map(([, value]) => value)))].sort(
    (a, b) => a - b,
  );
  return values.map((value): SeriesOption => {
    const { text = String(value), color = "text" } = mappings[value] ?? {};
    return {
      type: "custom",
      name: text,
      itemStyle: { color: COLOURS[color] ?? FAINT },
      encode: { x: [1, 2], y: 0 },
      data: series.flatMap((one, row) =>
        stretches(one, value).map(([from, to]) => [
          row,
          minuteOf(from * 1000, drawing),
          minuteOf(to * 1000, drawing),
        ]),
      ),
      renderItem: (_, api) => {
        const [left = 0, middle = 0] = api.coord([api.value(1), api.value(0)]);
        const [right = 0] = api.coord([api.value(2), api.value(0)]);
        return {
          type: "rect",
          shape: { x: left, y: middle - 11, width: right - left, height: 22 },
          style: { fill: String(api.visual("color")) },
        };
      },
    };
  });
}

/** From when to when, in seconds, a series has this value: until the next point, whatever that is. */
function stretches({ points }: NamedSeries, wanted: number): [from: number, to: number][] {
  const found: [number, number][] = [];
  points.forEach(([seconds, value], index) => {
    if (value !== wanted) return;
    const end = points[index + 1]?.[0] ?? seconds;
    const last = found.at(-1);
    if (last?.[1] === seconds) last[1] = end;
    else found.push([seconds, end]);
  });
  return found;
}

/** Minutes and values, with a hole where Prometheus has no point for some time. */
function withGaps(points: NamedSeries["points"], drawing: Drawing): [number, number | null][] {
  const steps = points.slice(1).map(([seconds], index) => seconds - (points[index]?.[0] ?? seconds));
  const step = Math.min(...steps);
  return points.flatMap(([seconds, value], index) => {
    const minute = minuteOf(seconds * 1000, drawing);
    const before = points[index - 1]?.[0] ?? seconds;
    const hole: [number, null][] = seconds - before > 1.5 * step ? [[minute, null]] : [];
    return [...hole, [minute, value] satisfies [number, number]];
  });
}

function minuteOf(ms: number, { fromMs, speed }: Drawing): number {
  return ((ms - fromMs) * speed) / 60_000;
}

function hoursAndMinutes(minute: number): string {
  return `${Math.floor(minute / 60)}:${String(minute % 60).padStart(2, "0")} h`;
}
