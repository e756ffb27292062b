import { parser } from "@prometheus-io/lezer-promql";
import fc from "fast-check";
import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { fillIn, loadSection } from "../../src/config/promql.ts";

const variables = { host: 'box"1\\', path: "user:sub", group: "web.1", members: ["web.1", "web.1-clone-2"] };

function filledIn(query: string, given = variables): string {
  return fillIn(loadSection.schema.parse({ query, capacity_per_member: 1 }).query, given);
}

/** The braces are what make a name of it. */
const NAMED = `label_replace(x,"a","$${"{group}"}","b","(?P<group>.*)")`;

test.each([
  ["no variable", "vector(1)", "vector(1)"],
  ["plainly after =", 'x{a="$path",b!="$group"}', 'x{a="user:sub",b!="web.1"}'],
  ["as itself after =~", 'x{a=~"$group|$path"}', 'x{a=~"web\\\\.1|user:sub"}'],
  ["members as alternatives", "x{a!~'($members)-x'}", "x{a!~'(web\\\\.1|web\\\\.1-clone-2)-x'}"],
  ["a quote and a backslash escaped", `x{a="$host"}`, 'x{a="box\\"1\\\\"}'],
  ["but not another quote", `x{a='$host'}`, `x{a='box"1\\\\'}`],
  ["twice in one string", 'x{a="$group-$group"}', 'x{a="web.1-web.1"}'],
  [
    "in the argument of a function",
    'label_replace(x,"a","$path","","")',
    'label_replace(x,"a","user:sub","","")',
  ],
  [
    "as itself in the pattern of label_replace",
    'label_replace(x{a="$group"},"a","$group","b","$group(.*)")',
    String.raw`label_replace(x{a="web.1"},"a","web.1","b","web\\.1(.*)")`,
  ],
  ["not what is no name", 'label_replace(x,"a","$1","b","(.*)$")', 'label_replace(x,"a","$1","b","(.*)$")'],
  ["not what label_replace names", NAMED, NAMED],
  ["after a backslash", String.raw`x{a=~"\\\\$group"}`, String.raw`x{a=~"\\\\web\\.1"}`],
  ["not in a comment", "x # of $group", "x # of $group"],
])("variables are filled in: %s", (_, query, expected) => {
  expect(filledIn(query)).toBe(expected);
});

test("whatever a host is called, the query stays one string longer and no more", () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.constantFrom('"', "'"),
      fc.constantFrom("=", "=~"),
      (host, quote, operator) => {
        const text = filledIn(`x{a${operator}${quote}$host${quote},b="1"}`, { ...variables, host });
        expect(parser.parse(text).toString()).toBe(parser.parse(`x{a${operator}"",b="1"}`).toString());
      },
    ),
  );
});

test.each(["http://p:9090\n", " http://p", "http://p/?tenant=a", "p:9090", "http://me:geheim@p"])(
  "%j is no URL to ask",
  (url) => {
    const text = JSON.stringify({ scaler: { prometheus: { url } } });
    const result = loadConfig("/etc/config.yaml", text);
    const problems = result.ok ? [] : result.problems;
    expect(problems.map(({ path }) => path)).toEqual(["scaler.prometheus.url"]);
    expect(JSON.stringify(problems)).not.toContain("geheim");
  },
);

test("files are looked for from the folder of the configuration file", () => {
  const holder = (name: string) => ({ certificate: `${name}.pem`, key: `/keys/${name}.key` });
  const certificates = [{ subscribe: holder("s"), info: holder("i"), policy: holder("p") }];
  const tls_config = { ca_file: "ca.pem", cert_file: "/c.pem", key_file: "c.key" };
  const basic_auth = { username: "a", password_file: "p.txt" };
  const text = JSON.stringify({
    targets: [{ tls: { address: "h:1025", ca: "ca.pem", certificates } }],
    scaler: { prometheus: { url: "http://p", basic_auth, tls_config } },
  });
  const found = (name: string) => ({
    certificate: `/etc/albatross/${name}.pem`,
    key: `/keys/${name}.key`,
  });
  const all = [{ subscribe: found("s"), info: found("i"), policy: found("p") }];
  expect(loadConfig("/etc/albatross/config.yaml", text)).toMatchObject({
    ok: true,
    config: {
      targets: [{ tls: { ca: "/etc/albatross/ca.pem", certificates: all, address: { host: "h" } } }],
      scaler: {
        prometheus: {
          basicAuth: { username: "a", passwordFile: "/etc/albatross/p.txt" },
          tls: { caFile: "/etc/albatross/ca.pem", certFile: "/c.pem", keyFile: "/etc/albatross/c.key" },
        },
      },
    },
  });
});
