/** Says what a real Prometheus cannot be made to say. */
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** A server that answers every request so; its URL. `atEnd` is given what ends it. */
export async function serve(
  answer: RequestListener,
  tls: ServerOptions | null = null,
  atEnd: (end: () => void) => void = onTestFinished,
): Promise<string> {
  const server = tls === null ? createServer(answer) : createTlsServer(tls, answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  atEnd(() => {
    server.closeAllConnections();
    server.close();
  });
  return `${tls === null ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The body of an answer. */
export function success(data: unknown, more: object = {}): object {
  return { status: "success", data, ...more };
}

/** A vector of as many samples, of now. */
export function vector(...values: readonly string[]): object {
  const at = Date.now() / 1000;
  const result = values.map((value, i) => ({ metric: { n: String(i) }, value: [at, value] }));
  return { resultType: "vector", result };
}

/** A server that answers each query with these samples. */
export function answering(
  samplesOf: (query: string) => readonly string[],
  atEnd?: (end: () => void) => void,
): Promise<string> {
  const answer: RequestListener = async (request, response) => {
    let body = "";
    for await (const text of request.setEncoding("utf8")) body += text;
    const samples = samplesOf(new URLSearchParams(body).get("query") ?? "");
    response.end(JSON.stringify(success(vector(...samples))));
  };
  return serve(answer, null, atEnd);
}
