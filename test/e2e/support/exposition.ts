import { expect } from "vitest";
import { type ParsedFamily, parseExposition } from "../../support/expositionParser.ts";
import { ask } from "../../support/web.ts";

type Labels = Readonly<Record<string, string>>;

/** What Prometheus 2.42 sends: OpenMetrics first, then text, then anything. */
export const PROMETHEUS_ACCEPT =
  "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/** One series as text, its labels in alphabetical order: `name{a="1",b="2"}`. */
export function seriesKey(name: string, labels: Labels = {}): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? name : `${name}{${pairs.sort().join(",")}}`;
}

/** One answer of `/metrics`, read strictly: whatever is not as the format demands throws. */
export class Scrape {
  readonly text: string;
  readonly families: readonly ParsedFamily[];
  /** by `seriesKey`, the values still text */
  readonly series: ReadonlyMap<string, string>;

  constructor(text: string, format: "text" | "openmetrics") {
    this.text = text;
    this.families = parseExposition(text, format);
    const all = this.families.flatMap((family) => family.series);
    this.series = new Map(all.map(({ name, labels, value }) => [seriesKey(name, labels), value]));
    if (this.series.size < all.length) throw new Error("two series have the same name and labels");
  }

  /** Asks for `/metrics` once, on a connection of its own, which is closed afterwards. */
  static async of(url: string, format: "text" | "openmetrics" = "text"): Promise<Scrape> {
    const accept = format === "text" ? "text/plain" : PROMETHEUS_ACCEPT;
    const { status, headers, body } = await ask(`${url}/metrics`, { headers: { accept } });
    expect(status).toBe(200);
    expect(headers["content-type"]).toMatch(
      format === "text" ? /^text\/plain; version=0\.0\.4/ : /^application\/openmetrics-text; version=1\.0\.0/,
    );
    return new Scrape(body.toString(), format);
  }

  /** The value of one series; undefined when it is not there. */
  value(name: string, labels: Labels = {}): number | undefined {
    const text = this.series.get(seriesKey(name, labels));
    return text === undefined ? undefined : Number(text);
  }

  /** All series of the metrics whose name `pattern` matches, as numbers. */
  matching(pattern: RegExp): Map<string, number> {
    return new Map(
      [...this.series]
        .filter(([key]) => pattern.test(key.replace(/\{.*/s, "")))
        .map(([key, text]) => [key, Number(text)]),
    );
  }

  /** The values that one label has in a metric, in order of appearance. */
  labelValues(name: string, label: string): string[] {
    return this.families
      .flatMap((family) => family.series)
      .filter((series) => series.name === name)
      .map(({ labels }) => labels[label] ?? "");
  }
}
