import { createPrivateKey, X509Certificate } from "node:crypto";
import { dirname, resolve } from "node:path";
import { createSecureContext, DEFAULT_CIPHERS, rootCertificates, type SecureContextOptions } from "node:tls";
import { z } from "zod";
import { plainMessage } from "../systemError.ts";
import {
  type Checked,
  checkYaml,
  formatPath,
  inFileOrder,
  type Problem,
  readSettings,
  readTextFile,
  type YamlFile,
} from "./checkedYaml.ts";
import { field, flag, integer, oneOf, type Reader, Refused } from "./fields.ts";
import { type Codec, key, listOf, sectionOf, type Values } from "./keys.ts";

/** Go's names of TLS versions, the oldest first, and Node's. */
const VERSIONS = { TLS10: "TLSv1", TLS11: "TLSv1.1", TLS12: "TLSv1.2", TLS13: "TLSv1.3" } as const;
const VERSION_NAMES = Object.keys(VERSIONS) as (keyof typeof VERSIONS)[];

/** Called the same in Go and OpenSSL. Go always serves them all. */
const TLS13_CIPHERS = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/** Go's names of ciphers that it does not (or, of TLS_RSA, did not always) call insecure, and OpenSSL's. */
const CIPHERS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(TLS13_CIPHERS.map((name) => [name, name])),
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
  TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
  TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
  TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA",
  TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
};

/** Go refuses a list without one of them where HTTP/2 is on: RFC 9113 wants it (with RSA; Go: or ECDSA). */
const HTTP2_CIPHERS = ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"];

/** Go's names of curves, and OpenSSL's. The last one came with OpenSSL 3.5. */
const CURVES: Readonly<Record<string, string>> = {
  CurveP256: "P-256",
  CurveP384: "P-384",
  CurveP521: "P-521",
  X25519: "X25519",
  X25519MLKEM768: "X25519MLKEM768",
};

const CLIENT_AUTH_TYPES = [
  "NoClientCert",
  "RequestClientCert",
  "RequireAnyClientCert",
  "VerifyClientCertIfGiven",
  "RequireAndVerifyClientCert",
  /** an older name of RequireAnyClientCert */
  "RequireClientCert",
] as const;
type ClientAuthType = (typeof CLIENT_AUTH_TYPES)[number];

const optionalText =
  (what: string): Reader<string | null> =>
  (value) => {
    if (value === null || value === "") return null;
    return typeof value === "string" ? value : new Refused(what);
  };
const fileName = optionalText("the path of a file, relative to this one's folder");
const pem = optionalText("PEM, as a block of text (key: |)");

const clientAuthType: Reader<ClientAuthType> = (value) =>
  oneOf(CLIENT_AUTH_TYPES)(value === null || value === "" ? "NoClientCert" : value);

const san: Reader<string> = (value) =>
  typeof value === "string" && value !== ""
    ? value
    : new Refused("a DNS name, IP address, e-mail address or URI of a client's certificate");

const tlsKeys = {
  certFile: key("cert_file", fileName, null),
  keyFile: key("key_file", fileName, null),
  cert: key("cert", pem, null),
  key: key("key", pem, null),
  clientCaFile: key("client_ca_file", fileName, null),
  clientCa: key("client_ca", pem, null),
  clientAuthType: key("client_auth_type", clientAuthType, "NoClientCert"),
  clientAllowedSans: key("client_allowed_sans", optional(listOf(san, "names")), null),
  minVersion: key("min_version", oneOf(VERSION_NAMES), "TLS12"),
  maxVersion: key("max_version", oneOf(VERSION_NAMES), "TLS13"),
  cipherSuites: key("cipher_suites", optional(listOf(oneOf(Object.keys(CIPHERS)), "Go's ciphers")), null),
  preferServerCipherSuites: key("prefer_server_cipher_suites", flag, true),
  curvePreferences: key(
    "curve_preferences",
    optional(listOf(oneOf(Object.keys(CURVES)), "Go's curves")),
    null,
  ),
};

function optional<T>({ schema, write }: Codec<T>): Codec<T | null> {
  return { schema: z.nullable(schema), write: (value) => (value === null ? null : write(value)) };
}

