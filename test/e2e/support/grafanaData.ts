/** What Grafana's own data layer makes of a panel and Prometheus' answers to its queries. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { PanelJson, Target } from "../../support/dashboards.ts";
import type { PanelSeries } from "./panelQueries.ts";

const FOLDER = fileURLToPath(new URL("../../grafana-data/", import.meta.url));

/** The part of @grafana/data that is used here: its types are as heavy as itself. */
interface Field {
  readonly name: string;
  readonly type: string;
  readonly values: readonly unknown[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly config: {
    readonly displayNameFromDS?: string;
    readonly unit?: string;
    readonly mappings?: readonly {
      readonly options: Readonly<Record<string, { text: string; color: string }>>;
    }[];
    readonly custom?: { readonly lineStyle?: unknown };
  };
  readonly display?: (value: unknown) => { readonly text: string; readonly color?: string };
}
interface Frame {
  readonly refId: string;
  readonly fields: readonly Field[];
  readonly length: number;
}
interface GrafanaData {
  readonly standardTransformers: Readonly<Record<string, { readonly id: string }>>;
  readonly standardTransformersRegistry: { setInit(init: () => readonly object[]): void };
  readonly FieldConfigOptionsRegistry: new () => { register(item: object): void };
  readonly identityOverrideProcessor: (value: unknown) => unknown;
  readonly fieldMatchers: {
    get(id: string): {
      get(options: unknown): (field: Field, frame: Frame, all: readonly Frame[]) => boolean;
    };
  };
  createTheme(): object;
  transformDataFrame(
    transformations: readonly object[],
    frames: readonly Frame[],
  ): { subscribe(observer: { next: (frames: Frame[]) => void; error: (error: unknown) => void }): void };
  applyFieldOverrides(options: object): Frame[];
  getFieldDisplayName(field: Field, frame: Frame, all: readonly Frame[]): string;
  getFieldSeriesColor(field: Field, theme: object): { readonly color?: string };
  getValueFormats(): readonly { readonly submenu: readonly { readonly value: string }[] }[];
}

/** What panels may set of a field: Grafana leaves out whatever it does not know, without a word. */
const SETTINGS = [
  "unit",
  "decimals",
  "min",
  "max",
  "thresholds",
  "mappings",
  "color",
  "noValue",
  "displayName",
  "links",
];
const CUSTOM_SETTINGS = ["lineStyle", "fillOpacity", "width", "cellOptions", "hidden", "hideFrom.viz"];
/** The scheme of colours that each kind of panel brings. */
const SCHEMES: Readonly<Record<string, string>> = { timeseries: "palette-classic" };

/** Whether `npm ci` was run in test/grafana-data. Says loudly when not; throws under CI=true. */
export function hasGrafanaData(): boolean {
  if (existsSync(`${FOLDER}node_modules`)) return true;
  const message = "Grafana's data layer is not installed (npm ci --prefix test/grafana-data)";
  if (process.env["CI"] === "true") throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
  return false;
}

/** One series or column as a panel shows it. */
export interface ShownField {
  readonly name: string;
  readonly unit: string | undefined;
  /** colour, and how the line is drawn where that is not solid: what tells series of a graph apart */
  readonly look: string;
  readonly values: readonly { readonly text: string; readonly color?: string | undefined }[];
  /** words that values are mapped to; none where they are shown as numbers */
  readonly words: readonly string[];
}

export interface ShownPanel {
  readonly fields: readonly ShownField[];
  /** what overrides, transformations and the sorting name, and is not there */
  readonly absent: readonly string[];
}

let loaded: Grafana | undefined;

/** The one that there is: its registries are filled once. */
export function grafanaData(): Grafana {
  loaded ??= new Grafana();
  return loaded;
}

class Grafana {
  readonly #data: GrafanaData;
  readonly #theme: object;
  readonly #registry: object;
  readonly #units: ReadonlySet<string>;

  constructor() {
    // it asks the browser for its languages, and when it has been loaded, whether this is a part of a dashboard
    if (!("navigator" in globalThis)) Object.assign(globalThis, { navigator: { languages: ["en-GB"] } });
    const data: GrafanaData = createRequire(FOLDER)("@grafana/data");
    Object.assign(globalThis, { window: {} });
    // some have two names there
    const transformers = new Map(Object.values(data.standardTransformers).map((one) => [one.id, one]));
    data.standardTransformersRegistry.setInit(() =>
      Array.from(transformers, ([id, transformation]) => ({
        id,
        transformation: async () => transformation,
      })),
    );
    const registry = new data.FieldConfigOptionsRegistry();
    const item = (id: string, path: string, isCustom: boolean) => ({
      ...{ id, path, name: id, isCustom, shouldApply: () => true },
      ...{ process: data.identityOverrideProcessor, override: () => null, editor: () => null },
    });
    for (const name of SETTINGS) registry.register(item(name, name, false));
    for (const name of CUSTOM_SETTINGS) registry.register(item(`custom.${name}`, name, true));
    this.#data = data;
    this.#theme = data.createTheme();
    this.#registry = registry;
    this.#units = new Set(data.getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => value)));
  }

