import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { escapeLabelValue, type Family, type MetricType } from "./family.ts";
import type { LabelDoc } from "./row.ts";

/** What an instrument needs of its row. */
interface Instrument {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly (string | LabelDoc)[];
}

/** The instruments of a table's rows. */
export class Instruments {
  readonly registry = new Registry();

  counter(row: Instrument): Counter {
    return new Counter(this.#about(row));
  }

  gauge(row: Instrument): Gauge {
    return new Gauge(this.#about(row));
  }

  histogram(row: Instrument, buckets: readonly number[]): Histogram {
    return new Histogram({ ...this.#about(row), buckets: [...buckets] });
  }

  /** With the values of this moment. */
  families(): Promise<Family[]> {
    return promClientFamilies(this.registry);
  }

  #about({ name, help, labels = [] }: Instrument) {
    const labelNames = labels.map((label) => (typeof label === "string" ? label : label.name));
    return { name, help, labelNames, registers: [this.registry] };
  }
}

type MetricJson = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>[number];
/** `metricName` is there for a histogram's series; the typings leave it out of the JSON form. */
type ValueJson = MetricJson["values"][number] & { readonly metricName?: string };

/** Values of this moment, as families; its own OpenMetrics renames counters in the registry. Throws on summaries. */
export async function promClientFamilies(registry: Pick<Registry, "getMetricsAsJSON">): Promise<Family[]> {
  const metrics = await registry.getMetricsAsJSON();
  return metrics.map(toFamily);
}

function toFamily(metric: MetricJson): Family<ValueJson> {
  const type = metricType(metric);
  const name = type === "counter" && !metric.name.endsWith("_total") ? `${metric.name}_total` : metric.name;
  return {
    name,
    type,
    help: metric.help,
    items: metric.values,
    emit(item, out) {
      const suffix = item.metricName?.slice(metric.name.length) ?? "";
      if (suffix === "") out.series(labelsOf(item), item.value);
      else out.suffixed(suffix, labelsOf(item), item.value);
    },
  };
}

function metricType(metric: MetricJson): MetricType {
  // The typings say an enum of numbers; what arrives is the name.
  const type = String(metric.type);
  if (type === "counter" || type === "gauge" || type === "histogram") return type;
  throw new Error(`metric ${metric.name} is a ${type}: only counters, gauges and histograms are exposed`);
}

function labelsOf({ labels }: ValueJson): string {
  return Object.entries(labels)
    .filter(([, value]) => value !== undefined)
    .map(
      ([name, value]) => `${name}="${name === "le" ? bucketBound(value) : escapeLabelValue(String(value))}"`,
    )
    .join(",");
}

/** `1` as `1.0`, the form that OpenMetrics asks for and Prometheus 3 stores: the same series by either format. */
function bucketBound(bound: string | number | undefined): string {
  return Number.isInteger(bound) ? `${bound}.0` : String(bound);
}
