import { type ChildProcess, spawn, spawnSync } from "node:child_process";

const READY_WITHIN_MS = 20_000;
const READY_POLL_MS = 50;
/** How long a program may take to end when asked to. */
const PATIENCE_MS = 6_000;
/** Of its log, for whoever asks why it has ended. */
const KEPT_LINES = 20;

export interface ProgramOptions {
  /** what it is called where it is told of */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** where it answers `/-/ready` */
  readonly url: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** A program with an HTTP side and `/-/ready`, in a process of its own. */
export class Program {
  readonly name: string;
  readonly url: string;
  /** Resolves, when it is no more, to why. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #lastLines: string[] = [];
  #running = true;

  private constructor({ name, command, args, url, env = {} }: ProgramOptions) {
    this.name = name;
    this.url = url;
    this.#child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#lastLines.push(...text.trimEnd().split("\n"));
        this.#lastLines.splice(0, this.#lastLines.length - KEPT_LINES);
      });
    }
    this.ended = new Promise((resolve) => {
      this.#child.once("error", (error) => resolve(error.message));
      this.#child.once("close", (code, signal) => resolve(code === null ? `${signal}` : `exit code ${code}`));
    });
    this.ended.finally(() => {
      this.#running = false;
    });
  }

  /** Starts it and resolves when it is ready. Throws, and leaves nothing running, when that takes too long. */
  static async start(options: ProgramOptions): Promise<Program> {
    const program = new Program(options);
    try {
      await program.#ready();
    } catch (error) {
      await program.stop();
      throw error;
    }
    return program;
  }

  /** The last lines that it logged. */
  get said(): string {
    return this.#lastLines.join("\n");
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Asks it to end and resolves when it has; makes it end when it does not. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), PATIENCE_MS);
    await this.ended;
    clearTimeout(timer);
  }

  async #ready(): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await isReady(this.url))) {
      const why = this.#running
        ? Date.now() > deadline && `is not ready within ${READY_WITHIN_MS / 1000} s`
        : `has ended (${await this.ended})`;
      if (why) throw new Error(`${this.name} ${why}; it said:\n${this.said}`);
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
  }
}

/** The first of these commands that is installed; null when none is. */
export function installed(...commands: readonly string[]): string | null {
  const found = commands.find(
    (command) => spawnSync(command, ["--version"], { stdio: "ignore" }).error === undefined,
  );
  return found ?? null;
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
