import type { Cancel, Clock } from "../clock.ts";
import { copyOf } from "../wire/der.ts";
import { decodeInSteps, type Payload } from "../wire/messages.ts";
import { Connection, type ConnectionEnd, type Dial } from "./connection.ts";
import type { Request } from "./requests.ts";
import { describeSocketError } from "./socketError.ts";

const REPLY_TIMEOUT_MS = 10_000;
/** How long a reply is decoded before others get their turn of the event loop. */
const SLICE_US = 5_000;

/**
 * Why a question to albatrossd has no answer: `unreachable` its socket cannot be opened, `no_reply` it read the question
 * and closed in good order (it does not know the command), `lost` the connection broke, `timeout` nothing came in time,
 * `undecodable` the reply, `failure` albatrossd said no, `unexpected` a reply to another question, `stopped` by us.
 */
export const VMMD_ERROR_REASONS = [
  "unreachable",
  "no_reply",
  "lost",
  "timeout",
  "undecodable",
  "failure",
  "unexpected",
  "stopped",
] as const;
export type VmmdErrorReason = (typeof VMMD_ERROR_REASONS)[number];

export class VmmdError extends Error {
  readonly reason: VmmdErrorReason;

  constructor(reason: VmmdErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "VmmdError";
    this.reason = reason;
  }
}

export interface VmmdClientOptions {
  readonly socketPath: string;
  readonly maxFrameBytes: number;
  readonly os: "linux" | "freebsd";
  readonly clock: Clock;
  readonly dial?: Dial | undefined;
}

/** Asks albatrossd: one connection per question, one reply on it. */
export class VmmdClient {
  readonly #options: VmmdClientOptions;
  /** What to call to end the questions under way. */
  readonly #aborts = new Set<() => void>();
  #stopped = false;

  constructor(options: VmmdClientOptions) {
    this.#options = options;
  }

  /** The reply's payload, without the arguments and the devices of unikernels. Throws a VmmdError, for a failure reply as well. */
  async ask(request: Request): Promise<Exclude<Payload, { readonly type: "failure" }>> {
    const payload = await this.#decode(await this.#exchange(request));
    if (payload.type === "failure") throw new VmmdError("failure", `albatrossd says: ${payload.message}`);
    return payload;
  }

  /** Waits; throws a VmmdError "stopped" when stopped meanwhile. */
  pause(ms: number): Promise<void> {
    return this.#abortable((resolve) => this.#options.clock.after(ms, resolve));
  }

  /** Ends what is under way; what is asked later is refused. */
  stop(): void {
    this.#stopped = true;
    for (const abort of [...this.#aborts]) abort();
  }

  /** The reply's bytes. */
  #exchange(request: Request): Promise<Uint8Array> {
    const { socketPath, maxFrameBytes, clock, dial } = this.#options;
    return this.#abortable<Uint8Array>((resolve, reject) => {
      const connection = new Connection({
        socketPath,
        request,
        maxFrameBytes,
        clock,
        dial,
        handlers: {
          frame: (frame) => resolve(copyOf(frame)),
          ended: (end) => reject(this.#whyEnded(end)),
        },
      });
      const cancelTimeout = clock.after(REPLY_TIMEOUT_MS, () => {
        reject(new VmmdError("timeout", `albatrossd does not answer within ${REPLY_TIMEOUT_MS / 1000} s`));
      });
      return () => {
        cancelTimeout();
        connection.close();
      };
    });
  }

  async #decode(reply: Uint8Array): Promise<Payload> {
    const { clock } = this.#options;
    try {
      const steps = decodeInSteps(reply, { dropArguments: true, dropDevices: true });
      for (let sliceEndUs = clock.nowUs() + SLICE_US; ; ) {
        const step = steps.next();
        if (step.done) return step.value.payload;
        if (clock.nowUs() < sliceEndUs) continue;
        await this.pause(0);
        sliceEndUs = clock.nowUs() + SLICE_US;
      }
    } catch (error) {
      if (error instanceof VmmdError) throw error;
      // Whatever it is, a peer's bytes brought it about, and they must not end the process.
      const why = error instanceof Error ? error.message : String(error);
      throw new VmmdError("undecodable", `the reply of albatrossd does not decode: ${why}`, { cause: error });
    }
  }

  #whyEnded(end: ConnectionEnd): VmmdError {
    const { socketPath } = this.#options;
    switch (end.type) {
      case "unreachable":
        return new VmmdError("unreachable", describeSocketError(end.code, socketPath, this.#options));
      case "damaged":
        return new VmmdError("undecodable", `the reply of albatrossd is damaged: ${end.error.message}`);
      case "closed":
        if (end.code !== null)
          return new VmmdError("lost", `the connection to albatrossd broke: ${end.code}`);
        if (end.midFrame) return new VmmdError("undecodable", "the reply of albatrossd ends inside a frame");
        return new VmmdError("no_reply", "albatrossd closes the connection without a reply");
    }
  }

  /** A promise whose work `begin` starts; what `begin` returns cleans up, however it ends. */
  #abortable<T>(
    begin: (resolve: (value: T) => void, reject: (error: VmmdError) => void) => Cancel,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#stopped) {
        reject(new VmmdError("stopped", "stopped"));
        return;
      }
      let cleanUp: Cancel = () => undefined;
      const settle = (done: () => void) => {
        this.#aborts.delete(abort);
        cleanUp();
        done();
      };
      const abort = () => settle(() => reject(new VmmdError("stopped", "stopped")));
      this.#aborts.add(abort);
      cleanUp = begin(
        (value) => settle(() => resolve(value)),
        (error) => settle(() => reject(error)),
      );
    });
  }
}
