import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { DECODE_ERROR_REASONS, zeroCounts } from "../../src/client/receiver.ts";
import { DISCONNECT_REASONS, type SubscriptionSnapshot } from "../../src/client/subscription.ts";
import type { TargetSnapshot } from "../../src/client/target.ts";
import { VMMD_ERROR_REASONS } from "../../src/client/vmmd.ts";
import { type Config, configFile, type WebConfig } from "../../src/config/sections.ts";
import type { ScrapeResult } from "../../src/exporter/selfMetrics.ts";
import type { RenderTally } from "../../src/exposition/writer.ts";
import { createLogger } from "../../src/log.ts";
import { Broadcast } from "../../src/trace/broadcast.ts";
import type { TraceMessage } from "../../src/trace/lines.ts";
import { OPEN } from "../../src/web/access.ts";
import { createApp, type WebDeps } from "../../src/web/app.ts";
import { Listeners } from "../../src/web/server.ts";
import { snapshot } from "../exporter/records.ts";
import { FakeClock } from "./fakeClock.ts";

/** The web side on a port of its own on 127.0.0.1, with a clock that stands still and what it told its observers. */
export interface RunningWeb {
  readonly port: number;
  readonly url: string;
  readonly clock: FakeClock;
  readonly stream: Broadcast<TraceMessage>;
  readonly scrapes: FinishedScrape[];
  /** Lines of the log. */
  readonly log: string[];
  /** Responses cut, by route. */
  readonly cut: Readonly<Record<string, number>>;
  streamsDropped(): number;
  loginsFailed(): number;
  stop(): Promise<void>;
}

/** A finished scrape, with what was rendered also where not all of it was taken; bytes are those before compression. */
export type FinishedScrape = ScrapeResult & RenderTally;

/** The default configuration of a Linux host, but for these settings of `web`. */
export function webConfig(web: Partial<WebConfig> = {}): Config {
  const machine = { name: "local", isContainer: false, os: "linux", pageSizeBytes: 4096 } as const;
  const config = configFile(() => machine).schema.parse({});
  return { ...config, web: { ...config.web, ...web } };
}

export const SCALER: WebDeps["scaler"] = {
  actions: () => [],
  decisions: () => [],
  evaluations: [],
  explain: () => null,
  history: () => null,
  summary: () => ({ mode: "dry_run", pollIntervalMs: 60_000, groups: 0, lastTickMs: null, isOff: false }),
};

/** What the web side is given, its clock standing still, and what it tells its observers. */
export function webDeps(overrides: Partial<WebDeps> = {}) {
  const scrapes: FinishedScrape[] = [];
  const lines: string[] = [];
  const cut: Record<string, number> = {};
  const dropped = { streams: 0, logins: 0 };
  const log = createLogger({ level: "debug", format: "logfmt" }, { write: (line) => void lines.push(line) });
  const deps: WebDeps = {
    clock: new FakeClock(),
    log,
    build: { version: "1.2.3", revision: null },
    metrics: {
      finished: (scrape: FinishedScrape) => void scrapes.push(scrape),
      streamDropped: () => void dropped.streams++,
      authFailed: () => void dropped.logins++,
      responsesCut(route: string, responses: number) {
        cut[route] = (cut[route] ?? 0) + responses;
      },
    },
    scaler: SCALER,
    stream: new Broadcast<TraceMessage>(),
    access: { current: () => OPEN },
    config: webConfig,
    lastReload: () => ({ timeMs: 0, problems: [] }),
    isReady: () => true,
    targets: () => [],
    snapshot: () => snapshot({}),
    collect: async () => [],
    reload: async () => undefined,
    ...overrides,
  };
  return { deps, scrapes, cut, dropped, log: lines };
}

export async function startWeb(
  overrides: Partial<WebDeps> = {},
  clock = new FakeClock(),
): Promise<RunningWeb> {
  const stream = new Broadcast<TraceMessage>();
  const { deps, scrapes, cut, dropped, log } = webDeps({ clock, stream, ...overrides });
  const server = new Listeners({ ...deps, app: createApp(deps) });
  await server.apply([{ host: "127.0.0.1", port: 0 }]);
  const { port = 0, url = "" } = server.addresses[0] ?? {};
  return {
    port,
    url,
    clock,
    stream,
    scrapes,
    log,
    cut,
    streamsDropped: () => dropped.streams,
    loginsFailed: () => dropped.logins,
    stop: async () => {
      stream.close();
      const stopped = server.stop();
      clock.advance(10_000);
      await stopped;
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface RequestOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  /** of the request line, where it is not that of the URL */
  readonly path?: string;
}

/** Opens a request and resolves with the response once its headers are there. The body is for the caller to read. */
export function open(
  url: string,
  { method = "GET", headers = {}, path }: RequestOptions = {},
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    httpRequest(url, { method, headers, agent: false, ...(path && { path }) }, resolve)
      .once("error", reject)
      .end();
  });
}

/** The whole answer, as it was sent: nothing is decompressed. Rejects when the connection is cut. */
export async function ask(url: string, options?: RequestOptions): Promise<Answer> {
  const response = await open(url, options);
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece);
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) };
}

/** What a person reads on a page: tags gone, entities resolved, blanks joined. */
export function readable(page: string): string {
  return page
    .replace(/<(style|script)[^>]*>.*?<\/\1>/gs, "")
    .replace(/<[^>]+>/g, " ")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&#39;", "'")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&")
    .replace(/\s+/g, " ")
    .replace(/ (?=[.;])/g, "");
}

/** A connection that has asked for `path` and reads no more than its first buffer by itself. */
export async function connectWithoutReading(port: number, path: string): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port });
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`);
  return socket;
}

export function subscriptionSnapshot(snapshot: Partial<SubscriptionSnapshot> = {}): SubscriptionSnapshot {
  return {
    subscription: ":",
    state: "receiving",
    messages: 1_234,
    bytes: 561_470,
    connects: 1,
    decodeErrors: zeroCounts(DECODE_ERROR_REASONS),
    disconnects: zeroCounts(DISCONNECT_REASONS),
    lastMessageWallMs: Date.parse("2026-01-01T00:00:00Z") - 3_000,
    intervalUs: 10_000_000,
    lastError: null,
    ...snapshot,
  };
}

export function targetSnapshot(target: Partial<TargetSnapshot> = {}): TargetSnapshot {
  return {
    name: "local",
    up: true,
    infoReadable: true,
    infoError: null,
    certificates: [],
    certificateError: null,
    policyDifference: null,
    infoErrors: zeroCounts(VMMD_ERROR_REASONS),
    subscriptions: [subscriptionSnapshot()],
    ...target,
  };
}
