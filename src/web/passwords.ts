import { createHmac, randomBytes } from "node:crypto";
import { Worker } from "node:worker_threads";
import type { Clock } from "../clock.ts";

/** Requests whose password waits for others' hashes; more are told to come back. */
const MAX_WAITING = 20;
const REMEMBERED_MS = 10 * 60_000;

/** Whether a password has that hash. A hash takes 100 ms or more: not on the main thread. */
type Compare = (password: string, hash: string) => Promise<boolean>;

/** One bcrypt hash at a time, none for what was right lately; who is unknown costs one as well, which tells nothing. */
export class Passwords {
  readonly #clock: Pick<Clock, "nowUs">;
  readonly #compare: Compare;
  readonly #secret = randomBytes(32);
  /** by user: what was right, and until when that is known */
  readonly #known = new Map<string, { readonly digest: string; untilUs: number }>();
  /** by digest: hashes that run or wait */
  readonly #hashes = new Map<string, Promise<boolean>>();
  #last: Promise<unknown> = Promise.resolve();
  #requests = 0;

  constructor({ clock, compare = bcryptWorker() }: { clock: Pick<Clock, "nowUs">; compare?: Compare }) {
    this.#clock = clock;
    this.#compare = compare;
  }

  /** `users` holds the hashes, one or more. Null: too many wait already. */
  async check(user: string, password: string, users: ReadonlyMap<string, string>): Promise<boolean | null> {
    const own = users.get(user);
    // another's, always the same one: costs may differ, and time is not to tell who is known
    const others = [...users.values()];
    const hash = own ?? others[this.#digest(user).readUInt32BE() % others.length] ?? "";
    const digest = this.#digest(JSON.stringify([user, hash, password])).toString("base64");
    const known = this.#known.get(user);
    if (own !== undefined && known?.digest === digest && this.#clock.nowUs() < known.untilUs) {
      known.untilUs = this.#untilUs();
      return true;
    }
    if (this.#requests > MAX_WAITING) return null;
    this.#requests++;
    try {
      const isRight = await (this.#hashes.get(digest) ?? this.#hash(digest, password, hash));
      if (!isRight || own === undefined) return false;
      this.#known.set(user, { digest, untilUs: this.#untilUs() });
      return true;
    } finally {
      this.#requests--;
    }
  }

  #digest(text: string): Buffer {
    return createHmac("sha256", this.#secret).update(text).digest();
  }

  #untilUs(): number {
    return this.#clock.nowUs() + REMEMBERED_MS * 1000;
  }

  /** After those before it. Requests with the same password share it. */
  #hash(digest: string, password: string, hash: string): Promise<boolean> {
    const result = this.#last.then(() => this.#compare(password, hash));
    this.#hashes.set(digest, result);
    const done = () => void this.#hashes.delete(digest);
    this.#last = result.then(done, done);
    return result;
  }
}

/** Runs as plain JavaScript, whether the program is built or not. */
const WORKER = `
const { parentPort, workerData } = require("node:worker_threads");
const loaded = import(workerData);
parentPort.on("message", async ([password, hash]) => {
  const { compareSync } = await loaded;
  parentPort.postMessage(compareSync(password, hash));
});`;

function bcryptWorker(): Compare {
  let worker: Worker | null = null;
  return (password, hash) =>
    new Promise((resolve, reject) => {
      worker ??= new Worker(WORKER, { eval: true, workerData: import.meta.resolve("bcryptjs") });
      const asked = worker;
      const settle = () => {
        asked.off("message", answer).off("error", fail).off("exit", fail).unref();
      };
      const answer = (isRight: boolean) => {
        settle();
        resolve(isRight);
      };
      const fail = (error: unknown) => {
        settle();
        worker = null;
        reject(error instanceof Error ? error : new Error("the thread that checks passwords ended"));
      };
      asked.on("message", answer).on("error", fail).on("exit", fail).ref();
      asked.postMessage([password, hash]);
    });
}
