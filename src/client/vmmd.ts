import { type Cancel, inTurns } from "../clock.ts";
import { messageOf } from "../systemError.ts";
import { copyOf } from "../wire/der.ts";
import {
  decodeInSteps,
  type InfoCommand,
  type NamedInfo,
  type NamedPolicy,
  type Payload,
} from "../wire/messages.ts";
import { type Name, pathText, resolveName, subscriptionCovers } from "../wire/names.ts";
import {
  Connection,
  type ConnectionEnd,
  type ConnectionOptions,
  infoRequest,
  policyRequest,
  type Request,
} from "./connection.ts";
import { DAEMON_ENDED, isCertificateRefused, POLICY_REFUSED, SERVICE_DOWN } from "./endpoint.ts";

const REPLY_TIMEOUT_MS = 10_000;
const REMOTE_REPLY_MS = 60_000;
/** Albatross 2.6's info command, and that of 2.4 and 2.5. */
const OLD_COMMANDS: readonly InfoCommand[] = ["old_info5", "old_info4"];
/** A second close without a reply so much later is no accident of a daemon that just stopped. */
const CONFIRM_AFTER_MS = 1_000;

/** Why a question to albatrossd has no answer. */
export const VMMD_ERROR_REASONS = [
  "unreachable",
  "no_reply", // it closed in good order: it does not know the command
  "lost", // the connection broke
  "timeout",
  "undecodable",
  "certificate", // TLS: one side does not accept the other's, or albatrossd its policy
  "failure", // it said no
  "unexpected", // a reply to another question
  "stopped", // by us
] as const;
export type VmmdErrorReason = (typeof VMMD_ERROR_REASONS)[number];
const ENDPOINT_SAYS: Readonly<Record<string, VmmdErrorReason>> = {
  [SERVICE_DOWN]: "unreachable",
  [DAEMON_ENDED]: "no_reply",
};
const ANSWERED: ReadonlySet<VmmdErrorReason> = new Set(["failure", "undecodable", "unexpected"]);

export class VmmdError extends Error {
  readonly reason: VmmdErrorReason;

  constructor(reason: VmmdErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "VmmdError";
    this.reason = reason;
  }
}

export interface SubscriptionInfo {
  /** of what the subscription covers, with full names */
  readonly entries: readonly NamedInfo[];
  /** A unikernel runs that is named exactly as the path subscribed to; null where that cannot be asked. */
  readonly namesakeRuns: boolean | null;
}

/** The unikernel named as the path: `a:b` for `a:b:`; null for root and unikernels. */
export function namesakeOf(subscription: Name): Name | null {
  const label = subscription.path.at(-1);
  if (subscription.label !== null || label === undefined) return null;
  return { path: subscription.path.slice(0, -1), label };
}

/** An answer, or why there is none; null before albatrossd was asked. Times are monotonic, in µs. */
export type KnownInfo = KeptInfo | VmmdError | null;

export interface KeptInfo {
  readonly askedAtUs: number;
  readonly answeredAtUs: number;
  readonly namesakeRuns: boolean | null;
  readonly listedSinceUs: number | null;
}

/**
 * Asks an albatrossd of any version for unikernel info and policies: one connection per question, one reply on it.
 *
 * An albatrossd that does not know an info command closes without a reply; then the next older one is tried. But a 2.7
 * that runs a unikernel with other than one cpuid is killed by an old command, and its unikernels with it. So the
 * present command goes first in every round (albatrossd may have been updated since the last), an old one follows only
 * when that was closed in good order and without a reply (twice in a row before it is first believed), and none ever
 * once the present one was answered: who goes back to an old albatrossd restarts the exporter.
 */
export class VmmdClient {
  readonly #options: Pick<ConnectionOptions, "endpoint" | "maxFrameBytes" | "clock">;
  readonly #stopping = new AbortController();
  #knowsPresent = false;
  #old: InfoCommand | null = null;
  #agreed: InfoCommand | null = null;

  constructor(options: Pick<ConnectionOptions, "endpoint" | "maxFrameBytes" | "clock">) {
    this.#options = options;
  }

