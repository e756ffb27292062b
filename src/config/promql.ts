/** What the scaler asks Prometheus: the queries of policies with `load`, and the server that answers them. */
import type { SyntaxNode } from "@lezer/common";
import { parser } from "@prometheus-io/lezer-promql";
import { duration, flag, oneOf, type Reader, Refused, reader, text, unshown } from "./fields.ts";
import { type Codec, fileOf, key, keyOrNull, sectionOf, type Values } from "./keys.ts";

/** What is filled in for a group. */
export interface QueryVariables {
  readonly host: string;
  readonly path: string;
  /** the primary's label */
  readonly group: string;
  /** labels */
  readonly members: readonly string[];
}

/** A variable inside a string of a query. */
interface Gap {
  readonly variable: keyof QueryVariables;
  /** what the string stands in */
  readonly quote: string;
  /** the string is a regular expression */
  readonly isPattern: boolean;
}

/** A query as it was written, and the same cut at its variables. */
export interface Query {
  readonly text: string;
  readonly parts: readonly (string | Gap)[];
}

const VARIABLES: readonly (keyof QueryVariables)[] = ["host", "path", "group", "members"];
/** With the backslashes before it. */
const VARIABLE = /(\\*)\$(?:([a-zA-Z_]\w*)|\{(host|path|group|members)\})/g;
const MAX_QUERY_CHARACTERS = 10_000;
const QUERY =
  "a PromQL expression that answers one sample, with $host, $path, $group and $members where it likes in its strings";

/** The query for one group. */
export function fillIn({ parts }: Query, variables: QueryVariables): string {
  return parts.map((part) => (typeof part === "string" ? part : filled(part, variables))).join("");
}

