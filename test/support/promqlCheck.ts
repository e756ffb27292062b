/** Follows labels through an expression: does each operator find the labels that it names on what stands below it? */
import type { SyntaxNode } from "@lezer/common";
import { children, groupingLabels, parsePromql, selectorOf, type TextOf, unquoted } from "./promql.ts";

/** The labels of a metric, each with the values it can have where these are a short list, else null. */
export type MetricLabels = ReadonlyMap<string, ReadonlySet<string> | null>;
export type KnownMetrics = ReadonlyMap<string, MetricLabels>;

export interface Checked {
  /** what is wrong, a sentence each; empty when nothing is */
  readonly problems: readonly string[];
  /** labels that the result can have, sorted; null for a number */
  readonly labels: readonly string[] | null;
}

type Labels = ReadonlySet<string>;

/** Checks an expression against the metrics there are. Throws PromqlError where the expression does not parse. */
export function checkPromql(expression: string, known: KnownMetrics): Checked {
  const { root, textOf } = parsePromql(expression);
  const problems: string[] = [];
  const labels = new Follower(known, textOf, (problem) => problems.push(problem)).labelsOf(root);
  return { problems, labels: labels && [...labels].sort() };
}

/** A recorded series, as a rules file tells of it. */
export interface RecordingRule {
  readonly record: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** The metrics with the recorded ones beside them; rules may build on the rules before them. */
export function withRecorded(known: KnownMetrics, rules: readonly RecordingRule[]): KnownMetrics {
  const all = new Map(known);
  for (const { record, expr, labels = {} } of rules) {
    const names = [...(checkPromql(expr, all).labels ?? []), ...Object.keys(labels)];
    const earlier = all.get(record) ?? new Map();
    all.set(record, new Map([...earlier, ...names.map((name) => [name, null] as const)]));
  }
  return all;
}

const SET_OPERATORS = ["And", "Or", "Unless"];
const KEEP_LABELS = ["topk", "bottomk", "limitk", "limit_ratio"];

class Follower {
  readonly #known: KnownMetrics;
  readonly #textOf: TextOf;
  readonly #report: (problem: string) => void;

  constructor(known: KnownMetrics, textOf: TextOf, report: (problem: string) => void) {
    this.#known = known;
    this.#textOf = textOf;
    this.#report = report;
  }

  /** The labels that a node's result can have; null for a number or a text. */
  labelsOf(node: SyntaxNode): Labels | null {
    switch (node.type.name) {
      case "VectorSelector":
        return this.#ofSelector(node);
      case "AggregateExpr":
        return this.#ofAggregation(node);
      case "BinaryExpr":
        return this.#ofBinary(node);
      case "FunctionCall":
        return this.#ofCall(node);
      case "NumberDurationLiteral":
      case "StringLiteral":
        return null;
      default: {
        // parentheses, ranges, subqueries, offsets, @ and signs: as what they stand around
        const inner = children(node, "Expr")[0];
        return inner === undefined ? null : this.labelsOf(inner);
      }
    }
  }

  #ofSelector(node: SyntaxNode): Labels {
    const { metric, matchers } = selectorOf(node, this.#textOf);
    if (metric === null) {
      this.#report(`${this.#textOf(node)} names no metric`);
      return new Set(matchers.map(({ label }) => label));
    }
    const labels = this.#known.get(metric);
    if (labels === undefined) {
      this.#report(`there is no metric ${metric}`);
      return new Set(matchers.map(({ label }) => label));
    }
    for (const { label, operator, value } of matchers) {
      this.#require([label], new Set(labels.keys()), metric);
      const values = labels.get(label);
      // a regular expression may mean values that are not there yet, a plain text cannot
      if (values && (operator === "=" || operator === "!=") && !values.has(value)) {
        this.#report(`${label} of ${metric} is never "${value}"`);
      }
    }
    return new Set(labels.keys());
  }

