import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatProblem } from "../../src/config/checkedYaml.ts";
import { loadWebConfig } from "../../src/config/webConfig.ts";
import { make } from "../support/certificates.ts";
import { runHere } from "../support/program.ts";

const HASH = "$2y$10$abcdefghijklmnopqrstuuG7KXZ5Qh9fJ0Zz3vYb1cW2dX4eF6gHi";

let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "web-config-"));
  const server = await make("localhost", { names: [{ type: "dns", value: "localhost" }] });
  const ca = await make("clients");
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  write("server.crt", server.pem);
  write("server.key", server.key);
  write("other.key", ca.key);
  write("ca.crt", ca.pem);
  write("two.crt", ca.pem + server.pem);
  write("empty.pem", "");
  write("damaged.crt", server.pem.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA"));
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const locked = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret" } as const;
  write("locked.key", privateKey.export(locked).toString());
  write("latin1.pem", "");
  writeFileSync(join(folder, "latin1.pem"), Buffer.from([0xe4, 0x0a]));
  mkdirSync(join(folder, "folder"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function load(text: string) {
  const file = join(folder, "web.yaml");
  writeFileSync(file, text);
  return loadWebConfig(file);
}

/** What is wrong with a file, each problem on a line without the folder. */
function problems(text: string): string[] {
  const result = load(text);
  return result.ok
    ? []
    : result.problems.map((problem) => formatProblem(problem).replaceAll(`${folder}/`, ""));
}

function accepted(text: string) {
  const result = load(text);
  if (!result.ok) expect.fail(result.problems.map(formatProblem).join("\n"));
  return result.access;
}

/** A section `tls_server_config` that is whole but for these lines. */
function tls(...lines: string[]): string {
  const keys = lines.map((line) => /^\w+/.exec(line)?.[0]);
  const usual = ["cert_file: server.crt", "key_file: server.key"].filter(
    (line) => !keys.includes(line.split(":")[0]),
  );
  return ["tls_server_config:", ...usual.concat(lines).map((line) => `  ${line}`), ""].join("\n");
}

describe("plain HTTP for everybody", () => {
  test.each([
    "",
    "# nothing\n",
    "{}",
    "tls_server_config:\n",
    "tls_server_config: {}\nbasic_auth_users: {}\n",
  ])("is what %j says", (text) => {
    expect(accepted(text)).toEqual({
      tls: null,
      headers: {},
      users: new Map(),
      rateLimit: { intervalMs: 0, burst: 0 },
      files: [join(folder, "web.yaml")],
    });
  });
});

describe("tls_server_config is taken", () => {
  const context = (...lines: string[]) => accepted(tls(...lines)).tls?.context;

  test("with a certificate and its key, the paths relative to the file", () => {
    const { tls: secured, files } = accepted(tls());
    expect(secured).toMatchObject({ clientAuth: "NoClientCert", allowedSans: null });
    expect(secured?.context).toMatchObject({ minVersion: "TLSv1.2", maxVersion: "TLSv1.3" });
    expect(secured?.context).toMatchObject({ honorCipherOrder: true });
    expect(secured?.context.ca).toBe(undefined);
    expect(files).toEqual(["web.yaml", "server.crt", "server.key"].map((name) => join(folder, name)));
  });

  test("with absolute paths", () => {
    const lines = [`cert_file: ${folder}/server.crt`, `key_file: "${folder}/server.key"`];
    expect(context(...lines)?.cert).toContain("BEGIN CERTIFICATE");
  });

  test("with certificate, key and CA in the file itself", () => {
    const { cert, key } = context() ?? {};
    const block = (name: string, text: unknown) => `  ${name}: |\n${String(text).replace(/^/gm, "    ")}\n`;
    const text = `tls_server_config:\n${block("cert", cert)}${block("key", key)}${block("client_ca", cert)}  client_auth_type: RequireAndVerifyClientCert\n`;
    expect(accepted(text).tls?.context).toMatchObject({ key: expect.stringContaining("PRIVATE KEY") });
    expect(accepted(text).files).toHaveLength(1);
  });

  test("with what is in the file and in a file of its own: that one counts, and a warning says so", () => {
    const result = load(tls("cert: x"));
    if (!result.ok) expect.fail("refused");
    expect(result.access.tls?.context.cert).toContain("BEGIN CERTIFICATE");
    expect(result.warnings.map(({ path, text }) => `${path} ${text}`)).toEqual([
      "tls_server_config.cert has no effect beside cert_file",
    ]);
  });

  test.each([
    ["client_auth_type: ''", "NoClientCert"],
    ["client_auth_type:", "NoClientCert"],
    ["client_auth_type: NoClientCert", "NoClientCert"],
    ["client_auth_type: RequestClientCert", "RequestClientCert"],
    ["client_auth_type: RequireAnyClientCert", "RequireAnyClientCert"],
    ["client_auth_type: RequireClientCert", "RequireClientCert"],
    ["client_auth_type: VerifyClientCertIfGiven", "VerifyClientCertIfGiven"],
    ["client_auth_type: RequireAndVerifyClientCert", "RequireAndVerifyClientCert"],
  ])("with %s", (line, clientAuth) => {
    expect(accepted(tls(line)).tls).toMatchObject({ clientAuth });
    const withCa = tls(line, "client_ca_file: two.crt");
    if (clientAuth === "NoClientCert") expect(problems(withCa)).toHaveLength(1);
    else expect(accepted(withCa).tls).toMatchObject({ clientAuth });
  });

  test("with clients checked by the system's roots where no CA is named", () => {
    expect(context("client_auth_type: RequireAndVerifyClientCert")?.ca).toBeDefined();
    expect(context("client_auth_type: RequestClientCert")?.ca).toBe(undefined);
  });

  test("with names that clients may have", () => {
    const lines = ["client_auth_type: RequireAnyClientCert", "client_allowed_sans: [a.example, 10.0.0.1]"];
    expect(accepted(tls(...lines)).tls?.allowedSans).toEqual(["a.example", "10.0.0.1"]);
  });

  test.each([
    [["min_version: TLS10"], { minVersion: "TLSv1", ciphers: expect.stringContaining("@SECLEVEL=0") }],
    [["min_version: TLS11"], { minVersion: "TLSv1.1", ciphers: expect.stringContaining("@SECLEVEL=0") }],
    [["min_version: TLS13"], { minVersion: "TLSv1.3" }],
    [["max_version: TLS12"], { maxVersion: "TLSv1.2" }],
    [["prefer_server_cipher_suites: false"], { honorCipherOrder: false }],
    [["curve_preferences: [CurveP384, X25519]"], { ecdhCurve: "P-384:X25519" }],
    [["curve_preferences: [CurveP256, CurveP384, CurveP521]"], { ecdhCurve: "P-256:P-384:P-521" }],
    [["curve_preferences:"], {}],
    [["cipher_suites:"], { ciphers: expect.stringContaining("TLS_AES_128_GCM_SHA256") }],
    [["cipher_suites: []"], { ciphers: expect.stringContaining("TLS_AES_128_GCM_SHA256") }],
    [
      ["cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384]"],
      {
        ciphers:
          "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE-RSA-AES128-GCM-SHA256",
      },
    ],
  ])("with %s", (lines, expected) => {
    expect(context(...lines)).toMatchObject(expected);
  });

  test("with a post-quantum key exchange beside others, whether this OpenSSL knows it or not", () => {
    expect(context("curve_preferences: [X25519MLKEM768, X25519]")?.ecdhCurve).toMatch(/(^|:)X25519$/);
  });

  test("with ciphers that are not HTTP/2's where HTTP/2 is off, or TLS 1.2 is", () => {
    const ciphers = "cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]";
    const without = `${tls(ciphers)}http_server_config: { http2: false }\n`;
    expect(accepted(without).tls?.context.ciphers).toMatch(/:AES128-SHA$/);
    expect(accepted(tls(ciphers, "min_version: TLS13")).tls).not.toBe(null);
  });
});

const AUTH = "client_auth_type: RequireAndVerifyClientCert";
const CIPHERS_ALLOWED = /allowed: TLS_AES_128_GCM_SHA256, .*TLS_RSA_WITH_AES_256_CBC_SHA$/;

describe("tls_server_config is refused, saying where and what is allowed,", () => {
  test.each<[string, RegExp]>([
    [
      "cert_file:",
      /^web.yaml:3:13: tls_server_config.cert_file: is missing; allowed: the server's certificate, or cert$/,
    ],
    [
      "key_file: ''",
      /^web.yaml:3:13: tls_server_config.key_file: is missing; allowed: the certificate's key, or key$/,
    ],
    ["cert_file: no.crt", /:3:14: .*cert_file: no.crt: no such file$/],
    ["cert_file: empty.pem", /:3:14: .*cert_file: holds no certificate; /],
    ["cert_file: damaged.crt", /cert_file: holds a certificate that is damaged$/],
    ["cert_file: folder", /cert_file: folder: is a directory, not a file$/],
    ["cert_file: latin1.pem", /cert_file: latin1.pem: is not text in UTF-8$/],
    ["cert_file: server.key", /cert_file: holds no certificate; /],
    ["key_file: no.key", /:3:13: .*key_file: no.key: no such file$/],
    ["key_file: empty.pem", /key_file: holds no private key; allowed: PEM, /],
    ["key_file: /dev/null", /key_file: \/dev\/null: is a device, not a file$/],
    ["key_file: folder", /key_file: folder: is a directory, not a file$/],
    ["key_file: server.crt", /key_file: holds no private key; /],
    ["key_file: other.key", /key_file: is the key of another certificate$/],
    ["key_file: locked.key", /key_file: needs a passphrase; /],
    [`cert_file: ''\ncert: 5`, /:4:9: .*cert: 5 is not allowed; allowed: PEM, /],
    [`cert_file: ''\ncert: x`, /:4:9: .*cert: holds no certificate; /],
    [`key_file: ''\nkey: x`, /:4:8: .*key: holds no private key; /],
    [`${AUTH}\nclient_ca_file: no.crt`, /:5:19: .*client_ca_file: no.crt: no such file$/],
    [`${AUTH}\nclient_ca_file: empty.pem`, /client_ca_file: holds no certificate; /],
    [`${AUTH}\nclient_ca_file: damaged.crt`, /client_ca_file: holds a certificate that is damaged$/],
    [`${AUTH}\nclient_ca_file: folder`, /client_ca_file: folder: is a directory, not a file$/],
    [`${AUTH}\nclient_ca: x`, /client_ca: holds no certificate; /],
    ["client_ca_file: ca.crt", /client_ca_file: has no effect without client_auth_type, /],
    ["client_auth_type: x", /:4:21: .*client_auth_type: "x" is not allowed; allowed: NoClientCert, /],
    ["client_allowed_sans: [a]", /:4:24: .*client_allowed_sans: needs a client_auth_type of /],
    [`client_auth_type: VerifyClientCertIfGiven\nclient_allowed_sans: [a]`, /client_allowed_sans: needs a /],
    [`${AUTH}\nclient_allowed_sans: []`, /client_allowed_sans: names nobody; allowed: /],
    [
      `${AUTH}\nclient_allowed_sans: [5]`,
      /client_allowed_sans\[0\]: 5 is not allowed; allowed: a DNS name, /,
    ],
    [`${AUTH}\nclient_allowed_sans: a`, /client_allowed_sans: "a" is not allowed; allowed: a list of names$/],
    [
      "min_version: TLSv1.2",
      /:4:16: .*min_version: "TLSv1.2" is not allowed; allowed: TLS10, TLS11, TLS12, TLS13$/,
    ],
    ["max_version: 13", /:4:16: .*max_version: 13 is not allowed; allowed: TLS10, /],
    [
      `min_version: TLS13\nmax_version: TLS12`,
      /:5:16: .*max_version: TLS12 is below min_version TLS13; allowed: /,
    ],
    ["cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]", CIPHERS_ALLOWED],
    ["cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]", CIPHERS_ALLOWED],
    ["cipher_suites: x", /cipher_suites: "x" is not allowed; allowed: a list of Go's ciphers$/],
    [
      "cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]",
      /:4:18: .*cipher_suites: lacks what HTTP\/2 needs; allowed: /,
    ],
    [
      "curve_preferences: [P-256]",
      /:4:23: .*curve_preferences\[0\]: "P-256" is not allowed; allowed: CurveP256, CurveP384, CurveP521, X25519, X25519MLKEM768$/,
    ],
    [
      "prefer_server_cipher_suites: yes",
      /prefer_server_cipher_suites: "yes" is not allowed; allowed: true or false$/,
    ],
    [
      "cert_filse: a",
      /:4:3: .*cert_filse: unknown key, did you mean cert_file\? allowed: cert_file, key_file, /,
    ],
  ])("for %s", (lines, expected) => {
    const found = problems(tls(...lines.split("\n")));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(expected);
  });

  test.each([
    ["a lone version", "min_version: TLS13"],
    ["a lone client_auth_type", "client_auth_type: NoClientCert"],
    ["names of files that are empty", "cert_file: ''\n  key_file: ''"],
  ])("with %s: who wrote it wants TLS", (_, line) => {
    expect(problems(`tls_server_config:\n  ${line}\n`).map((text) => text.split(": ")[1])).toEqual([
      "tls_server_config.cert_file",
      "tls_server_config.key_file",
    ]);
  });

  test("with all that is wrong, in the order of the file", () => {
    const text = tls("cert_file: no.crt", "key_file: no.key", AUTH, "client_ca_file: empty.pem");
    expect(problems(text).map((line) => line.split(": ")[0])).toEqual([
      "web.yaml:2:14",
      "web.yaml:3:13",
      "web.yaml:5:19",
    ]);
  });
});

describe("what stands beside tls_server_config", () => {
  test("is taken: headers, users, a limit", () => {
    const access = accepted(`http_server_config:
  http2: true
  headers:
    Strict-Transport-Security: max-age=31536000; includeSubDomains
    X-Content-Type-Options: nosniff
    X-Frame-Options: sameorigin
    X-XSS-Protection: 1
    Content-Security-Policy:
basic_auth_users:
  alice: ${HASH}
  "007": ${HASH.replace("$2y$10", "$2b$04")}
rate_limit:
  interval: 1s
  burst: 20
`);
    expect(access.headers).toEqual({
      "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
      "X-Content-Type-Options": "nosniff",
      "X-Frame-Options": "sameorigin",
      "X-XSS-Protection": "1",
      "Content-Security-Policy": "",
    });
    expect([...access.users.keys()]).toEqual(["alice", "007"]);
    expect(access.rateLimit).toEqual({ intervalMs: 1000, burst: 20 });
  });

  test.each([
    ["0", 0],
    ['"0"', 0],
    ["0s", 0],
    ["500ms", 500],
    ["1m30s", 90_000],
    ["1.5s", 1500],
    [".5h", 1_800_000],
    ["250us", 0.25],
    ["250µs", 0.25],
    ["1000ns", 0.001],
  ])("may have an interval of %s", (interval, intervalMs) => {
    expect(accepted(`rate_limit: { interval: ${interval}, burst: 1 }`).rateLimit.intervalMs).toBeCloseTo(
      intervalMs,
    );
  });

  test.each(["{ interval: 1s }", "{ interval: 1s, burst: 0 }"])(
    "may let nobody in: rate_limit: %s",
    (limit) => {
      const result = load(`rate_limit: ${limit}`);
      if (!result.ok) expect.fail("refused");
      expect(result.access.rateLimit).toEqual({ intervalMs: 1000, burst: 0 });
      expect(result.warnings.map(({ path, text }) => `${path}: ${text}`)).toEqual([
        "rate_limit.burst: 0 refuses every request; 1 or more lets some through, an interval of 0 all",
      ]);
    },
  );

  test("may have a limit that is off", () => {
    expect(accepted("rate_limit: { interval: 0, burst: 0 }").rateLimit).toEqual({ intervalMs: 0, burst: 0 });
    expect(accepted("rate_limit: { burst: 5 }").rateLimit).toEqual({ intervalMs: 0, burst: 5 });
    expect(accepted("rate_limit:").rateLimit).toEqual({ intervalMs: 0, burst: 0 });
  });

  test.each([
    ["tls_config: {}", /^web.yaml:1:1: tls_config: unknown key/],
    ["basic_auth_user: {}", /^web.yaml:1:1: basic_auth_user: unknown key, did you mean basic_auth_users\? /],
    [
      "tls_server_config: x",
      /^web.yaml:1:20: tls_server_config: "x" is not allowed; allowed: a mapping with the keys /,
    ],
    ["[]", /^web.yaml:1:1: a list is not allowed; allowed: a mapping with the keys tls_server_config, /],
    ["a: b: c", /^web.yaml:1:\d+: not valid YAML: /],
    [
      "http_server_config: { http2: maybe }",
      /^web.yaml:1:30: http_server_config.http2: "maybe" is not allowed/,
    ],
    ["http_server_config: { http3: true }", /^web.yaml:1:23: http_server_config.http3: unknown key/],
    ["http_server_config: { headers: [a] }", /headers: a list is not allowed; allowed: a mapping/],
    [
      "http_server_config: { headers: { Server: x } }",
      /^web.yaml:1:34: http_server_config.headers.Server: unknown key; allowed: /,
    ],
    [
      "http_server_config: { headers: { X-Frame-Options: no } }",
      /X-Frame-Options: "no" is not allowed; allowed: deny, sameorigin$/,
    ],
    [
      "http_server_config: { headers: { X-Frame-Options: } }",
      /X-Frame-Options: has no value; allowed: deny, sameorigin$/,
    ],
    [
      "http_server_config: { headers: { X-Content-Type-Options: sniff } }",
      /"sniff" is not allowed; allowed: nosniff$/,
    ],
    [
      'http_server_config: { headers: { X-XSS-Protection: "a\\r\\nb" } }',
      /X-XSS-Protection: .* allowed: a header's value, on one line/,
    ],
    ["http_server_config: { headers: { X-XSS-Protection: [1] } }", /X-XSS-Protection: a list is not allowed/],
    [
      "basic_auth_users: alice",
      /^web.yaml:1:19: basic_auth_users: "alice" is not allowed; allowed: a mapping of users to bcrypt hashes$/,
    ],
    [
      "basic_auth_users: { alice: hunter2 }",
      /^web.yaml:1:28: basic_auth_users.alice: no bcrypt hash; allowed: (?!.*hunter2)/,
    ],
    ["basic_auth_users: { alice: }", /basic_auth_users.alice: no bcrypt hash; /],
    [`basic_auth_users: { alice: ${HASH.slice(0, -1)} }`, /no bcrypt hash; /],
    [`basic_auth_users: { alice: ${HASH.replace("$10", "$03")} }`, /no bcrypt hash; /],
    [`basic_auth_users: { alice: ${HASH.replace("$10", "$32")} }`, /no bcrypt hash; /],
    [
      `basic_auth_users: { alice: ${HASH}, alice: ${HASH} }`,
      /basic_auth_users.alice: key given twice; allowed: once$/,
    ],
    [
      "rate_limit: { interval: -1s, burst: 1 }",
      /rate_limit.interval: "-1s" is not allowed; allowed: a duration such as 500ms/,
    ],
    [
      "rate_limit: { interval: 5, burst: 1 }",
      /rate_limit.interval: 5 is not allowed; allowed: a duration such as 500ms/,
    ],
    [
      "rate_limit: { interval: 1s, burst: 1.5 }",
      /rate_limit.burst: 1.5 is not allowed; allowed: a whole number/,
    ],
    [
      "rate_limit: { interval: 1s, burst: 1, window: 3 }",
      /rate_limit.window: unknown key; allowed: interval, burst$/,
    ],
  ])("is refused: %s", (text, expected) => {
    const found = problems(text);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(expected);
  });
});

test("the example shows every key, and is right where its certificates are", () => {
  const example = readFileSync(new URL("../../deploy/web-config.yaml", import.meta.url), "utf8");
  writeFileSync(join(folder, "clients.crt"), readFileSync(join(folder, "ca.crt")));
  expect(problems(example)).toEqual([]);
  const access = accepted(example);
  expect(access.users.size).toBe(1);
  const [, keys = ""] = problems("x: 1")[0]?.split("allowed: ") ?? [];
  const tlsKeys = problems(tls("x: 1"))[0]?.split("allowed: ")[1] ?? "";
  for (const key of `${keys}, ${tlsKeys}, interval, burst, http2, headers`.split(", "))
    expect(example).toMatch(new RegExp(`\\b${key}\\b`));
});

describe("a file", () => {
  test("that is not there is refused", () => {
    const result = loadWebConfig(join(folder, "none.yaml"));
    expect(result).toMatchObject({ ok: false, problems: [{ text: "no such file" }] });
  });

  test("is checked by check-web-config", async () => {
    const file = join(folder, "checked.yaml");
    writeFileSync(file, tls("cert: x"));
    expect(await runHere(["check-web-config", file])).toEqual({
      code: 0,
      stdout: `${file}: configuration is valid\n`,
      stderr: `${file}:4:9: tls_server_config.cert: has no effect beside cert_file (warning)\n`,
    });
    writeFileSync(file, "rate_limits:\n");
    expect(await runHere(["check-web-config", file])).toEqual({
      code: 1,
      stdout: "",
      stderr: `${file}:1:1: rate_limits: unknown key, did you mean rate_limit? allowed: tls_server_config, http_server_config, basic_auth_users, rate_limit\n`,
    });
  });

  test("that may not be read says so", { tags: ["process"] }, () => {
    const file = join(folder, "secret.key");
    writeFileSync(file, "", { mode: 0o000 });
    writeFileSync(join(folder, "secret.yaml"), tls("key_file: secret.key"));
    const script = `import { loadWebConfig } from ${JSON.stringify(new URL("../../src/config/webConfig.ts", import.meta.url).href)};
process.setuid?.(65534); console.log(JSON.stringify(loadWebConfig("secret.yaml").problems[0].text));`;
    execFileSync("chmod", ["755", folder]);
    const tsx = import.meta.resolve("tsx");
    const said = execFileSync(process.execPath, ["--import", tsx, "--input-type=module", "-e", script], {
      cwd: folder,
    });
    expect(said.toString()).toContain("secret.key: may not be read: permission denied");
  });
});
