/** A made-up application that Prometheus scrapes. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** Serves series whose values are numbers (gauges), or grow at a rate per second that a test changes (counters). */
export class Application {
  readonly #gauges = new Map<string, number>();
  readonly #counters = new Map<string, { perSecond: number; total: number; countedMs: number }>();
  #address = "";

  static async start(): Promise<Application> {
    const application = new Application();
    const server = createServer((_, response) => {
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4" }).end(application.#text());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    application.#address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    return application;
  }

  get address(): string {
    return this.#address;
  }

  /** The series is this from now on. */
  set(series: string, value: number): this {
    this.#gauges.set(series, value);
    return this;
  }

  /** The series grows so fast from now on. */
  rate(series: string, perSecond: number): this {
    const { total } = this.#counted(series);
    this.#counters.set(series, { perSecond, total, countedMs: Date.now() });
    return this;
  }

  #counted(series: string) {
    const counter = this.#counters.get(series) ?? { perSecond: 0, total: 0, countedMs: Date.now() };
    const nowMs = Date.now();
    return { ...counter, total: counter.total + (counter.perSecond * (nowMs - counter.countedMs)) / 1000 };
  }

  #text(): string {
    const counters = [...this.#counters.keys()].map((series) => `${series} ${this.#counted(series).total}\n`);
    const gauges = Array.from(this.#gauges, ([series, value]) => `${series} ${value}\n`);
    return [...counters, ...gauges].join("");
  }
}
