/**
 * Grafana's published type of a dashboard as a JSON file can satisfy it: enums by their values, without functions, queries
 * as the Prometheus data source takes them, and the options of each kind of panel in place of `any`.
 */
import type * as bargauge from "@grafana/grafana-foundation-sdk/bargauge";
import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import type * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import type * as stat from "@grafana/grafana-foundation-sdk/stat";
import type * as statetimeline from "@grafana/grafana-foundation-sdk/statetimeline";
import type * as table from "@grafana/grafana-foundation-sdk/table";
import type * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";

type IsAny<T> = 0 extends 1 & T ? true : false;

type Json<T> =
  IsAny<T> extends true
    ? unknown
    : T extends string
      ? `${T}`
      : T extends readonly (infer Element)[]
        ? readonly Json<Element>[]
        : T extends object
          ? { [Key in keyof T as T[Key] extends () => void ? never : Key]: Json<T[Key]> }
          : T;

type Query = Json<prometheus.Dataquery>;

type PanelOf<Type extends string, Options, Custom> = Json<
  Omit<dashboard.Panel, "type" | "targets" | "options" | "fieldConfig">
> & {
  readonly type: Type;
  readonly targets: readonly Query[];
  readonly options: Json<Options>;
  readonly fieldConfig: Json<Omit<dashboard.FieldConfigSource, "defaults">> & {
    readonly defaults: Json<Omit<dashboard.FieldConfig, "custom">> & { readonly custom?: Json<Custom> };
  };
};

type FigurePanel =
  | PanelOf<"timeseries", timeseries.Options, timeseries.FieldConfig>
  | PanelOf<"state-timeline", statetimeline.Options, statetimeline.FieldConfig>
  | PanelOf<"table", table.Options, table.FieldConfig>
  | PanelOf<"stat", stat.Options, Record<string, never>>
  | PanelOf<"bargauge", bargauge.Options, Record<string, never>>;

type Row = Json<Omit<dashboard.RowPanel, "panels">> & { readonly panels: readonly FigurePanel[] };

type Annotation = Json<Omit<dashboard.AnnotationQuery, "target">> & { readonly target: Query };

export type DashboardFile = Json<Omit<dashboard.Dashboard, "panels" | "annotations">> & {
  readonly panels: readonly (FigurePanel | Row)[];
  readonly annotations: { readonly list?: readonly Annotation[] };
};
