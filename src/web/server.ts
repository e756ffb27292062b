import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
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
  const servers: StoppableServer[] = [];
  try {
    const addresses: BoundAddress[] = [];
    for (const address of options.listenAddresses) {
      const server = new StoppableServer(options.app);
      servers.push(server);
      addresses.push(await listen(server.http, address));
      // Raised for a connection that cannot be accepted (no file descriptor left): the others go on.
      server.http.on("error", (error) => options.log.error({ err: error }, "web server"));
    }
    return {
      addresses,
      stop: ({ deadlineMs = STOP_DEADLINE_MS } = {}) => stopAll(servers, options.clock, deadlineMs),
    };
  } catch (error) {
    await Promise.all(servers.map((server) => server.stop()));
    throw error;
  }
}

/**
 * An HTTP server that knows which connections are being answered. Node's own closing of idle connections passes over
 * those on which nothing was ever asked, which browsers open ahead of need.
 */
class StoppableServer {
  readonly http: Server;
  /** Responses under way on each open connection. */
  readonly #underWay = new Map<Socket, number>();
  #isStopping = false;

  constructor(app: RequestListener) {
    this.http = createServer({
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    });
    this.http.on("connection", (socket) => {
      this.#underWay.set(socket, 0);
      socket.once("close", () => this.#underWay.delete(socket));
    });
    this.http.on("request", (request, response) => {
      const { socket } = request;
      this.#count(socket, 1);
      response.once("close", () => this.#count(socket, -1));
      if (this.#isStopping) response.setHeader("Connection", "close");
      app(request, response);
    });
  }

  /** Resolves when the last connection is closed. */
  stop(): Promise<void> {
    this.#isStopping = true;
    const closed = new Promise<void>((resolve) => this.http.close(() => resolve()));
    for (const [socket, responses] of this.#underWay) if (responses === 0) socket.destroySoon();
    return closed;
  }

  /** Ends all connections, whatever is under way on them. */
  cut(): void {
    for (const socket of this.#underWay.keys()) socket.destroy();
  }

  #count(socket: Socket, change: number): void {
    const responses = this.#underWay.get(socket);
    if (responses === undefined) return;
    this.#underWay.set(socket, responses + change);
    if (this.#isStopping && responses + change === 0) socket.destroySoon();
  }
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

async function stopAll(servers: readonly StoppableServer[], clock: Clock, deadlineMs: number): Promise<void> {
  const cancel = clock.after(deadlineMs, () => {
    for (const server of servers) server.cut();
  });
  await Promise.all(servers.map((server) => server.stop()));
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