  isUnit(unit: string): boolean {
    return this.#units.has(unit);
  }

  /** The panel with an answer to each of its queries. Throws where it sets what Grafana would leave out. */
  async show(panel: PanelJson, answers: readonly (readonly PanelSeries[])[]): Promise<ShownPanel> {
    const { targets = [], transformations = [], fieldConfig, options, type } = panel;
    const { defaults, overrides = [] } = fieldConfig ?? {};
    const absent: string[] = [];
    let frames = targets.flatMap((target, index) => framesOf(target, answers[index] ?? [], targets.length));
    for (const transformation of transformations) {
      const named = ["excludeByName", "indexByName", "renameByName"].flatMap((key) =>
        Object.keys(transformation.options[key] ?? {}),
      );
      const names = this.#names(frames);
      absent.push(...named.filter((name) => !names.includes(name)));
      const before = frames;
      frames = await new Promise((resolve, reject) => {
        this.#data.transformDataFrame([transformation], before).subscribe({ next: resolve, error: reject });
      });
    }
    for (const { matcher, properties } of overrides) {
      const matches = this.#data.fieldMatchers.get(matcher.id).get(matcher.options);
      if (!frames.some((frame) => frame.fields.some((field) => matches(field, frame, frames))))
        absent.push(String(matcher.options));
      for (const { id } of properties)
        if (![...SETTINGS, ...CUSTOM_SETTINGS.map((name) => `custom.${name}`)].includes(id))
          throw new Error(`${panel.title} sets ${id}`);
    }
    frames = this.#data.applyFieldOverrides({
      data: frames,
      fieldConfig: { defaults: { color: { mode: SCHEMES[type] ?? "thresholds" }, ...defaults }, overrides },
      fieldConfigRegistry: this.#registry,
      replaceVariables: (text: string) => text,
      theme: this.#theme,
      timeZone: "utc",
    });
    const names = this.#names(frames);
    for (const { displayName } of options?.sortBy ?? [])
      if (!names.includes(displayName)) absent.push(displayName);
    const fields = frames.flatMap((frame) =>
      frame.fields.filter(({ type }) => type !== "time").map((field) => this.#shown(field, frame, frames)),
    );
    return { fields, absent };
  }

  #names(frames: readonly Frame[]): string[] {
    return frames.flatMap((frame) =>
      frame.fields.map((field) => this.#data.getFieldDisplayName(field, frame, frames)),
    );
  }

  #shown(field: Field, frame: Frame, frames: readonly Frame[]): ShownField {
    const { config, values, display } = field;
    return {
      name: this.#data.getFieldDisplayName(field, frame, frames),
      unit: config.unit,
      look: JSON.stringify([
        this.#data.getFieldSeriesColor(field, this.#theme).color,
        config.custom?.lineStyle,
      ]),
      values: values.map((value) => {
        const { text = String(value), color } = display?.(value) ?? {};
        return { text, color };
      }),
      words: (config.mappings ?? []).flatMap((mapping) =>
        Object.values(mapping.options).map(({ text }) => text),
      ),
    };
  }
}

/** Frames as Grafana's Prometheus data source makes them: one for each series, or one table. */
function framesOf(target: Target, answer: readonly PanelSeries[], targets: number): Frame[] {
  const { refId, legendFormat = "", format } = target;
  const time = (values: readonly number[]): Field => ({ name: "Time", type: "time", config: {}, values });
  if (format === "table") {
    if (answer.length === 0) return [];
    const labels = [...new Set(answer.flatMap((series) => Object.keys(series.labels)))].sort();
    const rows = answer.flatMap((series) => series.points.map((point) => ({ labels: series.labels, point })));
    const fields: Field[] = [
      time(rows.map(({ point: [seconds] }) => seconds * 1_000)),
      ...labels.map((label) => ({
        ...{ name: label, type: "string", config: {} },
        values: rows.map((row) => row.labels[label] ?? ""),
      })),
      {
        ...{ name: targets === 1 ? "Value" : `Value #${refId}`, type: "number", config: {} },
        values: rows.map(({ point: [, value] }) => value),
      },
    ];
    return [{ refId, fields, length: rows.length }];
  }
  return answer.map(({ labels, points }) => ({
    refId,
    length: points.length,
    fields: [
      time(points.map(([seconds]) => seconds * 1_000)),
      {
        ...{ name: "Value", type: "number", labels },
        values: points.map(([, value]) => value),
        config: {
          displayNameFromDS: legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? ""),
        },
      },
    ],
  }));
}
