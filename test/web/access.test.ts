import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { connect as connectPlainly } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { hashSync } from "bcryptjs";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createLogger } from "../../src/log.ts";
import { Access } from "../../src/web/access.ts";
import { type Made, make } from "../support/certificates.ts";
import { FakeClock } from "../support/fakeClock.ts";
import { type Answer, ask, type RunningWeb, startWeb } from "../support/web.ts";

let ca: Made;
let server: Made;
let alice: Made;
let stranger: Made;
let folder: string;
let web: RunningWeb;
let access: Access;
let clock: FakeClock;

beforeAll(async () => {
  ca = await make("CA");
  const local = [{ type: "dns", value: "localhost" } as const];
  server = await make("localhost", { issuer: ca, kind: "P-256", names: local });
  const names = [
    { type: "dns", value: "alice.example" },
    { type: "ip", value: "::1" },
    { type: "url", value: "spiffe://cluster/a,b" },
  ] as const;
  alice = await make("alice", { issuer: ca, names: [...names] });
  stranger = await make("stranger", { names: [{ type: "dns", value: "alice.example" }] });
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "web-access-"));
});

afterEach(async () => {
  await web?.stop();
  rmSync(folder, { recursive: true });
});

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
}

const TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/** Serves with this web configuration, the files of a certificate beside it. */
async function serve(text: string): Promise<void> {
  write({ "web.yaml": text, "server.crt": server.pem, "server.key": server.key, "ca.crt": ca.pem });
  clock = new FakeClock();
  const lines: string[] = [];
  const log = createLogger({ level: "debug", format: "logfmt" }, { write: (line) => void lines.push(line) });
  access = new Access(join(folder, "web.yaml"), { clock, log });
  expect(access.read()).toEqual([]);
  web = await startWeb({ access, log }, clock);
  Object.assign(web, { log: lines });
}

/** Asks over TLS, the server's certificate checked. */
function askSecurely(path = "/-/healthy", options: RequestOptions = {}): Promise<Answer> {
  const { port } = web;
  return new Promise((resolve, reject) => {
    const usual = { host: "127.0.0.1", port, path, servername: "localhost", ca: ca.pem, agent: false };
    const request = httpsRequest({ ...usual, ...options }, async (response) => {
      const pieces: Buffer[] = [];
      for await (const piece of response) pieces.push(piece);
      const { statusCode = 0, headers } = response;
      resolve({ status: statusCode, headers, body: Buffer.concat(pieces) });
    });
    request.once("error", reject).end();
  });
}

async function status(options?: RequestOptions): Promise<number> {
  return (await askSecurely("/-/healthy", options)).status;
}

const basic = (user: string, password: string) => ({
  headers: { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` },
});

describe("TLS", () => {
  test("is all that is spoken, and what was bound says https", async () => {
    await serve(TLS);
    expect(await status()).toBe(200);
    expect(web.url).toMatch(/^https:/);
    await expect(ask(`http://127.0.0.1:${web.port}/-/healthy`)).rejects.toThrow();
    expect(web.log.join()).toContain("TLS connection refused");
  });

  test("carries a large response, and several requests on one connection", async () => {
    await serve(TLS);
    const socket = connect({ port: web.port, host: "127.0.0.1", servername: "localhost", ca: ca.pem });
    let text = "";
    socket.setEncoding("latin1").on("data", (piece: string) => {
      text += piece;
    });
    socket.write("GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3));
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    await new Promise((resolve) => socket.once("close", resolve));
    expect(text.split("HTTP/1.1 200")).toHaveLength(5);
    expect(text).toContain("</html>");
  });

  test.each([
    ["max_version: TLS12", "TLSv1.2", "TLSv1.2"],
    ["min_version: TLS13", "TLSv1.3", "TLSv1.3"],
    ["min_version: TLS10", "TLSv1.1", "TLSv1.1"],
    ["min_version: TLS12", "TLSv1.1", null],
    ["min_version: TLS13", "TLSv1.2", null],
  ] as const)("with %s and a client of %s: %s", async (line, maxVersion, expected) => {
    await serve(`${TLS}  ${line}\n`);
    const ciphers = "DEFAULT:@SECLEVEL=0";
    const options = {
      ca: ca.pem,
      servername: "localhost",
      minVersion: "TLSv1.1",
      maxVersion,
      ciphers,
    } as const;
    const protocol = await new Promise((resolve) => {
      const socket = connect({ port: web.port, host: "127.0.0.1", ...options }, () => {
        resolve(socket.getProtocol());
        socket.destroy();
      });
      socket.on("error", () => resolve(null));
    });
    expect(protocol).toBe(expected);
  });

  test("keeps to the ciphers and curves that are named", async () => {
    await serve(
      `${TLS}  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences: [CurveP384]\n`,
    );
    const secured = { ca: ca.pem, maxVersion: "TLSv1.2" } as const;
    expect(await status({ ...secured, ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })).toBe(200);
    await expect(status({ ...secured, ciphers: "ECDHE-ECDSA-CHACHA20-POLY1305" })).rejects.toThrow();
    expect(await status({ ca: ca.pem, ecdhCurve: "P-384" })).toBe(200);
    await expect(status({ ca: ca.pem, ecdhCurve: "P-521" })).rejects.toThrow();
  });

  test("takes a new certificate within a second of its being there, bad ones not at all", async () => {
    await serve(TLS);
    const other = await make("other", {
      issuer: ca,
      kind: "P-256",
      names: [{ type: "dns", value: "other" }],
    });
    write({ "server.crt": other.pem });
    clock.advance(1000);
    expect(await status()).toBe(200);
    expect(web.log.join()).toMatch(
      /the one before stays in force.*key_file: is the key of another certificate/,
    );
    write({ "server.key": other.key });
    clock.advance(1000);
    expect(await status({ servername: "other" })).toBe(200);
    await expect(status()).rejects.toThrow(/Hostname\/IP/);
    expect(web.log.join()).toContain("web configuration reloaded");
  });

  test("is stopped with connections on which nothing was asked, or no hand shaken", async () => {
    await serve(TLS);
    const host = { port: web.port, host: "127.0.0.1" };
    const secured = connect({ ...host, ca: ca.pem, servername: "localhost" });
    const silent = connectPlainly(host);
    await Promise.all([once(secured, "secureConnect"), once(silent, "connect")]);
    const closed = [secured, silent].map((socket) => once(socket.resume(), "close"));
    await web.stop();
    await Promise.all(closed);
  });
});

