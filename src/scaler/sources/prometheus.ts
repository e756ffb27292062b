/**
 * Prometheus' HTTP API, and that of whoever speaks it:
 * one query in, one number out, or why there is none.
 */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { createSecureContext, type SecureContext } from "node:tls";
import { z } from "zod";
import { readTextFile } from "../../config/checkedYaml.ts";
import type { PrometheusConfig } from "../../config/promql.ts";
import { formatDuration } from "../../config/units.ts";
import { parseJson } from "../../files.ts";
import { plainMessage } from "../../systemError.ts";
import type { LoadAnswer, LoadOutcome } from "../rules/types.ts";
import { type Connection, MAX_QUERIES } from "./promql.ts";

/** A longer answer has thousands of samples, of which one was asked for. */
const MAX_ANSWER_BYTES = 2 ** 20;
const SHOWN_CHARACTERS = 200;
/** What Prometheus itself calls stale: no sample of the last five minutes is in its answers. */
const STALE_MS = 5 * 60_000;
const TLS_VERSIONS = { TLS10: "TLSv1", TLS11: "TLSv1.1", TLS12: "TLSv1.2", TLS13: "TLSv1.3" } as const;

/**
 * At most MAX_QUERIES connections, until `close`. Secrets and certificates
 * are read from their files now: they may have changed.
 */
export function connectPrometheus(prometheus: PrometheusConfig): Connection {
  const { url, timeoutMs } = prometheus;
  const isHttps = new URL(url).protocol === "https:";
  const options = { keepAlive: true, maxSockets: MAX_QUERIES };
  try {
    const { secrets, ...credentials } = credentialsOf(prometheus);
    const headers = {
      "content-type": "application/x-www-form-urlencoded",
      accept: "application/json",
      ...credentials,
    };
    const shown = (text: string) => shownWithout(secrets, text);
    const agent = isHttps
      ? new HttpsAgent({ ...options, ...tlsOptions(prometheus) })
      : new HttpAgent(options);
    const target = new URL("api/v1/query", url.endsWith("/") ? url : `${url}/`);
    const request = isHttps ? httpsRequest : httpRequest;
    return {
      close: () => agent.destroy(),
      ask: (query, signal) =>
        new Promise<LoadAnswer>((resolve, reject) => {
          const body = new URLSearchParams({ query, timeout: `${timeoutMs}ms` }).toString();
          request(target, { method: "POST", agent, headers, signal }, (response) => {
            read(response)
              .then((text) => answerOf(response, text, shown))
              .then(resolve, reject);
          })
            .on("error", reject)
            .on("upgrade", (response, socket) => {
              socket.destroy();
              resolve(answerOf(response, "", shown));
            })
            .end(body);
        }).catch((error) =>
          signal.aborted
            ? no("timeout", `${url}: no answer within ${formatDuration(timeoutMs)}`)
            : no("unreachable", `${url}: ${plainMessage(error)}`),
        ),
    };
  } catch (error) {
    // a file that cannot be read, or that holds what no header or certificate may
    const answer = no("unreachable", `${url} cannot be asked: ${plainMessage(error)}`);
    return { ask: async () => answer, close: () => undefined };
  }
}

function no(outcome: Exclude<LoadOutcome, "ok">, text: string): LoadAnswer {
  return { outcome, text };
}

/** The header that says who asks, and what of it no text may repeat. */
function credentialsOf({ basicAuth, authorization }: PrometheusConfig) {
  if (basicAuth !== null) {
    const password = contentOf(basicAuth.passwordFile);
    const pair = Buffer.from(`${basicAuth.username}:${password}`).toString("base64");
    return { authorization: `Basic ${pair}`, secrets: [pair, password] };
  }
  if (authorization === null) return { secrets: [] };
  const secret = contentOf(authorization.credentialsFile);
  // as Node refuses it, the value would be in the error
  if (!/^[\x21-\x7e]+$/.test(secret))
    throw new Error(`${authorization.credentialsFile} does not hold one word of ASCII`);
  return { authorization: `${authorization.type} ${secret}`, secrets: [secret] };
}

function tlsOptions({ tls }: PrometheusConfig) {
  if (tls === null) return {};
  return {
    secureContext: secureContext(tls),
    ...(tls.serverName !== null && { servername: tls.serverName }),
    rejectUnauthorized: !tls.insecureSkipVerify,
  };
}

/** OpenSSL says of what is wrong, but not of which file, and takes a file without any certificate for a CA's. */
function secureContext(tls: NonNullable<PrometheusConfig["tls"]>): SecureContext {
  const { caFile, certFile, keyFile, minVersion, maxVersion } = tls;
  const ca = caFile === null ? null : contentOf(caFile);
  if (ca?.includes("-----BEGIN CERTIFICATE-----") === false)
    throw new Error(`${caFile} holds no certificate in PEM`);
  const own = certFile !== null && keyFile !== null && { cert: contentOf(certFile), key: contentOf(keyFile) };
  const options = {
    ...(ca !== null && { ca }),
    ...(minVersion !== null && { minVersion: TLS_VERSIONS[minVersion] }),
    ...(maxVersion !== null && { maxVersion: TLS_VERSIONS[maxVersion] }),
  };
  try {
    return createSecureContext({ ...options, ...own });
  } catch (error) {
    const files = [caFile, certFile, keyFile].filter((file) => file !== null);
    throw new Error(`${files.join(", ")}: ${plainMessage(error)}`);
  }
}

