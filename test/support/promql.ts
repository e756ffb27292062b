/** Reads PromQL with the grammar of Prometheus' own editor: is it one expression, and what does it select? */
import type { SyntaxNode } from "@lezer/common";
import { parser } from "@prometheus-io/lezer-promql";

/** An expression that the grammar does not take. */
export class PromqlError extends Error {
  /** characters before the place */
  readonly offset: number;

  constructor(expression: string, offset: number) {
    super(`no PromQL at character ${offset}: ${expression.slice(0, offset)}>>>${expression.slice(offset)}`);
    this.name = "PromqlError";
    this.offset = offset;
  }
}

/** A condition on a label: `path=~"user|"`. */
export interface Matcher {
  readonly label: string;
  readonly operator: "=" | "!=" | "=~" | "!~";
  readonly value: string;
}

/** What a part of an expression takes from Prometheus. */
export interface Selector {
  /** null where only a regular expression or other labels choose the metric */
  readonly metric: string | null;
  readonly matchers: readonly Matcher[];
}

/** The text of a node. */
export type TextOf = (node: SyntaxNode) => string;

/** A whole expression as a tree. Throws PromqlError. Grafana's variables are to be filled in before. */
export function parsePromql(expression: string): { readonly root: SyntaxNode; readonly textOf: TextOf } {
  const tree = parser.parse(expression);
  tree.iterate({
    enter: ({ type, from }) => {
      if (type.isError) throw new PromqlError(expression, from);
    },
  });
  const root = tree.topNode.firstChild;
  if (root === null) throw new PromqlError(expression, 0);
  return { root, textOf: ({ from, to }) => expression.slice(from, to) };
}

/** Every selector in an expression, from left to right. Throws PromqlError. */
export function selectorsOf(expression: string): Selector[] {
  const { root, textOf } = parsePromql(expression);
  return nodesNamed(root, "VectorSelector").map((node) => selectorOf(node, textOf));
}

/** The metrics that an expression reads, each once and sorted. Throws PromqlError. */
export function metricNames(expression: string): string[] {
  return distinct(selectorsOf(expression).flatMap(({ metric }) => metric ?? []));
}

/** The labels that an expression names in selectors, `by`, `on` and the like, each once and sorted. Throws PromqlError. */
export function labelNames(expression: string): string[] {
  const { root, textOf } = parsePromql(expression);
  const matched = nodesNamed(root, "VectorSelector").flatMap((node) => selectorOf(node, textOf).matchers);
  const grouped = nodesNamed(root, "GroupingLabels").flatMap((node) => groupingLabels(node, textOf));
  return distinct([...matched.map(({ label }) => label), ...grouped]);
}

/** How series are put together, `by (host)`, or find each other, `on (host)`; in a word with labels. */
export interface Grouping {
  readonly kind: "by" | "without" | "on" | "ignoring";
  readonly labels: readonly string[];
}

/** Every grouping in an expression, those of aggregations first. Throws PromqlError. */
export function groupingsOf(expression: string): Grouping[] {
  const { root, textOf } = parsePromql(expression);
  const labelsOf = (node: SyntaxNode) => groupingLabels(node.getChild("GroupingLabels") ?? node, textOf);
  const aggregations = nodesNamed(root, "AggregateModifier").map((node) => ({
    kind: node.getChild("By") === null ? ("without" as const) : ("by" as const),
    labels: labelsOf(node),
  }));
  const matchings = nodesNamed(root, "MatchingModifierClause").map((node) => ({
    kind: node.getChild("On") === null ? ("ignoring" as const) : ("on" as const),
    labels: labelsOf(node),
  }));
  return [...aggregations, ...matchings];
}

/**
 * The groupings in which something of one exporter would be taken for that of another: what they keep tells them apart by
 * `instance`, `host`, `group` or `vm`, but not by both `job` and `instance`. Those that keep none of these are totals.
 */
export function groupingsThatMixExporters(expression: string): Grouping[] {
  return groupingsOf(expression).filter(({ kind, labels }) => {
    const named = (label: string) => labels.includes(label);
    if (kind === "without" || kind === "ignoring") return named("job") || named("instance");
    return ["instance", "host", "group", "vm"].some(named) && !(named("job") && named("instance"));
  });
}

/** What a node of the kind VectorSelector selects. */
export function selectorOf(node: SyntaxNode, textOf: TextOf): Selector {
  const identifier = node.getChild("Identifier");
  const list = node.getChild("LabelMatchers");
  const matchers = children(list, "UnquotedLabelMatcher", "QuotedLabelMatcher").map((matcher) =>
    matcherOf(matcher, textOf),
  );
  const isName = ({ label, operator }: Matcher) => label === "__name__" && operator === "=";
  const quoted = list?.getChild("QuotedLabelName");
  const named = identifier !== null ? textOf(identifier) : quoted && unquoted(textOf(quoted));
  return {
    metric: named ?? matchers.find(isName)?.value ?? null,
    matchers: matchers.filter((matcher) => !isName(matcher)),
  };
}

/** The labels in the parentheses after `by`, `on` and the like. */
export function groupingLabels(node: SyntaxNode, textOf: TextOf): string[] {
  return children(node, "LabelName", "QuotedLabelName").map((label) => unquoted(textOf(label)));
}

/** The children of a node that are of one of the kinds, from left to right. */
export function children(node: SyntaxNode | null, ...kinds: readonly string[]): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  for (let child = node?.firstChild ?? null; child !== null; child = child.nextSibling) {
    if (kinds.some((kind) => child?.type.is(kind))) found.push(child);
  }
  return found;
}

/** A string without its quotes, its escapes undone. */
export function unquoted(text: string): string {
  if (!/^["'`]/.test(text)) return text;
  const inner = text.slice(1, -1);
  return text.startsWith("`") ? inner : inner.replace(/\\(.)/gs, "$1");
}

function matcherOf(node: SyntaxNode, textOf: TextOf): Matcher {
  const [label = "", operator = "", value = ""] = children(
    node,
    "LabelName",
    "QuotedLabelName",
    "MatchOp",
    "StringLiteral",
  ).map(textOf);
  return { label: unquoted(label), operator: operator as Matcher["operator"], value: unquoted(value) };
}

function nodesNamed(root: SyntaxNode, kind: string): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  root.cursor().iterate(({ type, node }) => {
    if (type.name === kind) found.push(node);
  });
  return found;
}

function distinct(names: readonly string[]): string[] {
  return [...new Set(names)].sort();
}