/** A header's value, whatever YAML takes it for (`X-XSS-Protection: 1`); with `choices` one of these. */
const headerValue =
  (choices: readonly string[] | null): Reader<string> =>
  (value) => {
    if (choices !== null) return oneOf(choices)(value);
    const isPlain = ["string", "number", "boolean"].includes(typeof value);
    const text = isPlain ? String(value) : value === null ? "" : null;
    if (text !== null && /^[\t\x20-\x7e]*$/.test(text)) return text;
    return new Refused("a header's value, on one line of ASCII, or nothing for no such header");
  };

const HEADERS = {
  "Strict-Transport-Security": null,
  "X-Content-Type-Options": ["nosniff"],
  "X-Frame-Options": ["deny", "sameorigin"],
  "X-XSS-Protection": null,
  "Content-Security-Policy": null,
};
const headerKeys = Object.fromEntries(
  Object.entries(HEADERS).map(([name, choices]) => [name, key(name, headerValue(choices))]),
);

/** The cost is the binary logarithm of the rounds. Apache's htpasswd writes 2y, others 2a and 2b. */
const BCRYPT = /^\$2[aby]?\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}$/;

const passwordHash: Reader<string> = (value) =>
  typeof value === "string" && BCRYPT.test(value)
    ? value
    : // what stands there may be the password itself
      new Refused("a bcrypt hash of the password, such as htpasswd -nBC 10 USER prints", "no bcrypt hash");

const users: Codec<ReadonlyMap<string, string>> = {
  schema: z
    .preprocess(
      (value) => value ?? {},
      z.record(z.string(), field(passwordHash), {
        error: ({ input }) => new Refused("a mapping of users to bcrypt hashes").about(input),
      }),
    )
    .transform((record) => new Map(Object.entries(record))),
  write: (hashes) => Object.fromEntries(hashes),
};

const MS_OF_UNIT: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  ms: 1,
  s: 1e3,
  m: 60e3,
  h: 3600e3,
};

/** A duration as Go writes it, in ms. */
const goDuration: Reader<number> = (value) => {
  if (value === 0 || value === null) return 0;
  const text = typeof value === "string" ? value.replaceAll(/[µμ]s/g, "us") : "";
  if (text === "0") return 0;
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|ms|[smh]))+$/.test(text))
    return new Refused("a duration such as 500ms, 1s or 1m30s; 0 for no limit");
  const parts = text.matchAll(/([\d.]+)([a-z]+)/g);
  return Array.from(parts, ([, n, unit = ""]) => Number(n) * (MS_OF_UNIT[unit] ?? 0)).reduce((a, b) => a + b);
};

const rateLimit = sectionOf({
  intervalMs: key("interval", goDuration, 0),
  burst: key("burst", integer({ min: 0, max: 1_000_000 }), 0),
});

const webConfigFile = sectionOf({
  tls: key("tls_server_config", sectionOf(tlsKeys)),
  http: key(
    "http_server_config",
    sectionOf({
      /** HTTP/1.1 is served either way */
      http2: key("http2", flag, true),
      headers: key("headers", sectionOf({}, { given: headerKeys })),
    }),
  ),
  users: key("basic_auth_users", users),
  rateLimit: key("rate_limit", rateLimit),
});

/** How the web side is served: what a file of `--web.config.file` says, its certificates read. */
export interface WebAccess {
  /** null is plain HTTP */
  readonly tls: {
    /** all that Node wants for a server's context */
    readonly context: SecureContextOptions;
    readonly clientAuth: ClientAuthType;
    /** names of which a client's certificate is to have one; null is any certificate */
    readonly allowedSans: readonly string[] | null;
  } | null;
  /** set on every response; one that is empty is taken off */
  readonly headers: Readonly<Record<string, string>>;
  /** bcrypt hashes by user; none is no authentication */
  readonly users: ReadonlyMap<string, string>;
  /** a request each so many ms, `burst` of them at once; 0 ms is no limit */
  readonly rateLimit: { readonly intervalMs: number; readonly burst: number };
  /** the files that all this was read from */
  readonly files: readonly string[];
}

export type WebAccessResult = Checked<{ readonly access: WebAccess; readonly warnings: readonly Problem[] }>;

