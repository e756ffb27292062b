import type { Log } from "./log.ts";

/** What ends a trouble: an acknowledged subscription, or only one that holds for a while. */
export type TroubleEnd = "subscribed" | "held";

/** What is wrong with one subscription, said once, however many attempts it outlasts. */
export class Trouble {
  readonly #log: Log;
  #now: { readonly kind: string; readonly text: string; readonly until: TroubleEnd } | null = null;

  constructor(log: Log) {
    this.#log = log;
  }

  /** What is wrong now; null while nothing is. */
  get text(): string | null {
    return this.#now?.text ?? null;
  }

  /** Something is wrong; a line is logged unless the trouble before was of the same kind. */
  is(kind: string, text: string, options: { readonly until: TroubleEnd }): void {
    const known = this.#now?.kind === kind;
    this.#now = { kind, text, ...options };
    if (known) this.#log.debug({}, text);
    else this.#log.warn({}, text);
  }

  subscribed(): void {
    if (this.#now?.until === "subscribed") this.#now = null;
    if (this.#now === null) this.#log.info({}, "subscribed");
  }

  held(): void {
    if (this.#now !== null) this.#log.info({}, "receiving again");
    this.#now = null;
  }
}
