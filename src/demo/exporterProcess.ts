import { type ChildProcess, spawn } from "node:child_process";

/** serve answers SIGTERM within 5 s. */
const PATIENCE_MS = 6_000;
const READY_WITHIN_MS = 10_000;
const READY_POLL_MS = 100;

/** This program once more, as `serve`, in a process of its own. What it logs goes to this process' stderr. */
export class ExporterProcess {
  readonly #child: ChildProcess;
  /** Resolves to why it is no more. */
  readonly ended: Promise<string>;
  #running = true;

  constructor(configFile: string) {
    const [, program = ""] = process.argv;
    this.#child = spawn(
      process.execPath,
      [...process.execArgv, program, "serve", "--config.file", configFile],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(error.message));
      this.#child.once("exit", (code, signal) => resolve(code === null ? `${signal}` : `exit code ${code}`));
    });
    // It must not outlive this process, in whatever way that ends, nor write its state where that has cleaned up.
    const end = () => this.#child.kill("SIGKILL");
    process.prependOnceListener("exit", end);
    this.ended.finally(() => {
      this.#running = false;
      process.off("exit", end);
    });
  }

  /** Resolves when it serves at `url`; throws when it ends before that, or takes too long. */
  async ready(url: string): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await isReady(url))) {
      if (!this.#running) throw new Error(`the exporter has ended: ${await this.ended}`);
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

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/-/ready`)).ok;
  } catch (error) {
    // fetch throws a TypeError while nothing listens.
    if (error instanceof TypeError) return false;
    throw error;
  }
}