describe("client certificates", () => {
  const none = {};
  const of = ({ pem, key }: Made) => ({ cert: pem, key });
  const isServed = (options: RequestOptions) =>
    status(options).then(
      (code) => code === 200,
      () => false,
    );

  test.each([
    ["NoClientCert", "", [true, true, true]],
    ["RequestClientCert", "", [true, true, true]],
    ["RequireAnyClientCert", "", [false, true, true]],
    ["RequireClientCert", "", [false, true, true]],
    ["VerifyClientCertIfGiven", "client_ca_file: ca.crt", [true, false, true]],
    ["RequireAndVerifyClientCert", "client_ca_file: ca.crt", [false, false, true]],
    // the system's roots know neither
    ["VerifyClientCertIfGiven", "", [true, false, false]],
    ["RequireAndVerifyClientCert", "", [false, false, false]],
  ])("%s %s: without one, a stranger's, a known one", async (type, more, expected) => {
    await serve(`${TLS}  client_auth_type: ${type}\n  ${more}\n`);
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const clients = [none, of(stranger), of(alice)].map((client) => ({ ...client, maxVersion }));
      expect(await Promise.all(clients.map(isServed))).toEqual(expected);
    }
  });

  test.each([
    ["[bob.example, alice.example]", true],
    ["['::1']", true],
    ["['spiffe://cluster/a,b']", true],
    ["[bob.example]", false],
    ["['*.example']", false],
    ["['spiffe://cluster/a']", false],
    ["[b]", false],
  ])("with client_allowed_sans %s: %s", async (sans, expected) => {
    const lines = [`client_allowed_sans: ${sans}`, "client_ca_file: ca.crt"];
    const auth = "client_auth_type: RequireAndVerifyClientCert";
    await serve(`${TLS}  ${[auth, ...lines].join("\n  ")}\n`);
    expect(await isServed(of(alice))).toBe(expected);
    if (!expected) expect(web.log.join()).toContain("client_allowed_sans has none of the client's names");
    const nameless = await make("nameless", { issuer: ca });
    expect(await isServed(of(nameless))).toBe(false);
  });

  test("are asked for as the file says now, of connections that begin", async () => {
    await serve(TLS);
    expect(await isServed(none)).toBe(true);
    write({ "web.yaml": `${TLS}  client_auth_type: RequireAnyClientCert\n` });
    clock.advance(1000);
    expect(await isServed(none)).toBe(false);
    write({ "web.yaml": "# plain\n" });
    clock.advance(1000);
    expect((await ask(`http://127.0.0.1:${web.port}/-/healthy`)).status).toBe(200);
  });
});

