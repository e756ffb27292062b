import type { InfoCommand, NamedInfo, NamedPolicy } from "../wire/messages.ts";
import type { Name } from "../wire/names.ts";
import { infoRequest, policyRequest } from "./requests.ts";
import { type VmmdClient, VmmdError, type VmmdErrorReason } from "./vmmd.ts";

/** Albatross 2.6's info command, and that of 2.4 and 2.5. */
const OLD_COMMANDS: readonly InfoCommand[] = ["old_info5", "old_info4"];
/** A second close without a reply, so long after the first, is no accident of a daemon that just stopped. */
const CONFIRM_AFTER_MS = 1_000;
/** These mean that albatrossd answered: it knows the command. */
const ANSWERED: ReadonlySet<VmmdErrorReason> = new Set(["failure", "undecodable", "unexpected"]);

/**
 * Unikernel info and policies from an albatrossd of any version.
 *
 * An albatrossd that does not know an info command closes without a reply; then the next older one is tried. But a 2.7
 * that runs a unikernel with other than one cpuid is killed by an old command, and its unikernels with it. So the
 * present command goes first in every round (albatrossd may have been updated since the last), an old one follows only
 * when that was closed in good order and without a reply (twice in a row before it is first believed), and none ever
 * once the present one was answered: who goes back to an old albatrossd restarts the exporter.
 */
export class InfoClient {
  readonly #vmmd: VmmdClient;
  #knowsPresent = false;
  /** The old command that was answered last time; null when none was. */
  #old: InfoCommand | null = null;
  /** The command that was answered in this round. */
  #agreed: InfoCommand | null = null;

  constructor(vmmd: VmmdClient) {
    this.#vmmd = vmmd;
  }

  /** Begins a round of questions: which command albatrossd knows is found out again. */
  beginRound(): void {
    this.#agreed = null;
  }

  /**
   * What runs under a path or by a name, without arguments and named as albatrossd sent it: relative to a path, in
   * full otherwise. Throws a VmmdError.
   */
  async unikernels(name: Name): Promise<readonly NamedInfo[]> {
    if (this.#agreed !== null) return this.#ask(name, this.#agreed);
    try {
      return await (this.#old === null ? this.#askTwice(name, "info") : this.#ask(name, "info"));
    } catch (error) {
      if (this.#knowsPresent || !isNoReply(error)) throw error;
    }
    return this.#askOld(name);
  }

  /** The policies of a path and of those below it, named as albatrossd sent them. Throws a VmmdError. */
  async policies(path: Name): Promise<readonly NamedPolicy[]> {
    const payload = await this.#vmmd.ask(policyRequest(path));
    if (payload.type === "success" && payload.result === "policies") return payload.policies;
    throw new VmmdError("unexpected", `albatrossd answers the question for policies with ${payload.type}`);
  }

  async #askOld(name: Name): Promise<readonly NamedInfo[]> {
    const commands = this.#old === null ? OLD_COMMANDS : [this.#old];
    this.#old = null;
    for (const command of commands) {
      try {
        const unikernels = await this.#askTwice(name, command);
        this.#old = command;
        return unikernels;
      } catch (error) {
        if (!isNoReply(error)) throw error;
      }
    }
    throw new VmmdError(
      "no_reply",
      "albatrossd answers no unikernel info command, of this version or an older one",
    );
  }

  /** Asks again when the first question was closed without a reply. */
  async #askTwice(name: Name, command: InfoCommand): Promise<readonly NamedInfo[]> {
    try {
      return await this.#ask(name, command);
    } catch (error) {
      if (!isNoReply(error)) throw error;
    }
    await this.#vmmd.pause(CONFIRM_AFTER_MS);
    return this.#ask(name, command);
  }

  async #ask(name: Name, command: InfoCommand): Promise<readonly NamedInfo[]> {
    try {
      const payload = await this.#vmmd.ask(infoRequest(name, command));
      if (payload.type !== "success" || !("unikernels" in payload)) {
        throw new VmmdError(
          "unexpected",
          `albatrossd answers the question for unikernels with ${payload.type}`,
        );
      }
      this.#answered(command);
      this.#agreed = command;
      return payload.unikernels;
    } catch (error) {
      if (error instanceof VmmdError && ANSWERED.has(error.reason)) this.#answered(command);
      throw error;
    }
  }

  #answered(command: InfoCommand): void {
    if (command === "info") this.#knowsPresent = true;
  }
}

function isNoReply(error: unknown): boolean {
  return error instanceof VmmdError && error.reason === "no_reply";
}