function filled({ variable, quote, isPattern }: Gap, variables: QueryVariables): string {
  const value = variables[variable];
  const plain =
    typeof value !== "string" ? value.map(escapePattern).join("|") : isPattern ? escapePattern(value) : value;
  return plain.replaceAll(/[\\"']/g, (sign) => (sign === "\\" || sign === quote ? `\\${sign}` : sign));
}

/** Only itself matches. */
function escapePattern(plain: string): string {
  return plain.replaceAll(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}

const query = reader<Query>(
  (value) => {
    if (typeof value !== "string" || value.trim() === "" || value.length > MAX_QUERY_CHARACTERS)
      return new Refused(`${QUERY}, 1 to ${MAX_QUERY_CHARACTERS} characters`);
    return parseQuery(value);
  },
  ({ text }) => text,
);

/** Reads a query with the grammar of Prometheus' own editor. */
function parseQuery(text: string): Query | Refused {
  const tree = parser.parse(text);
  const gaps: (Gap & { readonly from: number; readonly to: number })[] = [];
  let refused: Refused | null = null;
  tree.iterate({
    enter: ({ type, from, node }) => {
      if (refused !== null) return;
      if (type.isError) refused = noPromql(text, from);
      if (type.name !== "StringLiteral") return;
      const quote = text.charAt(from);
      const operator = operatorOf(node, text);
      for (const { 0: all, 1: escapes = "", 2: name, index } of text
        .slice(from, node.to)
        .matchAll(VARIABLE)) {
        // the name of what label_replace found
        if (name === undefined && operator === null) continue;
        const variable = VARIABLES.find((known) => known === name);
        const found = all.slice(escapes.length);
        refused ??= whyNotFilled(found, variable, { quote, operator, isEscaped: escapes.length % 2 === 1 });
        const at = { from: from + index + escapes.length, to: from + index + all.length };
        const isPattern = operator === "=~" || operator === "!~" || isReplacedPattern(node);
        if (variable !== undefined) gaps.push({ variable, quote, isPattern, ...at });
      }
    },
  });
  refused ??= whyNotOneSample(tree.topNode.firstChild);
  if (refused !== null) return refused;
  const ends = [0, ...gaps.map(({ to }) => to)];
  const parts = gaps.flatMap(({ from, to: _, ...gap }, i): (string | Gap)[] => [
    text.slice(ends[i], from),
    gap,
  ]);
  return { text, parts: [...parts, text.slice(ends.at(-1))] };
}

function noPromql(query: string, at: number): Refused {
  const [variable] = /^\$\w+/.exec(query.slice(at)) ?? [];
  if (variable !== undefined)
    return new Refused(
      `inside one, such as unikernel="${variable}"`,
      `${variable} stands outside of a string`,
    );
  const place =
    at < query.length ? `at character ${at + 1}, ${JSON.stringify(query.slice(at, at + 20))}` : "";
  return new Refused(QUERY, `is no PromQL ${place || "at its end"}`);
}

/** Of the matcher that a string is in, if it is in one: `=~`. */
function operatorOf({ parent }: SyntaxNode, query: string): string | null {
  const operator = parent?.type.name.endsWith("LabelMatcher") ? parent.getChild("MatchOp") : null;
  return operator ? query.slice(operator.from, operator.to) : null;
}

/** The last argument of label_replace is a regular expression, too. */
function isReplacedPattern({ from, parent }: SyntaxNode): boolean {
  const name = parent?.parent?.getChild("FunctionIdentifier")?.getChild("LabelReplace");
  return name != null && parent?.lastChild?.from === from;
}

function whyNotFilled(
  found: string,
  variable: keyof QueryVariables | undefined,
  { quote, operator, isEscaped }: { quote: string; operator: string | null; isEscaped: boolean },
): Refused | null {
  if (variable === undefined)
    return new Refused(
      "$host, $path, $group and $members; what label_replace found has its name in braces",
      `${found} is no variable`,
    );
  if (quote === "`") return new Refused(`between " or '`, `${found} stands between backticks`);
  if (isEscaped)
    return new Refused(
      `${found} or \\\\${found}`,
      `\\${found} escapes the first character of what is filled in`,
    );
  if (variable === "members" && (operator === "=" || operator === "!="))
    return new Refused(
      `after =~ or !~: it is as many labels as there are members`,
      `$members stands after ${operator}`,
    );
  return null;
}

const WRAPPERS = new Set(["ParenExpr", "OffsetExpr", "StepInvariantExpr"]);

function whyNotOneSample(expression: SyntaxNode | null): Refused | null {
  let node = expression;
  while (node !== null && WRAPPERS.has(node.type.name)) node = node.firstChild;
  const kind = node?.type.name;
  if (kind === "StringLiteral") return new Refused(QUERY, "answers text");
  const isRange = kind === "MatrixSelector" || kind === "SubqueryExpr";
  return isRange ? new Refused(QUERY, "answers a range of samples, as its [...] says") : null;
}

const capacity: Reader<number> = (value) =>
  typeof value === "number" && Number.isFinite(value) && value > 0
    ? value
    : new Refused("a number above 0, in the query's unit: the load at which one member is at 100 %");

const loadKeys = {
  query: key("query", query),
  /** in the query's unit */
  capacityPerMember: key("capacity_per_member", capacity),
};

/** What a group's load is, where it is not the CPU usage of its members. */
export type Load = Values<typeof loadKeys>;

export const loadSection = sectionOf(loadKeys);

const PROMETHEUS_URL = "an http or https URL such as http://127.0.0.1:9090";

const url: Reader<string> = (value) => {
  if (typeof value !== "string" || value.length > 2048 || !URL.canParse(value))
    return new Refused(PROMETHEUS_URL, typeof value === "string" ? "is no URL" : undefined);
  const { protocol, username, password, search, hash } = new URL(value);
  // what may be a secret is not repeated
  if (username !== "" || password !== "")
    return new Refused(PROMETHEUS_URL, "has a user in it, who stands in basic_auth");
  if (search !== "" || hash !== "") return new Refused(PROMETHEUS_URL, "has a ? or # in it");
  if (/\s/.test(value)) return new Refused(PROMETHEUS_URL, "has a space or newline in it");
  return protocol === "http:" || protocol === "https:" ? value : new Refused(PROMETHEUS_URL);
};

const file = fileOf("the path of a file; a relative one is below the configuration file's folder");
const inFile = (key: string) => `in a file, which ${key} names`;

/** `Basic` has its own key, as in Prometheus. */
const authorizationType: Reader<string> = (value) => {
  const allowed = "a word such as Bearer; for Basic there is basic_auth";
  const isWord = typeof value === "string" && /^[\w-]{1,64}$/.test(value);
  if (!isWord) return new Refused(allowed, "is not one word");
  return value.toLowerCase() === "basic" ? new Refused(allowed) : value;
};

const TLS_VERSIONS = ["TLS10", "TLS11", "TLS12", "TLS13"] as const;
const tlsVersion = oneOf(TLS_VERSIONS);

const basicAuthSection = sectionOf(
  { username: key("username", text({ what: "a user's name" })), passwordFile: key("password_file", file) },
  { elsewhere: { password: inFile("password_file") } },
);

const authorizationSection = sectionOf(
  { type: key("type", authorizationType, "Bearer"), credentialsFile: key("credentials_file", file) },
  { elsewhere: { credentials: inFile("credentials_file") } },
);

const tlsSection = sectionOf(
  {
    caFile: keyOrNull("ca_file", file),
    certFile: keyOrNull("cert_file", file),
    keyFile: keyOrNull("key_file", file),
    serverName: keyOrNull("server_name", text({ what: "a host's name" })),
    insecureSkipVerify: key("insecure_skip_verify", flag, false),
    minVersion: keyOrNull("min_version", tlsVersion),
    maxVersion: keyOrNull("max_version", tlsVersion),
  },
  {
    elsewhere: { ca: inFile("ca_file"), cert: inFile("cert_file"), key: inFile("key_file") },
    rules: [
      {
        of: ["certFile", "keyFile"],
        check: ({ certFile, keyFile }, report) => {
          if ((certFile === null) === (keyFile === null)) return;
          const [given, other] = certFile === null ? ["keyFile", "cert_file"] : ["certFile", "key_file"];
          report([given], `stands alone; allowed: together with ${other}`);
        },
      },
    ],
  },
);

/** Somebody's password may stand in the place of the section. */
function unshownSection<T>(section: Codec<T>): Codec<T> {
  const allowed = `a mapping with the keys ${Object.values(section.keys ?? {})
    .map(({ key }) => key)
    .join(", ")}`;
  return { ...section, schema: unshown(section.schema, allowed) };
}

const prometheusKeys = {
  url: key("url", url),
  timeoutMs: key("timeout", duration({ min: 10, max: 600_000 }), 10_000),
  basicAuth: keyOrNull("basic_auth", unshownSection(basicAuthSection)),
  authorization: keyOrNull("authorization", unshownSection(authorizationSection)),
  tls: keyOrNull("tls_config", tlsSection),
};

/** The server that answers the queries, and how it is asked. Secrets stay in their files. */
export type PrometheusConfig = Values<typeof prometheusKeys>;

export const prometheusSection = sectionOf(prometheusKeys, {
  rules: [
    {
      of: ["basicAuth", "authorization"],
      check: ({ basicAuth, authorization }, report) => {
        if (basicAuth !== null && authorization !== null)
          report(["authorization"], "stands beside basic_auth; allowed: one of them");
      },
    },
  ],
});