/** Cost 4, for speed, as Apache's htpasswd writes it. */
const hash = (password: string) => hashSync(password, 4).replace(/^\$2b/, "$2y");

describe("users", () => {
  const USERS = () => `basic_auth_users:\n  alice: ${hash("secret")}\n  bob: ${hash("pässwörd:x")}\n`;
  const plain = (path: string, options = {}) => ask(`http://127.0.0.1:${web.port}${path}`, options);

  test.each(["/metrics", "/-/healthy", "/-/ready", "/", "/api/v1/vms", "/nowhere", "/api/v1/stream"])(
    "are asked for at %s",
    async (path) => {
      await serve(USERS());
      const { status, headers, body } = await plain(path);
      expect(status).toBe(401);
      expect(headers["www-authenticate"]).toBe('Basic realm="albatross-exporter", charset="UTF-8"');
      expect(body.toString()).toMatch(/^Unauthorized/);
      expect((await plain(path, { method: "POST" })).status).toBe(401);
      expect((await plain(path, { method: "HEAD", ...basic("alice", "secret") })).status).not.toBe(401);
    },
  );

  test.each([
    ["alice", "secret", 200],
    ["bob", "pässwörd:x", 200],
    ["alice", "Secret", 401],
    ["alice", "", 401],
    ["bob", "secret", 401],
    ["nobody", "secret", 401],
    ["", "", 401],
  ])("%j with %j: %i", async (user, password, expected) => {
    await serve(USERS());
    expect((await plain("/-/healthy", basic(user, password))).status).toBe(expected);
    expect(web.loginsFailed()).toBe(expected === 200 ? 0 : 1);
  });

  test.each([
    ["Bearer abc", 1],
    ["Basic", 1],
    ["Basic !!!", 1],
    ["Basic YWxpY2U=", 1],
    [undefined, 0],
  ])("with the header %j: 401, and %i failures", async (header, failures) => {
    await serve(USERS());
    const headers = header === undefined ? {} : { Authorization: header };
    expect((await plain("/metrics", { headers })).status).toBe(401);
    expect(web.loginsFailed()).toBe(failures);
  });

  test("change with the file: who is no longer there is out at once", async () => {
    await serve(USERS());
    expect((await plain("/-/healthy", basic("alice", "secret"))).status).toBe(200);
    write({ "web.yaml": `basic_auth_users:\n  alice: ${hash("new")}\n` });
    clock.advance(1000);
    expect((await plain("/-/healthy", basic("alice", "secret"))).status).toBe(401);
    expect((await plain("/-/healthy", basic("alice", "new"))).status).toBe(200);
  });

  test.each([
    ["is empty", "", "is empty; allowed on a reload"],
    ["is wrong", "basic_auth_user: {}", "unknown key"],
  ])("stay as they are while the file %s", async (_, text, why) => {
    await serve(USERS());
    write({ "web.yaml": text });
    clock.advance(1000);
    expect((await plain("/-/healthy")).status).toBe(401);
    clock.advance(1000);
    expect((await plain("/-/healthy", basic("alice", "secret"))).status).toBe(200);
    expect(web.log.filter((line) => line.includes(why))).toHaveLength(1);
    expect(access.read({ isReload: true }).join()).toContain(why);
  });
});

describe("headers", () => {
  test("are on every answer, in place of those that are there without", async () => {
    await serve(
      `http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: "default-src 'none'"\n    X-XSS-Protection:\nrate_limit: { interval: 1h, burst: 2 }\n`,
    );
    const answers = [];
    for (const path of ["/", "/nowhere", "/"]) answers.push(await ask(`http://127.0.0.1:${web.port}${path}`));
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 429]);
    for (const { headers } of answers) {
      expect(headers["x-frame-options"]).toBe("deny");
      expect(headers["content-security-policy"]).toBe("default-src 'none'");
      expect(headers["x-xss-protection"]).toBe(undefined);
    }
  });
});

describe("a rate limit", () => {
  test("lets a burst through, then one request each interval", async () => {
    await serve("rate_limit: { interval: 2s, burst: 3 }\n");
    const healthy = async () => (await ask(`http://127.0.0.1:${web.port}/-/healthy`)).status;
    const several = async (n: number) => {
      const all = [];
      for (let i = 0; i < n; i++) all.push(await healthy());
      return all;
    };
    expect(await several(4)).toEqual([200, 200, 200, 429]);
    clock.advance(1999);
    expect(await healthy()).toBe(429);
    clock.advance(1);
    expect(await several(2)).toEqual([200, 429]);
    clock.advance(60_000);
    expect(await several(4)).toEqual([200, 200, 200, 429]);
  });
});
