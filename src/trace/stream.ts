import { get as httpGet, type IncomingMessage } from "node:http";
import { get as httpsGet } from "node:https";
import { StringDecoder } from "node:string_decoder";
import { isErrno, plainMessage } from "../systemError.ts";
import { RecordError } from "./output.ts";

/** What the exporter writes last when it cuts a client that does not keep up. */
const DROPPED = '{"event":"dropped"';
const MAX_ERROR_BYTES = 64 * 1024;

export interface StreamSource {
  /** Of the running exporter: `http://127.0.0.1:10042`. */
  readonly url: string;
  /** Only what concerns this target; null is all. */
  readonly host: string | null;
  /** Ends the recording. */
  readonly signal: AbortSignal;
}

/**
 * Connects to a running exporter's stream. What comes back yields whole lines, as many at a time as have arrived, and
 * ends when `signal` is aborted. Throws a RecordError when the exporter cannot be reached or does not have the host,
 * and from the lines when the stream ends by itself.
 */
export async function openStream({ url, host, signal }: StreamSource): Promise<AsyncIterable<string>> {
  if (host !== null) await checkHost(url, host, signal);
  const query = host === null ? "" : `?host=${encodeURIComponent(host)}`;
  const response = await ask(url, `api/v1/stream${query}`, signal);
  return linesOf(response, url, signal);
}

async function* linesOf(response: IncomingMessage, url: string, signal: AbortSignal): AsyncGenerator<string> {
  const utf8 = new StringDecoder("utf8");
  let rest = "";
  try {
    for await (const chunk of response) {
      rest += utf8.write(chunk);
      const end = rest.lastIndexOf("\n") + 1;
      if (end === 0) continue;
      const lines = rest.slice(0, end);
      rest = rest.slice(end);
      const dropped = lines.lastIndexOf(DROPPED);
      if (dropped === -1) yield lines;
      else if (dropped > 0) yield lines.slice(0, dropped);
      if (dropped !== -1)
        throw new RecordError(`${url} dropped this recording: it did not take the lines fast enough`);
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof RecordError) throw error;
    throw new RecordError(`the connection to ${url} broke: ${plainMessage(error)}`);
  }
  if (!signal.aborted) throw new RecordError(`${url} ended the stream`);
}

/** A host that is no target would be recorded as silence. */
async function checkHost(url: string, host: string, signal: AbortSignal): Promise<void> {
  const { data } = JSON.parse(await bodyOf(await ask(url, "api/v1/targets", signal))) as {
    readonly data: readonly { readonly name: string }[];
  };
  const names = data.map(({ name }) => name);
  if (names.includes(host)) return;
  throw new RecordError(`${url} has no target called ${host} (it has: ${names.join(", ") || "none"})`);
}

/** The response to a GET, once its headers are there and say 200. */
function ask(url: string, path: string, signal: AbortSignal): Promise<IncomingMessage> {
  const get = url.startsWith("https:") ? httpsGet : httpGet;
  const target = new URL(path, url.endsWith("/") ? url : `${url}/`);
  return new Promise((resolve, reject) => {
    get(target, { agent: false, signal }, (response) => {
      if (response.statusCode === 200) resolve(response);
      else refused(url, path, response).then(reject, reject);
    }).on("error", (error) => {
      const hint = isErrno(error, "ECONNREFUSED") ? " (is the exporter running there?)" : "";
      reject(new RecordError(`cannot reach ${url}: ${plainMessage(error)}${hint}`));
    });
  });
}

async function refused(url: string, path: string, response: IncomingMessage): Promise<RecordError> {
  const body = await bodyOf(response);
  return new RecordError(`${url} answered ${response.statusCode} to /${path}: ${reasonIn(body)}`);
}

/** The API's answers say why in a field; anything else says it in its first line. */
function reasonIn(body: string): string {
  try {
    const answer: unknown = JSON.parse(body);
    if (typeof answer === "object" && answer !== null && "error" in answer) return String(answer.error);
  } catch {
    // not JSON, so not the exporter's API
  }
  return body.split("\n")[0]?.slice(0, 200) ?? "";
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > MAX_ERROR_BYTES) break;
  }
  return Buffer.concat(pieces).toString("utf8");
}
