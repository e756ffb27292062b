import { documentWith } from "../exporter/docs.ts";
import { scalerSections } from "../scaler/report/metrics.ts";

/** docs/metrics.md, whole. */
export function metricsDocument(): string {
  return documentWith(scalerSections());
}
