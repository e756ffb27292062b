import { type ChildProcess, spawn } from "node:child_process";
import { get as httpGet, type IncomingMessage } from "node:http";
import { get as httpsGet, type RequestOptions } from "node:https";
import { HURRYING } from "../signals.ts";
import { isErrno } from "../systemError.ts";

/** serve answers SIGTERM within 5 s. */
const PATIENCE_MS = 6_000;
const READY_WITHIN_MS = 10_000;
const READY_POLL_MS = 100;

/** Where it serves, and what it wants of whoever asks. */
export interface ExporterAt {
  readonly url: string;
  readonly access: Pick<RequestOptions, "auth" | "ca" | "cert" | "key">;
}

/** Asks it for a path as text. Rejects when it cannot be reached. */
export async function ask(
  { url, access }: ExporterAt,
  path: string,
): Promise<{ status: number; text: string }> {
  const get = url.startsWith("https:") ? httpsGet : httpGet;
  const options = { ...access, agent: false, headers: { accept: "text/plain" } };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(url + path, options, resolve).on("error", reject);
  });
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += piece;
  return { status: response.statusCode ?? 0, text };
}

/** This program once more, as `serve`, in a process of its own. What it logs goes to this process' stderr. */
export class ExporterProcess {
  readonly #child: ChildProcess;
  /** Resolves to why it is no more; null where it was asked to end, as by Ctrl-C, which reaches it as well. */
  readonly ended: Promise<string | null>;
  #running = true;

  constructor(configFile: string, webConfigFile: string | null) {
    const web = webConfigFile === null ? [] : ["--web.config.file", webConfigFile];
    const [, program = ""] = process.argv;
    this.#child = spawn(
      process.execPath,
      [...process.execArgv, program, "serve", "--config.file", configFile, ...web],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(error.message));
      this.#child.once("exit", (code, signal) => {
        const isAsked = code === 0 || (signal !== null && HURRYING.includes(signal));
        resolve(isAsked ? null : (signal ?? `exit code ${code}`));
      });
    });
    // It must not outlive this process, in whatever way that ends, nor write its state where that has cleaned up.
    const end = () => this.#child.kill("SIGKILL");
    process.prependOnceListener("exit", end);
    this.ended.finally(() => {
      this.#running = false;
      process.off("exit", end);
    });
  }

  /** Resolves when it serves, or has ended; throws when it takes too long. */
  async ready(at: ExporterAt): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (this.#running && !(await isReady(at))) {
      if (Date.now() > deadline) throw new Error(`the exporter is not ready within ${READY_WITHIN_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
  }

  /** Asks it to end and waits until it has. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE_MS);
    await this.ended;
    clearTimeout(timer);
  }
}

/** False while nothing listens, or no longer. Throws what will not get better: an answer to somebody else, a certificate in doubt. */
async function isReady(at: ExporterAt): Promise<boolean> {
  try {
    const { status, text } = await ask(at, "/-/ready");
    if (status === 200 || status === 503) return status === 200;
    throw new Error(`the exporter answers ${status}: ${text.trim()}`);
  } catch (error) {
    if (isErrno(error, "ECONNREFUSED") || isErrno(error, "ECONNRESET")) return false;
    throw error;
  }
}
