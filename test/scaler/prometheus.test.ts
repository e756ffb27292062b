/** What Prometheus cannot be made to say is said by a stub; test/e2e/load.test.ts asks a real one. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { filesFrom } from "../../src/config/keys.ts";
import { prometheusSection } from "../../src/config/promql.ts";
import { connectPrometheus } from "../../src/scaler/sources/prometheus.ts";
import { make } from "../support/certificates.ts";
import { serve, success, vector } from "../support/prometheusStub.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "prometheus-"));
  writeFileSync(join(folder, "secret"), "geheim\n");
  writeFileSync(join(folder, "two-words"), "zwei geheimnisse\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

async function ask(settings: object, signal = new AbortController().signal) {
  const config = filesFrom(folder, prometheusSection, prometheusSection.schema.parse(settings));
  const connection = connectPrometheus(config);
  onTestFinished(() => connection.close());
  return connection.ask('up{a="&=+"}', signal);
}

/** What is made of an answer with this body. */
async function answered(body: unknown, statusCode = 200, headers: Record<string, string> = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const url = await serve((_, response) => response.writeHead(statusCode, headers).end(text));
  return ask({ url });
}

const now = () => Date.now() / 1000;
const DATE = { date: "Mon, 30 Nov 2026 12:00:00 GMT" };
const dateS = Date.parse(DATE.date) / 1000;

describe("an answer", () => {
  test.each([
    ["one sample", vector("412.5"), 412.5],
    ["none of it", vector("0"), 0],
    ["a scalar", { resultType: "scalar", result: [now(), "7"] }, 7],
    ["a small number", vector("1e-7"), 1e-7],
  ])("of %s is a load", async (_, data, value) => {
    expect(await answered(success(data))).toEqual({ outcome: "ok", value });
  });

  const info = ["PromQL info: metric might not be a counter, name does not end in _total"];
  test("with what Prometheus calls info, wherever it says it, is a load", async () => {
    const more = { warnings: info, infos: info, isPartial: false };
    expect(await answered(success(vector("1"), more))).toEqual({ outcome: "ok", value: 1 });
    const none = { warnings: null, infos: null };
    expect(await answered(success(vector("1"), none))).toEqual({ outcome: "ok", value: 1 });
  });

  test("may be as old as the samples that Prometheus looks back for, by the server's clock", async () => {
    const at = (ageS: number) => {
      const result = [{ metric: {}, value: [dateS - ageS, "1"] }];
      return answered(success({ resultType: "vector", result }), 200, DATE);
    };
    expect(await at(300)).toEqual({ outcome: "ok", value: 1 });
    expect(await at(301)).toEqual({ outcome: "stale", text: "the answer's sample is 5m1s old" });
  });

  test("of thousands of samples costs the time of two", async () => {
    const samples = [..."12"].map((n) => ({ metric: { n }, value: [now(), n] }));
    // whoever looks at each of them finds these
    const result = [...samples, ...Array(5_000).fill("no sample")];
    const text = 'the answer has 5002 samples, such as {"n":"1"} and {"n":"2"}: sum() makes one of them';
    expect(await answered(success({ resultType: "vector", result }))).toEqual({ outcome: "several", text });
  });

  const histogram = { resultType: "vector", result: [{ metric: {}, histogram: [now(), {}] }] };
  test.each<
    [outcome: string, text: string, body: unknown, status?: number, headers?: Record<string, string>]
  >([
    ["no_sample", "the answer has no sample", success(vector())],
    [
      "several",
      'the answer has 3 samples, such as {"n":"0"} and {"n":"1"}: sum() makes one of them',
      success(vector("1", "2", "3")),
    ],
    ["not_a_number", "the answer is NaN", success(vector("NaN"))],
    ["not_a_number", "the answer is +Inf", success(vector("+Inf"))],
    ["not_a_number", "the answer is -1, and no load is negative", success(vector("-1"))],
    ["not_a_number", "the answer is empty", success(vector(" "))],
    ["not_a_number", "the answer is a histogram", success(histogram)],
    ["not_a_number", "the answer is a matrix, not one number", success({ resultType: "matrix", result: [] })],
    [
      "warning",
      "Prometheus warns: partial response: store a is down",
      success(vector("1"), { warnings: [...info, "partial response:\nstore a is down"] }),
    ],
    [
      "warning",
      "the answer is partial: some of the storage did not answer",
      success(vector("1"), { isPartial: true }),
    ],
    [
      "refused",
      "Prometheus refuses the query (401): basic_auth or authorization is wrong",
      "Unauthorized",
      401,
    ],
    ["refused", "Prometheus refuses the query (403): basic_auth or authorization is wrong", "Forbidden", 403],
    [
      "error",
      "Prometheus says: many-to-many matching not allowed",
      { status: "error", errorType: "execution", error: "many-to-many matching not allowed" },
      422,
    ],
    [
      "timeout",
      "Prometheus says: query timed out in expression evaluation",
      { status: "error", errorType: "timeout", error: "query timed out in expression evaluation" },
      503,
    ],
    ["error", "Prometheus is not ready (503)", "Service Unavailable", 503],
    ["error", "the answer is none of Prometheus' (200): <html>", "<html>"],
    ["error", "the answer is none of Prometheus' (502): Bad gateway", "Bad gateway\u0007", 502],
    ["error", "the answer is packed as gzip, unasked", "\u001f\u008b", 200, { "content-encoding": "gzip" }],
    [
      "error",
      "the answer is none of Prometheus' (302, to https://login.example)",
      "",
      302,
      { location: "https://login.example" },
    ],
    [
      "error",
      'the answer is none of Prometheus\' (503): {"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}',
      success({ resultType: "scalar", result: [1, "1"] }),
      503,
    ],
    ["error", 'the answer is none of Prometheus\' (200): {"status":"success"}', { status: "success" }],
    ["error", "the answer is longer than 1048576 bytes", " ".repeat(2 ** 20 + 1)],
  ])("is %s: %s", async (outcome, text, body, status, headers) => {
    expect(await answered(body, status, headers)).toEqual({ outcome, text });
  });
});

