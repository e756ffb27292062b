/** `text` is the Prometheus text format 0.0.4, `openmetrics` is OpenMetrics 1.0.0. */
export type ExpositionFormat = "text" | "openmetrics";

/** What a response in this format is called; the writer writes UTF-8. */
export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};
