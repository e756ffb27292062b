import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { freePort } from "../../../src/demo/freePort.ts";
import { until } from "../../support/serving.ts";
import { open } from "../../support/web.ts";

/** Its scrapes time out after as long. Short, but a busy machine must keep up with it. */
const SCRAPE_INTERVAL = "2s";

/** A sample of a query's answer: time in seconds, and the value as text. */
type Point = readonly [seconds: number, value: string];

interface QueryResult {
  readonly metric: Readonly<Record<string, string>>;
  /** of an instant vector */
  readonly value?: Point;
  /** of a range vector */
  readonly values?: readonly Point[];
}

interface PrometheusOptions {
  /** of scrapes, and of evaluations of rules */
  readonly interval?: string;
  /** a file of rules */
  readonly rules?: string;
}

/** A real Prometheus that scrapes `jobs` (name to `host:port`) every two seconds; ends with the test. */
export class Prometheus {
  readonly url: string;
  /** Lines of its log. */
  readonly log: string[] = [];
  readonly #args: readonly string[];
  #child: ChildProcess | null = null;

  private constructor(url: string, args: readonly string[]) {
    this.url = url;
    this.#args = args;
  }

  static async start(
    folder: string,
    jobs: Readonly<Record<string, string>>,
    { interval = SCRAPE_INTERVAL, rules }: PrometheusOptions = {},
  ): Promise<Prometheus> {
    const configFile = join(folder, "prometheus.yml");
    const scrapes = Object.entries(jobs).map(
      ([job, address]) => `  - { job_name: ${job}, static_configs: [{ targets: ["${address}"] }] }`,
    );
    const global = `{ scrape_interval: ${interval}, scrape_timeout: ${interval}, evaluation_interval: ${interval} }`;
    const ruleFiles = rules === undefined ? "" : `rule_files: [${rules}]\n`;
    await writeFile(configFile, `global: ${global}\n${ruleFiles}scrape_configs:\n${scrapes.join("\n")}\n`);
    const address = `127.0.0.1:${await freePort(0)}`;
    const prometheus = new Prometheus(`http://${address}`, [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(folder, "tsdb")}`,
      `--web.listen-address=${address}`,
    ]);
    onTestFinished(() => prometheus.stop());
    await prometheus.startAgain();
    return prometheus;
  }

  /** After `stop`, with what it has stored. */
  async startAgain(): Promise<void> {
    const child = spawn("prometheus", this.#args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.log.push(...text.split("\n").filter((line) => line !== ""));
    });
    await until(
      "Prometheus",
      () => this.#isReady(),
      (ready) => ready,
    );
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** The answer to a PromQL query, without its envelope. */
  async query(promql: string): Promise<readonly QueryResult[]> {
    const response = await fetch(`${this.url}/api/v1/query?query=${encodeURIComponent(promql)}`);
    const answer = (await response.json()) as { data?: { result: QueryResult[] }; error?: string };
    if (answer.data === undefined) throw new Error(`${promql}: ${answer.error}`);
    return answer.data.result;
  }

  /** The values of a query whose answer is an instant vector. */
  async values(promql: string): Promise<number[]> {
    return (await this.query(promql)).map(({ value }) => Number(value?.[1]));
  }

  /** What Prometheus says about itself. */
  async ownMetrics(): Promise<string> {
    return (await fetch(`${this.url}/metrics`)).text();
  }

  async #isReady(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/-/ready`)).ok;
    } catch (error) {
      // fetch throws a TypeError while nothing listens.
      if (error instanceof TypeError) return false;
      throw error;
    }
  }
}

/** One scrape as it went over a relay. */
export interface RelayedScrape {
  /** what Prometheus asked for */
  readonly accept: string;
  readonly contentType: string;
  readonly body: string;
}

/**
 * Stands between Prometheus and an exporter: keeps what was asked and answered. `accept` is asked for instead of what
 * Prometheus wants: this version cannot be told to prefer text.
 */
export async function relay(
  exporterUrl: string,
  accept?: string,
): Promise<{ address: string; scrapes: RelayedScrape[] }> {
  const scrapes: RelayedScrape[] = [];
  const server = createServer(async (request, response) => {
    const asked = String(request.headers.accept);
    const answer = await open(`${exporterUrl}${request.url}`, { headers: { accept: accept ?? asked } });
    const contentType = String(answer.headers["content-type"]);
    let body = "";
    for await (const text of answer.setEncoding("utf8")) body += text;
    scrapes.push({ accept: asked, contentType, body });
    response.writeHead(answer.statusCode ?? 0, { "content-type": contentType }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, scrapes };
}
