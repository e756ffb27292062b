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

/** The addresses that are listened on now, each with a server of its own so that a reload may change some of them. */
export class Listeners {
  readonly #options: ServerOptions;
  #listening: readonly WebServer[] = [];

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  /**
   * Listens on exactly these addresses. All or nothing: throws the ListenError of the first that cannot be had, with
   * the addresses as they were before. Responses on the way over an address that is given up are finished.
   */
  async apply(addresses: readonly ListenAddress[]): Promise<void> {
    const wanted = addresses.map(addressText);
    const kept = this.#listening.filter(({ asked }) => wanted.includes(addressText(asked)));
    const given = this.#listening.filter((server) => !kept.includes(server));
    const added = addresses.filter(
      (address) => !kept.some(({ asked }) => addressText(asked) === addressText(address)),
    );
    // `127.0.0.1:80` cannot be had while `:80` is held: what is in the way goes first, and comes back on failure.
    const inTheWay = given.filter(({ bound }) => added.some(({ port }) => port === bound.port));
    for (const server of inTheWay) void server.stop();
    const started: WebServer[] = [];
    try {
      for (const address of added) started.push(await WebServer.listen(address, this.#options));
    } catch (error) {
      await Promise.all(started.map((server) => server.stop()));
      // where it was, also if the system had chosen the port
      const back = await Promise.all(
        inTheWay.map(({ asked, bound }) => WebServer.listen(asked, this.#options, bound.port)),
      );
      this.#listening = [...this.#listening.filter((server) => !inTheWay.includes(server)), ...back];
      throw error;
    }
    for (const server of given) void server.stop();
    this.#listening = [...kept, ...started];
  }

  get addresses(): readonly BoundAddress[] {
    return this.#listening.map(({ bound }) => bound);
  }

  /**
   * Takes no more connections and resolves when the last one is closed: those that are answered now after their answer,
   * idle ones at once, all at `deadlineMs` (4 s). Whoever keeps responses open (the stream) ends them before.
   */
  async stop({ deadlineMs = STOP_DEADLINE_MS }: { deadlineMs?: number } = {}): Promise<void> {
    await Promise.all(this.#listening.map((server) => server.stop(deadlineMs)));
  }
}

/**
 * An HTTP server that knows which connections are being answered. Node's own closing of idle connections passes over
 * those on which nothing was ever asked, which browsers open ahead of need.
 */
class WebServer {
  /** as the configuration has it: the port may be left to the system */
  readonly asked: ListenAddress;
  readonly bound: BoundAddress;
  readonly #http: Server;
  readonly #clock: Clock;
  /** Responses under way on each open connection. */
  readonly #underWay = new Map<Socket, number>();
  #isStopping = false;

  /** Throws a ListenError. */
  static async listen(asked: ListenAddress, options: ServerOptions, port = asked.port): Promise<WebServer> {
    const http = createServer({
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    });
    return new WebServer(asked, http, await listen(http, { host: asked.host, port }), options);
  }

  private constructor(asked: ListenAddress, http: Server, bound: BoundAddress, options: ServerOptions) {
    this.asked = asked;
    this.bound = bound;
    this.#http = http;
    this.#clock = options.clock;
    http.on("connection", (socket) => {
      this.#underWay.set(socket, 0);
      socket.once("close", () => this.#underWay.delete(socket));
    });
    http.on("request", (request, response) => {
      const { socket } = request;
      this.#count(socket, 1);
      response.once("close", () => this.#count(socket, -1));
      if (this.#isStopping) response.setHeader("Connection", "close");
      options.app(request, response);
    });
    // Raised for a connection that cannot be accepted (no file descriptor left): the others go on.
    http.on("error", (error) => options.log.error({ err: error }, "web server"));
  }

  /** Resolves when the last connection is closed, by us at `deadlineMs`. */
  async stop(deadlineMs = STOP_DEADLINE_MS): Promise<void> {
    this.#isStopping = true;
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    for (const [socket, responses] of this.#underWay) if (responses === 0) socket.destroySoon();
    const cancel = this.#clock.after(deadlineMs, () => {
      for (const socket of this.#underWay.keys()) socket.destroy();
    });
    await closed;
    cancel();
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
