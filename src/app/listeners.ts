import type { RequestListener } from "node:http";
import type { Clock } from "../clock.ts";
import { formatListenAddress } from "../config/listen.ts";
import type { ListenAddress } from "../config/types.ts";
import type { Logger } from "../log.ts";
import { type BoundAddress, startServer, type WebServer } from "../web/server.ts";

export interface ListenersOptions {
  readonly app: RequestListener;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Listener {
  readonly address: ListenAddress;
  readonly server: WebServer;
}

/** The addresses that are listened on now, each with a server of its own so that a reload may change some of them. */
export class Listeners {
  readonly #options: ListenersOptions;
  #listening: readonly Listener[] = [];

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /**
   * Listens on exactly these addresses. All or nothing: throws the ListenError of the first that cannot be had, with
   * the addresses as they were before. Responses on the way over an address that is given up are finished.
   */
  async apply(addresses: readonly ListenAddress[]): Promise<void> {
    const wanted = addresses.map(formatListenAddress);
    const kept = this.#listening.filter(({ address }) => wanted.includes(formatListenAddress(address)));
    const given = this.#listening.filter((listener) => !kept.includes(listener));
    const added = addresses.filter(
      (address) =>
        !kept.some((listener) => formatListenAddress(listener.address) === formatListenAddress(address)),
    );
    // `127.0.0.1:80` cannot be had while `:80` is held: what is in the way goes first, and comes back on failure.
    const inTheWay = given.filter(({ server }) =>
      server.addresses.some((bound) => added.some(({ port }) => port === bound.port)),
    );
    for (const { server } of inTheWay) void server.stop();
    const started: Listener[] = [];
    try {
      for (const address of added) started.push(await this.#listen(address));
    } catch (error) {
      for (const { server } of started) void server.stop();
      const back = await Promise.all(inTheWay.map((listener) => this.#listenAgain(listener)));
      this.#listening = [...this.#listening.filter((listener) => !inTheWay.includes(listener)), ...back];
      throw error;
    }
    for (const { server } of given) void server.stop();
    this.#listening = [...kept, ...started];
  }

  get addresses(): readonly BoundAddress[] {
    return this.#listening.flatMap(({ server }) => server.addresses);
  }

  /** Takes no more connections; resolves when the responses on the way are finished, or cut at the servers' deadline. */
  async stop(): Promise<void> {
    await Promise.all(this.#listening.map(({ server }) => server.stop()));
  }

  async #listen(address: ListenAddress): Promise<Listener> {
    return { address, server: await startServer({ ...this.#options, listenAddresses: [address] }) };
  }

  /** Where it was, also if the system had chosen the port. */
  async #listenAgain({ address, server }: Listener): Promise<Listener> {
    return { address, server: await startServer({ ...this.#options, listenAddresses: server.addresses }) };
  }
}
