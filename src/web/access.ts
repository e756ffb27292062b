import { statSync } from "node:fs";
import type { Clock } from "../clock.ts";
import { formatProblem } from "../config/checkedYaml.ts";
import { loadWebConfig, type WebAccess } from "../config/webConfig.ts";
import type { Logger } from "../log.ts";

/** Everybody, over plain HTTP: how it is without a web configuration. */
export const OPEN: WebAccess = {
  tls: null,
  headers: {},
  users: new Map(),
  rateLimit: { intervalMs: 0, burst: 0 },
  files: [],
};

const LOOK_EVERY_US = 1_000_000;

interface AccessDeps {
  readonly clock: Pick<Clock, "nowUs">;
  readonly log: Pick<Logger, "error" | "info" | "warn" | "debug">;
}

/** What the web configuration file says, which is read again when it or a certificate in it has changed. */
export class Access {
  readonly #file: string | null;
  readonly #clock: Pick<Clock, "nowUs">;
  readonly #log: AccessDeps["log"];
  #current = OPEN;
  #lookedAtUs = 0;
  /** what the files were like before they were last read */
  #state = "";
  /** why they were refused then */
  #problems: readonly string[] = [];

  /** Null is no file. To be read once by `read` before anything else. */
  constructor(file: string | null, { clock, log }: AccessDeps) {
    this.#file = file;
    this.#clock = clock;
    this.#log = log;
  }

  /** What holds now. Looks at the files at most once a second. */
  current(): WebAccess {
    const nowUs = this.#clock.nowUs();
    if (this.#file === null || nowUs - this.#lookedAtUs < LOOK_EVERY_US) return this.#current;
    this.#lookedAtUs = nowUs;
    // one that was refused may name a file that is there now
    const isAsBefore = this.#problems.length === 0 && stateOf(this.#current.files) === this.#state;
    if (!isAsBefore) this.#readAgain();
    return this.#current;
  }

  /** Reads the file now. What is returned is wrong with it: what held before goes on. */
  read({ isReload = false } = {}): readonly string[] {
    if (this.#file === null) return [];
    const state = stateOf(this.#current.files);
    const result = loadWebConfig(this.#file, { isReload });
    this.#lookedAtUs = this.#clock.nowUs();
    this.#state = state;
    this.#problems = result.ok ? [] : result.problems.map(formatProblem);
    if (result.ok) {
      this.#current = result.access;
      for (const warning of result.warnings)
        this.#log.warn({ setting: formatProblem(warning) }, "web configuration");
    }
    return this.#problems;
  }

  #readAgain(): void {
    const before = this.#problems.join();
    const problems = this.read({ isReload: true });
    const file = this.#file;
    if (problems.length === 0) this.#log.info({ file }, "web configuration reloaded");
    if (problems.join() === before) return;
    for (const problem of problems)
      this.#log.error({ problem }, "web configuration refused: the one before stays in force");
  }
}

/** What tells whether files have changed, also by way of links. */
function stateOf(files: readonly string[]): string {
  return files
    .map((file) => {
      try {
        const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
        return [file, ino, size, mtimeNs, ctimeNs].join();
      } catch {
        return file;
      }
    })
    .join("\n");
}
