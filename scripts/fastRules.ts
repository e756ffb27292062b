/** Makes time pass faster for Prometheus' rules, so that what takes them a quarter of an hour can be seen in seconds. */
import { parser } from "@prometheus-io/lezer-promql";
import { isScalar, parseDocument, visit } from "yaml";

/** The keys of a rule file that hold a duration. */
const DURATION_KEYS = ["interval", "query_offset", "for", "keep_firing_for"];

const UNIT_MS = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
};
const DURATION = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;
const UNITS_IN_ORDER = ["y", "w", "d", "h", "m", "s", "ms"] as const;

/**
 * A rule file of Prometheus with every duration divided by `factor`: how often groups are evaluated, `for`,
 * `keep_firing_for`, and in the expressions ranges, the steps of subqueries and offsets. All else stays as it is,
 * comments included; numbers of seconds that an expression compares with are no durations to it. Durations are rounded
 * to milliseconds and never become 0. Throws on what is no YAML, no PromQL or no duration, and on a factor that is not
 * above 0.
 */
export function speedUpRules(yamlText: string, factor: number): string {
  return mapScalars(yamlText, (key, value) => {
    if (key === "expr") return speedUpExpression(value, factor);
    // a text may ask a query, whose ranges are the only durations in it
    if (key === "description")
      return value.replace(/\[(\w+)\]/g, (_, range) => `[${divideDuration(range, factor)}]`);
    return DURATION_KEYS.includes(key) ? divideDuration(value, factor) : value;
  });
}

/** A PromQL expression with every duration in it divided by `factor`. Throws on what is no PromQL. */
export function speedUpExpression(expression: string, factor: number): string {
  let faster = "";
  let copiedTo = 0;
  parser.parse(expression).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) throw new Error(`no PromQL at character ${from}: ${expression}`);
      const literal = expression.slice(from, to);
      // a plain number is a duration only where one is called for, and is in seconds there
      const isDuration =
        type.name === "NumberDurationLiteralInDurationContext" ||
        (type.name === "NumberDurationLiteral" && DURATION.test(literal));
      if (!isDuration) return;
      const duration = /^[\d.]+$/.test(literal) ? `${Number(literal) * 1000}ms` : literal;
      faster += expression.slice(copiedTo, from) + divideDuration(duration, factor);
      copiedTo = to;
    },
  });
  return faster + expression.slice(copiedTo);
}

/** `1h30m` divided by 60 is `90s`. To the millisecond, and at least one. Throws on what is no duration of Prometheus'. */
export function divideDuration(duration: string, factor: number): string {
  if (!(factor > 0)) throw new Error(`cannot make time pass ${factor} times as fast`);
  const ms = Math.max(1, Math.round(durationMs(duration) / factor));
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}

/** A YAML text with its texts replaced by what `map` makes of them and of the keys that they stand under. */
export function mapScalars(yamlText: string, map: (key: string, value: string) => string): string {
  const document = parseDocument(yamlText);
  const [error] = document.errors;
  if (error !== undefined) throw error;
  visit(document, {
    Pair: (_, { key, value }) => {
      if (!isScalar(key) || !isScalar(value) || typeof value.value !== "string") return;
      value.value = map(String(key.value), value.value);
    },
  });
  return document.toString({ lineWidth: 0 });
}

function durationMs(duration: string): number {
  const match = DURATION.exec(duration);
  if (match === null || duration === "") throw new Error(`no duration: ${duration}`);
  return UNITS_IN_ORDER.reduce((ms, unit, index) => ms + Number(match[index + 1] ?? 0) * UNIT_MS[unit], 0);
}