/** Without the newline that editors leave at the end. */
function contentOf(file: string): string {
  const read = readTextFile(file);
  if (!read.ok) throw new Error(`${file}: ${read.problems[0]?.text}`);
  return read.text.trim();
}

/** The text of a response; null for one that is longer than any answer. */
async function read(response: IncomingMessage): Promise<string | null> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response) {
    bytes += piece.length;
    if (bytes > MAX_ANSWER_BYTES) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}

const point = z.tuple([z.number(), z.string()]);
const sample = z.object({ metric: z.record(z.string(), z.string()), value: point.optional() });
/** Of thousands of samples, each of which would take its time, more than one is all that is told. */
const vector = z
  .array(z.unknown())
  .transform((samples) => ({ count: samples.length, told: samples.slice(0, 2) }))
  .pipe(z.object({ count: z.number(), told: z.array(sample) }));
const ANSWER = z.object({
  status: z.literal("success"),
  data: z.discriminatedUnion("resultType", [
    z.object({ resultType: z.literal("vector"), result: vector }),
    z.object({ resultType: z.literal("scalar"), result: point }),
    z.object({ resultType: z.enum(["matrix", "string"]) }),
  ]),
  warnings: z.array(z.string()).nullish(),
  // of a VictoriaMetrics cluster, where some of its storage did not answer
  isPartial: z.boolean().optional(),
});
const FAILURE = z.object({ status: z.literal("error"), errorType: z.string(), error: z.string() });

/** What an HTTP response says of a load, the server's own words as they may be shown. */
function answerOf(
  { statusCode = 0, headers }: IncomingMessage,
  text: string | null,
  shown: (text: string) => string,
): LoadAnswer {
  if (statusCode === 401 || statusCode === 403) {
    const wrong = "basic_auth or authorization is wrong";
    return no("refused", `Prometheus refuses the query (${statusCode}): ${wrong}`);
  }
  if (text === null) return no("error", `the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
  const json = parseJson(text);
  const failure = FAILURE.safeParse(json).data;
  if (failure !== undefined) {
    const outcome = failure.errorType === "timeout" ? "timeout" : "error";
    return no(outcome, `Prometheus says: ${shown(failure.error)}`);
  }
  const isSuccess = statusCode >= 200 && statusCode < 300;
  const answer = isSuccess ? ANSWER.safeParse(json).data : undefined;
  if (answer === undefined) {
    const where = headers.location === undefined ? "" : `, to ${shown(headers.location)}`;
    const packing = headers["content-encoding"];
    if (packing !== undefined) return no("error", `the answer is packed as ${shown(packing)}, unasked`);
    const said = text === "" ? "" : `: ${shown(text)}`;
    // as it reads its own files at its start
    if (text === "Service Unavailable") return no("error", `Prometheus is not ready (${statusCode})`);
    return no("error", `the answer is none of Prometheus' (${statusCode}${where})${said}`);
  }
  const warning = answer.warnings?.find((text) => !text.startsWith("PromQL info:"));
  if (warning !== undefined) return no("warning", `Prometheus warns: ${shown(warning)}`);
  if (answer.isPartial) return no("warning", "the answer is partial: some of the storage did not answer");
  return loadOf(answer.data, Date.parse(headers.date ?? ""), shown);
}

/** The one number of an answer, given at this wall time of the server. */
function loadOf(
  data: z.output<typeof ANSWER>["data"],
  answeredMs: number,
  shown: (text: string) => string,
): LoadAnswer {
  const { resultType } = data;
  if (!("result" in data)) return no("not_a_number", `the answer is a ${resultType}, not one number`);
  const { count, told } =
    data.resultType === "vector" ? data.result : { count: 1, told: [{ metric: {}, value: data.result }] };
  const [first, second] = told;
  if (first === undefined) return no("no_sample", "the answer has no sample");
  if (second !== undefined) {
    const [one, other] = [first, second].map(({ metric }) => shown(JSON.stringify(metric)));
    const such = `${count} samples, such as ${one} and ${other}`;
    return no("several", `the answer has ${such}: sum() makes one of them`);
  }
  if (first.value === undefined) return no("not_a_number", "the answer is a histogram");
  const [seconds, written] = first.value;
  const ageMs = answeredMs - seconds * 1000;
  if (ageMs > STALE_MS) return no("stale", `the answer's sample is ${formatDuration(ageMs)} old`);
  const value = Number(written);
  // nothing at all is 0 to Number
  if (!Number.isFinite(value) || written.trim() === "")
    return no("not_a_number", `the answer is ${shown(written) || "empty"}`);
  return value < 0
    ? no("not_a_number", `the answer is ${value}, and no load is negative`)
    : { outcome: "ok", value };
}

/** A server, or a proxy before it, may repeat what it was sent. */
function shownWithout(secrets: readonly string[], text: string): string {
  const hidden = secrets
    .filter((secret) => secret !== "")
    .reduce((rest, secret) => rest.replaceAll(secret, "<secret>"), text);
  const line = hidden
    .slice(0, SHOWN_CHARACTERS)
    .replaceAll(/\p{Cc}+/gu, " ")
    .trim();
  return hidden.length > SHOWN_CHARACTERS ? `${line}...` : line;
}
