/** The kinds of panels, each with what every panel has to say of itself. */

import * as bargauge from "@grafana/grafana-foundation-sdk/bargauge";
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import * as common from "@grafana/grafana-foundation-sdk/common";
import {
  BarGaugeDisplayMode,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueTextMode,
  GraphDrawStyle,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  LineInterpolation,
  SortOrder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizOrientation,
} from "@grafana/grafana-foundation-sdk/common";
import {
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  type Panel,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder, PromQueryFormat } from "@grafana/grafana-foundation-sdk/prometheus";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import * as statetimeline from "@grafana/grafana-foundation-sdk/statetimeline";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";
import type { DataLink } from "./links.ts";
import { DATASOURCE } from "./variables.ts";

/** An expression, and how its series are called where they are drawn. */
export type Query = readonly [expression: string, legend: string];

/** A colour to begin with, and the values from which another holds. */
export type Colours = readonly [base: string, ...steps: (readonly [from: number, colour: string])[]];

export interface PanelFacts {
  readonly title: string;
  /** what the figures mean, in sentences */
  readonly means: string;
  /** what to do about them, in sentences */
  readonly todo: string;
  /** an id of Grafana's */
  readonly unit: string;
  /** null: as many as the figures take */
  readonly decimals: number | null;
  readonly colours: Colours;
  readonly queries: readonly Query[];
  readonly mappings?: readonly ValueMapping[];
  readonly overrides?: readonly Override[];
  readonly links?: readonly DataLink[];
  /** what to show where there is no series */
  readonly noValue?: string;
}

/** Settings for the series whose names fit a regular expression. */
export interface Override {
  readonly series: string;
  readonly set: readonly DynamicConfigValue[];
}

/** Series that others are held against, such as limits: dashed and without an area below. */
export function dashed(series: string): Override {
  return {
    series,
    set: [
      { id: "custom.lineStyle", value: { fill: "dash", dash: [10, 10] } },
      { id: "custom.fillOpacity", value: 0 },
    ],
  };
}

/** One colour for what series stand for, in another shade for each of them. */
export function shades(series: string, colour: string): Override {
  return { series, set: [{ id: "color", value: { mode: "shades", fixedColor: colour } }] };
}

export interface GraphLook {
  /** areas upon each other */
  readonly stacked?: boolean;
  readonly bars?: boolean;
  /** holds until the next value, for what changes at once */
  readonly steps?: boolean;
  readonly min?: number;
  readonly max?: number;
  /** the least step between two values, for what changes slowly */
  readonly interval?: string;
}

/** Lines over time. */
export function graph(facts: PanelFacts, look: GraphLook = {}): Builder<Panel> {
  const panel = dressed(new timeseries.PanelBuilder(), facts)
    .legend(tableLegend())
    .tooltip(sortedTooltip())
    .showPoints(VisibilityMode.Never)
    .lineWidth(1)
    .fillOpacity(look.stacked ? 30 : 8)
    .drawStyle(look.bars ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .lineInterpolation(look.steps ? LineInterpolation.StepAfter : LineInterpolation.Linear);
  if (look.bars) panel.fillOpacity(80);
  if (look.stacked) panel.stacking(new common.StackingConfigBuilder().mode(StackingMode.Normal));
  if (look.min !== undefined) panel.min(look.min);
  if (look.max !== undefined) panel.max(look.max);
  if (look.interval !== undefined) panel.interval(look.interval);
  if (facts.colours.length > 1) {
    panel.thresholdsStyle(
      new common.GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed),
    );
  }
  return withQueries(panel, facts.queries, "range");
}

/** Events around each moment, a bar for each series that has any: `counter` summed by the labels `by`. */
export function eventBars({
  counter,
  by,
  legend,
  ...facts
}: Omit<PanelFacts, "unit" | "decimals" | "queries"> & {
  readonly counter: string;
  readonly by: string;
  readonly legend: string;
}): Builder<Panel> {
  const count = `round(sum by (${by}) (increase(${counter}[$__rate_interval]))) > 0`;
  const look = { bars: true, min: 0, interval: "1m" };
  return graph({ ...facts, unit: "none", decimals: 0, queries: [[count, legend]] }, look);
}

/** One figure for each series, as of now, with names where there are several; `named`: always. */
export function figure(facts: PanelFacts, look: { readonly named?: boolean } = {}): Builder<Panel> {
  const panel = dressed(new stat.PanelBuilder(), facts)
    .graphMode(BigValueGraphMode.None)
    .colorMode(BigValueColorMode.Value)
    .textMode(look.named ? BigValueTextMode.ValueAndName : BigValueTextMode.Auto)
    .reduceOptions(lastValue());
  return withQueries(panel, facts.queries, "instant");
}

