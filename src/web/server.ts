import { createServer, type RequestListener, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../clock.ts";
import { leavesOutIPv4, type WebAddress } from "../config/sections.ts";
import type { Access } from "./access.ts";
import { type BoundAddress, bind } from "./listen.ts";
import { type CutDeps, cutter } from "./routes.ts";
import { acceptor } from "./tls.ts";

const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than usual scrape intervals, so that Prometheus keeps its connection. */
const KEEP_ALIVE_TIMEOUT_MS = 125_000;
const STOP_DEADLINE_MS = 4_000;
/** How often Node looks for connections that take longer for a request. */
const CHECK_MS = 1_000;
/** Requests that may wait on a connection behind the one that is answered. */
const MAX_PIPELINED = 32;

interface ServerOptions extends CutDeps {
  readonly app: RequestListener;
  readonly clock: Clock;
  readonly access: Pick<Access, "current">;
}

type AskedAddress = WebAddress & { readonly ipv6Only: boolean };

type Listening = Awaited<ReturnType<typeof listen>>;

/** The addresses that are listened on now, each with a server of its own. */
export class Listeners {
  readonly #options: ServerOptions;
  #listening: readonly Listening[] = [];

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  /**
   * Listens on exactly these addresses. All or nothing: throws the ListenError of the first that cannot
   * be had, with the addresses as before. Responses on the way over one that is given up are finished.
   */
  async apply(addresses: readonly WebAddress[]): Promise<void> {
    const wanted = addresses.map((address) => ({ ...address, ipv6Only: leavesOutIPv4(address, addresses) }));
    const kept = this.#listening.filter(({ asked }) => wanted.some((one) => isDeepStrictEqual(one, asked)));
    const given = this.#listening.filter((server) => !kept.includes(server));
    const added = wanted.filter((one) => !kept.some(({ asked }) => isDeepStrictEqual(one, asked)));
    // `127.0.0.1:80` cannot be had while `:80` is held: what is in the way goes first
    const inTheWay = given.filter(({ bound }) =>
      added.some((one) => "port" in one && one.port === bound.port),
    );
    for (const server of inTheWay) void server.stop();
    const started: Listening[] = [];
    try {
      for (const address of added) started.push(await listen(address, this.#options));
    } catch (error) {
      await Promise.all(started.map((server) => server.stop()));
      // where they were, also where the system had chosen the port
      const back = inTheWay.map(({ asked, bound }) => listen(asked, this.#options, bound.port));
      const undisturbed = this.#listening.filter((server) => !inTheWay.includes(server));
      this.#listening = [...undisturbed, ...(await Promise.all(back))];
      throw error;
    }
    for (const server of given) void server.stop();
    this.#listening = [...kept, ...started];
  }

  get addresses(): readonly BoundAddress[] {
    const scheme = this.#options.access.current().tls === null ? "http" : "https";
    return this.#listening.map(({ bound }) => ({ ...bound, url: `${scheme}://${bound.url}` }));
  }

  /**
   * Takes no more connections and resolves when the last one is closed: those that are answered now after
   * their answer, idle ones at once, all after 4 s. Whoever keeps responses open ends them before.
   */
  async stop(): Promise<void> {
    await Promise.all(this.#listening.map((server) => server.stop()));
  }
}

/**
 * Listens on an address, at `port` where that is not as asked. Throws a ListenError. Knows which
 * connections are being answered: Node's own closing of idle ones passes over those on which nothing was
 * ever asked, which browsers open ahead of need.
 */
async function listen(asked: AskedAddress, options: ServerOptions, port?: number) {
  const { app, clock, log } = options;
  const http = createServer({
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_MS,
  });
  /** Of each open connection the requests not answered yet. */
  const unanswered = new Map<Socket, (() => void)[]>();
  let isStopping = false;
  /** Node's own way to serve a connection: https.Server does the same, with the secured one. */
  const [serve] = http.listeners("connection");
  http.removeAllListeners("connection");
  const accept = acceptor(options, (socket) => {
    unanswered.set(socket, []);
    socket.once("close", () => unanswered.delete(socket));
    serve?.call(http, socket);
  });
  /** Connections as they came, secured or not. */
  const raws = new Set<Socket>();
  http.on("connection", (raw: Socket) => {
    raws.add(raw);
    raw.once("close", () => raws.delete(raw));
    accept(raw);
  });
  http.on("request", (request, response) => {
    const { socket } = request;
    const requests = unanswered.get(socket);
    if (requests === undefined || socket.destroyed) return;
    if (requests.length > MAX_PIPELINED) {
      parseNoMore(socket);
      cutter(options, request)(`more than ${MAX_PIPELINED} requests wait on its connection`);
      return;
    }
    const answer = () => {
      if (socket.destroyed) return;
      if (isStopping) response.setHeader("Connection", "close");
      app(request, response);
    };
    response.once("close", () => {
      requests.shift();
      if (isStopping) socket.destroySoon();
      else if (requests[0] !== undefined) setImmediate(requests[0]);
    });
    if (requests.push(answer) === 1) answer();
  });
  http.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    const isLate = error.code === "ERR_HTTP_REQUEST_TIMEOUT";
    if (isLate) log.warn({ client: (socket as Socket).remoteAddress }, "request cut: not sent in time");
    const isTooLarge = error.code === "HPE_HEADER_OVERFLOW";
    const status = isLate ? 408 : isTooLarge ? 431 : 400;
    if (socket.writable)
      socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`);
    socket.destroy();
  });
  const bound = await bind(http, asked, { ipv6Only: asked.ipv6Only, port });
  // A connection that cannot be accepted (no file descriptor left): the others go on.
  http.on("error", (error) => log.error({ err: error }, "web server"));
  const stop = async (): Promise<void> => {
    isStopping = true;
    const closed = new Promise<void>((resolve) => http.close(() => resolve()));
    for (const [socket, { length }] of unanswered) if (length === 0) socket.destroySoon();
    const cancel = clock.after(STOP_DEADLINE_MS, () => {
      for (const socket of raws) socket.destroy();
    });
    await closed;
    cancel();
  };
  return { asked, bound, stop };
}

/**
 * Makes Node pass over what it has read of a connection already: up to 64 KiB, a thousand small requests.
 * Where Node keeps its parser elsewhere they are made, which takes ten times as long, and ignored.
 */
function parseNoMore(socket: Socket): void {
  const { parser } = socket as { parser?: { onIncoming?: () => number } | null };
  // What follows is of another protocol: 2 is Node's own answer to an upgrade.
  if (parser?.onIncoming) parser.onIncoming = () => 2;
}
