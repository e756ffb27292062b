import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Clock } from "../clock.ts";
import type { ListenAddress } from "../config/types.ts";
import type { Logger } from "../log.ts";

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than usual scrape intervals, so that Prometheus keeps its connection. */
const KEEP_ALIVE_TIMEOUT_MS = 125_000;
const STOP_DEADLINE_MS = 4_000;

export interface ServerOptions {
  readonly app: RequestListener;
  readonly listenAddresses: readonly ListenAddress[];
  readonly clock: Clock;
  readonly log: Logger;
}

export interface BoundAddress {
  /** null is every address, IPv4 and IPv6 */
  readonly host: string | null;
  /** the real one, also where the system chose it */
  readonly port: number;
  /** where a browser on this machine finds it */
  readonly url: string;
}

export interface WebServer {
  readonly addresses: readonly BoundAddress[];
  /**
   * Stops taking connections and resolves when the last one is closed: those that are answered now after their answer,
   * idle ones at once, all at `deadlineMs` (4 s). Whoever keeps responses open (the stream) ends them before.
   */
  stop(options?: { deadlineMs?: number }): Promise<void>;
}

/** An address cannot be listened on. The message says which, why, and what to do about it. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly address: string;
  readonly code: string;

  constructor(address: ListenAddress, cause: NodeJS.ErrnoException) {
    const text = addressText(address);
    super(`cannot listen on ${text}: ${explain(cause)}`, { cause });
    this.address = text;
    this.code = cause.code ?? "";
  }
}

/** Listens on all addresses, or on none: throws a `ListenError` for the first that cannot be had. */
export async function startServer(options: ServerOptions): Promise<WebServer> {
  const stopping = { now: false };
  const servers: Server[] = [];
  try {
    const addresses: BoundAddress[] = [];
    for (const address of options.listenAddresses) {
      const server = httpServer(options, stopping);
      servers.push(server);
      addresses.push(await listen(server, address));
      // Raised for a connection that cannot be accepted (no file descriptor left): the others go on.
      server.on("error", (error) => options.log.error({ err: error }, "web server"));
    }
    return {
      addresses,
      stop: ({ deadlineMs = STOP_DEADLINE_MS } = {}) => {
        stopping.now = true;
        return closeAll(servers, options.clock, deadlineMs);
      },
    };
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
}

function httpServer({ app }: ServerOptions, stopping: { readonly now: boolean }): Server {
  const server = createServer({
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
  });
  server.on("request", (request, response) => {
    if (stopping.now) response.setHeader("Connection", "close");
    // A connection that turns idle while the server stops would stay open for the keep-alive time.
    response.once("close", () => {
      if (stopping.now) setImmediate(() => server.closeIdleConnections());
    });
    app(request, response);
  });
  return server;
}

function listen(server: Server, address: ListenAddress): Promise<BoundAddress> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException) => reject(new ListenError(address, error));
    server.once("error", onError);
    server.listen({ port: address.port, ...(address.host === null ? {} : { host: address.host }) }, () => {
      server.off("error", onError);
      const { port } = server.address() as AddressInfo;
      resolve({
        host: address.host,
        port,
        url: `http://${addressText({ host: reachable(address.host), port })}`,
      });
    });
  });
}

async function closeAll(servers: readonly Server[], clock: Clock, deadlineMs: number): Promise<void> {
  const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
  for (const server of servers) server.closeIdleConnections();
  const cancel = clock.after(deadlineMs, () => {
    for (const server of servers) server.closeAllConnections();
  });
  await Promise.all(closed);
  cancel();
}

function addressText({ host, port }: ListenAddress): string {
  if (host === null) return `:${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function reachable(host: string | null): string {
  if (host === null || host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

function explain({ code, message }: NodeJS.ErrnoException): string {
  const another = "choose another address with web.listen_addresses or --web.listen-address";
  switch (code) {
    case "EADDRINUSE":
      return `another program listens there already (a second albatross-exporter?); stop it or ${another}`;
    case "EACCES":
      return `not permitted (ports below 1024 need CAP_NET_BIND_SERVICE); ${another}`;
    case "EADDRNOTAVAIL":
      return `this machine does not have that address; ${another}`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `that host name has no address; ${another}`;
    default:
      return message;
  }
}
