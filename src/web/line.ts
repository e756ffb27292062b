/** The line of a group's last hour between its thresholds, and its figures: in percent or in the unit of a query. */
import type { HistoryPoint } from "../scaler/report/history.ts";
import type { RecentDecision } from "../scaler/report/log.ts";
import type { GroupPolicy } from "../scaler/rules/types.ts";
import { age, type Html, html, NOTHING } from "./html.ts";

/** `91 %`; `–` where nothing is measured. */
export function percent(value: number | null): string {
  return value === null ? "–" : `${value.toFixed(value < 10 ? 1 : 0)} %`;
}

/** With four digits at most; `–` where it is not known. */
export function amount(value: number | null): string {
  return value === null ? "–" : String(Number(value.toPrecision(4)));
}

/** What a line is drawn with beside its points. */
type Limits = Pick<GroupPolicy, "scaleUpThresholdPercent" | "scaleDownThresholdPercent" | "load">;

/** What a line shows, in words for who does not see it. */
function lineWords(points: readonly HistoryPoint[], limits: Limits): string {
  const measured = points.flatMap(({ load }) => load ?? []);
  const thresholds = thresholdsOf(points, limits).at(-1);
  if (thresholds === undefined) return "Nothing measured yet";
  const said = (load: number | null) => (limits.load ? amount(load) : percent(load));
  const range = `${said(Math.min(...measured))} to ${said(Math.max(...measured))}`;
  const now = said(points.at(-1)?.load ?? null);
  const [down, up] = [thresholds.down, thresholds.up].map((load) => bound(load, limits));
  return `${limits.load ? "Load" : "Average"} of the last ${age(spanOf(points))}: now ${now}, before ${range}; thresholds ${down} and ${up}`;
}

/** A threshold with its unit: `90 %` or, of a load from PromQL, `360`. */
function bound(load: number, limits: Limits): string {
  return limits.load ? amount(load) : `${amount(load)} %`;
}

/** What the load was held against at each point where it is known, in its unit. */
function thresholdsOf(points: readonly HistoryPoint[], limits: Limits) {
  return points.flatMap(({ agoMs, load, fullForUp, fullForDown }) => {
    const up = (limits.scaleUpThresholdPercent * fullForUp) / 100;
    const down = (limits.scaleDownThresholdPercent * fullForDown) / 100;
    return load === null ? [] : [{ agoMs, up, down }];
  });
}

const SMALL = { width: 120, height: 40 };

/** The line between its thresholds, small. */
export function smallLine(points: readonly HistoryPoint[], limits: Limits): Html {
  const { width, height } = SMALL;
  const box = `0 0 ${width} ${height}`;
  const words = lineWords(points, limits);
  return html`<svg class="line" viewBox="${box}" preserveAspectRatio="none" role="img" aria-label="${words}">
${lineParts(points, limits, SMALL)}
</svg>`;
}

/** Its height in units; the width is a point for each of the hour's. */
const CHART = { width: 240, height: 100 };

/** The line with its scale, its thresholds' names, and marks where it was decided to grow and to shrink. */
export function chart(
  points: readonly HistoryPoint[],
  limits: Limits,
  decisions: readonly RecentDecision[],
  nowMs: number,
): Html {
  const spanMs = spanOf(points);
  const top = topOf(points);
  const y = (load: number) => `${(100 * (1 - load / top)).toFixed(1)}%`;
  const marks = decisions.flatMap(({ decision, time, text }) => {
    const agoMs = nowMs - Date.parse(time);
    if (decision === "hold" || agoMs > spanMs) return [];
    const x = `${(100 * (1 - agoMs / spanMs)).toFixed(1)}%`;
    const sign = decision === "scale_up" ? "▲" : "▼";
    return html`<line class="mark" x1="${x}" x2="${x}" y1="16" y2="100%"/>
<text class="act" x="${x}" y="12" text-anchor="middle">${sign}<title>${text}</title></text>`;
  });
  const thresholds = thresholdsOf(points, limits).at(-1);
  // at the right, because they are those of now; where the load is many times what is 100 %, within the edge
  const names =
    thresholds === undefined
      ? NOTHING
      : html`<text class="high" x="100%" dx="-6" y="${y(thresholds.up)}" dy="-5" text-anchor="end">above ${bound(thresholds.up, limits)}: scale up</text>
<text class="low" x="100%" dx="-6" y="${y(Math.max(thresholds.down, top / 10))}" dy="15" text-anchor="end">below ${bound(thresholds.down, limits)}: scale down</text>`;
  return html`<figure class="card">
<svg class="chart" role="img" aria-label="${lineWords(points, limits)}">
<svg viewBox="0 0 ${CHART.width} ${CHART.height}" preserveAspectRatio="none">
${lineParts(points, limits, CHART)}
</svg>
${marks}
${names}
</svg>
<figcaption class="scale soft small">
<span>${age(spanMs)} ago</span>
<span>▲ scale up ▼ scale down</span>
<span>now</span>
</figcaption>
</figure>`;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** From the oldest point at the left to now, from no load to the edge. */
function lineParts(points: readonly HistoryPoint[], limits: Limits, { width, height }: Size): Html {
  const spanMs = spanOf(points);
  const top = topOf(points);
  const y = (load: number) => round(height * (1 - load / top));
  const x = (agoMs: number) => round(width * (1 - Math.max(0, agoMs) / spanMs));
  let path = "";
  let isDrawn = false;
  for (const { agoMs, load } of atMost(points, width)) {
    // a point by itself is a dot
    if (load !== null) path += isDrawn ? `L${x(agoMs)} ${y(load)}` : `M${x(agoMs)} ${y(load)}h0`;
    isDrawn = load !== null;
  }
  const thresholds = thresholdsOf(points, limits);
  // they are steps where members come and go
  const stepsOf = (threshold: "up" | "down") => {
    const places = thresholds.map((one) => y(one[threshold]));
    const changes = thresholds.map(({ agoMs }, index) =>
      index > 0 && places[index] !== places[index - 1] ? `H${x(agoMs)}V${places[index]}` : "",
    );
    return `${places[0] ?? 0}${changes.join("")}H${width}`;
  };
  const [up, down] = [stepsOf("up"), stepsOf("down")];
  const limit =
    thresholds.length === 0
      ? NOTHING
      : html`<path class="above" d="M0 0V${up}V0Z"/>
<path class="below" d="M0 ${height}V${down}V${height}Z"/>
<path class="limit up" d="M0 ${up}"/>
<path class="limit down" d="M0 ${down}"/>`;
  return html`<rect class="back" width="${width}" height="${height}"/>
${limit}
<path class="measured" d="${path}"/>`;
}

/** From the left edge to now. */
function spanOf(points: readonly HistoryPoint[]): number {
  return Math.max(60_000, points[0]?.agoMs ?? 0);
}

/** The load at the upper edge: with room above what is 100 %, which a load from PromQL may be beyond. */
function topOf(points: readonly HistoryPoint[]): number {
  const loads = points.flatMap(({ load, fullForUp }) => (load === null ? [] : [load, fullForUp]));
  return 1.05 * Math.max(...loads);
}

/** As many points as there is room for: of those that share a place the highest, so that no peak is lost. */
function atMost(points: readonly HistoryPoint[], most: number): readonly HistoryPoint[] {
  const each = Math.ceil(points.length / most);
  if (each <= 1) return points;
  return points.flatMap((_, index) => {
    if (index % each !== 0) return [];
    const together = points.slice(index, index + each);
    return [together.reduce((a, b) => ((b.load ?? -1) > (a.load ?? -1) ? b : a))];
  });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
