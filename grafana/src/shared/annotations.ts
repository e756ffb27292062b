import { AnnotationQueryBuilder } from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";
import { DATASOURCE } from "./variables.ts";

export interface AnnotationFacts {
  readonly name: string;
  readonly colour: string;
  /** above 0 where something happened */
  readonly expression: string;
  /** with labels as in a legend */
  readonly title: string;
  readonly text: string;
  /** labels to show as tags */
  readonly tags: readonly string[];
}

/**
 * A mark in every graph where something happened. Grafana asks for a hundred points over the time shown, but not closer
 * than a minute; `$__rate_interval` reaches a scrape further back than from one point to the next, so that nothing that
 * happens between two windows is lost, and marks that touch become one.
 */
export function annotation({ name, colour, expression, title, text, tags }: AnnotationFacts) {
  return new AnnotationQueryBuilder()
    .name(name)
    .datasource(DATASOURCE)
    .enable(true)
    .iconColor(colour)
    .expr(expression)
    .step("60s")
    .titleFormat(title)
    .textFormat(text)
    .tagKeys(tags.join(","))
    .target(
      new DataqueryBuilder().refId("Anno").datasource(DATASOURCE).expr(expression).interval("60s").range(),
    );
}