/** Reads and checks a web configuration file and the certificates that it names; never throws. */
export function loadWebConfig(file: string, options: { isReload?: boolean } = {}): WebAccessResult {
  const read = readSettings(file, options);
  if (!read.ok) return read;
  const checked = checkYaml(file, read.text, webConfigFile.schema);
  if (!checked.ok) return checked;
  const { tls, http, users, rateLimit } = checked.value;
  const given = Object.values(tlsKeys).filter(({ key }) => checked.document.has(["tls_server_config", key]));
  const section = new TlsSection(file, checked.document, tls);
  const context = given.length === 0 ? null : section.context(http.http2);
  const { problems, warnings } = section;
  if (problems.length > 0) return { ok: false, problems: inFileOrder(problems) };
  const secured = context && { context, clientAuth: tls.clientAuthType, allowedSans: tls.clientAllowedSans };
  const headers = http.headers as Readonly<Record<string, string>>;
  const access = { tls: secured, headers, users, rateLimit, files: [file, ...section.files] };
  if (rateLimit.intervalMs > 0 && rateLimit.burst === 0) {
    const text = "0 refuses every request; 1 or more lets some through, an interval of 0 all";
    warnings.push(checked.document.problem(["rate_limit", "burst"], text));
  }
  return { ok: true, access, warnings: inFileOrder(warnings) };
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** The system's roots on Debian, Fedora, openSUSE, FreeBSD and Alpine, as Go looks for them. */
const SYSTEM_ROOTS = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

class TlsSection {
  readonly problems: Problem[] = [];
  readonly warnings: Problem[] = [];
  /** that were to be read */
  readonly files: string[] = [];
  readonly #folder: string;
  readonly #document: YamlFile;
  readonly #values: Values<typeof tlsKeys>;

  constructor(file: string, document: YamlFile, values: Values<typeof tlsKeys>) {
    this.#folder = dirname(file);
    this.#document = document;
    this.#values = values;
  }

  context(http2: boolean): SecureContextOptions | null {
    const values = this.#values;
    const cert = this.#pem("cert", values.certFile, values.cert);
    const key = this.#pem("key", values.keyFile, values.key);
    if (cert === null) this.#report("cert_file", "is missing; allowed: the server's certificate, or cert");
    if (key === null) this.#report("key_file", "is missing; allowed: the certificate's key, or key");
    const leaf = cert && this.#certificates(cert)[0];
    if (key !== null) this.#checkKey(key, leaf ?? null);
    const ca = this.#pem("client_ca", values.clientCaFile, values.clientCa);
    if (ca !== null) this.#certificates(ca);
    this.#checkClients(ca?.at ?? null);
    this.#checkVersions(http2);
    const curves = this.#curves();
    if (cert === null || key === null || this.problems.length > 0) return null;
    const verifies = values.clientAuthType.includes("Verify");
    const context = {
      cert: cert.text,
      key: key.text,
      ...(verifies && { ca: ca === null ? systemRoots() : ca.text }),
      minVersion: VERSIONS[values.minVersion],
      maxVersion: VERSIONS[values.maxVersion],
      ciphers: this.#ciphers(),
      ...(curves !== null && { ecdhCurve: curves }),
      honorCipherOrder: values.preferServerCipherSuites,
    };
    try {
      createSecureContext(context);
      return context;
    } catch (error) {
      this.#report(cert.at, `cannot be served: ${plainMessage(error)}`);
      return null;
    }
  }

  #report(key: string, text: string): void {
    this.problems.push(this.#document.problem(["tls_server_config", key], text));
  }

  /** Of the file, else what stands in this one; null is neither, or a file that cannot be read. */
  #pem(key: string, file: string | null, text: string | null): Pem | null {
    if (file === null) return text === null ? null : { at: key, text };
    const at = `${key}_file`;
    if (text !== null) {
      const warning = `has no effect beside ${at}`;
      this.warnings.push(this.#document.problem(["tls_server_config", key], warning));
    }
    const path = resolve(this.#folder, file);
    this.files.push(path);
    const read = readTextFile(path);
    if (read.ok) return { at, text: read.text };
    for (const { text } of read.problems) this.#report(at, `${path}: ${text}`);
    return { at, text: "" };
  }

  #certificates({ at, text }: Pem): readonly X509Certificate[] {
    const blocks = text.match(CERTIFICATE) ?? [];
    if (blocks.length === 0) this.#reportOnce(at, "holds no certificate; allowed: PEM, BEGIN CERTIFICATE");
    return blocks.flatMap((block) => {
      try {
        return [new X509Certificate(block)];
      } catch {
        this.#reportOnce(at, "holds a certificate that is damaged");
        return [];
      }
    });
  }

  /** Unless something is wrong there already: a file that cannot be read is empty, too. */
  #reportOnce(key: string, text: string): void {
    const path = formatPath(["tls_server_config", key]);
    if (this.problems.every((problem) => problem.path !== path)) this.#report(key, text);
  }

  #checkKey({ at, text }: Pem, certificate: X509Certificate | null): void {
    try {
      const key = createPrivateKey(text);
      if (certificate?.checkPrivateKey(key) === false) this.#report(at, "is the key of another certificate");
    } catch {
      const isLocked = /^(?:-----BEGIN|Proc-Type:).*ENCRYPTED/m.test(text);
      const allowed = "holds no private key; allowed: PEM, such as BEGIN PRIVATE KEY";
      this.#reportOnce(at, isLocked ? "needs a passphrase; allowed: a key without one" : allowed);
    }
  }

  #checkClients(caAt: string | null): void {
    const { clientAuthType, clientAllowedSans } = this.#values;
    if (caAt !== null && clientAuthType === "NoClientCert")
      this.#report(caAt, "has no effect without client_auth_type, such as RequireAndVerifyClientCert");
    if (clientAllowedSans === null) return;
    const at = "client_allowed_sans";
    if (clientAllowedSans.length === 0) this.#report(at, "names nobody; allowed: one name or more");
    if (!clientAuthType.startsWith("Require"))
      this.#report(at, "needs a client_auth_type of RequireAnyClientCert or RequireAndVerifyClientCert");
  }

  #checkVersions(http2: boolean): void {
    const { minVersion, maxVersion, cipherSuites } = this.#values;
    const below = `${maxVersion} is below min_version ${minVersion}; allowed: the same, or above`;
    if (VERSION_NAMES.indexOf(minVersion) > VERSION_NAMES.indexOf(maxVersion))
      this.#report("max_version", below);
    if (!http2 || minVersion === "TLS13" || !cipherSuites?.length) return;
    if (cipherSuites.some((name) => HTTP2_CIPHERS.includes(name))) return;
    const allowed = `${HTTP2_CIPHERS.join(" or ")} among them, or http_server_config.http2: false`;
    this.#report("cipher_suites", `lacks what HTTP/2 needs; allowed: ${allowed}`);
  }

  #ciphers(): string {
    const { cipherSuites, minVersion } = this.#values;
    const named = new Set([...TLS13_CIPHERS, ...(cipherSuites ?? []).map((name) => CIPHERS[name])]);
    const ciphers = cipherSuites?.length ? [...named].join(":") : DEFAULT_CIPHERS;
    // the hashes of TLS 1.0 and 1.1 are below OpenSSL's usual level of security
    return ["TLS10", "TLS11"].includes(minVersion) ? `${ciphers}:@SECLEVEL=0` : ciphers;
  }

  /** Those that this OpenSSL knows, in order of preference; null is its own choice. */
  #curves(): string | null {
    const { curvePreferences } = this.#values;
    if (!curvePreferences?.length) return null;
    const curves = curvePreferences.map((name) => CURVES[name] ?? name).filter(isKnownCurve);
    const text = `none of them is known to OpenSSL ${process.versions.openssl}`;
    if (curves.length === 0) this.#report("curve_preferences", text);
    return curves.join(":");
  }
}

interface Pem {
  readonly at: string;
  readonly text: string;
}

function isKnownCurve(name: string): boolean {
  try {
    createSecureContext({ ecdhCurve: name });
    return true;
  } catch {
    return false;
  }
}

function systemRoots(): string[] {
  for (const file of SYSTEM_ROOTS) {
    const read = readTextFile(file);
    if (read.ok) return [read.text];
  }
  return [...rootCertificates];
}