  #ofAggregation(node: SyntaxNode): Labels {
    const args = argumentsOf(node);
    const inner = this.#last(args);
    const modifier = node.getChild("AggregateModifier");
    const named = groupingLabels(modifier?.getChild("GroupingLabels") ?? node, this.#textOf);
    this.#require(named, inner, this.#textOf(node));
    const operator = this.#textOf(children(node, "AggregateOp")[0] ?? node);
    if (KEEP_LABELS.includes(operator)) return inner;
    const kept = modifier?.getChild("Without") ? [...inner].filter((label) => !named.includes(label)) : named;
    return new Set(operator === "count_values" ? [...kept, ...this.#texts(args)] : kept);
  }

  #ofBinary(node: SyntaxNode): Labels | null {
    const [leftNode, rightNode] = children(node, "Expr");
    const left = leftNode ? this.labelsOf(leftNode) : null;
    const right = rightNode ? this.labelsOf(rightNode) : null;
    if (left === null || right === null) return left ?? right;
    const clause = node.getChild("MatchingModifierClause");
    const [matching, grouped] = children(clause, "GroupingLabels").map((list) =>
      groupingLabels(list, this.#textOf),
    );
    const isOn = clause?.getChild("On") != null;
    const [many, one] = clause?.getChild("GroupRight") ? [right, left] : [left, right];
    const isGrouped = clause?.getChild("GroupLeft") != null || clause?.getChild("GroupRight") != null;
    this.#requireMatch(node, { left, right, named: matching ?? [], isOn, isGrouped });
    this.#require(grouped ?? [], one, this.#textOf(node));
    if (SET_OPERATORS.some((operator) => node.getChild(operator))) {
      return node.getChild("Or") ? new Set([...left, ...right]) : left;
    }
    if (isGrouped) return new Set([...many, ...(grouped ?? [])]);
    if (isOn) return new Set(matching);
    return new Set([...left].filter((label) => !matching?.includes(label)));
  }

  /** Two sides find each other only by labels that both have. */
  #requireMatch(
    node: SyntaxNode,
    match: { left: Labels; right: Labels; named: readonly string[]; isOn: boolean; isGrouped: boolean },
  ): void {
    const { left, right, named, isOn, isGrouped } = match;
    const text = this.#textOf(node);
    if (isOn) {
      this.#require(named, left, `the left of ${text}`);
      this.#require(named, right, `the right of ${text}`);
      return;
    }
    this.#require(named, new Set([...left, ...right]), text);
    // `or` is also for sides that are meant to differ
    if (node.getChild("Or")) return;
    const compared = (labels: Labels) => [...labels].filter((label) => !named.includes(label));
    const [onlyLeft, onlyRight] = [
      compared(left).filter((label) => !right.has(label)),
      compared(right).filter((label) => !left.has(label)),
    ];
    const alone = isGrouped && node.getChild("MatchingModifierClause") ? [] : [...onlyLeft, ...onlyRight];
    if (alone.length > 0) this.#report(`only one side has ${alone.join(", ")} in ${text}`);
  }

  #ofCall(node: SyntaxNode): Labels | null {
    const name = this.#textOf(children(node, "FunctionIdentifier")[0] ?? node);
    const args = argumentsOf(node);
    const inputs = args.map((arg) => this.labelsOf(arg));
    const input = inputs.find((labels) => labels !== null) ?? new Set<string>();
    const texts = this.#texts(args);
    switch (name) {
      case "time":
      case "pi":
      case "scalar":
        return null;
      case "vector":
        return new Set();
      case "label_replace": {
        const [made = "", , source = ""] = texts;
        this.#require([source], input, this.#textOf(node));
        return new Set([...input, made]);
      }
      case "label_join": {
        const [made = "", , ...sources] = texts;
        this.#require(sources, input, this.#textOf(node));
        return new Set([...input, made]);
      }
      case "histogram_quantile":
        this.#require(["le"], input, this.#textOf(node));
        return new Set([...input].filter((label) => label !== "le"));
      case "absent":
      case "absent_over_time":
        return new Set(this.#equalities(node));
      default:
        return input;
    }
  }

  /** What `absent` makes labels of: the labels that its selector holds equal to something. */
  #equalities(node: SyntaxNode): string[] {
    let selector = argumentsOf(node)[0];
    while (selector !== undefined && selector.type.name !== "VectorSelector") {
      selector = children(selector, "Expr")[0];
    }
    if (selector === undefined) return [];
    const { matchers } = selectorOf(selector, this.#textOf);
    return matchers.filter(({ operator }) => operator === "=").map(({ label }) => label);
  }

  #texts(args: readonly SyntaxNode[]): string[] {
    return args.filter((arg) => arg.type.name === "StringLiteral").map((arg) => unquoted(this.#textOf(arg)));
  }

  #last(args: readonly SyntaxNode[]): Labels {
    const last = args.at(-1);
    return (last && this.labelsOf(last)) ?? new Set();
  }

  #require(labels: readonly string[], there: Labels, where: string): void {
    const missing = labels.filter((label) => !there.has(label));
    if (missing.length > 0) this.#report(`no label ${missing.join(", ")} in ${where}`);
  }
}

function argumentsOf(node: SyntaxNode): SyntaxNode[] {
  return children(node.getChild("FunctionCallBody"), "Expr");
}