  /** Which command albatrossd knows is found out again. */
  beginRound(): void {
    this.#agreed = null;
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** What unikernel info says about each of the subscriptions. Throws a VmmdError. */
  async infosOf(subscriptions: readonly Name[]): Promise<readonly SubscriptionInfo[]> {
    const infos: SubscriptionInfo[] = [];
    for (const asked of subscriptions) {
      const entries = await this.#entriesOf(asked);
      infos.push({ entries, namesakeRuns: await this.#runs(namesakeOf(asked)) });
    }
    return infos;
  }

  async #entriesOf(asked: Name): Promise<readonly NamedInfo[]> {
    return this.#inTurns(entriesOf(asked, await this.unikernels(asked)));
  }

  /** Null where that cannot be asked. */
  async #runs(name: Name | null): Promise<boolean | null> {
    if (name === null) return false;
    return this.#options.endpoint.reaches(name) ? (await this.#entriesOf(name)).length > 0 : null;
  }

  /** The policies of the subscriptions' paths, named by full path. Throws a VmmdError. */
  async policiesOf(subscriptions: readonly Name[]): Promise<readonly NamedPolicy[]> {
    const answers = new Map<string, readonly NamedPolicy[]>();
    const policies = new Map<string, NamedPolicy>();
    function* take({ path, label }: Name, answer: readonly NamedPolicy[]): Generator<void> {
      for (const { name, policy } of answer) {
        yield;
        const full = resolveName({ path, label: null }, name);
        // a policy belongs to a path, however its name is written: `user` means `user:`
        const of = full.label === null ? full.path : [...full.path, full.label];
        const holds = label === null || of.length === path.length;
        if (holds) policies.set(pathText(of), { name: { path: of, label: null }, policy });
      }
    }
    for (const asked of subscriptions) {
      const key = pathText(asked.path);
      const answer = answers.get(key) ?? (await this.policies({ path: asked.path, label: null }));
      answers.set(key, answer);
      await this.#inTurns(take(asked, answer));
    }
    return [...policies.values()];
  }

  /** What runs under a path or by a name, named as albatrossd sent it. Throws a VmmdError. */
  async unikernels(name: Name): Promise<readonly NamedInfo[]> {
    if (this.#agreed !== null) return this.#askInfo(name, this.#agreed);
    // What closes a remote one need not be an old albatrossd; and an old command could kill a new one.
    if (this.#options.endpoint.isRemote) return this.#askInfo(name, "info");
    const old = this.#old;
    for (const command of ["info", ...(old === null ? OLD_COMMANDS : [old])] as const) {
      if (command !== "info") this.#old = null;
      try {
        const found = await this.#askInfo(name, command).catch(async (error) => {
          if (!isNoReply(error) || (command === "info" && old !== null)) throw error;
          await this.#pause(CONFIRM_AFTER_MS);
          return this.#askInfo(name, command);
        });
        if (command !== "info") this.#old = command;
        return found;
      } catch (error) {
        if (this.#knowsPresent || !isNoReply(error)) throw error;
      }
    }
    const text = "albatrossd answers no unikernel info command, of this version or an older one";
    throw new VmmdError("no_reply", text);
  }

  /** The policies of a path and of those below it. Throws a VmmdError. */
  async policies(path: Name): Promise<readonly NamedPolicy[]> {
    const payload = await this.#ask(policyRequest(path));
    if (payload.type === "success" && payload.result === "policies") return payload.policies;
    throw new VmmdError("unexpected", `albatrossd answers the question for policies with ${payload.type}`);
  }

  async #askInfo(name: Name, command: InfoCommand): Promise<readonly NamedInfo[]> {
    try {
      const payload = await this.#ask(infoRequest(name, command));
      if (payload.type !== "success" || !("unikernels" in payload)) {
        const text = `albatrossd answers the question for unikernels with ${payload.type}`;
        throw new VmmdError("unexpected", text);
      }
      this.#agreed = command;
      this.#knowsPresent ||= command === "info";
      return payload.unikernels;
    } catch (error) {
      const isAnswer = error instanceof VmmdError && ANSWERED.has(error.reason);
      this.#knowsPresent ||= isAnswer && command === "info";
      throw error;
    }
  }

  async #ask(request: Request): Promise<Exclude<Payload, { readonly type: "failure" }>> {
    const payload = await this.#decode(await this.#exchange(request));
    if (payload.type !== "failure") return payload;
    const { message } = payload;
    const said = POLICY_REFUSED.test(message) ? "certificate" : "failure";
    const reason = ENDPOINT_SAYS[message] ?? said;
    throw new VmmdError(reason, this.#options.endpoint.explain("vmmd", message));
  }

  #exchange(request: Request): Promise<Uint8Array> {
    const { clock, endpoint } = this.#options;
    return this.#abortable<Uint8Array>((resolve, reject) => {
      const allow = (ms: number, limitMs = ms) =>
        clock.after(ms, () => {
          const text = `albatrossd does not answer within ${limitMs / 1000} s`;
          reject(new VmmdError("timeout", text));
        });
      let cancelTimeout = allow(REPLY_TIMEOUT_MS);
      const untilUs = clock.nowUs() + REMOTE_REPLY_MS * 1000;
      /** A remote one has this time to answer once it is reached, and for each further part, but some time it ends. */
      const wait = () => {
        if (!endpoint.isRemote) return;
        cancelTimeout();
        const leftMs = Math.max(untilUs - clock.nowUs(), 0) / 1000;
        cancelTimeout = leftMs < REPLY_TIMEOUT_MS ? allow(leftMs, REMOTE_REPLY_MS) : allow(REPLY_TIMEOUT_MS);
      };
      const connection = new Connection({
        ...this.#options,
        daemon: "vmmd",
        request,
        handlers: {
          opened: wait,
          received: wait,
          frame: (frame) => resolve(copyOf(frame)),
          ended: (end) => reject(this.#whyEnded(end)),
        },
      });
      return () => {
        cancelTimeout();
        connection.close();
      };
    });
  }

  async #decode(reply: Uint8Array): Promise<Payload> {
    try {
      const steps = decodeInSteps(reply, { dropArguments: true, dropBridges: true });
      return (await this.#inTurns(steps)).payload;
    } catch (error) {
      if (error instanceof VmmdError) throw error;
      // Whatever it is, a peer's bytes brought it about, and they must not end the process.
      const text = `the reply of albatrossd does not decode: ${messageOf(error)}`;
      throw new VmmdError("undecodable", text, { cause: error });
    }
  }

  #whyEnded(end: ConnectionEnd): VmmdError {
    const { endpoint } = this.#options;
    switch (end.type) {
      case "unreachable": {
        const reason = isCertificateRefused(end.code) ? "certificate" : "unreachable";
        return new VmmdError(reason, endpoint.describe("vmmd", end.code));
      }
      case "damaged":
        return new VmmdError("undecodable", `the reply of albatrossd is damaged: ${end.error.message}`);
      case "closed": {
        const { code, midFrame } = end;
        if (code === null && midFrame)
          return new VmmdError("undecodable", "the reply of albatrossd ends inside a frame");
        if (code === null) return new VmmdError("no_reply", endpoint.describe("vmmd", null));
        const reason = isCertificateRefused(code) ? "certificate" : "lost";
        const local = `the connection to albatrossd broke: ${code}`;
        return new VmmdError(reason, endpoint.isRemote ? endpoint.describe("vmmd", code) : local);
      }
    }
  }

  /** As `inTurns`, until `stop`. */
  #inTurns<T>(steps: Iterator<unknown, T>): Promise<T> {
    return inTurns({
      next: () => {
        if (this.#stopping.signal.aborted) throw new VmmdError("stopped", "stopped");
        return steps.next();
      },
    });
  }

  #pause(ms: number): Promise<void> {
    return this.#abortable((resolve) => this.#options.clock.after(ms, resolve));
  }

  /** A promise whose work `begin` starts; what `begin` returns cleans up, however it ends. `stop` ends it. */
  #abortable<T>(
    begin: (resolve: (value: T) => void, reject: (error: VmmdError) => void) => Cancel,
  ): Promise<T> {
    const { signal } = this.#stopping;
    let cleanUp: Cancel = () => undefined;
    let stopped: Cancel = () => undefined;
    return new Promise<T>((resolve, reject) => {
      stopped = () => reject(new VmmdError("stopped", "stopped"));
      signal.addEventListener("abort", stopped);
      if (signal.aborted) stopped();
      else cleanUp = begin(resolve, reject);
    }).finally(() => {
      signal.removeEventListener("abort", stopped);
      cleanUp();
    });
  }
}

/** The unikernels below `asked`, with full names: albatrossd names those of a path relative to it, others in full. */
function* entriesOf(asked: Name, found: readonly NamedInfo[]): Generator<void, readonly NamedInfo[]> {
  const entries: NamedInfo[] = [];
  for (const entry of found) {
    yield;
    const name = asked.label === null ? resolveName(asked, entry.name) : entry.name;
    if (name.label === null || !subscriptionCovers(asked, name)) continue;
    entries.push(name === entry.name ? entry : { ...entry, name });
  }
  return entries;
}

function isNoReply(error: unknown): boolean {
  return error instanceof VmmdError && error.reason === "no_reply";
}