/** How many are up, and how many are not: red unless that is nobody. `metric` is 1 or 0 for each. */
export function upAndDown(
  facts: Pick<PanelFacts, "title" | "means" | "todo" | "noValue">,
  metric: string,
): Builder<Panel> {
  return figure(
    {
      ...facts,
      unit: "none",
      decimals: 0,
      colours: ["text"],
      queries: [
        [`sum(${metric})`, "up"],
        [`sum(1 - ${metric})`, "down"],
      ],
      overrides: [
        {
          series: "/^down$/",
          set: [{ id: "thresholds", value: { mode: "absolute", steps: steps(["green", [1, "red"]]) } }],
        },
      ],
    },
    { named: true },
  );
}

/** A bar for each series, as of now, the longest first. */
export function ranking(facts: PanelFacts, look: { readonly max?: number } = {}): Builder<Panel> {
  const panel = dressed(new bargauge.PanelBuilder(), facts)
    .displayMode(BarGaugeDisplayMode.Basic)
    .orientation(VizOrientation.Horizontal)
    .min(0)
    .reduceOptions(lastValue());
  if (look.max !== undefined) panel.max(look.max);
  return withQueries(panel, facts.queries, "instant");
}

/**
 * A line for each series, coloured by what the value stands for: the mappings' colours win over the scheme's. A scheme of
 * thresholds would have Grafana merge all values between two thresholds into one.
 */
export function timeline(facts: PanelFacts): Builder<Panel> {
  const panel = dressed(new statetimeline.PanelBuilder(), facts)
    .showValue(VisibilityMode.Auto)
    .mergeValues(true)
    .rowHeight(0.85)
    .lineWidth(0)
    .fillOpacity(80)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.ContinuousGrYlRd))
    .legend(hiddenLegend());
  return withQueries(panel, facts.queries, "range");
}

/** The parts that the builders of all kinds have in common. */
interface PanelBuilder {
  title(title: string): this;
  description(description: string): this;
  datasource(datasource: common.DataSourceRef): this;
  unit(unit: string): this;
  decimals(decimals: number): this;
  thresholds(thresholds: ThresholdsConfigBuilder): this;
  mappings(mappings: ValueMapping[]): this;
  noValue(noValue: string): this;
  overrideByRegexp(regexp: string, properties: DynamicConfigValue[]): this;
  withTarget(target: DataqueryBuilder): this;
  build(): Panel;
}

export function dressed<B extends PanelBuilder>(panel: B, facts: PanelFacts): B {
  const { title, means, todo, unit, decimals, colours, mappings, overrides, links, noValue } = facts;
  panel.title(title).description(`${means}\n\n${todo}`).datasource(DATASOURCE).unit(unit);
  if (decimals !== null) panel.decimals(decimals);
  panel.thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps(colours)));
  if (mappings !== undefined) panel.mappings([...mappings]);
  if (noValue !== undefined) panel.noValue(noValue);
  for (const { series, set } of overrides ?? []) panel.overrideByRegexp(series, [...set]);
  if (links !== undefined) panel.overrideByRegexp(".*", [{ id: "links", value: links }]);
  return panel;
}

/** Adds the queries, called A, B, C and so on. */
export function withQueries<B extends PanelBuilder>(
  panel: B,
  queries: readonly Query[],
  kind: "range" | "instant" | "table",
): B {
  queries.forEach(([expression, legend], index) => {
    const query = new DataqueryBuilder()
      .refId(String.fromCharCode("A".charCodeAt(0) + index))
      .datasource(DATASOURCE)
      .expr(expression)
      .legendFormat(legend);
    if (kind === "range") query.range();
    else query.instant();
    if (kind === "table") query.format(PromQueryFormat.Table);
    panel.withTarget(query);
  });
  return panel;
}

/** Thresholds as Grafana keeps them. */
export function steps([base, ...others]: Colours): Threshold[] {
  return [{ value: null, color: base }, ...others.map(([value, color]) => ({ value, color }))];
}

function tableLegend() {
  return new common.VizLegendOptionsBuilder()
    .displayMode(LegendDisplayMode.List)
    .placement(LegendPlacement.Bottom)
    .showLegend(true)
    .calcs(["lastNotNull"]);
}

function hiddenLegend() {
  return new common.VizLegendOptionsBuilder()
    .displayMode(LegendDisplayMode.Hidden)
    .placement(LegendPlacement.Bottom)
    .showLegend(false)
    .calcs([]);
}

function sortedTooltip() {
  return new common.VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending);
}

function lastValue() {
  return new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]).values(false);
}