describe("a server", () => {
  test("that is not there is unreachable", async () => {
    expect(await ask({ url: "http://127.0.0.1:1/" })).toEqual({
      outcome: "unreachable",
      text: "http://127.0.0.1:1/: connection refused",
    });
  });

  test("that hangs up is unreachable", async () => {
    const url = await serve((_, response) => response.destroy());
    expect(await ask({ url })).toMatchObject({ outcome: "unreachable" });
    const half = await serve((_, response) => {
      response.writeHead(200, { "content-length": "100" }).write("{", () => response.destroy());
    });
    expect(await ask({ url: half })).toMatchObject({ outcome: "unreachable" });
  });

  test("that changes to another protocol is none of Prometheus'", async () => {
    const url = await serve(({ socket }) => {
      socket.write("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    });
    const text = "the answer is none of Prometheus' (101)";
    expect(await ask({ url })).toEqual({ outcome: "error", text });
  });

  test("that says nothing is given up with the query", async () => {
    const abort = new AbortController();
    const url = await serve(() => abort.abort());
    expect(await ask({ url, timeout: "2s" }, abort.signal)).toEqual({
      outcome: "timeout",
      text: `${url}: no answer within 2s`,
    });
  });

  test("is asked as Prometheus wants it, below the path of its URL", async () => {
    const seen: (string | undefined)[] = [];
    const url = await serve((request, response) => {
      void bodyOf(request).then((body) => {
        seen.push(request.method, request.url, request.headers["content-type"], body);
        response.end(JSON.stringify(success(vector("1"))));
      });
    });
    await ask({ url: `${url}/prometheus`, timeout: "7s" });
    expect(seen).toEqual([
      "POST",
      "/prometheus/api/v1/query",
      "application/x-www-form-urlencoded",
      "query=up%7Ba%3D%22%26%3D%2B%22%7D&timeout=7000ms",
    ]);
  });

  test.each([
    [{ basic_auth: { username: "me", password_file: "secret" } }, `Basic ${btoa("me:geheim")}`],
    [{ authorization: { credentials_file: "secret" } }, "Bearer geheim"],
    [{ authorization: { type: "Token", credentials_file: "secret" } }, "Token geheim"],
  ])("is told who asks: %j", async (settings, expected) => {
    let seen: string | undefined;
    const url = await serve((request, response) => {
      seen = request.headers.authorization;
      response.end();
    });
    await ask({ url, ...settings });
    expect(seen).toBe(expected);
  });

  test.each([
    [{ basic_auth: { username: "me", password_file: "secret" } }, `Basic <secret>, me:<secret>`],
    [{ authorization: { credentials_file: "secret" } }, "Bearer <secret>, me:<secret>"],
  ])("that repeats who asks does not bring it into what is told: %j", async (settings, expected) => {
    const url = await serve((request, response) => {
      const error = `${request.headers.authorization}, me:geheim`;
      const padded = error.padEnd(180, ".") + error;
      response.end(JSON.stringify({ status: "error", errorType: "x", error: padded }));
    });
    const answer = await ask({ url, ...settings });
    expect(answer).toMatchObject({ text: expect.stringContaining(`Prometheus says: ${expected}.`) });
    expect(JSON.stringify(answer)).not.toMatch(/gehe|bWU6/);
  });

  test("is trusted over TLS by tls_config alone, and shown a certificate where there is one", async () => {
    const ca = await make("ca");
    const server = await make("prometheus.example", {
      issuer: ca,
      names: [{ type: "dns", value: "prometheus.example" }],
    });
    const client = await make("scaler", { issuer: ca });
    const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
    write("ca.pem", ca.pem);
    write("client.pem", client.pem);
    write("client.key", client.key);
    const { pem: cert, key } = server;
    const shown: unknown[] = [];
    const url = await serve(
      (request, response) => {
        shown.push((request.socket as TLSSocket).getPeerCertificate().subject?.CN);
        response.end(JSON.stringify(success(vector("1"))));
      },
      { cert, key, ca: ca.pem, requestCert: true, rejectUnauthorized: false },
    );
    const outcome = async (tls_config: object) => (await ask({ url, tls_config })).outcome;
    const trust = { ca_file: "ca.pem", server_name: "prometheus.example" };
    expect(await outcome({})).toBe("unreachable");
    expect(await outcome({ ca_file: "ca.pem" })).toBe("unreachable");
    expect(await outcome(trust)).toBe("ok");
    expect(await outcome({ ...trust, max_version: "TLS12", min_version: "TLS12" })).toBe("ok");
    expect(await outcome({ insecure_skip_verify: true })).toBe("ok");
    const tooNew = { ...trust, max_version: "TLS12", min_version: "TLS13" };
    expect(await ask({ url, tls_config: tooNew })).toMatchObject({
      text: `${url}: TLS: no protocols available`,
    });
    expect(await outcome({ ...trust, cert_file: "client.pem", key_file: "client.key" })).toBe("ok");
    expect(shown).toEqual([undefined, undefined, undefined, "scaler"]);
  });

  test.each([
    [{ basic_auth: { username: "me", password_file: "none" } }, "none: no such file"],
    [{ authorization: { credentials_file: "two-words" } }, "two-words does not hold one word of ASCII"],
    [{ tls_config: { ca_file: "." } }, "is a directory, not a file"],
    [{ tls_config: { ca_file: "secret" } }, "secret holds no certificate in PEM"],
    [{ tls_config: { cert_file: "secret", key_file: "secret" } }, "secret: TLS: "],
    [{ url: "HTTPS://127.0.0.1:1", tls_config: { ca_file: "none" } }, "none: no such file"],
  ])("is not asked where %j cannot be read, and no secret is told", async (settings, expected) => {
    const answer = await ask({ url: "https://127.0.0.1:1", ...settings });
    expect(answer).toMatchObject({ outcome: "unreachable", text: expect.stringContaining(expected) });
    expect(JSON.stringify(answer)).not.toContain("geheim");
  });
});

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const text of request.setEncoding("utf8")) body += text;
  return body;
}
